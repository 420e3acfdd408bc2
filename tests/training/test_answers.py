"""What a network answers, in Lightning's own loops."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from tests.conftest import quiet_trainer
from tvl_lightning.limits import InputError
from tvl_lightning.networks import TimeVariableResNet
from tvl_lightning.training import TimeVariableClassifier
from tvl_lightning.training.callbacks.answers import Answers

X, Y = torch.rand(7, 4), torch.tensor([0, 1, 2, 2, 1, 0, 1])
PAIRS: Any = DataLoader(TensorDataset(X, Y), batch_size=3)
INPUTS: Any = DataLoader(X, batch_size=3)  # type: ignore[arg-type]


@pytest.fixture
def module() -> TimeVariableClassifier:
    torch.manual_seed(0)
    return TimeVariableClassifier(TimeVariableResNet(4, 5, 3, 3))


@pytest.mark.parametrize("loader", [PAIRS, INPUTS], ids=["pairs", "inputs"])
def test_lightnings_predict_gives_the_logits_with_and_without_labels(
    module: TimeVariableClassifier, tmp_path: Path, loader: Any
) -> None:
    predicted: Any = quiet_trainer(tmp_path).predict(module, loader)
    assert [len(logits) for logits in predicted] == [3, 3, 1]
    torch.testing.assert_close(torch.cat(predicted), module(X).detach())


def test_answers_and_labels_of_the_last_pass_are_kept(
    module: TimeVariableClassifier, tmp_path: Path
) -> None:
    answers = Answers(in_shape=[4], classes=3)
    trainer = quiet_trainer(tmp_path, answers)
    with pytest.raises(InputError, match="there is no sample"):
        answers.arrays()
    for evaluate in (trainer.test, trainer.validate, trainer.predict):
        evaluate(module, PAIRS)
        logits, labels = answers.arrays()
        torch.testing.assert_close(torch.from_numpy(logits), module(X).detach().double())
        assert labels is not None
        assert labels.tolist() == Y.tolist()
    trainer.predict(module, INPUTS)
    assert answers.arrays()[1] is None


@pytest.mark.parametrize(
    ("answers", "loader", "message"),
    [
        (Answers(in_shape=[5]), PAIRS, r"shape \(4,\), and the network takes in_shape=\[5\]"),
        (Answers(classes=2), PAIRS, r"labels are 0 \.\.\. 2, and the network has classes=2, 0 ..."),
        (Answers(), INPUTS, "must be pairs of inputs and labels"),
    ],
    ids=["inputs", "labels", "no labels"],
)
@pytest.mark.parametrize("stage", ["test", "validate"])
def test_batches_that_do_not_fit_are_refused_before_the_network_sees_them(
    module: TimeVariableClassifier,
    tmp_path: Path,
    stage: str,
    answers: Answers,
    loader: Any,
    message: str,
) -> None:
    with pytest.raises(InputError, match=message):
        getattr(quiet_trainer(tmp_path, answers), stage)(module, loader)


def test_inputs_to_predict_that_do_not_fit_are_refused(
    module: TimeVariableClassifier, tmp_path: Path
) -> None:
    for loader in (PAIRS, INPUTS):
        with pytest.raises(InputError, match=r"shape \(4,\)"):
            quiet_trainer(tmp_path, Answers(in_shape=[2])).predict(module, loader)
