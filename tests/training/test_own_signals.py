"""The program's own signal handlers hold while Lightning trains."""

import signal
from pathlib import Path
from typing import Any

import pytest
from lightning import Callback

from tests.conftest import quiet_trainer
from tvl_lightning.data import Digits
from tvl_lightning.networks import perceptron
from tvl_lightning.training import OwnSignals, TimeVariableClassifier


@pytest.mark.parametrize("own", [True, False])
def test_a_signal_reaches_the_programs_handler_alone(tmp_path: Path, own: bool) -> None:
    handlers: list[Any] = []

    class Look(Callback):
        def on_train_batch_end(self, *_: Any, **__: Any) -> None:
            handlers.append(signal.getsignal(signal.SIGTERM))

    def handler(*_: Any) -> None:
        pass

    before = signal.signal(signal.SIGTERM, handler)
    try:
        callbacks = [*([OwnSignals()] if own else []), Look()]
        trainer = quiet_trainer(tmp_path, *callbacks, limit_train_batches=2)
        network = perceptron(in_shape=[1, 8, 8], classes=10, width=4, hidden_layers=2)
        trainer.fit(TimeVariableClassifier(network), Digits())
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)
    assert all((found is handler) == own for found in handlers)
