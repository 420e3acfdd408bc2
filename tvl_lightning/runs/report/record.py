"""What a run says of itself, in types that can be relied on.

A run directory may be a stranger's: whatever is not of the expected type is as if it were missing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tvl_lightning.runs.reading import Array, Run

UNFINISHED = "unfinished"
_LONGEST = 300  # letters of a text that is shown
_ONE_STAGE = ("perceptron", "transformer", "TimeVariableResNet", "FractionalDNN")


@dataclass(frozen=True)
class Record:
    """A run without its trajectory. What it does not say is None or empty.

    Attributes:
        folder: the run directory.
        path: as it is shown.
        status: `finished`, `stopped`, `diverged`, `failed`, or `unfinished` without a summary.
        reason: of that status.
        settings: the nested configuration.
        choices: what was chosen in each config group.
        overrides: of the command line.
        seed, device, commit, started: as text.
        horizon: T.
        epsilon: the threshold of pruning.
        stage_sizes: the number of layers of each stage before training; None where it is unknown.
        test: the accuracy of the tested checkpoint.
        objective: what a sweep maximises.
        layers, layers_before: how many there are and were.
        parameters, parameters_before: likewise.
        tau: their step sizes at the end.
        iterations, rate: how many, and how many a second.
        last_recorded: the last iteration of the trajectory.
        metrics: each column of `metrics.csv`, NaN where it is blank.
    """

    folder: Path
    path: str
    status: str
    reason: str
    settings: Mapping[str, Any]
    choices: Mapping[str, str]
    overrides: list[str]
    seed: str
    device: str
    commit: str
    started: str
    horizon: float | None
    epsilon: float | None
    stage_sizes: list[int] | None
    test: float | None
    objective: float | None
    layers: int | None
    layers_before: int | None
    parameters: float | None
    parameters_before: float | None
    sum_of_tau: float | None
    iterations: float | None
    rate: float | None
    last_recorded: int | None
    metrics: Mapping[str, Array]

    @property
    def finished(self) -> bool:
        """Whether its results are those of the whole run."""
        return self.status == "finished"


def record_of(
    run: Run, trajectory: Mapping[str, Array], summary: Mapping[str, Any], path: str
) -> Record:
    """What `run` says of itself.

    Args:
        run: what was read.
        trajectory: its arrays, or none.
        summary: its summary; of a run without one, perhaps its settings.
        path: as it is shown.
    """
    settings = mapping(summary.get("settings"))
    tau = trajectory.get("tau", np.empty((0, 0)))
    last = tau[-1] if len(tau) else np.empty(0)
    left = summary.get("layers")
    alive = int(np.isfinite(last).sum()) if len(last) else None
    sizes = stage_sizes(summary, settings)
    before = int(np.isfinite(tau[0]).sum()) if len(tau) else (sum(sizes) if sizes else None)
    return Record(
        folder=run.folder,
        path=path,
        status=_status(run, summary),
        reason=text(summary.get("reason")),
        settings=settings,
        choices={str(k): text(v) or "none" for k, v in mapping(summary.get("choices")).items()},
        overrides=[text(o) for o in _list(summary.get("overrides"))],
        seed=text(summary.get("seed", settings.get("seed"))),
        device=text(summary.get("device")),
        commit=text(summary.get("git_commit")),
        started=text(summary.get("started")),
        horizon=number(summary.get("horizon"), mapping(settings.get("model")).get("horizon")),
        epsilon=number(mapping(settings.get("pruning")).get("epsilon")),
        stage_sizes=sizes if _fits(sizes, tau) else None,
        test=number(mapping(summary.get("test")).get("test/acc")),
        objective=number(summary.get("objective"), best_accuracy(run.metrics)),
        layers=len(left) if isinstance(left, list) else alive,
        layers_before=before,
        parameters=number(summary.get("parameters"), _last(run, "parameters")),
        parameters_before=number(summary.get("parameters_before"), _first(run, "parameters")),
        sum_of_tau=number(
            summary.get("sum_of_tau"),
            _sum(summary.get("tau")),
            float(np.nansum(last)) if alive else None,
            _last(run, "sum_of_tau"),
        ),
        iterations=number(summary.get("iterations"), _last(run, "step")),
        rate=number(summary.get("iterations_per_second"), _rate(run)),
        last_recorded=int(trajectory["iteration"][-1]) if len(tau) else None,
        metrics=run.metrics,
    )


def number(*values: Any) -> float | None:
    """The first of `values` that is a finite number."""
    for value in values:
        plain = isinstance(value, (int, float)) and not isinstance(value, bool)
        if plain and abs(value) < 1e300:  # not NaN, and no whole number beyond a float either
            return float(value)
    return None


def text(value: Any) -> str:
    """A value as it is shown; None is empty."""
    return "" if value is None else str(value)[:_LONGEST]


def mapping(value: Any) -> Mapping[str, Any]:
    """A value if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def stage_sizes(summary: Mapping[str, Any], settings: Mapping[str, Any]) -> list[int] | None:
    """How many layers each stage had before training, as the run or its settings say it."""
    recorded = summary.get("stage_sizes")
    if isinstance(recorded, list) and all(type(n) is int and 0 < n < 2**20 for n in recorded):
        return recorded
    model = mapping(settings.get("model"))
    kind = text(model.get("_target_")).rpartition(".")[2]
    if kind == "convolutional":
        fields, widths = model.get("fields"), model.get("widths")
        if type(fields) is int and isinstance(widths, list) and 0 <= fields * len(widths) < 2**20:
            return [1 + fields] * len(widths)
    if kind in _ONE_STAGE:
        layers = number(model.get("hidden_layers"))
        blocks = number(model.get("blocks"))
        count = layers if layers is not None else 1 + 2 * blocks if blocks is not None else None
        if count is not None and 0 < count < 2**20:
            return [int(count)]
    return None


def best_accuracy(metrics: Mapping[str, Array]) -> float | None:
    """The best accuracy of an epoch by validation, or else the last one of the test set."""
    validated = metrics.get("val/acc", np.empty(0))
    if "epoch" in metrics:
        validated = validated[metrics["epoch"][: len(validated)] >= 0]  # -1 is before training
    if np.isfinite(validated).any():
        return float(np.nanmax(validated))
    tested = metrics.get("test/acc", np.empty(0))
    return number(*tested[-1:].tolist())


def _fits(sizes: list[int] | None, tau: Array) -> bool:
    """Whether the stages of the layers in the columns of τ are known."""
    if sizes is None or len(tau) == 0:
        return True
    initial = int(np.isfinite(tau[0]).sum())
    born = tau.shape[1] - initial  # nobody wrote down into which of several stages
    return sum(sizes) == initial and (len(sizes) == 1 or born == 0)


def _status(run: Run, summary: Mapping[str, Any]) -> str:
    if not run.summary:
        return UNFINISHED
    if summary.get("status") is not None:
        return text(summary["status"])
    return "finished" if summary.get("diverged_at") is None else "diverged"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _sum(values: Any) -> float | None:
    numbers = [number(v) for v in _list(values)]
    there = [n for n in numbers if n is not None]
    return math.fsum(there) if there and len(there) == len(numbers) else None


def _last(run: Run, column: str) -> float | None:
    return float(run.metrics[column][-1]) if column in run.metrics else None


def _first(run: Run, column: str) -> float | None:
    return float(run.metrics[column][0]) if column in run.metrics else None


def _rate(run: Run) -> float | None:
    seconds, iterations = _last(run, "seconds"), _last(run, "step")
    return iterations / seconds if seconds and iterations is not None else None
