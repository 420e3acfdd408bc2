"""What TensorBoard shows beside the curves that every logger gets."""

from typing import Any

from lightning import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from tvl_lightning.limits import InputError
from tvl_lightning.training.callbacks.recorder import TauRecorder
from tvl_lightning.training.protocols import ObservedModule

# a tag is matched from its beginning, and to its end only where the pattern says so
_CHARTS = {
    "Time steps": {
        "sum of tau, and T": ["Multiline", [r"Time steps/sum of tau$", r"tau/T$"]],
        "all tau": ["Multiline", [r"tau/\d+$"]],
    }
}


class TensorBoardCards(Callback):
    """Puts all τ into one picture on TensorBoard's first tab, and into charts under Custom Scalars.

    The picture, under a tag that comes first, is drawn after epochs 1, 2, 5, 10, 20, 50 ... and at
    the end of training, from what a `TauRecorder` has recorded. One chart shows Σ τ with T, one
    every τ. Where a run goes on from a checkpoint, TensorBoard is told to forget what was logged
    after it. Without a `TensorBoardLogger` nothing is done.

    Raises:
        InputError: before training, where there is a TensorBoardLogger and no `TauRecorder`.
    """

    def __init__(self) -> None:
        self._drawn_at = 0

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Describe the charts."""
        writers = self._writers(trainer)
        if writers:
            self._recorder(trainer)
        for writer in writers:
            writer.add_custom_scalars(_CHARTS)
            if trainer.global_step:
                start = Event(session_log=SessionLog(status=SessionLog.START))
                writer.file_writer.add_event(start, trainer.global_step + 1)
            else:
                self._show_horizon(writer, trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Draw, if it is time to."""
        for writer in self._writers(trainer):
            self._show_horizon(writer, trainer, pl_module)
        if str(trainer.current_epoch + 1).rstrip("0") in ("1", "2", "5"):
            self._draw(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Draw the end."""
        if self._drawn_at != trainer.global_step:
            self._draw(trainer, pl_module)

    def _draw(self, trainer: Trainer, module: ObservedModule) -> None:
        writers = self._writers(trainer)
        if not writers:
            return
        from tvl_lightning.drawing.card import tau_card  # matplotlib takes a while

        recorder, self._drawn_at = self._recorder(trainer), trainer.global_step
        recorder.collect(trainer, module)
        record = recorder.record
        card = tau_card(record["iteration"].numpy(), record["tau"].numpy(), module.network.layers)
        for writer in writers:
            writer.add_image("Time steps/all tau", card, trainer.global_step, dataformats="HWC")

    def _show_horizon(self, writer: Any, trainer: Trainer, module: ObservedModule) -> None:
        writer.add_scalar("tau/T", module.network.time_steps.horizon, trainer.global_step)

    def _writers(self, trainer: Trainer) -> list[Any]:
        loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        return [logger.experiment for logger in loggers] if trainer.is_global_zero else []

    def _recorder(self, trainer: Trainer) -> TauRecorder:
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        for callback in callbacks:
            if isinstance(callback, TauRecorder):
                return callback
        raise InputError("TensorBoardCards: needs a TauRecorder among the callbacks")
