"""Names at the ends of curves."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from tvl_lightning.drawing.labels import End, label_ends, pushed_apart
from tvl_lightning.drawing.palette import style

heights = st.lists(st.floats(0, 1), max_size=12)


def test_what_is_far_apart_stays() -> None:
    assert pushed_apart([3, 0, 1.5], 1).tolist() == [3, 0, 1.5]


def test_what_is_together_is_spread_around_its_middle() -> None:
    assert pushed_apart([5, 5, 5], 1).tolist() == [4, 5, 6]


@given(heights)
def test_names_keep_their_order_and_their_distance(given: list[float]) -> None:
    placed = pushed_apart(given, 0.05, 0, 1)
    order = np.argsort(given, kind="stable")
    assert (np.diff(placed[order]) >= 0.05 - 1e-9).all()
    assert ((placed >= -1e-9) & (placed <= 1 + 1e-9)).all()


@given(heights)
def test_names_that_have_no_room_are_spread_evenly(given: list[float]) -> None:
    placed = np.sort(pushed_apart(given, 0.9, 0, 1))
    if len(given) > 2:
        np.testing.assert_allclose(placed, np.linspace(0, 1, len(given)), atol=1e-9)


@pytest.mark.parametrize("given", [[0.1, 0.12, 0.5], [0.3, 0.3, 0.33, 0.9], [0.9, 0.1, 0.15]])
def test_no_other_places_are_nearer(given: list[float]) -> None:
    grid = np.round(np.linspace(-0.1, 1.1, 31), 3)
    order = np.argsort(given)
    wanted = np.array(given)[order]
    best = min(
        float(((np.array(places) - wanted) ** 2).sum())
        for places in itertools.combinations(grid, len(given))
        if np.diff(places).min() >= 0.1 - 1e-9
    )
    assert ((pushed_apart(given, 0.1)[order] - wanted) ** 2).sum() <= best + 1e-9


def drawn(ends: list[End], scale: str = "linear") -> tuple[Figure, list[Annotation]]:
    figure = Figure(figsize=(4, 2), layout="constrained")
    axes = figure.subplots()
    axes.set(yscale=scale, ylim=(0.01, 1))
    label_ends(figure, {axes: ends})
    figure.draw_without_rendering()
    return figure, [text for text in axes.texts if isinstance(text, Annotation)]


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_names_do_not_overlap_and_lie_within_the_figure(scale: str) -> None:
    ends = [End(f"curve {i}", 0.5 + 0.001 * i, style(i)) for i in range(8)]
    figure, names = drawn(ends, scale)
    boxes = [Text.get_window_extent(name) for name in names]  # without the piece of the curve
    for one, other in itertools.pairwise(sorted(boxes, key=lambda box: box.y0)):
        assert one.y1 <= other.y0 + 1
    for box in boxes:
        assert figure.axes[0].bbox.x1 <= box.x0 <= box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1


def test_a_name_stands_at_the_height_of_its_end_on_a_logarithmic_axis() -> None:
    _, names = drawn([End("one", 0.1, style(0)), End("other", 1.0, style(1))], "log")
    assert [name.xy[1] for name in names] == pytest.approx([0.5, 1.0])


def test_a_piece_of_the_curve_leads_to_its_name() -> None:
    _, names = drawn([End("a", 0.2, style(3)), End("b", 0.8, style(1))])
    for name, look in zip(names, (style(3), style(1)), strict=True):
        assert name.arrowprops is not None
        assert name.arrowprops["color"] == look.colour
        assert name.arrowprops["linestyle"] == look.dash


@pytest.mark.parametrize("height", [np.nan, np.inf, -np.inf, 1e300, -5.0])
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_an_end_outside_the_axes_is_named_at_their_edge(height: float, scale: str) -> None:
    _, [name] = drawn([End("away", height, style(0))], scale)
    assert name.xy[1] in (0, 1)


def test_axes_without_curves_get_no_name() -> None:
    _, names = drawn([])
    assert names == []
