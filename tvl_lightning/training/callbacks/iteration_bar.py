"""A progress bar over iterations, whichever loop takes them."""

from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import TQDMProgressBar


class IterationBar(TQDMProgressBar):
    """Lightning's bar, which would count calls where each takes several iterations."""

    _before = 0  # iterations before this epoch

    @property
    def total_train_batches(self) -> int | float:
        """Iterations in an epoch."""
        calls = super().total_train_batches
        return getattr(self.trainer.lightning_module, "iterations_per_epoch", calls)

    def on_train_epoch_start(self, trainer: Trainer, *args: Any) -> None:
        """Begin a new epoch."""
        self._before = trainer.global_step
        super().on_train_epoch_start(trainer, *args)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move on to the iterations that were taken."""
        taken = batch_idx + 1
        if self.total_train_batches != super().total_train_batches:
            taken = trainer.global_step - self._before
            if taken < self.total_train_batches:  # a multiple, so that the bar is drawn
                taken = max(self.refresh_rate, 1) * (taken // max(self.refresh_rate, 1))
        if taken:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, taken - 1)
