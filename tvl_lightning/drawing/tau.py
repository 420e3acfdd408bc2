"""Step sizes over the iterations: a curve for each layer, or a heat map of many."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter
from numpy.typing import ArrayLike, NDArray

from tvl_lightning.drawing.axes import fit_heights, over_iterations
from tvl_lightning.drawing.heat_map import draw_heat_map
from tvl_lightning.drawing.labels import End
from tvl_lightning.drawing.marks import mark_birth, mark_removal, seen_alone
from tvl_lightning.drawing.palette import DASHES, GREY, Style, style
from tvl_lightning.drawing.thinning import thinned

Array = NDArray[Any]

MOST_CURVES = 8  # that can be told apart in one picture
THRESHOLD = Style(GREY, (0, (1, 1)))
HORIZON = Style(GREY, (0, (4, 2)))

_SEEN = 0.5  # points of a band that the curve itself does not cover


class Life(NamedTuple):
    """The rows in which a layer was there.

    Attributes:
        id: the number of the layer, which is that of its column.
        tau: its column, shape (n,), NaN where it is not finite.
        first: the row of its birth.
        last: its last row.
        born: whether it was inserted after the first row.
        removed: whether it is gone since.
    """

    id: int
    tau: Array
    first: int
    last: int
    born: bool
    removed: bool


def lives(tau: Array, left: Collection[int] | None = None) -> Iterator[Life]:
    """Each layer that ever was; the arguments are those of `draw_tau`."""
    for id, column in enumerate(tau.T):
        there = np.flatnonzero(~np.isnan(column))
        if len(there):
            first, last = int(there[0]), int(there[-1])
            gone = last < len(tau) - 1 if left is None else id not in left
            finite = np.where(np.isfinite(column), column, np.nan)
            yield Life(id, finite, first, last, first > 0, gone)


def draw_tau(
    axes: Axes,
    iterations: ArrayLike,
    tau: ArrayLike,
    *,
    left: Collection[int] | None = None,
    bins: int = 400,
) -> list[End]:
    """Draw τ over the logarithm of the iterations.

    A curve goes through the last value of each bin, and a band from the least to the greatest. A
    cross marks the value that removed a layer, a ring the first of one that was inserted. Beyond
    `MOST_CURVES` layers it is a heat map with a colour bar, a row for each layer.

    Args:
        axes: the axes, which get their scales, limits and labels.
        iterations: shape (n,), n > 0, increasing; 0 is before training.
        tau: shape (n, layers), NaN before a layer's birth and after its removal.
        left: the layers that are there after the last row; all that are in it where None.
        bins: see `thinned`; the width of the picture in pixels is enough.

    Returns:
        What `label_ends` is to write; nothing for a heat map.
    """
    iterations, tau = np.asarray(iterations), np.asarray(tau, float)
    over_iterations(axes, iterations)
    layers = list(lives(tau, left))
    if len(layers) > MOST_CURVES:
        columns = np.stack([layer.tau for layer in layers], axis=1)
        draw_heat_map(axes, iterations, columns, [layer.id for layer in layers], bins)
        row = axes.bbox.height * 72 / axes.figure.dpi / len(layers)  # in points
        for height, layer in enumerate(layers):
            _mark(axes, iterations, layer, np.full(len(tau), height), "black", min(5, row))
        return []
    axes.set_ylabel(r"$\tau$")
    fit_heights(axes, tau)
    for layer in layers:
        draw_curve(axes, iterations, layer.tau, style(layer.id), bins)
        _mark(axes, iterations, layer, layer.tau, style(layer.id).colour)
    return [_end(layer, iterations) for layer in layers]


def draw_mean_tau(
    axes: Axes,
    iterations: ArrayLike,
    runs: Sequence[ArrayLike],
    left: Sequence[Collection[int]],
    bins: int = 400,
) -> list[End]:
    """Draw the mean of τ over runs of up to `MOST_CURVES` layers, with a band over all of them.

    A mean is that of the runs which still have the layer; a cross marks its removal in each.

    Args:
        axes: the axes, which get their scales, limits and labels.
        iterations: those that all runs have, see `draw_tau`.
        runs: τ of each, (n, layers), see `draw_tau`.
        left: the layers that are there after the last row of each run.
        bins: see `draw_tau`.

    Returns:
        What `label_ends` is to write.
    """
    iterations, every = np.asarray(iterations), np.stack([np.asarray(tau, float) for tau in runs])
    least, greatest = np.fmin.reduce(every), np.fmax.reduce(every)
    count = np.isfinite(every).sum(axis=0)
    mean = np.where(count, np.nansum(every, axis=0) / np.maximum(count, 1), np.nan)
    over_iterations(axes, iterations)
    axes.set_ylabel(r"$\tau$")
    fit_heights(axes, every)
    means = list(lives(mean, set().union(*left)))
    for layer in means:
        band = (least[:, layer.id], greatest[:, layer.id])
        draw_curve(axes, iterations, layer.tau, style(layer.id), bins, band)
    for tau, there in zip(every, left, strict=True):
        for layer in lives(tau, there):
            _mark(axes, iterations, layer, layer.tau, style(layer.id).colour)
    return [_end(layer) for layer in means]


def draw_shares(
    axes: Axes,
    iterations: ArrayLike,
    shares: ArrayLike,
    epsilon: float,
    *,
    left: Collection[int] | None = None,
    bins: int = 400,
) -> list[End]:
    """Draw each layer's share |τ|/Σ|τ| on a logarithmic axis, and ε > 0 below which it is removed.

    The arguments and what is returned are those of `draw_tau`; shares below ε/10 are cut off.
    """
    iterations, shares = np.asarray(iterations), np.asarray(shares, float)
    over_iterations(axes, iterations)
    axes.set_yscale("log", nonpositive="clip")
    axes.set(ylim=(epsilon / 10, 1.3), ylabel=r"$|\tau|\,/\,\Sigma|\tau|$")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.axhline(epsilon, color=GREY, linestyle=THRESHOLD.dash, linewidth=1)
    ends = [End(rf"$\varepsilon$ = {epsilon:g}", epsilon, THRESHOLD)]
    for layer in lives(shares, left):
        draw_curve(axes, iterations, layer.tau, style(layer.id), bins)
        heights = np.maximum(layer.tau, epsilon / 10)
        _mark(axes, iterations, layer, heights, style(layer.id).colour)
        if not layer.removed:
            ends.append(_end(layer, iterations))
    return ends


def draw_sum(
    axes: Axes,
    iterations: ArrayLike,
    tau: ArrayLike,
    *,
    horizon: float | None = None,
    bins: int = 400,
) -> list[End]:
    """Draw Σ τ, Σ |τ| where it is another, and the horizon T.

    The arguments and what is returned are those of `draw_tau`.
    """
    iterations, tau = np.asarray(iterations), np.asarray(tau, float)
    over_iterations(axes, iterations)
    tau = np.where(np.isfinite(tau), tau, 0)
    total, size = tau.sum(axis=1), np.abs(tau).sum(axis=1)
    curves = [(r"$\Sigma\,\tau$", total, Style("black", DASHES[0]))]
    if (size - total).max() > 0.01 * size.max():
        curves.append((r"$\Sigma|\tau|$", size, Style(GREY, DASHES[1])))
    axes.set_ylabel("time")
    fit_heights(axes, *(values for _, values, _ in curves), [] if horizon is None else [horizon])
    ends = []
    for name, values, look in curves:
        draw_curve(axes, iterations, values, look, bins)
        ends.append(End(name, float(values[-1]), look))
    if horizon is not None:
        axes.axhline(horizon, color=HORIZON.colour, linestyle=HORIZON.dash, linewidth=0.8)
        ends.append(End(f"$T$ = {horizon:g}", horizon, HORIZON))
    return ends


def draw_curve(
    axes: Axes,
    iterations: Array,
    values: Array,
    look: Style,
    bins: int = 400,
    band: tuple[Array, Array] | None = None,
) -> None:
    """Draw `values` (n,), thinned: a line through the last of each bin, and a band.

    The band reaches from the least to the greatest of a bin, of `values` or of the two of `band`.
    """
    end, last, least, greatest = thinned(values, bins)
    if band:
        least, greatest = thinned(band[0], bins).least, thinned(band[1], bins).greatest
    x = iterations[end]
    axes.plot(x, last, color=look.colour, linestyle=look.dash, linewidth=1.2, **seen_alone(last))
    bottom, top = (axes.transData.transform(np.stack((x, y), 1))[:, 1] for y in (least, greatest))
    if np.nanmax(top - bottom, initial=0) * 72 > _SEEN * axes.figure.dpi:
        axes.fill_between(x, least, greatest, color=look.colour, alpha=0.3, linewidth=0)


def _mark(
    axes: Axes, iterations: Array, layer: Life, heights: Array, colour: str, size: float = 5
) -> None:
    if layer.born:
        mark_birth(axes, iterations[layer.first], heights[layer.first], colour, size)
    if layer.removed:
        mark_removal(axes, iterations[layer.last], heights[layer.last], colour, size)


def _end(layer: Life, iterations: Array | None = None) -> End:
    """The end of a layer's curve, which names the iteration of its removal if that is one."""
    name = rf"$\tau^{{({layer.id})}}$"
    if layer.removed and iterations is not None:
        name += f" × {int(iterations[layer.last]):,}"
    return End(name, float(layer.tau[layer.last]), style(layer.id), early=layer.removed)
