"""Small runs that every loop can take, and what they leave behind."""

from argparse import Namespace
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from lightning import Callback, LightningDataModule, Trainer, seed_everything
from lightning.pytorch.loggers import Logger
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from tvl_lightning.data import Dataset, Samples, Sizes, TensorData
from tvl_lightning.networks import (
    FractionalDNN,
    Learned,
    TimeVariableNetwork,
    TimeVariableResNet,
    convolutional,
)
from tvl_lightning.training import ChunkedClassifier, TauRecorder, TimeVariableClassifier

ITERATIONS = 18  # of an epoch, the last of them with fewer inputs

LIGHTNING = "lightning"  # beside the names of engines
MOMENTUM = partial(torch.optim.SGD, lr=0.02, momentum=0.9)
SLOW_SGD = partial(torch.optim.SGD, lr=1e-6, momentum=0.9)

resnet = partial(TimeVariableResNet, 36, 10, 5, 4)
fractional = partial(FractionalDNN, 36, 10, 5, 4)
conv = partial(convolutional, (1, 6, 6), 4, (3, 4), 2)
# two layers are under the threshold of 0.01
with_small_taus = partial(resnet, tau=partial(Learned, initial=[0.4, 0.001, 0.3, -0.001, 0.2]))


class Blobs(TensorData):
    """Four noisy patterns of 6×6 numbers; 177 train in batches of 10, and 20 validate."""

    sizes: ClassVar[Sizes] = Sizes(in_shape=(1, 6, 6), classes=4)

    def load(self) -> Dataset:
        generator = torch.Generator().manual_seed(0)
        patterns = torch.randn(4, 1, 6, 6, generator=generator)
        labels = torch.arange(237) % 4
        inputs = patterns[labels] + torch.randn(237, 1, 6, 6, generator=generator)
        return Dataset(
            Samples(inputs[:197], labels[:197]), Samples(inputs[197:], labels[197:]), "made up"
        )


class Loaders(LightningDataModule):
    """Loaders as any other data module has them."""

    def train_dataloader(self) -> DataLoader[Any]:
        inputs, labels = Blobs().load().train
        return DataLoader(TensorDataset(inputs, labels), batch_size=11)

    val_dataloader = test_dataloader = train_dataloader


class Points(Logger):
    """Keeps what is logged: step, name and value, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.points: list[tuple[int | None, str, float]] = []

    @property
    def name(self) -> str:
        return "points"

    @property
    def version(self) -> int:
        return 0

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kw: Any) -> None:
        pass

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.points += [(step, name, float(value)) for name, value in metrics.items()]

    def of(self, name: str) -> dict[int | None, float]:
        """What was logged under a name, by step."""
        return {step: value for step, known, value in self.points if known == name}


class Run(NamedTuple):
    trainer: Trainer
    module: TimeVariableClassifier
    record: dict[str, np.ndarray]
    points: Points

    @property
    def layers(self) -> list[int]:
        return self.module.network.layers

    @property
    def last_checkpoint(self) -> Path:
        path = Path(self.trainer.default_root_dir) / "end.ckpt"
        self.trainer.save_checkpoint(path)
        return path


Fit = Callable[..., Run]
Both = Callable[..., tuple[Run, Run]]


def quiet_trainer(folder: Path, *callbacks: Callback, **options: Any) -> Trainer:
    """A trainer on the CPU that writes nothing by itself."""
    quiet: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": 1,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "num_sanity_val_steps": 0,
        "default_root_dir": folder,
    }
    return Trainer(callbacks=list(callbacks), **{**quiet, **options})


def fit(
    folder: Path,
    *callbacks: Callback,
    loop: str = LIGHTNING,
    chunk: int = 50,
    network: Callable[[], TimeVariableNetwork] = resnet,
    penalties: Any = None,
    optimizer: Any = MOMENTUM,
    scheduler: Any = None,
    epochs: int = 2,
    resume: Path | None = None,
    data: LightningDataModule | None = None,
    module_class: type[TimeVariableClassifier] | None = None,
    recorder: bool = True,
    **options: Any,
) -> Run:
    """Train a small network, with a `TauRecorder` behind the other callbacks.

    Args:
        folder: where `tau.npz` is written.
        callbacks: of the trainer.
        loop: `lightning`, or an engine of `ChunkedClassifier`.
        chunk: its longest chunk.
        network: makes the network, after the seed was set.
        penalties: of the classifier.
        optimizer: of the classifier.
        scheduler: of the classifier.
        epochs: of `ITERATIONS` iterations each.
        resume: a checkpoint to go on from.
        data: instead of `Blobs`.
        module_class: instead of the class that belongs to `loop`.
        recorder: whether the recorder is there.
        options: further arguments of `Trainer`.
    """
    folder.mkdir(exist_ok=True)
    seed_everything(1, verbose=False)
    made = network()
    seed_everything(2, verbose=False)  # however many numbers the network has drawn
    settings = {"optimizer": optimizer, "scheduler": scheduler, "seed": 3}
    if loop == LIGHTNING:
        module = (module_class or TimeVariableClassifier)(made, penalties, **settings)
    else:
        chunked: Any = module_class or ChunkedClassifier
        module = chunked(made, penalties, **settings, engine=loop, chunk=chunk)
    points = Points()
    recorders = [TauRecorder(folder / "tau.npz", interval=5)] if recorder else []
    trainer = quiet_trainer(
        folder, *callbacks, *recorders, **{"max_epochs": epochs, "logger": points, **options}
    )
    trainer.fit(module, data or Blobs(batch_size=10), ckpt_path=resume, weights_only=True)
    return Run(trainer, module, read_record(folder), points)


def read_record(folder: Path) -> dict[str, np.ndarray]:
    """The iterations in `tau.npz` of a folder, without the row before them; empty if not there."""
    if not (folder / "tau.npz").is_file():
        return {}
    with np.load(folder / "tau.npz") as file:
        return {name: values[file["iteration"] > 0] for name, values in file.items()}


def assert_same(one: Run, other: Run) -> None:
    """Bit for bit: the record of every iteration, all weights, all that was logged."""
    assert_same_record(one.record, other.record)
    assert_same_weights(one.module, other.module)
    assert one.trainer.global_step == other.trainer.global_step
    assert sorted(one.points.points) == sorted(other.points.points)
    mine, others = one.trainer.callback_metrics, other.trainer.callback_metrics
    assert {k: float(v) for k, v in mine.items()} == {k: float(v) for k, v in others.items()}


def assert_same_record(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


def assert_same_weights(one: torch.nn.Module, other: torch.nn.Module) -> None:
    first, second = one.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    for name, value in first.items():
        if isinstance(value, Tensor):
            assert torch.equal(value, second[name]), name
        else:
            assert value == second[name], name
