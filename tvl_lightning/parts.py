"""The parts of a run, from its configuration."""

from pathlib import Path

from hydra.utils import instantiate
from lightning import LightningDataModule, Trainer
from omegaconf import DictConfig

from tvl_lightning.checkpoint import AtomicCheckpointIO
from tvl_lightning.module import TimeVariableClassifier


def build_parts(
    cfg: DictConfig, folder: Path
) -> tuple[LightningDataModule, TimeVariableClassifier, Trainer]:
    """The data, the module and the trainer that `conf/train.yaml` describes.

    τ is projected as the end of the optimizer's step; then the callbacks prune, then record.

    Args:
        cfg: the composed configuration.
        folder: the run directory.
    """
    data = instantiate(cfg.data)
    module = TimeVariableClassifier(
        network=instantiate(cfg.model, _convert_="all"),
        penalties=instantiate(cfg.reg, _convert_="all"),
        optimizer=instantiate(cfg.optimizer, _convert_="all"),
        scheduler=instantiate(cfg.scheduler, _convert_="all"),
        engine=instantiate(cfg.engine),
    )
    actors = [instantiate(actor) for actor in (cfg.projection, cfg.pruning) if actor]
    trainer = instantiate(
        cfg.trainer,
        default_root_dir=str(folder),
        callbacks=[*actors, *instantiate(cfg.callbacks).values()],
        logger=list(instantiate(cfg.logger).values()),
        plugins=[AtomicCheckpointIO()],
    )
    return data, module, trainer
