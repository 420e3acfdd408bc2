"""Averaged weights, which are what is validated, kept in checkpoints, and tested."""

from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging, WeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from tvl_lightning.limits import InputError, check


class _TestsTheAverage(WeightAveraging):
    """Lightning's callback takes a checkpoint for one to train on with, also where it is tested."""

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on with the weights that were averaged; whoever tests is left with their average."""
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)


class ExponentialAverage(_TestsTheAverage, EMAWeightAveraging):
    """The exponential moving average of the weights after every iteration.

    Args:
        decay: how much of the average an iteration keeps, in [0, 1).

    Raises:
        InputError: for a decay out of range.
    """

    def __init__(self, decay: float = 0.999) -> None:
        check("ExponentialAverage", decay=decay)
        super().__init__(decay=decay)


class EpochAverage(_TestsTheAverage):
    """The mean of the weights at the ends of the epochs from `start` on (Izmailov et al., 2018).

    Until then the average is the last epoch's weights. The learning rate is the scheduler's.

    Args:
        start: the first epoch whose end counts, or, below 1, which part of `max_epochs` goes by
            before.

    Raises:
        InputError: for a start that is neither, or none of whose epochs is trained; and for a
            resumed run that would have averaged other epochs from its beginning.
    """

    def __init__(self, start: float = 0.75) -> None:
        check("EpochAverage", start=start)
        super().__init__(avg_fn=self._mean)
        self.start, self.first = start, 0
        self._epochs = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the first epoch that counts."""
        super().setup(trainer, pl_module, stage)
        if stage != "fit":
            return
        epochs = -1 if trainer.max_epochs is None else trainer.max_epochs
        if epochs < 0 and not isinstance(self.start, int):
            raise InputError(
                f"EpochAverage: start={self.start}: is a fraction of trainer.max_epochs, and "
                "there is none; name an epoch"
            )
        self.first = self.start if isinstance(self.start, int) else int(self.start * epochs)
        if 0 < epochs <= self.first:
            raise InputError(
                f"EpochAverage: start={self.start}: must be below trainer.max_epochs={epochs}, or "
                "nothing is averaged"
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the weights at the end of an epoch, before it is validated."""
        if trainer.is_last_batch:
            self._epochs = trainer.current_epoch + 1
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def _mean(self, average: Tensor, weights: Tensor, _: Tensor) -> Tensor:
        counted = self._epochs - self.first
        if counted <= 1 or not average.is_floating_point():
            return weights
        return average + (weights - average) / counted

    def state_dict(self) -> dict[str, Any]:
        """Which epochs are averaged, for a checkpoint."""
        return {**super().state_dict(), "first": self.first, "epochs": self._epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        super().load_state_dict(state_dict)
        self._epochs, first = state_dict["epochs"], state_dict["first"]
        if first != self.first and self._epochs > min(first, self.first):
            raise InputError(
                f"EpochAverage: the run averages from epoch {first} on, and with start="
                f"{self.start} it would be epoch {self.first}; say start={first}"
            )


def averages(callback: Callback) -> bool:
    """Whether a callback is one of these."""
    return isinstance(callback, _TestsTheAverage)
