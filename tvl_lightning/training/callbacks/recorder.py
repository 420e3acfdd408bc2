"""Writes down what there is to see of every iteration: every τ, γ, the losses."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from tvl_lightning.files import replacing
from tvl_lightning.limits import InputError, check
from tvl_lightning.training.protocols import ObservedModule

_WAITING = 1000  # records kept on the device before they move to the host


class Rows(NamedTuple):
    """Consecutive iterations, the layers that τ belonged to, and values of shape (k, ...)."""

    iterations: Sequence[int]
    layers: list[int]
    values: dict[str, Tensor]


class TauRecorder(Callback):
    """Records a module's observables in every iteration, to `tau.npz` and to the loggers.

    The file holds `iteration` (n,), `tau` (n, layers ever alive), `loss` and `task_loss` (n,), and
    whatever else is observed. Row i is τ after iteration i, before layers are removed, and the
    losses that led to it; the column of a layer is NaN before its birth and after its removal. The
    records wait on the device, so no iteration waits for the host, and they are part of a
    checkpoint, so that a resumed run has them all.

    Args:
        path: the file, written at the end of every epoch.
        interval: iterations between two points in the loggers. The last τ of a removed layer is
            there too.

    Raises:
        InputError: before training, for a module that cannot be observed.
    """

    def __init__(self, path: str | Path, interval: int = 50) -> None:
        check("TauRecorder", interval=interval)
        self.path, self.interval = Path(path), interval
        self.record: dict[str, Tensor] = {}
        self._waiting: list[Rows] = []
        self._last: Rows | None = None  # of what was shown

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse a module that cannot be observed."""
        if not isinstance(pl_module, ObservedModule):
            raise InputError(
                f"TauRecorder: needs a module with `network` and `observables()`, as "
                f"TimeVariableClassifier; {type(pl_module).__name__} has none"
            )

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Put all τ into one chart of TensorBoard's custom scalars."""
        chart = {"time steps": {"tau": ["Multiline", [r"tau/\d+$"]]}}
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
                logger.experiment.add_custom_scalars(chart)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Keep the values of the last iterations, on the device."""
        module: ObservedModule = pl_module
        observed = module.observables()
        last = trainer.global_step
        if observed is None or last == self._newest():  # no optimizer step was taken
            return
        k = len(observed.values["tau"])
        rows = Rows(range(last - k + 1, last + 1), list(observed.layers), observed.values)
        self._waiting.append(rows)
        if len(self._waiting) >= _WAITING:
            self._collect(trainer)

    def _newest(self) -> int:
        if self._waiting:
            return self._waiting[-1].iterations[-1]
        return int(self.record["iteration"][-1]) if self.record else 0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Write the file anew."""
        self._collect(trainer)
        if trainer.is_global_zero and self.record:
            with replacing(self.path) as part, part.open("wb") as file:
                np.savez(file, **{k: v.numpy() for k, v in self.record.items()})  # type: ignore[arg-type]

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Show the last τ of layers that the last iteration removed."""
        if self._last is not None:
            self._show_removed(trainer, list(pl_module.network.layers))

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
        """Move what waits on the device to the host, one transfer for all of one structure."""
        waiting, self._waiting = self._waiting, []
        while waiting:
            layers = waiting[0].layers
            count = next((i for i, r in enumerate(waiting) if r.layers != layers), len(waiting))
            same, waiting = waiting[:count], waiting[count:]
            self._append(trainer, _joined(same))

    def _append(self, trainer: Trainer, rows: Rows) -> None:
        new = {name: values for name, values in rows.values.items() if name != "tau"}
        width = max([*rows.layers, self.record["tau"].shape[1] - 1 if self.record else 0]) + 1
        tau = rows.values["tau"].new_full((len(rows.iterations), width), torch.nan)
        tau[:, rows.layers] = rows.values["tau"]
        block = {"iteration": torch.tensor(rows.iterations), "tau": tau, **new}
        if self.record:
            grown = torch.nn.functional.pad(
                self.record["tau"], (0, width - self.record["tau"].shape[1]), value=torch.nan
            )
            before = {**self.record, "tau": grown}
            self.record = {name: torch.cat((before[name], block[name])) for name in before}
        else:
            self.record = block
        if trainer.is_global_zero:
            self._show_removed(trainer, rows.layers)
            for i, iteration in enumerate(rows.iterations):
                if iteration % self.interval == 0:
                    self._show(trainer, rows, i, rows.layers)
        self._last = rows

    def _show_removed(self, trainer: Trainer, layers: list[int]) -> None:
        """Show the last τ of the layers that were there and are not any more."""
        if self._last is not None and self._last.iterations[-1] % self.interval:
            gone = [layer for layer in self._last.layers if layer not in layers]
            if gone:
                self._show(trainer, self._last, -1, gone)

    def _show(self, trainer: Trainer, rows: Rows, i: int, layers: list[int]) -> None:
        points = {
            f"tau/{layer:02d}": float(rows.values["tau"][i, rows.layers.index(layer)])
            for layer in layers
        }
        if len(layers) == len(rows.layers):
            points |= {
                f"iteration/{name}": float(values[i])
                for name, values in rows.values.items()
                if values.dim() == 1
            }
        for logger in trainer.loggers:
            logger.log_metrics(points, step=rows.iterations[i])


def _joined(rows: list[Rows]) -> Rows:
    """Rows of one structure as one, on the host, in a type that numpy has."""
    values = {name: torch.cat([r.values[name] for r in rows]).cpu() for name in rows[0].values}
    iterations = [i for r in rows for i in r.iterations]
    return Rows(
        iterations,
        rows[0].layers,
        {
            name: v if v.dtype in (torch.float32, torch.float64) else v.float()
            for name, v in values.items()
        },
    )
