"""What a network answers, kept beside what Lightning makes of it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning import Callback
from numpy.typing import NDArray
from torch import Tensor

from tvl_lightning.limits import InputError


class Answers(Callback):
    """Keeps the logits and labels of the last pass: of a test, a validation or a prediction.

    The module's steps return the logits of their batch. Batches that do not fit the network are
    refused before it sees them.

    Args:
        in_shape: of a sample, as the network was told; None for not known.
        classes: number of classes, likewise.
    """

    def __init__(self, in_shape: Sequence[int] | None = None, classes: int | None = None) -> None:
        self.in_shape, self.classes = in_shape, classes
        self._logits: list[Tensor] = []
        self._labels: list[Tensor] = []

    def arrays(self) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
        """Logits (n, classes), and labels (n,) or None where the batches had none.

        Raises:
            InputError: where there was no sample.
        """
        if not self._logits:
            raise InputError("data: there is no sample to evaluate on")
        logits = torch.cat(self._logits).double().numpy()
        return logits, torch.cat(self._labels).long().numpy() if self._labels else None

    def on_test_start(self, *_: Any) -> None:
        """Forget the pass before."""
        self._logits, self._labels = [], []

    def on_validation_start(self, *_: Any) -> None:
        """Forget the pass before."""
        self.on_test_start()

    def on_predict_start(self, *_: Any) -> None:
        """Forget the pass before."""
        self.on_test_start()

    def on_test_batch_start(self, trainer: Any, pl_module: Any, batch: Any, *_: Any) -> None:
        """Refuse a batch that is no pair, or does not fit.

        Raises:
            InputError: with the shape or the labels that were found.
        """
        if not isinstance(batch, (list, tuple)) or len(batch) != 2:
            raise InputError("data: batches must be pairs of inputs and labels")
        self._check_inputs(batch[0])
        self._check_labels(batch[1])

    def on_validation_batch_start(self, trainer: Any, pl_module: Any, batch: Any, *_: Any) -> None:
        """As `on_test_batch_start`."""
        self.on_test_batch_start(trainer, pl_module, batch)

    def on_predict_batch_start(self, trainer: Any, pl_module: Any, batch: Any, *_: Any) -> None:
        """Refuse a batch whose inputs do not fit."""
        self._check_inputs(batch[0] if isinstance(batch, (list, tuple)) else batch)

    def on_test_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Keep the answers."""
        self._logits.append(outputs.detach().cpu())
        if isinstance(batch, (list, tuple)) and len(batch) > 1:
            self._labels.append(batch[1].cpu())

    def on_validation_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Keep the answers."""
        self.on_test_batch_end(trainer, pl_module, outputs, batch)

    def on_predict_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Keep the answers."""
        self.on_test_batch_end(trainer, pl_module, outputs, batch)

    def _check_inputs(self, inputs: Tensor) -> None:
        shape = tuple(inputs.shape[1:])
        if self.in_shape is not None and math.prod(shape) != math.prod(self.in_shape):
            raise InputError(
                f"data: the samples have shape {shape}, and the network takes "
                f"in_shape={list(self.in_shape)}"
            )

    def _check_labels(self, labels: Tensor) -> None:
        if self.classes is None or labels.numel() == 0:
            return
        low, high = (int(bound) for bound in labels.aminmax())
        if low < 0 or high >= self.classes:
            raise InputError(
                f"data: the labels are {low} ... {high}, and the network has classes="
                f"{self.classes}, 0 ... {self.classes - 1}"
            )
