"""The runs of the paper's setups, found under a folder."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tvl_lightning.limits import InputError
from tvl_lightning.paper.setups import Setup, setup_of
from tvl_lightning.runs.reading import Array, Run, read_run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Study:
    """Runs by setup, each setup's by seed.

    Attributes:
        runs: the runs that have ended.
        missing: setups that were asked for and have no run.
    """

    runs: dict[Setup, dict[int, Run]]
    missing: set[Setup] = field(default_factory=set)

    def find(self, setup: Setup) -> dict[int, Run]:
        """The runs of a setup by seed; a setup without any goes to `missing`."""
        found = self.runs.get(setup, {})
        if not found:
            self.missing.add(setup)
        return found


# What the figures and the claims read of a run.
_READ = {
    "metrics": ["epoch", "test/acc", "test/task_loss"],
    "trajectory": ["iteration", "tau", "loss"],
    "summary": [
        "epochs",
        "iterations",
        "iterations_per_second",
        "parameters_before",
        "parameters",
        "layers",
        "diverged_at",
        "device",
        "versions",
    ],
}


def read_study(folder: str | Path) -> Study:
    """Read every run of the paper that has ended under `folder`; others are named and left out.

    Of two runs of one setup and seed, say one in each variant of a setup in which the two do not
    differ, the first by name is taken, and both are named.

    Raises:
        InputError: where no run is found.
    """
    runs: dict[Setup, dict[int, Run]] = {}
    for path in sorted(Path(folder).rglob("summary.json")):
        try:
            setup, seed, run = _read(path.parent)
        except InputError as error:
            log.warning("left out %s: %s", path.parent, error)
            continue
        first = runs.setdefault(setup, {}).setdefault(seed, run)
        if first is not run:
            log.warning(
                "%s and %s are both runs of %s with seed %d: the first is taken",
                first.folder,
                run.folder,
                setup,
                seed,
            )
    if not runs:
        raise InputError(
            f"{folder}: holds no run of the paper's setups; make reproduce trains them"
        )
    return Study(runs)


def _read(folder: Path) -> tuple[Setup, int, Run]:
    run = read_run(folder)
    try:
        setup, seed = setup_of(run.summary["settings"]), int(run.summary["seed"])
    except InputError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"summary.json: not of this package's training: {error!r}") from None
    for part, names in _READ.items():
        for name in names:
            if name not in getattr(run, part):
                raise InputError(f"{name} is missing in its {part}")
    return setup, seed, run


def epochs(run: Run) -> Array:
    """Epochs trained so far at each row of the metrics: 0 is before training."""
    return run.metrics["epoch"] + 1


def accuracy(run: Run) -> Array:
    """Accuracy on the test images at each row of the metrics, in [0, 1]."""
    return run.metrics["test/acc"]


def loss(run: Run) -> Array:
    """Cross entropy on the test images plus the penalties, at each row of the metrics."""
    penalties = [values for name, values in run.metrics.items() if name.startswith("penalty/")]
    return np.sum([run.metrics["test/task_loss"], *penalties], axis=0)  # type: ignore[no-any-return]


def tau(run: Run) -> Array:
    """τ after each iteration, shape (n, L-1), NaN in those after the one that pruned a layer."""
    return run.trajectory["tau"]


def last_tau(run: Run) -> Array:
    """τ at the end of training, shape (L-1,), NaN where the layer was pruned."""
    last = tau(run)[-1]
    return np.where(np.isin(np.arange(len(last)), run.summary["layers"]), last, np.nan)


def over_seeds(runs: dict[int, Run], values: Callable[[Run], Array]) -> tuple[Array, Array, Array]:
    """Mean, least and greatest of `values` at each index over the runs that have them."""
    arrays: list[Any] = [values(run) for run in runs.values()]
    length = min(len(array) for array in arrays)
    stacked = np.ma.masked_invalid(np.stack([array[:length] for array in arrays]))
    return tuple(  # type: ignore[return-value]
        np.ma.filled(statistic.astype(float), np.nan)
        for statistic in (stacked.mean(axis=0), stacked.min(axis=0), stacked.max(axis=0))
    )
