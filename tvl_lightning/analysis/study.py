"""The runs of the paper's setups, found under a folder."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tvl_lightning.analysis.runs import Array, Run, read_run
from tvl_lightning.limits import InputError
from tvl_lightning.setups import Setup, setup_of

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


def read_study(folder: str | Path) -> Study:
    """Read every run of the paper that has ended under `folder`; others are named and left out.

    Raises:
        InputError: where no run is found, and where two runs are of the same setup and seed.
    """
    runs: dict[Setup, dict[int, Run]] = {}
    for path in sorted(Path(folder).rglob("summary.json")):
        run = read_run(path.parent)
        try:
            setup = setup_of(run.summary["settings"])
        except (InputError, KeyError) as error:
            log.warning("left out %s, which is no run of the paper: %s", run.folder, error)
            continue
        seed = run.summary["seed"]
        other = runs.setdefault(setup, {}).setdefault(seed, run)
        if other is not run:
            raise InputError(
                f"{other.folder} and {run.folder} are both runs of {setup} with seed {seed}: "
                "name a folder that has one of them"
            )
    if not runs:
        raise InputError(
            f"{folder}: holds no run of the paper's setups; make reproduce trains them"
        )
    return Study(runs)


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
    """τ after each iteration, shape (n, L-1), NaN from the moment a layer is pruned."""
    return run.trajectory["tau"]


def over_seeds(runs: dict[int, Run], values: Callable[[Run], Array]) -> tuple[Array, Array, Array]:
    """Mean, least and greatest of `values` at each index over the runs that have them."""
    arrays: list[Any] = [values(run) for run in runs.values()]
    length = min(len(array) for array in arrays)
    stacked = np.ma.masked_invalid(np.stack([array[:length] for array in arrays]))
    return tuple(  # type: ignore[return-value]
        np.ma.filled(statistic.astype(float), np.nan)
        for statistic in (stacked.mean(axis=0), stacked.min(axis=0), stacked.max(axis=0))
    )
