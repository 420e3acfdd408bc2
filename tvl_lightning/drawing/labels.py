"""Names at the ends of curves, instead of a legend that covers them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from tvl_lightning.drawing.palette import Style

_KEY = 16.0  # points from the end of a curve to its name


class End(NamedTuple):
    """The end of a curve.

    Attributes:
        text: its name.
        height: in data units.
        style: how it is drawn.
        early: whether it ends before the right edge of the axes.
    """

    text: str
    height: float
    style: Style
    early: bool = False


def pushed_apart(
    positions: ArrayLike, gap: float, low: float = -np.inf, high: float = np.inf
) -> NDArray[np.float64]:
    """The nearest positions, by least squares, of which no two are closer than `gap`.

    Their order stays. Where [low, high] has no room for all, they are spread evenly over it.

    Args:
        positions: shape (n,), in any order.
        gap: the least distance.
        low, high: bounds.
    """
    given = np.asarray(positions, float)
    n = len(given)
    gap = min(gap, (high - low) / max(n - 1, 1))
    order = np.argsort(given, kind="stable")
    steps = gap * np.arange(n)
    # shifted by `steps`, they must only not decrease: neighbours that do are pooled at their mean
    pools: list[tuple[float, int]] = []
    for value in given[order] - steps:
        mean, count = float(value), 1
        while pools and pools[-1][0] > mean:
            other, size = pools.pop()
            mean, count = (mean * count + other * size) / (count + size), count + size
        pools.append((mean, count))
    shifted = np.repeat([mean for mean, _ in pools], [count for _, count in pools])
    placed = np.empty(n)
    placed[order] = np.clip(shifted, low, high - gap * max(n - 1, 0)) + steps
    return placed


def label_ends(figure: Figure, ends: Mapping[Axes, Sequence[End]]) -> None:
    """Write the names of curves right of their axes, clear of each other.

    A piece of each curve, in its colour and dash, leads from its end to its name; where the curve
    ended before, the piece stands beside the axes. To be called when all else is drawn: the room
    for the names is taken from the axes, and then the layout is final. Letters are of the size of
    the axes' own names.

    Args:
        figure: with a layout that makes room, say `layout="constrained"`, or with room.
        ends: of the curves of each axes. A height outside the axes is written at their edge.
    """
    sizes = {axes: float(axes.yaxis.label.get_fontsize()) for axes in ends}
    written = {
        axes: [
            axes.annotate(
                end.text,
                (1, 1),  # the highest it may be
                xycoords="axes fraction",
                xytext=(_KEY, 0),
                textcoords="offset points",
                fontsize=sizes[axes],
                verticalalignment="center",
                arrowprops={
                    "arrowstyle": "-",
                    "color": end.style.colour,
                    "linestyle": end.style.dash,
                    "linewidth": 1,
                    "relpos": (0, 0.5),
                    "shrinkA": 2,
                    "shrinkB": _KEY / 3 if end.early else 0,
                },
                annotation_clip=False,
            )
            for end in named
        ]
        for axes, named in ends.items()
    }
    layout = figure.get_layout_engine()
    if layout:
        layout.execute(figure)  # the places of the axes are known only now, and stay
        figure.set_layout_engine("none")
    for axes, names in written.items():
        if names:
            box = axes.get_window_extent()
            height = box.height * 72 / figure.dpi
            heights = [(axes.get_xlim()[1], end.height) for end in ends[axes]]
            above = axes.transData.transform(heights)[:, 1] - box.y0
            edge = np.nan_to_num(np.clip(above / box.height, 0, 1))
            places = pushed_apart(edge, 1.25 * sizes[axes] / height, 0, 1)
            for name, end, at, place in zip(names, ends[axes], edge, places, strict=True):
                name.xy = (1, place if end.early else at)
                name.xyann = (_KEY, (place - name.xy[1]) * height)
