"""Test a trained network: `python -m tvl_lightning.evaluate checkpoint=PATH`."""

import logging
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig

from tvl_lightning.entry import CONFIG_PATH, check_config, command, quieten, refusals
from tvl_lightning.limits import InputError

log = logging.getLogger(__name__)


@hydra.main(version_base="1.3", config_path=CONFIG_PATH, config_name="evaluate")
def main(cfg: DictConfig) -> float:
    """The command."""
    quieten()
    with refusals():
        return evaluate(cfg)


def evaluate(cfg: DictConfig) -> float:
    """Evaluate on the test set, write `evaluation.json`, and return the test accuracy."""
    check_config(cfg)
    from tvl_lightning.checkpoint import read_checkpoint
    from tvl_lightning.data import ImageData
    from tvl_lightning.module import TimeVariableClassifier
    from tvl_lightning.summary import write_json

    folder = Path(HydraConfig.get().runtime.output_dir)
    trained_on = read_checkpoint(cfg.checkpoint).get("datamodule_hyper_parameters", {})
    dataset = cfg.dataset or trained_on.get("dataset")
    if dataset is None:
        raise InputError("dataset: the checkpoint does not name its data; say dataset=NAME")
    data = ImageData(
        dataset=dataset,
        root=cfg.root or trained_on.get("root", "data"),
    )
    module = TimeVariableClassifier.load_from_checkpoint(
        cfg.checkpoint, map_location="cpu", weights_only=True
    )
    trainer = instantiate(cfg.trainer, default_root_dir=str(folder), logger=False)
    [metrics] = trainer.test(module, data)
    write_json(
        folder / "evaluation.json",
        {
            "checkpoint": str(cfg.checkpoint),
            "data": data.describe(),
            "layers": module.network.layers,
            "tau": module.tau.tolist(),
            "test": metrics,
        },
    )
    log.info("written: %s", folder / "evaluation.json")
    accuracy: float = metrics["test/acc"]
    return accuracy


if __name__ == "__main__":
    command(main)
