"""Curves over the epochs."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from tvl_lightning.drawing.labels import End
from tvl_lightning.drawing.marks import seen_alone
from tvl_lightning.drawing.palette import Style


class Curve(NamedTuple):
    """A curve and, over several runs, its band.

    Attributes:
        epochs: increasing, shape (n,); 0 is before training.
        values: shape (n,).
        style: how it is drawn.
        band: the least and the greatest, each of shape (n,); None without one.
    """

    epochs: ArrayLike
    values: ArrayLike
    style: Style
    band: tuple[ArrayLike, ArrayLike] | None = None


def draw_epochs(axes: Axes, curves: Mapping[str, Curve]) -> list[End]:
    """Draw curves over the epochs by their names.

    The vertical axis spans what follows the first twentieth of the epochs, where curves differ: in
    fewer than 20 rows, everything. What is not finite is left out.

    Returns:
        What `label_ends` is to write.
    """
    ends, shown, late = [], [], []
    for name, (epochs, values, look, band) in curves.items():
        epochs, values = np.asarray(epochs), np.asarray(values, float)
        there = np.isfinite(values)
        if not there.any():
            continue
        x, y = epochs[there], values[there]
        axes.plot(
            *(x, y),
            color=look.colour,
            linestyle=look.dash,
            linewidth=1.2,
            label=name,
            **seen_alone(y),
        )
        if band is not None and not np.array_equal(*band, equal_nan=True):
            low, high = (np.asarray(side, float)[there] for side in band)
            axes.fill_between(x, low, high, color=look.colour, alpha=0.3, linewidth=0)
        ends.append(End(name, float(y[-1]), look))
        shown.append(epochs)
        late += [np.asarray(v, float)[len(epochs) // 20 :] for v in (values, *(band or ()))]
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    if ends:
        first, last = min(x[0] for x in shown), max(x[-1] for x in shown)
        axes.set_xlim(min(first, last - 1), last)
        _hold(axes, late)
    return ends


def _hold(axes: Axes, values: Sequence[NDArray[Any]]) -> None:
    joined = np.concatenate(values)
    joined = joined[np.isfinite(joined)]
    if joined.size:
        margin = 0.05 * np.ptp(joined) or 0.05
        axes.set_ylim(joined.min() - margin, joined.max() + margin)
