"""Axes that hold every curve, and say where zero is."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import ArrayLike

from tvl_lightning.drawing.palette import GREY


def over_iterations(axes: Axes, iterations: ArrayLike) -> None:
    """Give `axes` the logarithm of the iterations, with iteration 0 left of 1 where it is there.

    Args:
        axes: the axes.
        iterations: increasing, shape (n,).
    """
    first, last = (float(np.asarray(iterations)[i]) for i in (0, -1))
    if first < 1:
        axes.set_xscale("symlog", linthresh=1, linscale=0.35, subs=range(2, 10))
    else:
        axes.set_xscale("log")
    axes.set_xlim(first if first < last else last / 2, max(last, 1))
    axes.xaxis.set_major_formatter(FuncFormatter(_power_of_ten))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("iteration")


def _power_of_ten(x: float, position: int | None) -> str:
    return f"$10^{{{math.log10(x):.0f}}}$" if x >= 100 else f"{x:g}"


def fit_heights(axes: Axes, *values: ArrayLike) -> None:
    """Let the vertical axis hold `values`, and zero too where that takes at most half of it.

    Where zero is within, a line is drawn there. Values that are not finite do not count.
    """
    joined = np.concatenate([np.asarray(v, float).ravel() for v in values])
    joined = joined[np.isfinite(joined)]
    if joined.size == 0:
        joined = np.array([0.0, 1.0])
    low, high = joined.min(), joined.max()
    spread = high - low
    if spread < 1e-3 * max(abs(low), abs(high)) or min(abs(low), abs(high)) <= spread:
        low, high = min(low, 0), max(high, 0)
    margin = 0.05 * (high - low) or 0.05
    axes.set_ylim(low - margin, high + margin)
    if low <= 0 <= high:
        axes.axhline(0, color=GREY, linewidth=0.5, zorder=0.5)
