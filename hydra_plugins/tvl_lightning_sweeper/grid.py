"""The sweeper of `python -m tvl_lightning.train -m`; Hydra imports this at every start."""

from collections.abc import Mapping
from typing import Any

from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class GridSweeper(Sweeper):
    """All combinations of the values given, of which those that have ended are left alone.

    A job that fails takes no other with it, and the same command again trains what is missing.

    Args:
        params: overrides beside those of the command line, which count more.
    """

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        self.params = dict(params or {})
        self.hydra_context: HydraContext | None = None
        self.task_function: TaskFunction | None = None
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.hydra_context, self.task_function = hydra_context, task_function
        self.config = config

    def sweep(self, arguments: list[str]) -> Any:
        """Run the jobs.

        Raises:
            InputError: for what can be refused before any job runs.
            SystemExit: with status 1 where jobs failed, 128 and more after a signal.
        """
        from hydra_plugins.tvl_lightning_sweeper._core import run_grid

        return run_grid(self, arguments)
