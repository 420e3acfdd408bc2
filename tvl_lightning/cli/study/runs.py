"""Runs the trials of a study, some at a time, each in a folder of its own."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from optuna.trial import FrozenTrial

from tvl_lightning.cli.launching import Sweep, launch
from tvl_lightning.cli.stopping import Stopped
from tvl_lightning.cli.study.outcomes import (
    HOPELESS,
    Outcome,
    curve_of,
    number_in,
    outcome_of,
    write_least,
)
from tvl_lightning.cli.study.space import Space
from tvl_lightning.cli.study.stored import StoredStudy
from tvl_lightning.cli.sweeps import Compose, Job
from tvl_lightning.limits import InputError

Seed = int | None

_ATTEMPTS = 2  # at a run that was stopped while the study was not


def name_of(trial: int) -> str:
    """The folder of a trial."""
    return f"trial-{trial:04d}"


class _CountingFrom(Launcher):
    """A launcher whose jobs are numbered from `first` on."""

    def __init__(self, first: int, launcher: Launcher) -> None:
        self.first, self.launcher = first, launcher

    def setup(self, **options: Any) -> None:
        """Was done with the launcher's own."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        return self.launcher.launch(job_overrides, self.first + initial_job_idx)


@dataclass
class Trials:
    """The trials of a study.

    Attributes:
        study: asks and tells.
        space: the overrides of a trial.
        seeds: over which the mean is taken; [None] for the one of the settings.
        total: how many trials there are to be.
        several: how many are asked for at once.
        pruner: says when a trial is hopeless, None where none is.
        launcher: runs them.
        sweep: this command.
        compose: the configuration of a run.
    """

    study: StoredStudy
    space: Space
    seeds: Sequence[Seed]
    total: int
    several: int
    pruner: Mapping[str, Any] | None
    launcher: Launcher
    sweep: Sweep
    compose: Compose

    def folder_of(self, number: int, seed: Seed) -> Path:
        """A trial's own, with one in it for each seed where there are several."""
        return self.sweep.folder / name_of(number) / ("" if seed is None else f"seed-{seed}")

    def to_come(self) -> tuple[list[Path], int]:
        """The folders of the runs that are missing, and how many there are of the others."""
        numbers = range(self.total)
        folders = [self.folder_of(number, seed) for number in numbers for seed in self.seeds]
        missing = [folder for folder in folders if outcome_of(folder) is None]
        return missing, len(folders) - len(missing)

    def run(self) -> None:
        """Run those that are missing.

        The first seed decides whether a trial is hopeless or fails; then the others run.

        Raises:
            InputError: for an objective that the runs do not have.
            Stopped: after a signal, once the runs have ended in order.
            SystemExit: with status 1, where runs were stopped and did not come to their end.
        """
        first, *others = self.seeds
        while trials := self.study.next_trials(self.total, self.several):
            for trial in trials:
                self._demand(trial)
            self._launch([(trial, first) for trial in trials])
            good = [t for t in trials if self._outcome(t, first).completed]
            self._launch([(trial, seed) for trial in good for seed in others])
            for trial in trials:
                self._tell(trial, self.seeds if trial in good else [first])

    def _demand(self, trial: FrozenTrial) -> None:
        if self.pruner is None or len(self.study.objectives) > 1:
            return
        curves = self.study.curves_before(trial, self.several)
        if len(curves) >= self.pruner["n_startup_trials"]:
            monitor, warmup = self.pruner["monitor"], self.pruner["n_warmup_epochs"]
            write_least(self.folder_of(trial.number, self.seeds[0]), monitor, curves, warmup)

    def _launch(self, runs: Sequence[tuple[FrozenTrial, Seed]]) -> None:
        jobs = [self._job(*run) for run in runs]
        ended = self.total * len(self.seeds) - len(self.to_come()[0])
        go_on = f"the same command with hydra.sweep.dir={self.sweep.folder}"
        for _ in range(_ATTEMPTS):
            launch(
                _CountingFrom(ended, self.launcher), self._missing(jobs), self.sweep, self.compose
            )
            if self.sweep.stopping.signum is not None:
                print(f"to go on: {go_on}")
                raise Stopped(self.sweep.stopping.signum)
        if missing := self._missing(jobs):
            named = ", ".join(job.name for job in missing)
            print(f"did not come to their end: {named}; to go on: {go_on}", file=sys.stderr)
            sys.exit(1)

    def _missing(self, jobs: Sequence[Job]) -> list[Job]:
        return [job for job in jobs if outcome_of(self.sweep.folder / job.name) is None]

    def _job(self, trial: FrozenTrial, seed: Seed) -> Job:
        varied = [f"{key}={trial.params[key]}" for key in self.space.varied]
        own = [] if seed is None else [f"seed={seed}"]
        folder = self.folder_of(trial.number, seed).relative_to(self.sweep.folder)
        return Job([*self.space.fixed.values(), *varied, *own], str(folder))

    def _outcome(self, trial: FrozenTrial, seed: Seed) -> Outcome:
        found = outcome_of(self.folder_of(trial.number, seed))
        assert found is not None  # it has been launched
        return found

    def _tell(self, trial: FrozenTrial, seeds: Sequence[Seed]) -> None:
        outcomes = [self._outcome(trial, seed) for seed in seeds]
        worst = next((o for o in outcomes if not o.completed), outcomes[0])
        values = None
        if worst.status != HOPELESS:
            values = [
                fmean(number_in(outcome, name, direction) for outcome in outcomes)
                for name, direction in self.study.objectives.items()
            ]
        curve = {}
        if self.pruner is not None and worst.status not in ("failed", "diverged"):
            curve = curve_of(self.folder_of(trial.number, seeds[0]), self.pruner["monitor"])
            if not curve:
                raise InputError(
                    f"hydra.sweeper.pruner.monitor={self.pruner['monitor']}: the runs have no such "
                    "metric"
                )
        told = self.study.tell(trial, values, curve, worst.status, worst.reason)
        print(f"{name_of(trial.number)}: {told}", flush=True)
