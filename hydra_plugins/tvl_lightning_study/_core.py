"""What the sweeper of studies does; what needs no plugin is in `tvl_lightning.cli.study`."""

import secrets
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.tvl_lightning_study.study import StudySweeper
from tvl_lightning.cli.failures import forget
from tvl_lightning.cli.jobs import Stopping, Task
from tvl_lightning.cli.launching import Sweep, launcher_of
from tvl_lightning.cli.preparing import prepare
from tvl_lightning.cli.settings import check_config
from tvl_lightning.cli.study.results import conclude
from tvl_lightning.cli.study.runs import Trials
from tvl_lightning.cli.study.space import Space, corners, search_space
from tvl_lightning.cli.study.stored import StoredStudy, sampler_of
from tvl_lightning.cli.sweep_progress import SweepProgress
from tvl_lightning.cli.sweeps import Compose, as_job
from tvl_lightning.limits import InputError
from tvl_lightning.runs.resume import locked

_DIRECTIONS = "{NAME: maximize or minimize}"
_COUNT = "a whole number of at least 1"
_PRUNER = ("monitor", "n_startup_trials", "n_warmup_epochs")


def run_study(sweeper: StudySweeper, arguments: Sequence[str]) -> None:
    """See `StudySweeper.sweep`."""
    config, context, function = sweeper.config, sweeper.hydra_context, sweeper.task_function
    assert config is not None
    assert context is not None
    assert function is not None
    folder, name = Path(config.hydra.sweep.dir).absolute(), secrets.token_hex(8)
    sweep = Sweep(folder, name, Stopping(folder, name))

    def compose(overrides: Sequence[str]) -> DictConfig:
        return context.config_loader.load_sweep_config(config, list(overrides))

    try:
        _check_options(sweeper)
        parser = OverridesParser.create(config_loader=context.config_loader)
        given = [*(f"{key}={value}" for key, value in sweeper.params.items()), *arguments]
        space = search_space(parser.parse_overrides(given))
        space.fixed["resume"] = "resume=auto"
        settings, data_sets = _checked(sweeper, space, folder, compose)
        apart = config.hydra.runtime.choices["hydra/launcher"] != "basic"
        if apart:
            prepare(data_sets)
        total = sweeper.n_trials * len(sweeper.seeds)
        task = Task(function, name, None, sweep.stopping, total)
        launcher = launcher_of(context, task, config)
    except Exception:
        forget(folder)
        raise
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        study = StoredStudy(
            sweeper.storage or f"sqlite:///{folder / 'study.db'}",
            sweeper.study_name,
            sweeper.objectives,
            space.varied,
            sweeper.sampler,
            {"seeds": sweeper.seeds, "settings": settings},
        )
        OmegaConf.save(config, folder / "multirun.yaml")
        trials = Trials(
            study,
            space,
            sweeper.seeds,
            sweeper.n_trials,
            sweeper.n_jobs,
            sweeper.pruner,
            launcher,
            sweep,
            compose,
        )
        missing, before = trials.to_come()
        print(f"{len(missing)} runs to come in {folder}, {before} have ended before", flush=True)
        progress = SweepProgress(name, folder, missing, before) if apart else nullcontext()
        with sweep.stopping.on_signals(), progress:
            trials.run()
        conclude(study, folder)


def _check_options(sweeper: StudySweeper) -> None:
    """Refuse options of the sweeper that are not what they must be."""
    pruner = sweeper.pruner or dict.fromkeys(_PRUNER, 0)
    for name, value, good, wanted in (
        ("params", sweeper.params, isinstance(sweeper.params, Mapping), "{SETTING: VALUES}"),
        ("objectives", sweeper.objectives, _are_directions(sweeper.objectives), _DIRECTIONS),
        ("seeds", sweeper.seeds, _are_seeds(sweeper.seeds), "a list of different seeds, or null"),
        ("sampler", sweeper.sampler, isinstance(sweeper.sampler, Mapping), "{name: SAMPLER}"),
        (
            "pruner",
            pruner,
            isinstance(pruner, Mapping)
            and pruner.keys() == set(_PRUNER)
            and all(type(pruner[key]) is int and pruner[key] >= 0 for key in _PRUNER[1:]),
            "null, or {monitor: METRIC, n_startup_trials: N, n_warmup_epochs: N}",
        ),
        ("n_trials", sweeper.n_trials, _is_count(sweeper.n_trials), _COUNT),
        ("n_jobs", sweeper.n_jobs, _is_count(sweeper.n_jobs), _COUNT),
    ):
        if not good:
            raise InputError(f"hydra.sweeper.{name}={value}: must be {wanted}")
    sampler_of(sweeper.sampler, 0)


def _are_directions(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value.values()) <= {"maximize", "minimize"}


def _are_seeds(value: Any) -> bool:
    whole = isinstance(value, list) and all(seed is None or type(seed) is int for seed in value)
    return whole and len(set(value)) == len(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _checked(
    sweeper: StudySweeper, space: Space, folder: Path, compose: Compose
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The settings that all trials share, and the data sets; refuses what no trial could run."""
    fixed = list(space.fixed.values())

    def settings_of(overrides: Sequence[str]) -> Any:
        with as_job(compose([*fixed, *overrides]), folder) as cfg:
            check_config(cfg)
            return OmegaConf.to_container(cfg, resolve=True)

    settings = settings_of([])
    seeds = [f"seed={seed}" for seed in sweeper.seeds if seed is not None]
    ends = [settings_of(given) for given in (*([seed] for seed in seeds), *corners(space))]
    callbacks = [str((part or {}).get("_target_")) for part in settings["callbacks"].values()]
    if sweeper.pruner and not any(target.endswith(".StopHopeless") for target in callbacks):
        raise InputError(
            "hydra.sweeper.pruner: needs the callback StopHopeless, which hparams_search=penalties "
            "has; hydra.sweeper.pruner=null stops no trial early"
        )
    return settings, [end["data"] for end in ends]
