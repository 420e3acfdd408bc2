from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, Trainer, seed_everything

from tests.conftest import quiet_trainer
from tvl_lightning.data import ImageData
from tvl_lightning.module import TimeVariableClassifier
from tvl_lightning.networks import FractionalDNN, TimeVariableNetwork, TimeVariableResNet

MOMENTUM = partial(torch.optim.SGD, lr=0.01, momentum=0.9)

Fit = Callable[..., tuple[Trainer, TimeVariableClassifier]]


@pytest.fixture(scope="session")
def images() -> ImageData:
    return ImageData(batch_size=200)


@pytest.fixture
def fit(tmp_path: Path, images: ImageData) -> Fit:
    """Train a small network for some epochs of 18 iterations."""

    def run(
        *callbacks: Callback,
        network: TimeVariableNetwork | None = None,
        epochs: int = 1,
        resume: Path | None = None,
        optimizer: Any = MOMENTUM,
        **module: Any,
    ) -> tuple[Trainer, TimeVariableClassifier]:
        seed_everything(1, verbose=False)
        network = network or TimeVariableResNet(784, 10, 5, 10)
        classifier = TimeVariableClassifier(network, optimizer=optimizer, **module)
        trainer = quiet_trainer(tmp_path, *callbacks, epochs=epochs)
        trainer.fit(classifier, images, ckpt_path=resume, weights_only=True)
        return trainer, classifier

    return run


def fractional(**options: Any) -> FractionalDNN:
    return FractionalDNN(784, 10, 5, 10, **options)
