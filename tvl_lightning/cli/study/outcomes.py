"""What came of the runs of a study, from what they left in their folders."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tvl_lightning.cli.jobs import state_of
from tvl_lightning.files import read_json, write_json
from tvl_lightning.limits import InputError
from tvl_lightning.runs.reading import read_run
from tvl_lightning.runs.same import flat

HOPELESS = "hopeless"
LEAST = "hopeless.json"  # in a run folder: what the run must reach; see `StopHopeless`
WORST = {"maximize": -math.inf, "minimize": math.inf}

_WHERE = ("", "best.", "test.", "metrics.")  # a number is looked for in `summary.json`, in turn

Curve = Mapping[int, float]  # by epochs


class Outcome(NamedTuple):
    """How a run ended.

    Attributes:
        status: as in `summary.json`; `hopeless` where the study stopped it.
        reason: why it stopped or failed.
        numbers: the leaves of `summary.json`.
    """

    status: str
    reason: str | None
    numbers: dict[str, Any]

    @property
    def completed(self) -> bool:
        """Whether it came to the end that its settings gave it."""
        return self.status not in ("failed", "diverged", HOPELESS)


def outcome_of(folder: Path) -> Outcome | None:
    """How the run in a folder ended; None where it did not, or was stopped by a signal."""
    summary, state = _read(folder / "summary.json"), state_of(folder)
    if "test" in summary:  # the last that a run does is to test
        hopeless = _read(folder / LEAST).get("stopped")
        status, reason = summary["status"], summary.get("reason")
        return Outcome(HOPELESS if hopeless else status, hopeless or reason, flat(summary))
    for status, reason in ((state.status, state.reason), map(summary.get, ("status", "reason"))):
        if status == "failed":
            return Outcome("failed", reason, {})
    return None


def _read(path: Path) -> dict[str, Any]:
    with suppress(InputError, OSError):
        return read_json(path)
    return {}


def number_in(outcome: Outcome, name: str, direction: str) -> float:
    """A number by its name: `val/acc` is that of the best epoch, `metrics.val/acc` of the last.

    The worst there is for a run that did not complete, and for a number that is not finite.

    Raises:
        InputError: for a name that a completed run does not have.
    """
    if not outcome.completed:
        return WORST[direction]
    keys = [where + name for where in _WHERE if where + name in outcome.numbers]
    value = outcome.numbers[keys[0]] if keys else name
    if isinstance(value, (str, bool, list)):
        known = [k for k, v in outcome.numbers.items() if type(v) in (int, float)]
        shown = ", ".join(k for k in known if not k.startswith(("settings.", "data.")))
        raise InputError(f"hydra.sweeper.objectives: {name} is no number of a run; it has {shown}")
    return WORST[direction] if value is None else float(value)


def curve_of(folder: Path, monitor: str) -> dict[int, float]:
    """A column of `metrics.csv`, in the epochs in which it is known; not before training."""
    table = read_run(folder).metrics
    epochs, values = (table.get(name, np.empty(0)) for name in ("epoch", monitor))
    return {
        int(epoch): float(value)
        for epoch, value in zip(epochs, values, strict=False)
        if epoch >= 0 and math.isfinite(value)
    }


def write_least(folder: Path, monitor: str, curves: Sequence[Curve], warmup: int) -> None:
    """Write what a run must reach: in each epoch from `warmup` on the median of earlier trials.

    What was written before stays: a run that goes on is judged as it was when it began.
    """
    if (folder / LEAST).is_file():
        return
    epochs = sorted({epoch for curve in curves for epoch in curve if epoch >= warmup})
    medians = [float(np.median([c[epoch] for c in curves if epoch in c])) for epoch in epochs]
    write_json(
        folder / LEAST, {"monitor": monitor, "least": list(zip(epochs, medians, strict=True))}
    )
