"""The figures of a run."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tvl_lightning.runs.figures import curves_figure, draw_run, tau_figure
from tvl_lightning.runs.reading import read_run

REMOVED_AT = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of 2 epochs of 40 iterations; iteration 60 removes layer 2 of 3."""
    iteration = np.arange(1, 81)
    tau = np.stack([0.3 + 0.001 * iteration, 0.4 - 0.001 * iteration, 0.3 / iteration], axis=1)
    tau[REMOVED_AT:, 2] = np.nan
    np.savez(tmp_path / "tau.npz", iteration=iteration, tau=tau)
    (tmp_path / "metrics.csv").write_text(
        "epoch,step,train/acc,train/task_loss,val/acc,val/task_loss\n"
        "0,39,0.5,2.0,,\n1,79,0.75,1.0,0.625,1.5\n"
    )
    return tmp_path


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
    assert drawn == ["curves.png", "tau.png"]
    for name in drawn:
        assert_shows_something(folder / "figures" / name)


def test_figures_that_were_there_are_drawn_anew(folder: Path) -> None:
    (folder / "figures").mkdir()
    (folder / "figures" / "tau.png").write_bytes(b"old")
    draw_run(str(folder))
    assert_shows_something(folder / "figures" / "tau.png")


def test_only_what_a_run_wrote_is_drawn(folder: Path) -> None:
    (folder / "metrics.csv").unlink()
    draw_run(folder)
    assert [path.name for path in (folder / "figures").iterdir()] == ["tau.png"]


def test_nothing_is_drawn_of_an_empty_folder(tmp_path: Path) -> None:
    draw_run(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_every_tau_has_a_curve_with_its_values(folder: Path) -> None:
    run = read_run(folder)
    [axes] = tau_figure(run).axes
    assert len(axes.lines) == 3
    for layer, line in enumerate(axes.lines):
        np.testing.assert_array_equal(line.get_xdata(), run.trajectory["iteration"])
        np.testing.assert_array_equal(line.get_ydata(), run.trajectory["tau"][:, layer])


def test_curve_of_a_removed_layer_ends_where_it_was_removed(folder: Path) -> None:
    [axes] = tau_figure(read_run(folder)).axes
    ends = [np.asarray(line.get_xdata())[np.isfinite(line.get_ydata())][-1] for line in axes.lines]
    assert ends == [80, 80, REMOVED_AT]


def test_layers_keep_their_first_numbers_in_the_legend(folder: Path) -> None:
    [axes] = tau_figure(read_run(folder)).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        r"$\tau^{(0)}$",
        r"$\tau^{(1)}$",
        r"$\tau^{(2)}$",
    ]
    assert axes.get_xlabel() == "iteration"


def test_neighbouring_curves_differ_in_style(folder: Path) -> None:
    [axes] = tau_figure(read_run(folder)).axes
    styles = [line.get_linestyle() for line in axes.lines]
    assert len(set(styles)) == 3


def test_accuracy_and_cross_entropy_are_drawn_for_each_stage_that_was_logged(folder: Path) -> None:
    accuracy, entropy = curves_figure(read_run(folder)).axes
    for axes, train, val in ((accuracy, [0.5, 0.75], 0.625), (entropy, [2.0, 1.0], 1.5)):
        lines = {line.get_label(): line for line in axes.lines}
        assert set(lines) == {"train", "val"}
        assert np.asarray(lines["train"].get_xdata()).tolist() == [1, 2]
        np.testing.assert_array_equal(lines["train"].get_ydata(), train)
        np.testing.assert_array_equal(lines["val"].get_ydata(), [np.nan, val])
    assert (accuracy.get_ylabel(), entropy.get_ylabel()) == ("accuracy", "cross entropy")


def test_test_curve_is_drawn_where_the_test_set_was_evaluated(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(
        "epoch,train/acc,train/task_loss,test/acc,test/task_loss\n0,0.5,2.0,0.25,2.5\n"
    )
    for axes in curves_figure(read_run(tmp_path)).axes:
        assert [line.get_label() for line in axes.lines] == ["train", "test"]
