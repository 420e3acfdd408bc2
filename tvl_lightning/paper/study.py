"""The runs of the paper's setups, found under a folder."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tvl_lightning.files import read_json
from tvl_lightning.limits import InputError
from tvl_lightning.paper.measures import Measures, measured
from tvl_lightning.paper.setups import Setup, setup_of
from tvl_lightning.runs.reading import Array, Run, read_run

log = logging.getLogger(__name__)

EPOCHS = 200  # the paper's
SEEDS = 3  # fewer decide nothing


@dataclass(frozen=True)
class MeasuredRun(Run):
    """A run, and what needs every iteration of it."""

    measures: Measures


@dataclass(frozen=True)
class Study:
    """Runs by setup, each setup's by seed; never without any.

    Attributes:
        runs: the runs that have ended.
        missing: setups that were asked for and have no run.
    """

    runs: dict[Setup, dict[int, MeasuredRun]]
    missing: set[Setup] = field(default_factory=set)

    def find(self, setup: Setup) -> dict[int, MeasuredRun]:
        """The runs of a setup by seed; a setup without any goes to `missing`."""
        found = self.runs.get(setup, {})
        if not found:
            self.missing.add(setup)
        return found

    def every_run(self) -> list[MeasuredRun]:
        """All runs, in the order of their setups and seeds."""
        return [run for _, runs in sorted(self.runs.items()) for _, run in sorted(runs.items())]

    def together(self, setups: Iterable[Setup]) -> list[int]:
        """The seeds with which every one of these setups has a run."""
        found = [set(self.find(setup)) for setup in setups]
        return sorted(set.intersection(*found)) if found else []


MEASURES = "measures.json"  # in a published run, see publish.py

# What the figures and the claims read of a run.
READ = {
    "metrics": ["epoch", "test/acc", "test/task_loss", "train/loss"],
    "trajectory": ["iteration", "tau", "loss"],
    "summary": [
        "epochs",
        "iterations",
        "seconds",
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
    runs: dict[Setup, dict[int, MeasuredRun]] = {}
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


def _read(folder: Path) -> tuple[Setup, int, MeasuredRun]:
    run = read_run(folder)
    status = run.summary.get("status", "finished")
    if status not in ("finished", "diverged"):
        raise InputError(f"summary.json: the run has {status}")
    try:
        setup, seed = setup_of(run.summary["settings"]), int(run.summary["seed"])
    except InputError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"summary.json: not of this package's training: {error!r}") from None
    for part, names in READ.items():
        for name in names:
            if name not in getattr(run, part):
                raise InputError(f"{name} is missing in its {part}")
    published = folder / MEASURES
    measures = _measures(published) if published.is_file() else measured(run)
    rows = {name: run.trajectory[name] for name in READ["trajectory"]}
    if published.is_file():
        rows = _every_row(rows)
    return setup, seed, MeasuredRun(folder, run.metrics, rows, run.summary, measures)


def _every_row(rows: dict[str, Array]) -> dict[str, Array]:
    """The rows of a published run, each for those that were left out before it, too."""
    every = np.arange(rows["iteration"][0], rows["iteration"][-1] + 1)
    index = np.searchsorted(rows["iteration"], every)
    return {name: values[index] for name, values in rows.items()} | {"iteration": every}


def _measures(path: Path) -> Measures:
    try:
        return Measures(**read_json(path))
    except TypeError as error:
        raise InputError(f"{path}: not the measures of a run: {error}") from None


def epochs(run: Run) -> Array:
    """Epochs trained so far at each row of the metrics: 0 is before training."""
    return run.metrics["epoch"] + 1


def accuracy(run: Run) -> Array:
    """Accuracy on the test images at each row of the metrics, in [0, 1]."""
    return run.metrics["test/acc"]


def accuracy_at_the_end(run: Run) -> float:
    """The mean test accuracy of the last tenth of the epochs: of 20 epochs of the paper's 200."""
    return float(np.nanmean(accuracy(run)[-max(1, run.summary["epochs"] // 10) :]))


def accuracy_over_all(run: Run) -> float:
    """The mean test accuracy of all epochs."""
    return float(np.nanmean(accuracy(run)[1:]))


def loss(run: Run) -> Array:
    """Cross entropy on the test images plus the penalties, at each row of the metrics."""
    penalties = [values for name, values in run.metrics.items() if name.startswith("penalty/")]
    return np.sum([run.metrics["test/task_loss"], *penalties], axis=0)  # type: ignore[no-any-return]


def train_loss(run: Run) -> Array:
    """Mean over an epoch of what is minimised, at each row of the metrics; NaN before training."""
    return run.metrics["train/loss"]


def tau(run: Run) -> Array:
    """τ after each iteration, shape (n, L-1), NaN in those after the one that pruned a layer."""
    return run.trajectory["tau"]


def over_seeds(
    runs: Mapping[int, Run], values: Callable[[Run], Array]
) -> tuple[Array, Array, Array]:
    """Mean, least and greatest of `values` at each index over the runs that have them."""
    arrays: list[Any] = [values(run) for run in runs.values()]
    length = min(len(array) for array in arrays)
    stacked = np.ma.masked_invalid(np.stack([array[:length] for array in arrays]))
    return tuple(  # type: ignore[return-value]
        np.ma.filled(statistic.astype(float), np.nan)
        for statistic in (stacked.mean(axis=0), stacked.min(axis=0), stacked.max(axis=0))
    )
