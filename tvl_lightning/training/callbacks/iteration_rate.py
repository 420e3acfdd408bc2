"""How fast training is."""

from time import perf_counter as _now
from typing import Any

from lightning import Callback, Trainer


class IterationRate(Callback):
    """Logs the iterations a second of each epoch, without the time that validation takes."""

    def __init__(self) -> None:
        self._iterations, self._since, self._paused = 0, 0.0, 0.0

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Begin to count."""
        self._iterations, self._since = trainer.global_step, _now()

    def on_validation_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Stop the clock."""
        self._paused = _now()

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Let the clock go on."""
        self._since += _now() - self._paused

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Log the epoch's."""
        now, iterations = _now(), trainer.global_step
        rate = (iterations - self._iterations) / (now - self._since)
        for logger in trainer.loggers:
            logger.log_metrics({"speed/iterations a second": rate}, step=iterations)
        self._iterations, self._since = iterations, now
