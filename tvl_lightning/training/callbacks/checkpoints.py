"""Checkpoints after every epoch, and the end of a run whose loss is no longer finite."""

import logging
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

log = logging.getLogger(__name__)


class LastCheckpoint(ModelCheckpoint):
    """Keeps the newest epoch in `last.ckpt`, and stops training once the loss is not finite.

    An epoch with a loss or a parameter that is not finite is not saved, so `last.ckpt` stays at the
    last good one, and `diverged_at` holds the iteration at which that was seen.
    """

    def __init__(self, dirpath: str | Path) -> None:
        super().__init__(
            dirpath, "last", save_on_train_epoch_end=True, enable_version_counter=False
        )
        self.diverged_at: int | None = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, or stop."""
        if _finite(trainer, pl_module):
            super().on_train_epoch_end(trainer, pl_module)
            return
        self.diverged_at = trainer.global_step
        trainer.should_stop = True
        log.error(
            "the loss is not finite in epoch %d: training stops at iteration %d, and %s. "
            "A smaller optimizer.lr may help",
            trainer.current_epoch,
            trainer.global_step,
            f"{self.best_model_path} is the last good checkpoint"
            if self.best_model_path
            else "there is no good checkpoint",
        )


class BestCheckpoint(ModelCheckpoint):
    """Keeps the epoch with the best validation accuracy in `best.ckpt`.

    Nothing is saved without validation images: the test set chooses no checkpoint.
    """

    def __init__(self, dirpath: str | Path) -> None:
        super().__init__(
            dirpath,
            "best",
            monitor="val/acc",
            mode="max",
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save where this epoch is the best."""
        if self.monitor in trainer.callback_metrics and _finite(trainer, pl_module):
            super().on_train_epoch_end(trainer, pl_module)


def _finite(trainer: Trainer, pl_module: LightningModule) -> bool:
    losses = [v for name, v in trainer.callback_metrics.items() if name == "train/loss"]
    values: list[Any] = [*losses, *pl_module.parameters()]
    return bool(torch.stack([value.detach().isfinite().all() for value in values]).all())
