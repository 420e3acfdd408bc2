"""A table of metrics with one row an epoch."""

import csv
import time
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from torch import Tensor

from tvl_lightning.files import replacing
from tvl_lightning.networks import count_parameters
from tvl_lightning.training.protocols import TimeVariableModule


class MetricsTable(Callback):
    """Writes what callbacks can see of an epoch as one row of a CSV file.

    Row -1 is the state before training. Lightning's `CSVLogger` gives training and validation a
    row each, and begins the file anew where a run is resumed. Beside the metrics there are `step`,
    the iterations so far, `sum_of_tau`, `layers`, `parameters`, and `seconds` of training, over all
    legs of a resumed run. An epoch without a validation has no metrics of one. The rows are part of
    a checkpoint, so that a resumed run has them all and no others.

    Args:
        path: the file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.rows: dict[int, dict[str, Any]] = {}
        self._validated = False  # since the last row
        self._seconds = 0.0  # of earlier legs
        self._start = 0.0

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Begin to count the seconds."""
        self._start = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Write the state before training."""
        self._validated = True
        if trainer.sanity_checking and trainer.callback_metrics and trainer.global_step == 0:
            self._write(trainer, pl_module, -1)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Write the epoch's row."""
        self._write(trainer, pl_module, trainer.current_epoch)

    def state_dict(self) -> dict[str, Any]:
        """The rows and the time that training took, for a checkpoint."""
        return {"seconds": self.seconds, "rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._seconds, self.rows = state_dict["seconds"], dict(state_dict["rows"])

    @property
    def seconds(self) -> float:
        """What training took so far, over all legs."""
        return self._seconds + (time.perf_counter() - self._start if self._start else 0.0)

    def _write(self, trainer: Trainer, module: TimeVariableModule, epoch: int) -> None:
        if not trainer.is_global_zero:
            return
        network, metrics = module.network, trainer.callback_metrics
        if not self._validated:  # Lightning still has those of an epoch before
            metrics = {k: v for k, v in metrics.items() if not k.startswith(("val/", "test/"))}
        self._validated = False
        if epoch >= 0 and not trainer.is_last_batch:  # the means of a cut epoch are not known
            metrics = {k: v for k, v in metrics.items() if k.startswith(("val/", "test/"))}
        self.rows[epoch] = {
            "epoch": epoch,
            "step": trainer.global_step,
            **{name: _shortest(value) for name, value in metrics.items()},
            "sum_of_tau": _shortest(network.tau.sum()),
            "layers": len(network.layers),
            "parameters": count_parameters(network),
            "seconds": round(self.seconds, 3),
        }
        names = {name for row in self.rows.values() for name in row}
        columns = ["epoch", "step", *sorted(names - {"epoch", "step"})]
        with replacing(self.path) as part, part.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(row for _, row in sorted(self.rows.items()))


def _shortest(value: Tensor) -> float:
    """The shortest number that means the same in the tensor's type: 0.01, not 0.009999999776."""
    value = value.detach().cpu()
    return float(str((value.float() if value.dtype == torch.bfloat16 else value).numpy()))
