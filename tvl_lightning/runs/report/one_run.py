"""What the report of one run shows."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tvl_lightning.drawing.thinning import Thinned, thinned
from tvl_lightning.runs.reading import Array
from tvl_lightning.runs.report.panels import (
    Axes,
    Panel,
    heat_map,
    key,
    layer_keys,
    lines,
    rounded,
    series,
    too_many,
)
from tvl_lightning.runs.report.record import UNFINISHED, Record, text
from tvl_lightning.runs.report.shares import changes, shares
from tvl_lightning.runs.same import flat

Content = dict[str, Any]
_BINS = 400  # on each axis: about a pixel of a panel
_MOST_VALUES = 8_400  # layers x bins of a map, so that the page stays small
_RECORDED = {"iteration", "tau", "loss", "task_loss"}
_MOST_CHANGES = 1000
_GOES_ON = "unfinished: this run goes on, or was killed; it has no summary yet"
_STAGES = {"train": 2, "val": 1, "test": 3}  # and their colours


def one_run(record: Record, trajectory: Mapping[str, Array]) -> Content:
    """The report of a run as plain data.

    Args:
        record: what the run says of itself.
        trajectory: its arrays, or none.
    """
    axes = Axes()
    content: Content = {
        "title": " ".join(record.overrides) or record.folder.resolve().name,
        "notes": list(_notes(record, trajectory)),
        "facts": [[name, value] for name, value in _facts(record) if value],
        "settings": [[n, text(v)] for n, v in flat(record.settings).items()],
        "keys": {},
        "panels": [],
    }
    if trajectory:
        _add_layers(content, axes, record, trajectory)
        _add_wholes(content, axes, record, trajectory)
    _add_epochs(content, axes, record.metrics)
    return {**content, "x": axes.arrays}


def _notes(record: Record, trajectory: Mapping[str, Array]) -> Iterator[str]:
    if not record.finished:
        plain = _GOES_ON if record.status == UNFINISHED else record.status
        yield f"{record.status}: {record.reason}" if record.reason else plain
    elif record.reason:
        yield f"ended by {record.reason}"
    if trajectory and record.stage_sizes is None:
        yield "the stages of this network are not known: shares are those of all its layers"


def _facts(record: Record) -> Iterator[tuple[str, str]]:
    yield "test accuracy", _plain(record.test, ".4f")
    yield (
        ("best validation accuracy" if "val/acc" in record.metrics else "accuracy"),
        ("" if record.objective == record.test else _plain(record.objective, ".4f")),
    )
    yield "layers", _of(record.layers, record.layers_before)
    yield "parameters", _of(record.parameters, record.parameters_before)
    horizon = f" (T = {record.horizon:g})" if record.horizon is not None else ""
    yield "Σ τ", _plain(record.sum_of_tau, ".4f") and f"{record.sum_of_tau:.4f}{horizon}"
    rate = f" at {record.rate:,.0f} a second" if record.rate else ""
    yield "iterations", _plain(record.iterations, ",.0f") + rate
    yield "device", record.device
    yield "seed", record.seed
    dirty = "-dirty" if record.commit.endswith("-dirty") else ""
    yield "commit", record.commit.removesuffix("-dirty")[:12] + dirty
    yield "started", record.started[:16].replace("T", " ")


def _plain(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _of(left: float | None, before: float | None) -> str:
    if left is None or before is None or left == before:
        return _plain(left, ",.0f")
    return f"{left:,.0f} of {before:,.0f}"


def _add_layers(
    content: Content, axes: Axes, record: Record, trajectory: Mapping[str, Array]
) -> None:
    """τ and shares over the iterations, the chain of layers, and what came and went."""
    iteration, tau = trajectory["iteration"], trajectory["tau"]
    share = shares(tau, record.stage_sizes)
    layers, many = tau.shape[1], too_many(tau.shape[1])
    bins = min(_BINS, max(25, _MOST_VALUES // layers)) if many else _BINS
    x = axes.number(iteration[thinned(iteration, bins).end])
    content["keys"] |= layer_keys(layers)
    found = changes(tau)
    if len(found) > _MOST_CHANGES:
        content["notes"].append(f"of {len(found):,} changes of layers the first are shown")
        found = found[:_MOST_CHANGES]
    content["changes"] = [
        [int(iteration[c.row]), c.layer, c.kind, *rounded(values)]
        for c in found
        for values in [np.array([tau[c.row, c.layer], share[c.row, c.layer]])]
    ]

    def marks(values: Array) -> list[dict[str, Any]]:
        return [
            {"key": f"layer {c.layer}", "x": at, "y": y, "kind": c.kind}
            for c in found
            for at, y in [rounded(np.array([iteration[c.row], values[c.row, c.layer]]), 7)]
        ]

    def of_layers(title: str, values: Array, map_title: str, **more: Any) -> list[Panel]:
        thin = thinned(values, bins)
        if many:
            shown = heat_map(map_title, x, thin.last, iteration[0], log=more.get("log", False))
            return [shown, {**lines(title, [], **more), "marks": marks(values), "of": map_title}]
        drawn = [
            series(f"layer {layer}", x, *(part[:, layer] for part in thin[1:]))
            for layer in range(layers)
        ]
        return [lines(title, drawn, marks=marks(values), **more)]

    threshold = [] if record.epsilon is None else [[record.epsilon, f"ε = {record.epsilon:g}"]]
    tau_panels = of_layers("time steps τ", tau, "time steps τ by layer", levels=[[0, ""]])
    share_title = "share |τ| / Σ|τ|" + (" of a stage" if _stages(record) > 1 else "")
    share_panels = of_layers(share_title, share, "share by layer", log=True, levels=threshold)
    content["panels"] += [p for pair in zip(tau_panels, share_panels, strict=True) for p in pair]
    content["network"] = {
        "panel": content["panels"].index(tau_panels[0]),
        "horizon": record.horizon,
        "sizes": record.stage_sizes or [layers],
    }


def _stages(record: Record) -> int:
    return len(record.stage_sizes or [0])


def _add_wholes(
    content: Content, axes: Axes, record: Record, trajectory: Mapping[str, Array]
) -> None:
    """What else there is of each iteration: sums, the number of layers, losses, γ."""
    iteration = trajectory["iteration"]
    x = axes.number(iteration[thinned(iteration, _BINS).end])
    content["panels"] += _sums(content, x, trajectory["tau"], record.horizon)
    for name in sorted(trajectory.keys() - _RECORDED):
        if trajectory[name].ndim == 1:
            shown, recorded = {"gamma": "γ"}.get(name, text(name)), f"recorded {name}"
            content["keys"][recorded] = key(shown, 0)
            content["panels"].append(lines(shown, [_with_band(recorded, x, trajectory[name])]))
    content["panels"] += _losses(content, x, trajectory)


def _sums(content: Content, x: int, tau: Array, horizon: float | None) -> list[Panel]:
    total, size = np.nansum(tau, 1), np.nansum(np.abs(tau), 1)
    layers = np.isfinite(tau).sum(1)
    content["keys"] |= {
        "sum": key("Σ τ", 0),
        "size": key("Σ |τ|", 4, dash=1),
        "layers": key("hidden layers", 0),
    }
    level = [] if horizon is None else [[horizon, f"T = {horizon:g}"]]
    return [
        lines(
            "Σ τ and the horizon T",
            [_with_band("sum", x, total), _with_band("size", x, size)],
            levels=level,
        ),
        lines(
            "hidden layers",
            [series("layers", x, thinned(layers, _BINS).last)],
            levels=[[0, ""]],
            steps=True,
        ),
    ]


def _losses(content: Content, x: int, trajectory: Mapping[str, Array]) -> list[Panel]:
    """The loss of each batch: the mean of a bin, and its band."""
    names = {"task_loss": ("without penalties", 2, 0), "loss": ("with penalties", 3, 1)}
    losses = {name: trajectory[name] for name in names if np.ndim(trajectory.get(name, 0)) == 1}
    if "loss" in losses and np.array_equal(
        losses["loss"], losses.get("task_loss", np.empty(0)), equal_nan=True
    ):
        del losses["loss"]  # there are no penalties
    drawn, extremes = [], []
    for name, recorded in losses.items():
        values = np.where(np.isfinite(recorded), recorded, np.nan)
        thin = thinned(values, _BINS)
        content["keys"][name] = key(*names[name])
        drawn.append(series(name, x, _means(values, thin), thin.least, thin.greatest))
        extremes += [np.fmin.reduce(values), np.fmax.reduce(values)]
    wide = bool(drawn and 0 < 1000 * min(extremes) < max(extremes))
    return [lines("batch loss, mean and extremes", drawn, log=wide)] if drawn else []


def _means(values: Array, thin: Thinned) -> Array:
    """The mean of each bin over what is there."""
    starts = np.append(0, thin.end[:-1] + 1)
    total = np.add.reduceat(np.nan_to_num(values), starts)
    count = np.add.reduceat(np.isfinite(values).astype(float), starts)
    mean: Array = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return mean


def _with_band(name: str, x: int, values: Array) -> dict[str, Any]:
    return series(name, x, *thinned(values, _BINS)[1:])


def _add_epochs(content: Content, axes: Axes, metrics: Mapping[str, Array]) -> None:
    """Panels with a point an epoch: accuracies, losses, penalties."""
    if "step" not in metrics:
        return
    rows = np.flatnonzero(np.isfinite(metrics["step"]))
    step = metrics["step"][rows]
    rows = rows[np.append(True, step[1:] > np.maximum.accumulate(step)[:-1])] if len(rows) else rows
    x = axes.number(metrics["step"][rows])
    stages = [s for s in _STAGES if np.isfinite(metrics.get(f"{s}/acc", np.empty(0))).any()]
    content["keys"] |= {stage: key(stage, _STAGES[stage]) for stage in stages}
    for name, title in (("acc", "accuracy"), ("task_loss", "loss of an epoch, without penalties")):
        drawn = [
            series(stage, x, metrics[f"{stage}/{name}"][rows])
            for stage in stages
            if f"{stage}/{name}" in metrics
        ]
        if drawn:
            content["panels"].append(lines(title, drawn))
    penalties = [n for n in metrics if n.startswith("penalty/")]
    content["keys"] |= {n: key(text(n[8:]), i) for i, n in enumerate(penalties)}
    if penalties:
        drawn = [series(name, x, metrics[name][rows]) for name in penalties]
        content["panels"].append(lines("penalties", drawn))
