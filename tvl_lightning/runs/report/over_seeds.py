"""Curves of settings: the mean over seeds, and the band from the least to the greatest."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tvl_lightning.drawing.thinning import Thinned, thinned
from tvl_lightning.limits import InputError
from tvl_lightning.runs.reading import Array, read_run
from tvl_lightning.runs.report.gather import trajectory_of
from tvl_lightning.runs.report.panels import (
    Axes,
    Panel,
    heat_map,
    layer_keys,
    lines,
    rounded,
    series,
    too_many,
)
from tvl_lightning.runs.report.record import Record
from tvl_lightning.runs.report.shares import changes

_MOST_NUMBERS = 150_000  # in all curves, so that the page of a thousand runs stays small
_MOST_BINS, _FEWEST_BINS = 200, 12  # on each axis
_MOST_MARKS = 60  # crosses in a panel


class _Run(NamedTuple):
    """What is kept of a run: τ, Σ τ and the number of layers by bin, and its crosses."""

    tau: Thinned
    total: Thinned
    layers: Thinned
    marks: list[dict[str, Any]]


def add_curves(
    content: dict[str, Any], axes: Axes, settings: Mapping[str, Sequence[Record]]
) -> None:
    """Add the panels that compare settings, and one of τ for each.

    Args:
        content: of the report; its panels grow, and its keys where there are layers.
        axes: of the report.
        settings: the runs of each, by its key.
    """
    counting = {name: _counting(records) for name, records in settings.items()}
    records = [record for some in counting.values() for record in some]
    last = max((record.last_recorded or 0 for record in records), default=0)
    widths = [max((r.layers_before or 1 for r in some), default=1) for some in counting.values()]
    curves = sum(12 + (width if too_many(width) else 3 * width) for width in widths)
    bins = int(np.clip(_MOST_NUMBERS / max(curves, 1) / 2, _FEWEST_BINS, _MOST_BINS))
    for metric, title in (("acc", "accuracy"), ("task_loss", "loss, without penalties")):
        content["panels"] += _over_epochs(axes, counting, metric, title, bins)
    if not last:
        return
    ends = thinned(np.empty((last + 1, 0)), bins).end  # iterations; 0 is before training
    x = axes.number(ends)
    total, left, each = [], [], []
    for name, some in counting.items():
        runs = list(_read(content, some, ends))
        if runs:
            total.append(series(name, x, *_over([run.total for run in runs])))
            left.append(series(name, x, *_over([run.layers for run in runs])))
            each.append(_time_steps(content, name, x, runs))
    horizons = {record.horizon for record in records} - {None}
    level = [[h, f"T = {h:g}"] for h in horizons if h is not None and len(horizons) == 1]
    content["panels"] += [
        lines("Σ τ and the horizon T" if level else "Σ τ", total, levels=level),
        lines("hidden layers", left, levels=[[0, ""]], steps=True),
        *each,
    ]


def _counting(records: Sequence[Record]) -> list[Record]:
    """Of runs of one setting those that finished, or those that may yet where none did.

    One that diverged would set the scale of every panel.
    """
    going = [record for record in records if record.status not in ("diverged", "failed")]
    return [record for record in records if record.finished] or going


def _over(thin: Sequence[Thinned]) -> tuple[Array, Array, Array]:
    """Mean, least and greatest over runs that are still there; layers that one lacks are NaN."""
    last = _stacked([run.last for run in thin])
    there = np.isfinite(last).sum(0)
    total = np.nansum(last, 0)
    mean = np.divide(total, there, out=np.full(total.shape, np.nan), where=there > 0)
    return (
        mean,
        np.fmin.reduce(_stacked([run.least for run in thin]), 0),
        np.fmax.reduce(_stacked([run.greatest for run in thin]), 0),
    )


def _stacked(values: Sequence[Array]) -> Array:
    if values[0].ndim == 1:
        return np.stack(values)
    width = max(v.shape[1] for v in values)
    grown = [np.pad(v, ((0, 0), (0, width - v.shape[1])), constant_values=np.nan) for v in values]
    return np.stack(grown)


def _read(content: dict[str, Any], records: Sequence[Record], ends: Array) -> Iterator[_Run]:
    """One run after the other, so that a thousand need the memory of one."""
    for record in records:
        try:
            trajectory = trajectory_of(read_run(record.folder))
        except InputError:  # it could be read before
            content["notes"].append(f"{record.path}: changed while it was read; it has no curves")
            continue
        if trajectory:
            iteration, tau = trajectory["iteration"], trajectory["tau"]
            marks = [
                {"key": f"layer {c.layer}", "x": int(iteration[c.row]), "y": y, "kind": c.kind}
                for c in changes(tau)[:_MOST_MARKS]
                for y in rounded(tau[c.row, [c.layer]])
            ]
            yield _Run(
                _binned(iteration, tau, ends),
                _binned(iteration, np.nansum(tau, 1), ends),
                _binned(iteration, np.isfinite(tau).sum(1).astype(float), ends),
                marks,
            )


def _binned(iteration: Array, values: Array, ends: Array) -> Thinned:
    """`values` in the bins that have these last iterations; NaN in those that a run did not reach.

    All runs have the same bins, whatever their length.
    """
    reached, starts = np.unique(np.searchsorted(ends, iteration), return_index=True)
    last = np.append(starts[1:], len(iteration)) - 1
    parts = (
        values[last],
        np.fmin.reduceat(values, starts, axis=0),
        np.fmax.reduceat(values, starts, axis=0),
    )
    full = np.full((3, len(ends), *values.shape[1:]), np.nan)
    full[:, reached] = parts
    return Thinned(ends, *full)


def _time_steps(content: dict[str, Any], name: str, x: int, runs: Sequence[_Run]) -> Panel:
    mean, least, greatest = _over([run.tau for run in runs])
    layers = mean.shape[1]
    title = f"τ: {content['keys'][name]['label']}"
    if too_many(layers):
        return {**heat_map(title, x, mean, 1), "setting": name, "range": "tau"}
    content["keys"] |= layer_keys(layers)
    drawn = [
        series(f"layer {l}", x, mean[:, l], least[:, l], greatest[:, l]) for l in range(layers)
    ]
    marks = [mark for run in runs for mark in run.marks][:_MOST_MARKS]
    more = {"setting": name, "range": "tau", "marks": marks, "levels": [[0, ""]]}
    return lines(title, drawn, **more)


def _over_epochs(
    axes: Axes, settings: Mapping[str, Sequence[Record]], metric: str, title: str, bins: int
) -> list[Panel]:
    """A panel of what is validated, or else tested, after each epoch."""
    drawn, stages = [], set()
    for name, records in settings.items():
        curves = []
        for record in records:
            stage = next((s for s in ("val", "test") if f"{s}/acc" in record.metrics), "train")
            values = record.metrics.get(f"{stage}/{metric}")
            if values is not None and "step" in record.metrics:
                stages.add(stage)
                curves.append((record.metrics["step"], values))
        steps = sorted({s for step, values in curves for s in step[np.isfinite(step * values)]})
        if not steps:
            continue
        table = np.full((len(curves), len(steps)), np.nan)
        for row, (step, values) in zip(table, curves, strict=True):
            there = np.isfinite(step * values)
            row[np.searchsorted(steps, step[there])] = values[there]
        thin = [thinned(row, bins) for row in table]
        x = axes.number(np.array(steps)[thin[0].end])
        drawn.append(series(name, x, *_over(thin)))
    return [lines(f"{title} ({', '.join(sorted(stages))})", drawn)] if drawn else []
