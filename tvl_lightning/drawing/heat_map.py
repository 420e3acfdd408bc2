"""Many layers at once: a row for each, and the step size as a colour."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm, Normalize
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from tvl_lightning.drawing.thinning import thinned

Array = NDArray[Any]

# Its lightness grows throughout, in grey as in colour, and its middle has no hue.
COLOURS = "cividis"

_MOST_TICKS = 10


def draw_heat_map(
    axes: Axes, iterations: Array, tau: Array, ids: Sequence[int], bins: int = 400
) -> None:
    """Draw `tau` (n, layers) as colours, with a bar that explains them; hatched where NaN.

    The last value of each bin is drawn, left of where it was. Zero is the middle of the colours if
    there are negative τ. The tenth of the layers that reaches furthest, on either side, may lie
    beyond the bar, whose pointed end says so: one large τ does not make the others one colour.
    """
    end, last, least, greatest = thinned(tau, bins)
    edges = np.append(iterations[0], iterations[end]).astype(float)
    edges[-1] = max(edges[-1], edges[0] + 1)
    least, greatest = np.fmin.reduce(least), np.fmax.reduce(greatest)
    low, high = np.quantile(least, 0.1, method="higher"), np.quantile(greatest, 0.9, method="lower")
    norm = Normalize(low, max(low, high))
    if low < 0:
        norm = CenteredNorm(0, max(-low, high))
    mesh = axes.pcolormesh(
        edges,
        np.arange(tau.shape[1] + 1) - 0.5,
        last.T,
        cmap=COLOURS,
        norm=norm,
        rasterized=True,
    )
    axes.patch.set(hatch="////", edgecolor="0.8")
    few = MaxNLocator(_MOST_TICKS, integer=True).tick_values(0, len(ids) - 1)
    rows = [int(row) for row in few if 0 <= row < len(ids)]
    axes.set_yticks(rows, [str(ids[row]) for row in rows])
    axes.set_ylabel("layer")
    beyond = (bool(least.min() < norm.vmin), bool(greatest.max() > norm.vmax))
    bar = axes.figure.colorbar(
        mesh,
        cax=axes.inset_axes((1.015, 0, 0.015, 1)),
        extend={(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[beyond],
    )
    bar.ax.set_title(r"$\tau$", fontsize=axes.yaxis.label.get_fontsize(), loc="left")
