"""What the sweeper of studies does; what needs no plugin is in `tvl_lightning.cli.study`."""

import secrets
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.tvl_lightning_study.study import StudySweeper
from tvl_lightning.cli.failures import forget
from tvl_lightning.cli.jobs import Stopping, Task
from tvl_lightning.cli.launching import Sweep
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
        parser = OverridesParser.create(config_loader=context.config_loader)
        given = [*(f"{key}={value}" for key, value in sweeper.params.items()), *arguments]
        space = search_space(parser.parse_overrides(given))
        space.fixed["resume"] = "resume=auto"
        settings = _checked(sweeper, space, folder, compose)
        apart = config.hydra.runtime.choices["hydra/launcher"] != "basic"
        if apart:
            prepare([settings["data"]])
        total = sweeper.n_trials * len(sweeper.seeds)
        task = Task(function, name, None, sweep.stopping, total)
        launcher = Plugins.instance().instantiate_launcher(context, task, config)
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
        progress = SweepProgress(name, missing, before) if apart else nullcontext()
        with sweep.stopping.on_signals(), progress:
            trials.run()
        conclude(study, folder)


def _checked(sweeper: StudySweeper, space: Space, folder: Path, compose: Compose) -> dict[str, Any]:
    """The settings that all trials share; refuses them, and a space that cannot be composed."""
    wrong = [d for d in sweeper.objectives.values() if d not in ("maximize", "minimize")]
    if wrong:
        raise InputError(f"hydra.sweeper.objectives: {wrong[0]}: must be maximize or minimize")
    for name, value in (("n_trials", sweeper.n_trials), ("n_jobs", sweeper.n_jobs)):
        if type(value) is not int or value < 1:
            raise InputError(f"hydra.sweeper.{name}={value}: must be a whole number of at least 1")
    sampler_of(sweeper.sampler, 0)
    fixed = list(space.fixed.values())
    for corner in corners(space):
        compose([*fixed, *corner])
    with as_job(compose(fixed), folder) as cfg:
        check_config(cfg)
        settings: Any = OmegaConf.to_container(cfg, resolve=True)
    callbacks = [str((part or {}).get("_target_")) for part in settings["callbacks"].values()]
    if sweeper.pruner and not any(target.endswith(".StopHopeless") for target in callbacks):
        raise InputError(
            "hydra.sweeper.pruner: needs the callback StopHopeless, which hparams_search=penalties "
            "has; hydra.sweeper.pruner=null stops no trial early"
        )
    return settings  # type: ignore[no-any-return]
