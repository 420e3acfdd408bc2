"""Test a trained network: `python -m tvl_lightning.evaluate checkpoint=PATH`."""

import logging
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from tvl_lightning.cli.commands import (
    CONFIG_PATH,
    one_line_refusals,
    run_command,
    without_repetition,
)
from tvl_lightning.cli.folders import register_resolvers
from tvl_lightning.cli.settings import check_config

log = logging.getLogger(__name__)

register_resolvers()


@hydra.main(version_base="1.3", config_path=CONFIG_PATH, config_name="evaluate")
def main(cfg: DictConfig) -> float:
    """The command."""
    with one_line_refusals(), without_repetition():
        check_config(cfg)
        settings: Any = OmegaConf.to_container(cfg, resolve=True)
        return evaluate(settings, Path(HydraConfig.get().runtime.output_dir))


def evaluate(settings: dict[str, Any], folder: Path) -> float:
    """Evaluate on the test set, write `evaluation.json`, and return the test accuracy."""
    from tvl_lightning.cli.build import checkpoint_data
    from tvl_lightning.runs.summary import write_json
    from tvl_lightning.training import load_classifier

    path, trust = settings["checkpoint"], settings["trust"]
    data = checkpoint_data(path, settings.get("data"), settings["root"], trust)
    module = load_classifier(path, trust)
    precision = "64-true" if module.tau.dtype.itemsize == 8 else None
    trainer = instantiate(
        {"precision": precision, **settings["trainer"]}, default_root_dir=str(folder), logger=False
    )
    [metrics] = trainer.test(module, data)
    write_json(
        folder / "evaluation.json",
        {
            "checkpoint": str(path),
            "data": data.describe() if hasattr(data, "describe") else type(data).__name__,
            "layers": module.network.layers,
            "tau": module.tau.tolist(),
            "test": metrics,
        },
    )
    log.info("written: %s", folder / "evaluation.json")
    accuracy: float = metrics["test/acc"]
    return accuracy


if __name__ == "__main__":
    run_command(main)
