"""Several processes, one run directory."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch.distributed
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning import Trainer
from omegaconf import read_write


@contextmanager
def processes_join_this_run(trainer: Trainer, folder: Path) -> Iterator[None]:
    """Let the processes that Lightning starts work in this run's folder, and end with it.

    Lightning starts them with this process's command line and Hydra's `run.dir`. In a multirun
    that command line is the whole sweep, so it is replaced by this job's overrides; the next job
    finds the environment as it was.
    """
    if trainer.world_size == 1 or not trainer.is_global_zero:
        yield
        return
    config: Any = HydraConfig.instance().cfg
    with read_write(config.hydra):
        config.hydra.run.dir = str(folder)
    command_line, environment = sys.argv[1:], dict(os.environ)
    if config.hydra.mode == RunMode.MULTIRUN:
        sys.argv[1:] = [*config.hydra.overrides.task, "hydra.mode=RUN"]
    try:
        yield
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        sys.argv[1:] = command_line
        os.environ.clear()
        os.environ.update(environment)
