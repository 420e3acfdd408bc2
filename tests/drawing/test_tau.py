"""Step sizes over the iterations."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tvl_lightning.drawing.labels import End
from tvl_lightning.drawing.palette import COLOURS
from tvl_lightning.drawing.tau import MOST_CURVES, draw_mean_tau, draw_shares, draw_sum, draw_tau

pytestmark = pytest.mark.filterwarnings("error")

REMOVED, BORN = 300, 400  # the last iteration of layer 1, the first of layer 3


@pytest.fixture
def axes() -> Axes:
    return Figure(figsize=(6.3, 3), dpi=100).subplots()


@pytest.fixture
def tau() -> np.ndarray:
    """τ after 0 to 1,000 iterations of four layers."""
    iteration = np.arange(1001)
    tau = np.stack([0.25 + iteration / 1000, 0.25 - iteration / 2000, 0.25 - iteration / 4000], 1)
    tau[REMOVED + 1 :, 1] = np.nan
    born = np.where(iteration < BORN, np.nan, (iteration - BORN) / 1000)
    return np.column_stack((tau, born))


def curves(axes: Axes) -> list[Line2D]:
    return [line for line in axes.lines if len(np.asarray(line.get_xdata())) > 2]


def marks(axes: Axes, kind: str) -> list[tuple[float, float]]:
    return [
        (float(np.asarray(line.get_xdata())[0]), float(np.asarray(line.get_ydata())[0]))
        for line in axes.lines
        if line.get_marker() == kind
    ]


def bands(axes: Axes) -> list[PolyCollection]:
    return [band for band in axes.collections if isinstance(band, PolyCollection)]


def names(ends: list[End]) -> list[str]:
    return [end.text for end in ends]


def test_every_layer_has_a_curve_in_its_colour_through_its_values(
    axes: Axes, tau: np.ndarray
) -> None:
    draw_tau(axes, range(1001), tau)
    drawn = curves(axes)
    assert [line.get_color() for line in drawn] == list(COLOURS[:4])
    for layer, line in enumerate(drawn):
        x = np.asarray(line.get_xdata()).astype(int)
        np.testing.assert_array_equal(line.get_ydata(), tau[x, layer])


def test_iteration_0_and_the_last_one_are_the_ends_of_the_axis(axes: Axes, tau: np.ndarray) -> None:
    draw_tau(axes, range(1001), tau)
    assert axes.get_xlim() == (0, 1000)
    left, one, ten, hundred = axes.transData.transform([(x, 0) for x in (0, 1, 10, 100)])[:, 0]
    assert left < one
    assert hundred - ten == pytest.approx(ten - one)


def test_a_record_that_begins_later_has_a_logarithmic_axis(axes: Axes, tau: np.ndarray) -> None:
    draw_tau(axes, range(1, 1001), tau[1:])
    assert axes.get_xscale() == "log"
    assert axes.get_xlim() == (1, 1000)


def test_a_cross_is_at_the_value_that_removed_a_layer_and_a_ring_at_the_first_of_a_born_one(
    axes: Axes, tau: np.ndarray
) -> None:
    draw_tau(axes, range(1001), tau)
    assert marks(axes, "x") == [(REMOVED, tau[REMOVED, 1])]
    assert marks(axes, "o") == [(BORN, 0)]


def test_the_names_say_which_layer_and_when_it_was_removed(axes: Axes, tau: np.ndarray) -> None:
    ends = draw_tau(axes, range(1001), tau)
    assert names(ends) == [
        *(r"$\tau^{(0)}$", r"$\tau^{(1)}$ × 300", r"$\tau^{(2)}$", r"$\tau^{(3)}$"),
    ]
    assert [end.height for end in ends] == [tau[-1, 0], tau[REMOVED, 1], tau[-1, 2], tau[-1, 3]]
    assert [end.early for end in ends] == [False, True, False, False]


def test_a_layer_that_the_last_iteration_removed_is_known_by_what_is_left(
    axes: Axes, tau: np.ndarray
) -> None:
    draw_tau(axes, range(201), tau[:201], left=[0, 2])
    assert marks(axes, "x") == [(200, tau[200, 1])]


def test_a_spike_of_a_single_iteration_is_within_the_picture_and_the_band(axes: Axes) -> None:
    tau = np.full((120_000, 2), 0.5)
    tau[70_001, 1] = 2.0
    draw_tau(axes, range(120_000), tau)
    [band] = bands(axes)
    assert np.asarray(band.get_paths()[0].vertices)[:, 1].max() == 2.0
    assert axes.get_ylim()[1] > 2.0


def test_a_curve_without_noise_has_no_band(axes: Axes, tau: np.ndarray) -> None:
    draw_tau(axes, range(1001), tau)
    assert bands(axes) == []


@pytest.mark.parametrize(
    "values",
    [
        np.full((50, 3), 1 / 3),
        np.zeros((50, 3)),
        np.zeros((1, 3)),
        np.full((1, 1), 0.7),
        np.full((2, 6), [[1 / 6] * 6, [0.16, 0.161, 0.162, 0.163, 0.164, 0.17]]),
        np.array([[0.2, -0.5], [0.2, -0.6], [np.inf, -0.7]]),
        np.array([[0.2, 0.3], [np.nan, 0.3]]),
    ],
    ids=[
        "constant",
        "zero",
        "one zero row",
        "one layer",
        "two rows",
        "infinite",
        "removed at once",
    ],
)
@pytest.mark.parametrize("first", [0, 1, 900])
def test_any_record_is_drawn_within_its_axes(axes: Axes, values: np.ndarray, first: int) -> None:
    over = range(first, first + len(values))
    draw_tau(axes, over, values)
    draw_sum(axes.figure.add_subplot(), over, values, horizon=1.0)
    axes.figure.draw_without_rendering()
    low, high = axes.get_ylim()
    finite = values[np.isfinite(values)]
    assert low < finite.min() <= finite.max() < high
    left, right = axes.get_xlim()
    assert left < right


def test_zero_has_a_line_where_it_takes_at_most_half_of_the_picture(axes: Axes) -> None:
    draw_tau(axes, range(3), np.array([[0.2], [0.25], [0.45]]))
    low, high = axes.get_ylim()
    assert low < 0 < high
    assert [line for line in axes.lines if set(np.asarray(line.get_ydata())) == {0}]


def test_a_short_run_fills_its_picture(axes: Axes) -> None:
    draw_tau(axes, range(3), np.array([[0.166, 0.166], [0.167, 0.165], [0.170, 0.165]]))
    low, high = axes.get_ylim()
    assert 0.164 < low < 0.165
    assert 0.170 < high < 0.171


def test_many_layers_are_a_heat_map_with_a_bar(axes: Axes) -> None:
    tau = np.random.default_rng(0).normal(size=(500, MOST_CURVES + 1))
    assert draw_tau(axes, range(500), tau) == []
    [mesh] = [part for part in axes.collections if isinstance(part, QuadMesh)]
    assert mesh.get_array().shape[0] == MOST_CURVES + 1
    assert curves(axes) == []
    assert axes.get_ylabel() == "layer"
    [bar] = axes.child_axes
    assert bar.get_title(loc="left") == r"$\tau$"


def test_a_heat_map_marks_removals_in_the_row_of_the_layer(axes: Axes) -> None:
    tau = np.ones((100, 64))
    tau[31:, 40] = np.nan
    draw_tau(axes, range(100), tau)
    assert marks(axes, "x") == [(30, 40)]


def test_zero_is_the_middle_of_the_colours_where_tau_is_negative(axes: Axes) -> None:
    tau = np.random.default_rng(0).normal(size=(100, 20))
    draw_tau(axes, range(100), tau)
    [mesh] = [part for part in axes.collections if isinstance(part, QuadMesh)]
    assert mesh.norm(0.0) == pytest.approx(0.5)


def test_one_large_tau_leaves_the_others_their_colours(axes: Axes) -> None:
    tau = np.random.default_rng(0).uniform(0.01, 0.02, size=(100, 64))
    tau[:, 0] = 5.0
    draw_tau(axes, range(100), tau)
    [mesh] = [part for part in axes.collections if isinstance(part, QuadMesh)]
    assert mesh.norm.vmax == pytest.approx(0.02, rel=0.05)
    assert mesh.colorbar is not None
    assert mesh.colorbar.extend in ("max", "both")


@pytest.mark.parametrize("values", [np.zeros((5, 12)), np.full((1, 12), 0.1), np.ones((2, 12))])
def test_a_heat_map_of_one_value_is_drawn(axes: Axes, values: np.ndarray) -> None:
    draw_tau(axes, range(1, len(values) + 1), values)
    axes.figure.draw_without_rendering()


def test_shares_are_held_against_epsilon(axes: Axes, tau: np.ndarray) -> None:
    shares = np.abs(tau) / np.nansum(np.abs(tau), axis=1, keepdims=True)
    ends = draw_shares(axes, range(1001), shares, 0.1)
    assert axes.get_yscale() == "log"
    assert names(ends)[0] == r"$\varepsilon$ = 0.1"
    assert ends[0].height == 0.1
    assert marks(axes, "x") == [(REMOVED, shares[REMOVED, 1])]


def test_a_share_far_below_epsilon_is_marked_at_the_edge(axes: Axes) -> None:
    draw_shares(axes, range(3), np.array([[1, 1e-9], [1, 1e-9], [1, np.nan]]), 0.01)
    assert marks(axes, "x") == [(1, pytest.approx(axes.get_ylim()[0]))]


def test_the_sum_stands_beside_the_horizon(axes: Axes, tau: np.ndarray) -> None:
    ends = draw_sum(axes, range(1001), tau, horizon=2.0)
    assert names(ends) == [r"$\Sigma\,\tau$", "$T$ = 2"]
    assert [end.height for end in ends] == [pytest.approx(np.nansum(tau[-1])), 2.0]
    assert axes.get_ylim()[1] > 2.0


def test_the_sum_of_sizes_is_drawn_where_it_is_another(axes: Axes) -> None:
    ends = draw_sum(axes, range(2), np.array([[0.5, 0.5], [1.0, -0.5]]))
    assert names(ends) == [r"$\Sigma\,\tau$", r"$\Sigma|\tau|$"]
    assert [end.height for end in ends] == [0.5, 1.5]


def test_a_mean_over_runs_has_a_band_over_all_of_them(axes: Axes) -> None:
    runs = [np.full((100, 2), value) for value in (1.0, 2.0, 6.0)]
    ends = draw_mean_tau(axes, range(100), runs, [[0, 1]] * 3)
    assert [end.height for end in ends] == [3.0, 3.0]
    for band in bands(axes):
        heights = np.asarray(band.get_paths()[0].vertices)[:, 1]
        assert (heights.min(), heights.max()) == (1.0, 6.0)


def test_a_mean_is_that_of_the_runs_which_still_have_the_layer(axes: Axes) -> None:
    runs = [np.full((100, 2), value) for value in (1.0, 3.0)]
    runs[0][51:, 1] = np.nan
    ends = draw_mean_tau(axes, range(100), runs, [[0], [0, 1]])
    np.testing.assert_array_equal(curves(axes)[1].get_ydata(), [2.0] * 51 + [3.0] * 49)
    assert marks(axes, "x") == [(50, 1.0)]
    assert [end.early for end in ends] == [False, False]


def test_a_mean_ends_where_the_last_run_lost_the_layer(axes: Axes) -> None:
    runs = [np.full((100, 2), value) for value in (1.0, 3.0)]
    runs[0][51:, 1] = runs[1][81:, 1] = np.nan
    ends = draw_mean_tau(axes, range(100), runs, [[0], [0]])
    assert marks(axes, "x") == [(50, 1.0), (80, 3.0)]
    assert ends[1].early
