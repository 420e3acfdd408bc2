"""A picture of a study: how it went, its front, and what each parameter does."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from tvl_lightning.drawing.page import blank_page
from tvl_lightning.drawing.palette import COLOURS, GREY

_BEST, _STOPPED, _FAILED = COLOURS[2], COLOURS[1], COLOURS[3]
_ACROSS = 3  # panels of parameters in a row
_MOST = 9  # parameters that are shown
_NAMED = 12  # trials of a front
_DECADE = 10  # from the least to the greatest, above which an axis is logarithmic
_LEGEND: Any = {"ncols": 5, "frameon": False, "columnspacing": 1, "handletextpad": 0.4}


class Objective(NamedTuple):
    """What a study looks for.

    Attributes:
        name: for the axis.
        values: of each trial, shape (n,); NaN where it has none.
        larger: whether the larger is the better.
    """

    name: str
    values: ArrayLike
    larger: bool


class Parameter(NamedTuple):
    """What a study varies.

    Attributes:
        name: for the axis.
        values: of each trial, n numbers or texts.
        limits: between which they were sought, None for texts.
        logarithmic: whether its axis is.
    """

    name: str
    values: Sequence[Any]
    limits: tuple[float, float] | None = None
    logarithmic: bool = False


def draw_study(
    numbers: ArrayLike,
    objectives: Sequence[Objective],
    parameters: Sequence[Parameter],
    finished: ArrayLike,
) -> Figure:
    """Draw the first objective over the trials and over each parameter, and the front of the first
    two.

    Trials that were stopped early are rings; crosses at the edge are those that failed.

    Args:
        numbers: of the trials, shape (n,).
        objectives: at least one.
        parameters: at least one, of which the first nine are drawn.
        finished: whether a trial was not stopped early, shape (n,) of truth values.
    """
    x, done = np.asarray(numbers), np.asarray(finished, bool)
    first = objectives[0]
    best = best_of(objectives, done)
    shown = parameters[:_MOST]
    columns = min(len(shown), _ACROSS)
    rows = -(-len(shown) // _ACROSS)
    figure = blank_page(2.4 + 1.7 * rows)
    halves: Any = figure.subfigures(2, 1, height_ratios=[2.4, 1.7 * rows])
    top, below = halves
    axes = top.subplots(1, 2 if len(objectives) > 1 else 1, squeeze=False)[0]
    _scatter(axes[0], x, first, done, best, "on the front" if len(objectives) > 1 else "best")
    axes[0].set_xlabel("trial")
    axes[0].xaxis.set_major_locator(MaxNLocator(8, integer=True))
    _draw_record(axes[0], x, first, done)
    if len(objectives) > 1:
        _draw_front(axes[1], x, objectives, best)
    panels = below.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for i, parameter in enumerate(shown):
        _draw_parameter(panels[i], parameter, first, done, best)
        if i % columns:
            panels[i].set_ylabel("")
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    entries = axes[0].get_legend_handles_labels()
    top.legend(*entries, loc="outside upper left", **_LEGEND)
    return figure


def best_of(objectives: Sequence[Objective], finished: ArrayLike) -> NDArray[np.bool_]:
    """Trials than which no other is as good in every objective and better in one, shape (n,)."""
    costs = np.stack([np.where(o.larger, -1, 1) * np.asarray(o.values, float) for o in objectives])
    there = np.isfinite(costs).all(axis=0) & np.asarray(finished, bool)
    costs = np.where(there, costs, np.inf)
    as_good = (costs[:, :, None] <= costs[:, None, :]).all(axis=0)  # [other, one]
    better = (costs[:, :, None] < costs[:, None, :]).any(axis=0)
    return np.asarray(there & ~(as_good & better).any(axis=0))


def _scatter(
    axes: Axes,
    x: NDArray[Any],
    objective: Objective,
    done: NDArray[Any],
    best: NDArray[Any],
    name_of_best: str = "best",
) -> None:
    y = np.asarray(objective.values, float)
    there = np.isfinite(y)
    kinds: list[tuple[str, NDArray[Any], dict[str, Any]]] = [
        ("finished", there & done & ~best, {"color": GREY}),
        (name_of_best, there & best, {"color": _BEST, "zorder": 3}),
        ("stopped early", there & ~done, {"facecolors": "none", "edgecolors": _STOPPED}),
    ]
    for name, chosen, look in kinds:
        if chosen.any():
            axes.scatter(x[chosen], y[chosen], s=14, linewidths=1, label=name, **look)
    if not there.all():
        edge = 0.02 if objective.larger else 0.98
        axes.plot(
            *(x[~there], np.full((~there).sum(), edge)),
            *("x",),
            color=_FAILED,
            markersize=5,
            transform=axes.get_xaxis_transform(),
            label="failed or diverged",
        )
    axes.set_ylabel(objective.name)


def _draw_record(axes: Axes, x: NDArray[Any], objective: Objective, done: NDArray[Any]) -> None:
    y = np.asarray(objective.values, float)
    chosen = np.isfinite(y) & done
    if chosen.any():
        record = (np.maximum if objective.larger else np.minimum).accumulate(y[chosen])
        axes.step(x[chosen], record, where="post", color=_BEST, linewidth=0.8, label="best so far")


def _draw_front(
    axes: Axes, numbers: NDArray[Any], objectives: Sequence[Objective], best: NDArray[Any]
) -> None:
    first, second = objectives[:2]
    x, y = np.asarray(second.values, float), np.asarray(first.values, float)
    axes.scatter(x[~best], y[~best], s=14, linewidths=0, color=GREY)
    order = np.flatnonzero(best)[np.lexsort((y[best], x[best]))]
    where: Any = "pre" if second.larger else "post"
    if len(objectives) == 2:  # of more, the front is no line
        axes.step(x[order], y[order], where=where, color=_BEST, linewidth=0.8)
    axes.scatter(x[order], y[order], s=18, linewidths=0, color=_BEST, zorder=3)
    for n, i in enumerate(order[:_NAMED]):
        away = (3, 3) if n % 2 else (3, -9)
        axes.annotate(str(numbers[i]), (x[i], y[i]), away, textcoords="offset points", fontsize=8)
    axes.margins(x=0.08)
    there = x[np.isfinite(x)]
    if there.size and 0 < _DECADE * there.min() < there.max():
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlabel(second.name)
    axes.set_ylabel(first.name)


def _draw_parameter(
    axes: Axes,
    parameter: Parameter,
    objective: Objective,
    done: NDArray[Any],
    best: NDArray[Any],
) -> None:
    values = parameter.values
    if parameter.limits is not None:
        x = np.asarray(values, float)
        _span(axes, *parameter.limits, parameter.logarithmic)
    else:
        names = sorted({str(value) for value in values})
        x = np.array([names.index(str(value)) for value in values], float)
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.5, len(names) - 0.5)
    _scatter(axes, x, objective, done, best)
    axes.set_xlabel(parameter.name)


def _span(axes: Axes, low: float, high: float, logarithmic: bool) -> None:
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
        margin = (high / low) ** 0.04
        axes.set_xlim(low / margin, high * margin)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4))
        margin = 0.04 * (high - low)
        axes.set_xlim(low - margin, high + margin)
