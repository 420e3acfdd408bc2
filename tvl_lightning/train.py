"""Train a time-variable network: `python -m tvl_lightning.train model=fractional reg=horizon`."""

import logging
import time
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from tvl_lightning.cli.commands import (
    CONFIG_PATH,
    one_line_refusals,
    run_command,
    without_repetition,
)
from tvl_lightning.cli.folders import register_resolvers
from tvl_lightning.cli.settings import check_config
from tvl_lightning.runs.resume import (
    check_resumable,
    earlier_objective,
    last_checkpoint,
    locked,
)

log = logging.getLogger(__name__)

register_resolvers()


@hydra.main(version_base="1.3", config_path=CONFIG_PATH, config_name="train")
def main(cfg: DictConfig) -> float:
    """The command."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    with one_line_refusals(), without_repetition():
        check_config(cfg)
        settings: Any = OmegaConf.to_container(cfg, resolve=True)
        if cfg.resume != "auto":
            return train(settings, folder, cfg.resume)
        with locked(folder):
            objective = earlier_objective(folder, settings)
            if objective is None:
                objective = train(settings, folder, last_checkpoint(folder))
            return objective


def train(settings: dict[str, Any], folder: Path, resume: str | None) -> float:
    """Train, test, write the run directory, and return the accuracy that a sweeper maximises."""
    # torch comes after the check, so that a refused command answers at once
    from lightning import seed_everything

    from tvl_lightning.cli.build import build_parts
    from tvl_lightning.cli.distributed import processes_join_this_run
    from tvl_lightning.runs.figures import draw_run
    from tvl_lightning.runs.summary import (
        count_parameters,
        describe_run,
        log_settings,
        write_json,
    )

    seed_everything(settings["seed"], verbose=False)
    data, module, trainer, engine = build_parts(settings, folder)
    parameters_before = count_parameters(module.network)
    start_iteration = check_resumable(resume, settings) if resume else 0

    with processes_join_this_run(trainer, folder):
        start = time.perf_counter()
        trainer.fit(module, data, ckpt_path=resume, weights_only=True)
        summary = {
            "settings": settings,
            "seed": settings["seed"],
            "engine": engine._asdict(),
            "parameters_before": parameters_before,
            **describe_run(trainer, start_iteration, time.perf_counter() - start),
        }
        loggers = trainer.loggers
        if summary["tested_checkpoint"]:
            if "test/acc" in summary["metrics"]:
                trainer.loggers = []  # the curve of the test set has this point already
            [tested] = trainer.test(
                module, data, ckpt_path=summary["tested_checkpoint"], weights_only=True
            )
            summary["test"] = {name: v for name, v in tested.items() if name != "step"}
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
    run_command(main)
