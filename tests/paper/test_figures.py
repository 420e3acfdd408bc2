"""The figures of the paper."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from PIL import Image

from tests.paper.made_up import ITERATIONS, paths, write_run
from tvl_lightning.paper import figures
from tvl_lightning.paper.setups import setup
from tvl_lightning.paper.study import read_study

FASHION = "fashion_mnist"


pytestmark = pytest.mark.slow  # six figures are drawn


@pytest.fixture(scope="module")
def drawn(world: Path) -> dict[str, Figure]:
    """Every figure of the world, by its name."""
    study = read_study(world)
    return {draw.__name__: draw(study) for draw in figures.FIGURES}


every_figure = pytest.mark.parametrize("name", [draw.__name__ for draw in figures.FIGURES])


def panels(figure: Figure) -> dict[str, list[Axes]]:
    found: dict[str, list[Axes]] = {}
    for axes in figure.axes:
        found.setdefault(axes.get_title(), []).append(axes)
    return found


def names(axes: Axes) -> list[str]:
    return sorted(text.get_text() for text in axes.texts if isinstance(text, Annotation))


def curves(axes: Axes) -> list[Line2D]:
    return [line for line in axes.lines if len(np.asarray(line.get_xdata())) > 2]


def values(axes: Axes, label: str) -> list[float]:
    [line] = [line for line in axes.lines if line.get_label() == label]
    return np.asarray(line.get_ydata()).tolist()


def test_figure_4_1_compares_learned_and_fixed_tau(drawn: dict[str, Figure]) -> None:
    found = panels(drawn["figure_4_1"])
    assert list(found) == [
        "MNIST, the paper",
        "Fashion MNIST, the paper",
        "MNIST, authors' code",
        "Fashion MNIST, authors' code",
    ]
    compared = ["ResNet", "ResNet, fixed", "Fractional", "Fractional, fixed"]
    for [axes] in found.values():
        assert [line.get_label() for line in axes.lines] == compared
        assert names(axes) == sorted(compared)
        assert axes.get_ylabel() == "test accuracy"
        assert np.asarray(axes.lines[0].get_xdata()).tolist() == [0, 1, 2, 3, 4]
    [fashion] = found["Fashion MNIST, the paper"]
    assert values(fashion, "ResNet, fixed") == [0.1, 0.5, 0.81, 0.86, 0.88]


@pytest.mark.parametrize("name", ["figure_4_2", "figure_4_3"])
def test_figures_4_2_and_4_3_show_accuracy_and_loss_of_the_setups(
    drawn: dict[str, Figure], name: str
) -> None:
    found = panels(drawn[name])
    for title, (accuracy, loss) in found.items():
        assert (accuracy.get_ylabel(), loss.get_ylabel()) == ("test accuracy", "test loss")
        shown = [
            label
            for choice, label in figures.NAMES.items()
            if "authors" not in title or choice != "simplex"
        ]
        for axes in (accuracy, loss):
            assert [line.get_label() for line in axes.lines] == shown
            assert names(axes) == sorted(shown)
        assert values(loss, "none") == [0.5] * 5
        assert min(values(loss, "horizon")) > 0.5  # with the penalty
    assert len(found) == 4


@pytest.mark.parametrize(
    ("name", "model", "pruned", "theirs"),
    [
        ("figure_4_4", "resnet", False, ["final"]),
        ("figure_4_5", "fractional", False, ["learned", "l1", "horizon", "final"]),
        ("figure_4_6", "resnet", True, ["learned", "l1", "horizon", "final"]),
    ],
)
def test_figures_of_tau_have_the_papers_panels_then_those_of_its_authors_code(
    drawn: dict[str, Figure], name: str, model: str, pruned: bool, theirs: list[str]
) -> None:
    found = panels(drawn[name])
    *paper, simplex = figures.SETUPS.values()
    assert list(found) == [
        *paper,
        *(f"{figures.SETUPS[choice]}, authors' code" for choice in theirs),
        simplex,
    ]
    for [axes] in found.values():
        assert axes.get_ylabel() == r"$\tau$"
        assert len(curves(axes)) == len(names(axes)) == 6
    [axes] = found[figures.SETUPS["final"]]
    x = np.asarray(curves(axes)[5].get_xdata()).astype(int)
    assert (x[0], x[-1]) == (0, ITERATIONS)
    expected = paths(setup(FASHION, model, "final", pruned))[x[1:] - 1, 5]
    np.testing.assert_array_equal(np.asarray(curves(axes)[5].get_ydata())[1:], expected)
    assert np.asarray(curves(axes)[5].get_ydata())[0] == pytest.approx(1 / 6)


@every_figure
def test_no_colour_and_no_dash_is_that_of_two_curves_in_a_panel(
    drawn: dict[str, Figure], name: str
) -> None:
    for axes in drawn[name].axes:
        looks = [(to_rgb(line.get_color()), str(line.get_linestyle())) for line in curves(axes)]
        assert len({colour for colour, _ in looks}) == len(looks)


@every_figure
def test_a_grid_has_no_hole(drawn: dict[str, Figure], name: str) -> None:
    figure = drawn[name]
    rows: dict[float, list[Axes]] = {}
    for axes in figure.axes:
        rows.setdefault(round(axes.get_position().y0, 3), []).append(axes)
    for row in rows.values():
        left = min(axes.get_position().x0 for axes in row)
        right = max(axes.get_position().x1 for axes in row)
        assert left < 0.15
        assert right > 0.7


@every_figure
def test_titles_do_not_touch_and_lie_within_the_figure(drawn: dict[str, Figure], name: str) -> None:
    figure = drawn[name]
    figure.draw_without_rendering()
    boxes = [axes.title.get_window_extent() for axes in figure.axes]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.padded(5).overlaps(other)
    for box in boxes:
        assert 0 <= box.x0 <= box.x1 <= figure.bbox.x1
        assert 0 <= box.y0 <= box.y1 <= figure.bbox.y1


@every_figure
def test_every_figure_fits_on_a_page(drawn: dict[str, Figure], name: str) -> None:
    width, height = drawn[name].get_size_inches()
    assert width <= 6.3
    assert height <= 9.7


@pytest.mark.parametrize("epochs", [1, 2, 5])
def test_a_short_run_is_held_whole(tmp_path: Path, epochs: int) -> None:
    accuracy = np.linspace(0.1, 0.8, epochs + 1).tolist()
    write_run(tmp_path, setup("mnist", "resnet", "learned"), accuracy=accuracy)
    low, high = figures.figure_4_1(read_study(tmp_path)).axes[0].get_ylim()
    assert low < 0.1 < 0.8 < high


def test_the_first_epochs_of_a_long_run_do_not_set_the_scale(tmp_path: Path) -> None:
    accuracy = [0.1, 0.2, *[0.9, 0.95] * 20]
    write_run(tmp_path, setup("mnist", "resnet", "learned"), accuracy=accuracy)
    low, high = figures.figure_4_1(read_study(tmp_path)).axes[0].get_ylim()
    assert 0.89 < low < 0.9
    assert 0.95 < high < 0.96


def test_curve_of_a_pruned_layer_ends_in_a_cross_where_it_was_pruned(
    drawn: dict[str, Figure],
) -> None:
    [axes] = panels(drawn["figure_4_6"])[figures.SETUPS["l1"]]
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    assert [np.asarray(line.get_xdata()).tolist() for line in crosses] == [[120]] * 4
    ends = []
    for line in curves(axes):
        there = np.isfinite(np.asarray(line.get_ydata(), float))
        ends.append(np.asarray(line.get_xdata())[there][-1])
    assert ends[0] == ends[5] == ITERATIONS
    assert all(115 < end <= 120 for end in ends[1:5])
    assert r"$\tau^{(1)}$ × 120" in names(axes)


def test_seeds_are_drawn_as_their_mean_and_a_band(tmp_path: Path) -> None:
    shown = setup(FASHION, "resnet", "learned")
    steps = paths(shown)
    write_run(tmp_path, shown, 0, accuracy=[0.1, 0.5], tau=steps)
    write_run(tmp_path, shown, 1, accuracy=[0.2, 0.7], tau=steps + 0.5)
    study = read_study(tmp_path)
    accuracy = panels(figures.figure_4_2(study))["Fashion MNIST, the paper"][0]
    assert values(accuracy, "none") == pytest.approx([0.15, 0.6])
    [band] = accuracy.collections
    corners = {(x, y) for x, y in np.round(np.asarray(band.get_paths()[0].vertices), 6).tolist()}
    assert {(0.0, 0.1), (0.0, 0.2), (1.0, 0.5), (1.0, 0.7)} <= corners
    tau = figures.figure_4_4(study).axes[0]
    assert np.asarray(curves(tau)[0].get_ydata())[-1] == pytest.approx(steps[-1, 0] + 0.25)
    assert len(tau.collections) == 6


def test_one_seed_has_no_band(drawn: dict[str, Figure]) -> None:
    for axes in drawn["figure_4_1"].axes:
        assert not axes.collections


def test_a_panel_without_a_run_says_so(tmp_path: Path) -> None:
    write_run(tmp_path, setup(FASHION, "resnet", "l1", True))
    found = panels(figures.figure_4_6(read_study(tmp_path)))
    [axes] = found["no regularization"]
    assert [text.get_text() for text in axes.texts] == ["no run"]


def test_the_command_draws_png_and_svg_and_names_what_is_missing(
    tmp_path: Path, door: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, setup(FASHION, "resnet", "l1", True))
    door("figures", tmp_path)
    said = capsys.readouterr().out
    assert "figure_4_6: no run of fashion_mnist-resnet-learned-pruned-paper" in said
    assert "no run of fashion_mnist-resnet-l1-pruned-paper" not in said
    drawn = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert drawn == [f"figure_4_{n}.{kind}" for n in range(1, 7) for kind in ("png", "svg")]
    for path in (tmp_path / "figures").iterdir():
        if path.suffix == ".svg":
            assert "<svg" in path.read_text()
        else:
            assert path.stat().st_size < 300_000
            with Image.open(path) as image:
                grey = np.asarray(image.convert("L"))
            assert (grey < 128).mean() > 0.002
            assert (grey > 250).mean() > 0.5
