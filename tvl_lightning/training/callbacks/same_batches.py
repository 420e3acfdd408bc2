"""The same batches in every epoch, to see whether a network can learn them by heart."""

from typing import Any

from lightning import Callback, Trainer

from tvl_lightning.data import TensorData
from tvl_lightning.limits import InputError


class SameBatches(Callback):
    """Every epoch has the batches of the first one, in its order; `limit_train_batches` says how
    many.

    Raises:
        InputError: before training, for data other than a `TensorData`.
    """

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse data whose order is their own affair."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, TensorData):
            raise InputError(
                f"SameBatches: needs a TensorData, and {type(data).__name__} is none; "
                "trainer.overfit_batches=N does it for a DataLoader"
            )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Begin with the first epoch's order again."""
        loader: Any = trainer.train_dataloader
        loader.sampler.set_epoch(0)
