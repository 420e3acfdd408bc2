"""Writes down every τ at every iteration."""

from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from tvl_lightning.files import replacing
from tvl_lightning.limits import check

_WAITING = 1000  # records kept on the device before they move to the host


class Rows(NamedTuple):
    """Iterations and, at each, τ (L-1,), the loss and the task loss."""

    iteration: range
    tau: Tensor
    loss: Tensor
    task_loss: Tensor


class TauTrajectory(Callback):
    """Records τ and the losses of every iteration, to `tau.npz` and to TensorBoard.

    The file holds `iteration` (n,), `tau` (n, L-1), NaN from the moment a layer is removed,
    `loss` and `task_loss` (n,). Row i is τ after iteration i and the losses that led to it. The
    records wait on the device, so no step waits for the host, and they are part of a checkpoint, so
    that a resumed run has them all.

    Args:
        path: the file, written at the end of every epoch.
        tensorboard_interval: iterations between two points of τ in TensorBoard.
    """

    def __init__(self, path: str | Path, tensorboard_interval: int = 50) -> None:
        check("interval", tensorboard_interval, "trajectory.tensorboard_interval")
        self.path, self.tensorboard_interval = Path(path), tensorboard_interval
        self._layers: list[int] = []
        self._waiting: list[Rows] = []
        self.record: dict[str, Tensor] = {}

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Put all τ into one chart of TensorBoard's custom scalars."""
        self._layers = list(pl_module.network.layers)
        chart = {"time steps": {"tau": ["Multiline", [r"tau/\d+$"]]}}
        for logger in _tensorboards(trainer):
            logger.experiment.add_custom_scalars(chart)

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Keep the values of the call's iterations, on the device."""
        losses, task_losses = outputs["loss"].reshape(-1), outputs["task_loss"].reshape(-1)
        last = trainer.global_step
        if len(losses) > 1:
            self._waiting.append(
                Rows(
                    range(last - len(losses) + 1, last),
                    outputs["earlier_tau"],
                    losses[:-1],
                    task_losses[:-1],
                )
            )
        if self._layers != pl_module.network.layers:  # after the last step some were removed
            self._collect(trainer)
            self._layers = list(pl_module.network.layers)
        tau = pl_module.tau.detach().clone()
        self._waiting.append(Rows(range(last, last + 1), tau[None], losses[-1:], task_losses[-1:]))
        if len(self._waiting) >= _WAITING:
            self._collect(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Write the file anew."""
        self._collect(trainer)
        if trainer.is_global_zero and self.record:
            with replacing(self.path) as part, part.open("wb") as file:
                np.savez(file, **{k: v.numpy() for k, v in self.record.items()})  # type: ignore[arg-type]

    def state_dict(self) -> dict[str, Any]:
        """All that was recorded, for a checkpoint."""
        return self.record

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint's records."""
        self.record = state_dict

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """Bring what still waits on the device into the checkpoint."""
        self._collect(trainer)

    def _collect(self, trainer: Trainer) -> None:
        """Move what waits on the device to the host, in one block."""
        if not self._waiting:
            return
        iterations, taus, losses, task_losses = zip(*self._waiting, strict=True)
        self._waiting = []
        module: Any = trainer.lightning_module
        iteration = torch.tensor([*chain(*iterations)])
        tau = torch.full((len(iteration), module.network.spec["hidden_layers"]), torch.nan)
        tau[:, self._layers] = torch.cat(taus).cpu().to(tau.dtype)
        block = {
            "iteration": iteration,
            "tau": tau,
            "loss": torch.cat(losses).cpu(),
            "task_loss": torch.cat(task_losses).cpu(),
        }
        before = self.record or {name: rows[:0] for name, rows in block.items()}
        self.record = {name: torch.cat((before[name], rows)) for name, rows in block.items()}
        for logger in _tensorboards(trainer):
            self._show(block, logger)

    def _show(self, block: dict[str, Tensor], logger: TensorBoardLogger) -> None:
        add = logger.experiment.add_scalar
        for row in (block["iteration"] % self.tensorboard_interval == 0).nonzero()[:, 0].tolist():
            iteration = int(block["iteration"][row])
            for layer in self._layers:
                add(f"tau/{layer:02d}", float(block["tau"][row, layer]), iteration)
            add("iteration/loss", float(block["loss"][row]), iteration)
            add("iteration/task_loss", float(block["task_loss"][row]), iteration)


def _tensorboards(trainer: Trainer) -> list[TensorBoardLogger]:
    if not trainer.is_global_zero:
        return []
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
