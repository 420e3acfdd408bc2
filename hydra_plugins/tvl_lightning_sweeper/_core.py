"""What the grid sweeper does; what needs no plugin is in `tvl_lightning.cli`."""

import contextlib
import copy
import itertools
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.tvl_lightning_sweeper.grid import GridSweeper
from tvl_lightning.cli.composing import JobSettings
from tvl_lightning.cli.failures import forget
from tvl_lightning.cli.jobs import Stopping, Task
from tvl_lightning.cli.launching import Sweep, count, launch, launcher_of, say_how_it_ended
from tvl_lightning.cli.preparing import prepare
from tvl_lightning.cli.recipes import base_of
from tvl_lightning.cli.settings import check_config
from tvl_lightning.cli.sweep_progress import SweepProgress
from tvl_lightning.cli.sweeps import Compose, Folders, Job, as_job, axes_of, telling_name
from tvl_lightning.limits import InputError

_NUMBERED = "${hydra.job.num}"  # the folders of who did not name them otherwise


def run_grid(sweeper: GridSweeper, arguments: Sequence[str]) -> list[Sequence[JobReturn]]:
    """See `GridSweeper.sweep`."""
    config, context, function = sweeper.config, sweeper.hydra_context, sweeper.task_function
    assert config is not None
    assert context is not None
    assert function is not None
    loader, runtime = context.config_loader, config.hydra.runtime
    given = [*(f"{key}={value}" for key, value in sweeper.params.items()), *arguments]
    axes = axes_of(OverridesParser.create(config_loader=loader).parse_overrides(given))
    axes.setdefault("resume", ["resume=auto"])
    jobs = [Job(list(job)) for job in dict.fromkeys(itertools.product(*axes.values()))]

    def compose(overrides: Sequence[str]) -> DictConfig:
        return loader.load_sweep_config(config, list(overrides))

    folder = Path(config.hydra.sweep.dir).absolute()
    base = base_of(config.hydra.job.config_name, runtime.config_sources)
    swept = [key for key, values in axes.items() if len(values) > 1]
    folders = Folders(folder, base, [key.lstrip("+~") for key in swept])
    try:
        folders.known(jobs)
        groups = loader.get_group_options
        telling = {text for key in swept for text in axes[key]}
        _name(jobs, telling, folders, config, groups, compose)
        good = {text for job in jobs if job.ended for text in job.overrides}
        data_sets = _check(axes, good, groups, compose)
        todo = [job for job in jobs if not job.ended]
        apart = runtime.choices["hydra/launcher"] != "basic"
        if apart and todo:
            prepare(data_sets)
        name = secrets.token_hex(8)
        sweep = Sweep(folder, name, Stopping(folder, name))
        task = Task(function, name, base, sweep.stopping, len(todo))
        launcher = launcher_of(context, task, config)
    except Exception:
        forget(folder)
        raise
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, folder / "multirun.yaml")
    before = len(jobs) - len(todo)
    ended = f", {before:,} of {len(jobs):,} have ended before" if before else ""
    print(f"{count(len(todo))} to run in {folder}{ended}", flush=True)
    waiting = [folder / job.name for job in todo]
    progress = SweepProgress(name, folder, waiting, before) if apart else contextlib.nullcontext()
    with sweep.stopping.on_signals(), progress:
        returns = launch(launcher, todo, sweep, compose)
    say_how_it_ended(jobs, sweep)
    return [returns]


def _check(
    axes: dict[str, list[str]],
    good: set[str],
    groups: Callable[[str], Sequence[str]],
    compose: Compose,
) -> list[dict[str, Any]]:
    """The data of the jobs. Refuses what no job takes: each value once, beside the first of others.

    Args:
        axes: the values of each key, as overrides.
        good: those that jobs have ended with.
        groups: the choices of a config group, none for what is no group.
        compose: the configuration of a job.
    """
    firsts = {key: values[0] for key, values in axes.items()}
    others = [(k, v) for k, values in axes.items() for v in values[1:] if v not in good]
    if not others and good.issuperset(firsts.values()):
        return []
    logging.disable(logging.WARNING)  # the jobs will say so themselves
    parser, data_sets = OverridesParser.create(), []

    def look_at(cfg: DictConfig) -> None:
        check_config(cfg)
        data: Any = OmegaConf.to_container(cfg.data, resolve=True)
        data_sets.append(data)

    try:
        with as_job(compose(list(firsts.values())), Path()) as first:
            look_at(first)
            composed = {key for key in axes if groups(key) or OmegaConf.select(first, key) is None}
            for key, value in others:
                if key in composed:
                    overrides = [*{**firsts, key: value}.values()]
                    with as_job(compose(overrides), Path()) as changed:
                        look_at(changed)
                    continue
                changed = copy.deepcopy(first)
                OmegaConf.update(changed, key, parser.parse_override(value).value())
                look_at(changed)
    finally:
        logging.disable(logging.NOTSET)
    return data_sets


def _name(
    jobs: Sequence[Job],
    telling: set[str],
    folders: Folders,
    config: DictConfig,
    groups: Callable[[str], Sequence[str]],
    compose: Compose,
) -> None:
    """Name the folders of new jobs: by what is telling, or else as `hydra.sweep.subdir` says."""
    sweep: Any = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    numbered = sweep["subdir"] == _NUMBERED
    new = [(number, job) for number, job in enumerate(jobs) if not job.name]
    for number, job in new:
        if numbered:
            job.name = telling_name([text for text in job.overrides if text in telling])
        else:
            composed = compose(job.overrides)
            with as_job(composed, folders.sweep, number):
                job.name = str(composed.hydra.sweep.subdir)
    if numbered:
        settings = JobSettings(compose, groups, folders.sweep)
        folders.find([job for _, job in new], settings.of)
    several = [name for name, times in Counter(job.name for job in jobs).items() if times > 1]
    if several:
        raise InputError(
            f"hydra.sweep.subdir={sweep['subdir']}: gives several jobs one folder, {several[0]}; "
            "leave it out, and each is named by its values"
        )
