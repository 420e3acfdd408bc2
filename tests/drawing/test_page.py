"""Figures of one size and style."""

from pathlib import Path

import pytest

from tvl_lightning.drawing.page import WIDTH, blank_page, print_style, save


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_the_same_figure_gives_the_same_bytes(tmp_path: Path, ending: str) -> None:
    for name in ("one", "other"):
        with print_style():
            figure = blank_page(2)
            axes = figure.subplots()
            axes.plot([0, 1], [0, 1])
            axes.fill_between([0, 1], [0, 1], [1, 2], hatch="/")
            save(figure, tmp_path / name, ending)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_text_in_an_svg_stays_text(tmp_path: Path) -> None:
    with print_style():
        figure = blank_page(2)
        figure.subplots().set_xlabel("iteration")
        save(figure, tmp_path / "figure", "svg")
    assert ">iteration</text>" in (tmp_path / "figure").read_text()


def test_a_page_is_as_wide_as_the_text_of_a_paper() -> None:
    assert blank_page(2).get_figwidth() == WIDTH <= 6.3
