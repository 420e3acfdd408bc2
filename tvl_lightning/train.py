"""Train a time-variable network: `python -m tvl_lightning.train model=fractional reg=horizon`."""

import logging
import time
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from tvl_lightning.entry import CONFIG_PATH, check_config, command, quieten, refusals
from tvl_lightning.restart import earlier_objective, last_checkpoint, sole_run

log = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path=CONFIG_PATH, config_name="train")
def main(cfg: DictConfig) -> float:
    """The command."""
    quieten()
    folder = Path(HydraConfig.get().runtime.output_dir)
    with refusals():
        check_config(cfg)
        settings: Any = OmegaConf.to_container(cfg, resolve=True)
        if cfg.resume != "auto":
            return train(cfg, settings, folder, cfg.resume)
        with sole_run(folder):
            objective = earlier_objective(folder, settings)
            if objective is None:
                objective = train(cfg, settings, folder, last_checkpoint(folder))
            return objective


def train(cfg: DictConfig, settings: dict[str, Any], folder: Path, resume: str | None) -> float:
    """Train, test, write the run directory, and return the accuracy that a sweeper maximises."""
    # torch comes after the check, so that a refused command answers at once
    from lightning import seed_everything

    from tvl_lightning.analysis.run_figures import draw_run
    from tvl_lightning.checkpoint import check_resumable
    from tvl_lightning.distributed import processes_join_this_run
    from tvl_lightning.parts import build_parts
    from tvl_lightning.summary import count_parameters, describe_run, log_settings, write_json

    seed_everything(cfg.seed, verbose=False)
    data, module, trainer = build_parts(cfg, folder)
    parameters_before = count_parameters(module.network)
    start_iteration = check_resumable(resume, module) if resume else 0

    with processes_join_this_run(trainer, folder):
        start = time.perf_counter()
        trainer.fit(module, data, ckpt_path=resume, weights_only=True)
        summary = {
            "settings": settings,
            "seed": cfg.seed,
            "parameters_before": parameters_before,
            **describe_run(trainer, start_iteration, time.perf_counter() - start),
        }
        loggers, trainer.loggers = trainer.loggers, []  # the test is no epoch of their curves
        if summary["tested_checkpoint"]:
            [summary["test"]] = trainer.test(
                module, data, ckpt_path=summary["tested_checkpoint"], weights_only=True
            )
    if trainer.is_global_zero:
        choices: Any = HydraConfig.get().runtime.choices
        log_settings(loggers, choices, settings, summary)
        write_json(folder / "summary.json", summary)
        draw_run(folder)
        log.info("run directory: %s", folder)
        log.info("to watch it: tensorboard --logdir %s", folder)
    accuracy: float = summary["objective"]
    return accuracy


if __name__ == "__main__":
    command(main)
