"""The figures of a run."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from PIL import Image

from tvl_lightning.runs.figures import curves_figure, draw_run, tau_figure
from tvl_lightning.runs.reading import read_run
from tvl_lightning.runs.time_steps import tau_of

REMOVED_AT = 60
SETTINGS: dict[str, Any] = {
    "model": {
        "_target_": "tvl_lightning.networks.perceptron",
        "hidden_layers": 3,
        "horizon": 1.5,
    },
    "pruning": {"epsilon": 0.01},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of 2 epochs of 40 iterations that was stopped; iteration 60 removed layer 2 of 3."""
    iteration = np.arange(1, 81)
    tau = np.stack([0.3 + 0.001 * iteration, 0.4 - 0.001 * iteration, 0.3 / iteration], axis=1)
    tau[REMOVED_AT:, 2] = np.nan
    np.savez(tmp_path / "tau.npz", iteration=iteration, tau=tau)
    (tmp_path / "metrics.csv").write_text(
        "epoch,step,train/acc,train/task_loss,train/loss,val/acc,val/task_loss\n"
        "-1,0,,,,0.1,2.3\n0,39,0.5,2.0,2.1,,\n1,79,0.75,1.0,1.2,0.625,1.5\n"
    )
    summary = {"status": "stopped", "settings": SETTINGS, "layers": [0, 1]}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    return tmp_path


def of_tau(folder: Path) -> Figure:
    steps = tau_of(read_run(folder))
    assert steps is not None
    return tau_figure(steps)


def names(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts if isinstance(text, Annotation)]


def texts(figure: Figure) -> Iterator[Text]:
    figure.draw_without_rendering()
    yield from (t for t in figure.findobj(Text) if t.get_text() and t.get_visible())


def assert_shows_something(path: Path) -> None:
    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"
        grey = np.asarray(image.convert("L"))
    assert min(grey.shape) > 300
    assert (grey < 128).mean() > 0.002
    assert (grey > 250).mean() > 0.5


def test_figures_of_a_run_are_drawn_into_it(folder: Path) -> None:
    draw_run(folder)
    drawn = sorted(path.name for path in (folder / "figures").iterdir())
    assert drawn == ["curves.png", "curves.svg", "tau.png", "tau.svg"]
    for name in ("curves", "tau"):
        assert_shows_something(folder / "figures" / f"{name}.png")
        assert "<svg" in (folder / "figures" / f"{name}.svg").read_text()


def test_figures_that_were_there_are_drawn_anew(folder: Path) -> None:
    (folder / "figures").mkdir()
    (folder / "figures" / "tau.png").write_bytes(b"old")
    draw_run(str(folder))
    assert_shows_something(folder / "figures" / "tau.png")


def test_only_what_a_run_wrote_is_drawn(folder: Path) -> None:
    (folder / "metrics.csv").unlink()
    draw_run(folder)
    drawn = sorted(path.name for path in (folder / "figures").iterdir())
    assert drawn == ["tau.png", "tau.svg"]


def test_nothing_is_drawn_of_an_empty_folder(tmp_path: Path) -> None:
    draw_run(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_tau_stands_over_shares_with_epsilon_and_the_sum_with_the_horizon(folder: Path) -> None:
    tau, share, total = of_tau(folder).axes
    assert names(tau) == [r"$\tau^{(0)}$", r"$\tau^{(1)}$", r"$\tau^{(2)}$ × 60"]
    assert names(share) == [r"$\varepsilon$ = 0.01", r"$\tau^{(0)}$", r"$\tau^{(1)}$"]
    assert names(total) == [r"$\Sigma\,\tau$", "$T$ = 1.5"]
    assert [axes.get_xlabel() for axes in (tau, share, total)] == ["", "", "iteration"]


def test_without_pruning_there_are_no_shares(folder: Path) -> None:
    summary = {"settings": {**SETTINGS, "pruning": {}}, "layers": [0, 1]}
    (folder / "summary.json").write_text(json.dumps(summary))
    assert [axes.get_ylabel() for axes in of_tau(folder).axes] == [r"$\tau$", "time"]


def test_a_run_without_a_summary_is_drawn_without_a_horizon(folder: Path) -> None:
    (folder / "summary.json").unlink()
    tau, total = of_tau(folder).axes
    assert len(names(tau)) == 3
    assert names(total) == [r"$\Sigma\,\tau$"]


def test_many_layers_are_a_heat_map_above_their_sum(tmp_path: Path) -> None:
    np.savez(tmp_path / "tau.npz", iteration=np.arange(1, 9), tau=np.ones((8, 64)))
    tau, total = of_tau(tmp_path).axes
    assert (tau.get_ylabel(), total.get_ylabel()) == ("layer", "time")
    assert names(tau) == []


def test_no_legend_covers_a_curve(folder: Path) -> None:
    for figure in (of_tau(folder), curves_figure(read_run(folder))):
        assert not figure.legends
        assert not any(axes.get_legend() for axes in figure.axes)


def test_figures_are_for_print(folder: Path) -> None:
    for figure in (of_tau(folder), curves_figure(read_run(folder))):
        assert figure.get_figwidth() <= 6.3
        for text in texts(figure):
            assert 8 <= text.get_fontsize() <= 10


def test_names_lie_within_the_figure(folder: Path) -> None:
    for figure in (of_tau(folder), curves_figure(read_run(folder))):
        figure.draw_without_rendering()
        for axes in figure.axes:
            for text in [*axes.texts, axes.xaxis.label, axes.yaxis.label]:
                box = Text.get_window_extent(text)
                assert 0 <= box.x0 <= box.x1 <= figure.bbox.x1
                assert 0 <= box.y0 <= box.y1 <= figure.bbox.y1


def test_accuracy_and_cross_entropy_are_drawn_for_each_stage_that_was_logged(folder: Path) -> None:
    accuracy, entropy = curves_figure(read_run(folder)).axes
    for axes, train, val in ((accuracy, [0.5, 0.75], [0.1, 0.625]), (entropy, [2, 1], [2.3, 1.5])):
        lines = {line.get_label(): line for line in axes.lines}
        assert list(lines) == names(axes) == ["train", "val"]
        assert np.asarray(lines["train"].get_xdata()).tolist() == [1, 2]
        assert np.asarray(lines["val"].get_xdata()).tolist() == [0, 2]
        np.testing.assert_array_equal(lines["train"].get_ydata(), train)
        np.testing.assert_array_equal(lines["val"].get_ydata(), val)
    assert (accuracy.get_ylabel(), entropy.get_ylabel()) == ("accuracy", "cross entropy")


def test_test_curve_is_drawn_where_the_test_set_was_evaluated(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(
        "epoch,train/acc,train/task_loss,test/acc,test/task_loss\n0,0.5,2.0,0.25,2.5\n"
    )
    for axes in curves_figure(read_run(tmp_path)).axes:
        assert [line.get_label() for line in axes.lines] == ["train", "test"]
