"""Several processes, one run directory."""

import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning import Trainer
from omegaconf import open_dict, read_write


def hand_ranks_this_run(trainer: Trainer, folder: Path) -> None:
    """Let the processes that Lightning starts join this job and its folder.

    Lightning starts them with this process's command line and Hydra's `run.dir`. In a multirun
    that command line is the whole sweep, so it is replaced by this job's overrides.
    """
    if trainer.world_size == 1 or not trainer.is_global_zero:
        return
    config: Any = HydraConfig.instance().cfg
    if config.hydra.mode == RunMode.MULTIRUN:
        sys.argv[1:] = list(config.hydra.overrides.task)
    with read_write(config), open_dict(config):
        config.hydra.run.dir = str(folder)
