"""A network that sees the same few batches again and again learns them by heart."""

from typing import Any

import pytest
import torch
from lightning import Callback
from torch.optim import Adam

from tests.training.runs import Fit, Loaders
from tvl_lightning.limits import InputError
from tvl_lightning.training import SameBatches


class Seen(Callback):
    def __init__(self) -> None:
        self.labels: list[list[int]] = []

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        self.labels.append(batch[1].tolist())


def test_every_epoch_has_the_batches_of_the_first(fit: Fit) -> None:
    plain, same = Seen(), Seen()
    fit(plain, epochs=3, limit_train_batches=2)
    run = fit(same, SameBatches(), epochs=60, limit_train_batches=2, optimizer=_fast)
    assert same.labels[:2] == plain.labels[:2]
    assert all(same.labels[2 * e : 2 * e + 2] == same.labels[:2] for e in range(60))
    assert plain.labels[2:4] != plain.labels[:2]
    assert list(run.points.of("train/acc").values())[-1] == 1.0


def _fast(parameters: Any) -> torch.optim.Optimizer:
    return Adam(parameters, lr=0.01)


def test_data_with_an_order_of_their_own_are_refused(fit: Fit) -> None:
    with pytest.raises(InputError, match=r"SameBatches: needs a TensorData, and Loaders is none"):
        fit(SameBatches(), data=Loaders())
