"""Data on the device with Lightning's own loop, and a module that knows nothing of them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import BatchSizeFinder

from tvl_lightning.data import Digits


class Linear(LightningModule):
    """A linear classifier of digits that keeps the labels it was trained with."""

    def __init__(self) -> None:
        super().__init__()
        self.network = torch.nn.Linear(64, 10)
        self.seen: list[torch.Tensor] = []

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        inputs, labels = batch
        self.seen.append(labels)
        return torch.nn.functional.cross_entropy(self.network(inputs.flatten(1)), labels)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        pass

    def test_step(self, batch: Any, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def two_epochs(folder: Path, **options: Any) -> Trainer:
    return Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
        **options,
    )


def sizes(batches: list[torch.Tensor]) -> list[int]:
    return [len(labels) for labels in batches]


def test_any_module_trains_and_tests(tmp_path: Path) -> None:
    data, module, trainer = Digits(batch_size=400), Linear(), two_epochs(tmp_path)
    trainer.fit(module, data)
    trainer.test(module, data, verbose=False)
    assert sizes(module.seen) == [400, 400, 400, 98] * 2
    assert trainer.global_step == 2 * data.iterations_per_epoch


def test_each_epoch_has_its_own_order(tmp_path: Path) -> None:
    data, module = Digits(batch_size=1298), Linear()
    two_epochs(tmp_path).fit(module, data)
    sampler = data.train_dataloader().sampler
    assert sampler is not None
    for epoch, seen in enumerate(module.seen):
        sampler.set_epoch(epoch)
        assert torch.equal(seen, data.train.labels[sampler.order()])
    assert not torch.equal(*module.seen)


@pytest.mark.parametrize(("mode", "batches"), [("power", [1298]), ("binsearch", [1233, 65])])
def test_search_for_the_batch_size_ends_at_all_training_samples_and_trains(
    mode: str, batches: list[int], tmp_path: Path
) -> None:
    data, module, finder = Digits(), Linear(), BatchSizeFinder(mode, init_val=300)
    trainer = two_epochs(tmp_path, callbacks=[finder])
    trainer.fit(module, data)
    assert len(data.train.labels) == 1298  # of which binsearch takes 5 % off
    assert finder.optimal_batch_size == data.batch_size == batches[0]
    assert trainer.global_step == 2 * data.iterations_per_epoch == 2 * len(batches)
    assert sizes(module.seen[-trainer.global_step :]) == batches * 2


def test_search_that_begins_beyond_all_training_samples_trains_on_all(tmp_path: Path) -> None:
    data, module = Digits(), Linear()
    trainer = two_epochs(tmp_path, callbacks=[BatchSizeFinder("power", init_val=5000)])
    trainer.fit(module, data)
    assert data.batch_size == 1298
    assert trainer.global_step == 2
    assert sizes(module.seen[-2:]) == [1298, 1298]
