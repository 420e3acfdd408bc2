"""Means over all images of an epoch."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric

_ITERATIONS_BETWEEN_UPDATES = 50  # an update costs as much as a layer, for one batch or for many


class EpochMeans(nn.Module):
    """Loss, task loss and accuracy over all images; a loss that is not finite shows."""

    def __init__(self) -> None:
        super().__init__()
        # "disable": MeanMetric would leave out a NaN otherwise (and it then ignores weights)
        self._loss = MeanMetric(nan_strategy="disable")
        self._task_loss = MeanMetric(nan_strategy="disable")
        self._accuracy = MeanMetric(nan_strategy="disable")
        self._waiting: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []

    def update(self, loss: Tensor, task_loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add k batches: mean losses (k,), logits (k, B, classes) and labels (k, B)."""
        self._waiting.append((loss, task_loss, logits, labels))
        if sum(len(losses) for losses, *_ in self._waiting) >= _ITERATIONS_BETWEEN_UPDATES:
            self._flush()

    def compute(self) -> dict[str, Tensor]:
        """`loss`, `task_loss` and `acc`, over all processes; nothing where nothing was added."""
        self._flush()
        if not self._loss.update_called:
            return {}
        return {
            "loss": self._loss.compute(),
            "task_loss": self._task_loss.compute(),
            "acc": self._accuracy.compute(),
        }

    def reset(self) -> None:
        """Begin anew."""
        self._waiting.clear()
        for metric in (self._loss, self._task_loss, self._accuracy):
            metric.reset()

    @torch.no_grad()
    def _flush(self) -> None:
        if not self._waiting:
            return
        losses, task_losses, logits, labels = zip(*self._waiting, strict=True)
        self._waiting.clear()
        for metric in (self._loss, self._task_loss, self._accuracy):
            if metric.mean_value.dtype.itemsize < 4:  # 16 bits are too few to sum in
                metric.set_dtype(torch.float32)
        self._loss.update(_for_each_image(losses, labels))
        self._task_loss.update(_for_each_image(task_losses, labels))
        right = [(a.argmax(-1) == b).flatten() for a, b in zip(logits, labels, strict=True)]
        self._accuracy.update(torch.cat(right).float())


def _for_each_image(losses: Iterable[Tensor], labels: Iterable[Tensor]) -> Tensor:
    return torch.cat(
        [loss[:, None].expand_as(rows).flatten() for loss, rows in zip(losses, labels, strict=True)]
    )
