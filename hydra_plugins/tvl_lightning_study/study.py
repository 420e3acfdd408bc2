"""The sweeper of `hparams_search`; Hydra imports this at every start, and Optuna comes later."""

from typing import Any

from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from tvl_lightning.limits import InputError


class StudySweeper(Sweeper):
    """A study by Optuna, which the same command goes on with; `conf/hydra/sweeper/study.yaml` says
    what its arguments are.
    """

    def __init__(
        self,
        params: Any,
        objectives: Any,
        seeds: Any,
        n_trials: int,
        n_jobs: int,
        sampler: Any,
        pruner: Any,
        storage: str | None,
        study_name: str,
    ) -> None:
        self.params = _plain(params) or {}
        self.objectives = _plain(objectives) or {"objective": "maximize"}
        self.seeds = _plain(seeds) or [None]
        self.n_trials, self.n_jobs = n_trials, n_jobs
        self.sampler, self.pruner = _plain(sampler), _plain(pruner)
        self.storage, self.study_name = storage, study_name
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
        """Run the trials that are missing.

        Raises:
            InputError: for what can be refused before any trial runs, or a folder that holds
                another study.
            Stopped: after a signal.
        """
        try:
            from hydra_plugins.tvl_lightning_study._core import run_study
        except ModuleNotFoundError as error:
            way = "pip install 'tvl-lightning[optuna]'"
            raise InputError(f"hparams_search: needs another package; {way} ({error})") from error
        run_study(self, arguments)


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
