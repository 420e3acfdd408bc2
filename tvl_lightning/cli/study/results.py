"""What a study found: on the terminal, in `optimization_results.yaml`, as a picture."""

import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from tvl_lightning.cli.study.runs import name_of
from tvl_lightning.cli.study.stored import StoredStudy, settings_of
from tvl_lightning.files import replacing

log = logging.getLogger(__name__)

_SHOWN = 10  # trials of a front


def conclude(study: StoredStudy, folder: Path) -> None:
    """Say which trials are the best, and write that down in the folder of the sweep.

    Raises:
        SystemExit: with status 1, where no trial came to an end.
    """
    trials, best = study.trials, study.best
    print(f"{len(trials)} trials, of which {_counted(trials)}")
    if not best:
        print("no trial came to an end")
    else:
        names = ", ".join(f"{name} ({way})" for name, way in study.objectives.items())
        single = len(study.objectives) == 1
        print(f"the best by {names}:" if single else f"the front of {names}:")
        for trial in best[: 1 if single else _SHOWN]:
            reached = ", ".join(study.reached(trial.values))
            print(f"  {name_of(trial.number)}: {reached}: {settings_of(trial)}")
        if len(best) > _SHOWN:
            print(f"  and {len(best) - _SHOWN} more")
        with replacing(folder / "optimization_results.yaml") as part:
            part.write_text(OmegaConf.to_yaml(OmegaConf.create(_results(best, single))))
    try:
        _draw(study, folder / "study.png")
    except Exception:  # the results are there, and good
        log.exception("the study could not be drawn")
    print(f"sweep directory: {folder}", flush=True)
    if not best:
        sys.exit(1)


def _counted(trials: list[FrozenTrial]) -> str:
    statuses = [str(trial.user_attrs["status"]) for trial in trials]
    return ", ".join(f"{statuses.count(s)} {s}" for s in dict.fromkeys(statuses))


def _results(best: list[FrozenTrial], single: bool) -> dict[str, Any]:
    """In the format of Hydra's own plugin."""
    if single:
        return {
            "name": "optuna",
            "best_params": dict(best[0].params),
            "best_value": best[0].values[0],
        }
    solutions = [{"params": dict(t.params), "values": list(t.values)} for t in best]
    return {"name": "optuna", "solutions": solutions}


def _draw(study: StoredStudy, path: Path) -> None:
    from tvl_lightning.drawing.page import print_style, save
    from tvl_lightning.drawing.study import Objective, Parameter, draw_study

    trials = study.trials
    if not trials:
        return
    values = np.array([_values(trial, len(study.objectives)) for trial in trials])
    objectives = [
        Objective(name, values[:, i], way == "maximize")
        for i, (name, way) in enumerate(study.objectives.items())
    ]
    parameters = [
        Parameter(key, [trial.params[key] for trial in trials], *_range(d))
        for key, d in study.varied.items()
    ]
    ended = [trial.state == TrialState.COMPLETE for trial in trials]
    with print_style():
        figure = draw_study([t.number for t in trials], objectives, parameters, ended)
        with replacing(path) as part:
            save(figure, part, "png")


def _range(distribution: BaseDistribution) -> tuple[tuple[float, float] | None, bool]:
    if isinstance(distribution, (FloatDistribution, IntDistribution)):
        return (distribution.low, distribution.high), distribution.log
    return None, False


def _values(trial: FrozenTrial, n: int) -> list[float]:
    """Those of a trial; of one that was stopped early what it had reached."""
    if trial.state == TrialState.PRUNED:
        return [trial.value if trial.value is not None else np.nan]
    return [v if np.isfinite(v) else np.nan for v in trial.values[:n]]
