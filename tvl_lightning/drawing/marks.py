"""Marks on curves: where the structure of a network changed, and where there is but a point."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike


def mark_removal(axes: Axes, x: float, y: float, colour: str, size: float = 5) -> None:
    """A cross of `size` points at the last value of a layer."""
    axes.plot(
        [x],
        [y],
        "x",
        color=colour,
        markersize=size,
        markeredgewidth=0.28 * size,
        zorder=4,
        path_effects=[withStroke(linewidth=0.6 * size, foreground="white")],
        clip_on=False,
    )


def mark_birth(axes: Axes, x: float, y: float, colour: str, size: float = 5) -> None:
    """A ring of `size` points at the first value of a layer that was inserted."""
    axes.plot(
        [x],
        [y],
        "o",
        color=colour,
        markerfacecolor="white",
        markersize=0.9 * size,
        markeredgewidth=0.2 * size,
        zorder=4,
        clip_on=False,
    )


def seen_alone(values: ArrayLike) -> dict[str, Any]:
    """What makes `plot` show a curve of a single point."""
    single = np.isfinite(np.asarray(values, float)).sum() == 1
    return {"marker": ".", "markersize": 5, "clip_on": False} if single else {}
