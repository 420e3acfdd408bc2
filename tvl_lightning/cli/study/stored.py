"""A study of Optuna's that lies in a database, and can be cut off anywhere."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tvl_lightning.cli.study.outcomes import Curve
from tvl_lightning.limits import InputError
from tvl_lightning.runs.same import LENGTH, differences, flat

_SHOWN = 5  # settings that differ
# these end a study by themselves, which has a number of trials here; a grid is no study
_ENDING = ("BaseSampler", "BruteForceSampler", "GridSampler")


class StoredStudy:
    """Asks and tells, so that a study that was cut off goes on as if it had not been.

    Args:
        url: of the database, which is made where there is none.
        name: of the study in it.
        objectives: the direction of each, `maximize` or `minimize`.
        varied: the search space.
        sampler: the name of a class in `optuna.samplers`, and its arguments.
        asked: all else that makes the study what it is; `settings` are compared one by one.

    Raises:
        InputError: for another study there, naming what differs.
    """

    def __init__(
        self,
        url: str,
        name: str,
        objectives: Mapping[str, str],
        varied: Mapping[str, BaseDistribution],
        sampler: Mapping[str, Any],
        asked: Mapping[str, Any],
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.objectives, self.varied, self._sampler = objectives, dict(varied), dict(sampler)
        try:
            self._storage = optuna.storages.RDBStorage(url)
        except Exception as error:  # the many of SQLAlchemy and its drivers
            reason = " ".join(str(error).split())
            raise InputError(f"hydra.sweeper.storage={url}: cannot be opened: {reason}") from error
        space = {key: distribution_to_json(d) for key, d in varied.items()}
        now = {"objectives": dict(objectives), "params": space, **asked}
        directions = [StudyDirection[way.upper()] for way in objectives.values()]
        there = {study.study_name for study in optuna.get_all_study_summaries(self._storage)}
        if name in there:
            self._study = optuna.load_study(study_name=name, storage=self._storage)
            there_now = dict(self._study.user_attrs)
            if not self.trials and self._study.directions == directions:
                there_now.pop("objectives", None)  # none was told, so they may be named otherwise
                self._study.set_user_attr("objectives", dict(objectives))
            _refuse_other(there_now, now, url)
            # values are stored in the order in which the objectives were named at first
            self.objectives = dict(self._study.user_attrs["objectives"])
        else:
            self._study = optuna.create_study(
                storage=self._storage,
                study_name=name,
                directions=directions,
            )
        for key, value in now.items():
            if key not in self._study.user_attrs:
                self._study.set_user_attr(key, value)

    @property
    def trials(self) -> list[FrozenTrial]:
        """Those that have ended, in the order in which they were asked."""
        return self._study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))

    @property
    def best(self) -> list[FrozenTrial]:
        """The best trial, or the front of those that no other beats, by the first objective."""
        found = [t for t in self._study.best_trials if np.isfinite(t.values).all()]
        larger = next(iter(self.objectives.values())) == "maximize"
        return sorted(found, key=lambda trial: trial.values[0], reverse=larger)

    def next_trials(self, total: int, several: int) -> list[FrozenTrial]:
        """The trials to run next: those that were cut off, or else new ones.

        All of them are to be told before more are asked for: then what is sampled does not depend
        on when the study was cut off.

        Args:
            total: how many trials there are to be in the end.
            several: how many are asked for at once.
        """
        running = self._study.get_trials(states=(TrialState.RUNNING,))
        for trial in running:
            if trial.params.keys() != self.varied.keys():  # it was cut off while it was asked for
                self._study.tell(trial.number, state=TrialState.FAIL)
        lost = len(self._study.get_trials(states=(TrialState.FAIL,)))
        waiting = self._study.get_trials(states=(TrialState.RUNNING,))
        asked = len(self.trials) + len(waiting)
        while asked < total and (not waiting or asked % several):
            self._study.sampler = sampler_of(self._sampler, asked)
            number = self._study.ask(self.varied).number
            assert number == asked + lost
            waiting.append(self._study.get_trials()[number])
            asked += 1
        return waiting

    def tell(
        self,
        trial: FrozenTrial,
        values: Sequence[float] | None,
        curve: Curve,
        status: str,
        reason: str | None,
    ) -> str:
        """End a trial.

        Args:
            trial: one that `next_trials` gave.
            values: one for each objective, infinite for the worst; None where it was stopped early.
            curve: what was measured while it ran.
            status: of its runs.
            reason: of that.

        Returns:
            What became of it, in one line.
        """
        study = self._storage.get_study_id_from_name(self._study.study_name)
        key = self._storage.get_trial_id_from_study_id_trial_number(study, trial.number)
        for name, value in {"status": status, "reason": reason}.items():
            self._storage.set_trial_user_attr(key, name, value)
        for epoch, measured in curve.items():
            self._storage.set_trial_intermediate_value(key, epoch, measured)
        state = TrialState.PRUNED if values is None else TrialState.COMPLETE
        self._study.tell(trial.number, values, state)
        ended = f"{status} ({reason})" if reason else status
        return f"{', '.join([ended, *self.reached(values or [])])}: {settings_of(trial)}"

    def reached(self, values: Sequence[float]) -> list[str]:
        """The values of a trial, with their names, as far as there are any."""
        named = zip(self.objectives, values, strict=False)
        return [f"{name} {value:.6g}" for name, value in named if math.isfinite(value)]

    def curves_before(self, trial: FrozenTrial, several: int) -> list[Curve]:
        """What the finished trials measured that had ended when a trial was asked for."""
        first = trial.number - trial.number % several
        finished = self._study.get_trials(states=(TrialState.COMPLETE,))
        return [t.intermediate_values for t in finished if t.number < first]


def settings_of(trial: FrozenTrial) -> str:
    """What a trial varied, to six digits, as it stands on a command line."""
    params = trial.params.items()
    return " ".join(f"{k}={v:.6g}" if isinstance(v, float) else f"{k}={v}" for k, v in params)


def sampler_of(options: Mapping[str, Any], number: int) -> optuna.samplers.BaseSampler:
    """The sampler of trial `number`, with a seed of its own.

    Raises:
        InputError: for what is no sampler, or arguments that it does not take.
    """
    rest = dict(options)
    name, seed = rest.pop("name", None), rest.pop("seed", None)
    known = [n for n in optuna.samplers.__all__ if n.endswith("Sampler") and n not in _ENDING]
    if name not in known:
        raise InputError(f"hydra.sweeper.sampler.name={name}: must be one of {', '.join(known)}")
    if seed is not None:
        rest["seed"] = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    kind = getattr(optuna.samplers, name)
    try:
        return kind(**rest)  # type: ignore[no-any-return]
    except (TypeError, ValueError) as error:
        raise InputError(f"hydra.sweeper.sampler: {' '.join(str(error).split())}") from error


def _refuse_other(there: Mapping[str, Any], now: Mapping[str, Any], url: str) -> None:
    for name, value in now.items():
        stored = there.get(name, value)  # a study that was cut off as it began knows not all
        if name == "settings":
            a, b = flat(stored), flat(value)
            different = differences(stored, value)
            different += [
                f"{k} ({a.get(k)} there, {b.get(k)} here)" for k in LENGTH if a.get(k) != b.get(k)
            ]
        else:
            different = [] if stored == value else [f"{name} ({stored} there, {value} here)"]
        if different:
            raise InputError(
                f"{url}: is another study: {', '.join(different[:_SHOWN])}; leave them out to go "
                "on with it, or choose another hydra.sweep.dir"
            )
