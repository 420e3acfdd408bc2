"""How fast a training says that it is."""

from typing import Any

import pytest
from lightning import Callback, Trainer

from tests.training.runs import Fit
from tvl_lightning.training import IterationRate


class Clock(Callback):
    """Time that passes as it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def on_train_batch_end(self, *args: Any) -> None:
        self.now += 0.5

    def on_validation_batch_end(self, trainer: Trainer, *args: Any) -> None:
        self.now += 1000.0


def test_the_rate_of_each_epoch_is_logged_without_validation(
    fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("tvl_lightning.training.callbacks.iteration_rate._now", lambda: clock.now)
    run = fit(IterationRate(), clock, epochs=3)
    assert run.points.of("speed/iterations a second") == dict.fromkeys((18, 36, 54), 2.0)
