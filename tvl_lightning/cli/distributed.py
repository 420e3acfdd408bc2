"""Several processes, one run directory."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch.distributed
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning import Trainer
from omegaconf import read_write

from tvl_lightning.limits import InputError

_END = getattr(signal, "SIGUSR1", signal.SIGTERM)  # from the first process to the others


@contextmanager
def processes_join_this_run(trainer: Trainer, folder: Path) -> Iterator[None]:
    """Let the processes that Lightning starts work in this run's folder, and end with it.

    Lightning starts them with this process's command line and Hydra's `run.dir`. In a multirun
    that command line is the whole sweep, so it is replaced by this job's overrides; the next job
    finds the environment as it was. Where this process stops or fails, the others are told to end;
    else they end here, and what is left to do is done once.

    Raises:
        InputError: in a job that a launcher gave a process of its own, whose program Lightning
            would start again.
    """
    if trainer.world_size == 1:
        yield
        return
    if not trainer.is_global_zero:
        _end_when_told()
        yield
        _leave()
        sys.exit()
    config: Any = HydraConfig.instance().cfg
    launcher = config.hydra.runtime.choices.get("hydra/launcher")
    in_a_sweep = config.hydra.mode == RunMode.MULTIRUN
    if in_a_sweep and launcher != "basic":
        raise InputError(
            f"trainer.devices: a job of hydra/launcher={launcher} trains in one process; leave out "
            "hydra/launcher to train one run after another, each in several processes"
        )
    with read_write(config.hydra):
        config.hydra.run.dir = str(folder)
    command_line, environment = sys.argv[1:], dict(os.environ)
    if in_a_sweep:
        sys.argv[1:] = [*_configurations(config), *config.hydra.overrides.task, "hydra.mode=RUN"]
    completed = False
    try:
        yield
        completed = not trainer.interrupted
    finally:
        if not completed and trainer.strategy.launcher:
            trainer.strategy.launcher.kill(_END)
        _leave()
        sys.argv[1:] = command_line
        os.environ.clear()
        os.environ.update(environment)


def _configurations(config: Any) -> Iterator[str]:
    """Where the command line of a sweep says that configurations are, and which is the first."""
    yield from ("--config-name", config.hydra.job.config_name)
    for source in config.hydra.runtime.config_sources:
        if source.provider == "command-line":
            yield from ("--config-dir", source.path)
    for override in config.hydra.overrides.hydra:
        if override.lstrip("+").startswith("hydra.searchpath="):
            yield override


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _end_when_told() -> None:
    """Leave signals to the whole group to the first process, and end when that one says so.

    It ends with status 0, as Lightning kills the first process where another one fails; and at
    once, for it may wait in a collective call for a process that has left.
    """
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.signal(_END, lambda *_: None)
    signal.set_wakeup_fd(tell)

    def end() -> None:
        while os.read(told, 1) != bytes([_END]):
            pass
        os._exit(0)

    threading.Thread(target=end, daemon=True).start()
