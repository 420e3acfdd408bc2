"""Curves over the epochs."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tvl_lightning.drawing.epochs import Curve, draw_epochs
from tvl_lightning.drawing.palette import style

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def axes() -> Axes:
    return Figure().subplots()


def test_a_curve_is_named_at_its_last_value(axes: Axes) -> None:
    curve = Curve([0, 1, 2], [0.1, 0.5, np.nan], style(2))
    [end] = draw_epochs(axes, {"val": curve})
    assert (end.text, end.height, end.style) == ("val", 0.5, style(2))
    [line] = axes.lines
    assert np.asarray(line.get_xdata()).tolist() == [0, 1]


def test_epochs_in_which_nothing_was_logged_do_not_break_a_curve(axes: Axes) -> None:
    draw_epochs(axes, {"val": Curve([0, 1, 2, 3, 4], [0.1, np.nan, 0.3, np.nan, 0.5], style(0))})
    assert np.asarray(axes.lines[0].get_ydata()).tolist() == [0.1, 0.3, 0.5]


def test_the_first_epochs_of_a_long_run_do_not_set_the_scale(axes: Axes) -> None:
    draw_epochs(axes, {"test": Curve(range(41), [0.1, 0.2, *[0.9, 0.95] * 19, 0.9], style(0))})
    low, high = axes.get_ylim()
    assert 0.89 < low < 0.9
    assert 0.95 < high < 0.96


@pytest.mark.parametrize("rows", [1, 2, 3, 19])
def test_a_short_run_is_held_whole(axes: Axes, rows: int) -> None:
    values = np.linspace(0.1, 0.9, rows)
    draw_epochs(axes, {"test": Curve(range(rows), values, style(0))})
    low, high = axes.get_ylim()
    assert low < values.min() <= values.max() < high
    left, right = axes.get_xlim()
    assert left < right == rows - 1


def test_a_single_point_is_seen(axes: Axes) -> None:
    draw_epochs(axes, {"train": Curve([0, 1], [np.nan, 0.5], style(0))})
    assert axes.lines[0].get_marker() == "."


def test_a_band_is_held_too(axes: Axes) -> None:
    curve = Curve([0, 1], [0.5, 0.6], style(0), ([0.4, 0.2], [0.5, 0.9]))
    draw_epochs(axes, {"mean": curve})
    assert len(axes.collections) == 1
    low, high = axes.get_ylim()
    assert low < 0.2 < 0.9 < high


def test_a_run_that_diverged_is_drawn_as_far_as_it_is_finite(axes: Axes) -> None:
    [end] = draw_epochs(axes, {"train": Curve([0, 1, 2], [2.3, 2.0, np.inf], style(0))})
    assert end.height == 2.0


def test_nothing_logged_is_nothing_drawn(axes: Axes) -> None:
    assert draw_epochs(axes, {"val": Curve([0, 1], [np.nan, np.nan], style(0))}) == []
    assert len(axes.lines) == 0
