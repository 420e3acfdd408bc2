from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningDataModule, Trainer
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from tests.conftest import quiet_trainer
from tvl_lightning.callbacks import TauTrajectory
from tvl_lightning.data import ImageData
from tvl_lightning.limits import InputError
from tvl_lightning.module import TimeVariableClassifier
from tvl_lightning.networks import TimeVariableResNet
from tvl_lightning.regularizers import L1, L2, Horizon


def network() -> TimeVariableResNet:
    torch.manual_seed(0)
    return TimeVariableResNet(784, 10, 3, 10)


def test_the_loss_is_the_task_loss_plus_all_penalties() -> None:
    module = TimeVariableClassifier(
        network(), {"l1": L1(0.1), "l2": L2(0.2), "horizon": Horizon(0.5, 3.0)}
    )
    images, labels = torch.rand(20, 28, 28), torch.randint(0, 10, (20,))
    result = module.training_step((images, labels), 0)
    task = cross_entropy(module(images), labels)
    torch.testing.assert_close(result["task_loss"], task.detach())
    # τ = (1/3, 1/3, 1/3)
    torch.testing.assert_close(result["loss"], task + 0.1 * 1 + 0.2 / 3 + 0.5 * (3 - 1) ** 2)


class Literal(Callback):
    """Sums up the epoch by hand."""

    def __init__(self) -> None:
        self.losses, self.correct, self.n = 0.0, 0, 0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        images, labels = batch
        with torch.no_grad():
            logits = pl_module(images)
        self.losses += float(cross_entropy(logits, labels, reduction="sum"))
        self.correct += int((logits.argmax(1) == labels).sum())
        self.n += len(labels)


def test_metrics_are_means_over_all_images_of_the_epoch(tmp_path: Path) -> None:
    literal = Literal()
    data = ImageData(batch_size=70)  # 51 batches and a smaller one
    module = TimeVariableClassifier(network(), {"l1": L1(0.1)})
    run = quiet_trainer(tmp_path, literal)
    run.fit(module, data)
    metrics = run.callback_metrics
    assert literal.n == 3600
    assert float(metrics["train/task_loss"]) == pytest.approx(literal.losses / 3600, rel=1e-5)
    assert float(metrics["train/acc"]) == pytest.approx(literal.correct / 3600)
    assert float(metrics["penalty/l1"]) == pytest.approx(0.1 * module.tau.abs().sum().item())
    logits = module(data.val.pixels)
    expected = cross_entropy(logits, data.val.labels).item()
    assert float(metrics["val/task_loss"]) == pytest.approx(expected, rel=1e-5)
    accuracy = float((logits.argmax(1) == data.val.labels).float().mean())
    assert float(metrics["val/acc"]) == pytest.approx(accuracy)


class Loaders(LightningDataModule):
    def train_dataloader(self) -> DataLoader[Any]:
        generator = torch.Generator().manual_seed(0)
        images = torch.rand(64, 1, 28, 28, generator=generator)
        labels = torch.randint(0, 10, (64,), generator=generator)
        return DataLoader(TensorDataset(images, labels), batch_size=16)

    val_dataloader = test_dataloader = train_dataloader


def test_any_datamodule_can_stand_in(tmp_path: Path) -> None:
    run = quiet_trainer(tmp_path, TauTrajectory(tmp_path / "tau.npz"))
    module = TimeVariableClassifier(network())
    run.fit(module, Loaders())
    assert {"train/acc", "val/acc"} <= run.callback_metrics.keys()
    assert "test/acc" in run.test(module, Loaders(), verbose=False)[0]


def test_a_checkpoint_says_by_itself_how_to_build_its_module(tmp_path: Path) -> None:
    run = quiet_trainer(tmp_path)
    module = TimeVariableClassifier(network(), {"horizon": Horizon(0.5, 1.0)})
    run.fit(module, Loaders())
    run.save_checkpoint(tmp_path / "one.ckpt")
    loaded = TimeVariableClassifier.load_from_checkpoint(tmp_path / "one.ckpt", weights_only=True)
    assert loaded.penalties == {"horizon": Horizon(0.5, 1.0)}
    for name, value in module.state_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, loaded.state_dict()[name]), name


def test_a_checkpoint_with_the_users_own_block_needs_the_network(tmp_path: Path) -> None:
    def own() -> TimeVariableResNet:
        return TimeVariableResNet(784, 10, 3, 10, block=lambda: torch.nn.Linear(10, 10, bias=False))

    run = quiet_trainer(tmp_path)
    run.fit(TimeVariableClassifier(own()), Loaders())
    run.save_checkpoint(tmp_path / "own.ckpt")
    load = TimeVariableClassifier.load_from_checkpoint
    with pytest.raises(InputError, match="pass it as `network`"):
        load(tmp_path / "own.ckpt", weights_only=True)
    loaded = load(tmp_path / "own.ckpt", weights_only=True, network=own())
    assert len(loaded.network.hidden) == 2


def test_a_loss_that_is_not_finite_shows_in_the_mean_of_the_epoch(tmp_path: Path) -> None:
    run = quiet_trainer(tmp_path)
    run.fit(
        TimeVariableClassifier(network(), {"overflow": lambda tau: tau.sum() * torch.inf}),
        Loaders(),
    )
    assert not run.callback_metrics["train/loss"].isfinite()
