"""The parts of an evaluation, of which a stranger may have said what they are."""

from pathlib import Path
from typing import Any

import pytest

from tvl_lightning.cli.evaluation import check_trust, evaluation_trainer
from tvl_lightning.limits import InputError
from tvl_lightning.networks import TimeVariableResNet
from tvl_lightning.training import TimeVariableClassifier
from tvl_lightning.training.callbacks.answers import Answers

OURS = {
    "_target_": "tvl_lightning.networks.perceptron",
    "activation": {"_target_": "torch.nn.ReLU", "_partial_": True},
}


def with_field(target: str) -> dict[str, Any]:
    return {**OURS, "field": [{"_target_": target}]}


def test_every_package_to_trust_is_named_at_once() -> None:
    parts = [with_field("mine.fields.Wide"), {"_target_": "yours.Data"}, None, "text"]
    with pytest.raises(InputError) as caught:
        check_trust(parts, ["theirs"], "run=my run")
    line = str(caught.value)
    assert "mine.fields.Wide, yours.Data" in line
    assert line.endswith("evaluate 'run=my run' 'trust=[theirs,mine,yours]'")


@pytest.mark.parametrize("trust", [["mine", "yours"], ["mine.fields", "yours"]])
def test_what_is_trusted_or_ours_is_not_asked_for(trust: list[str]) -> None:
    check_trust([OURS, with_field("mine.fields.Wide"), {"_target_": "yours.Data"}], trust, "run=x")


def test_a_package_whose_name_begins_like_a_trusted_one_is_not_trusted() -> None:
    for target in ("miner.Wide", "torchish.Wide", "tvl_lightning_extra.Wide"):
        with pytest.raises(InputError, match=rf"trust=\[mine,{target.partition('.')[0]}\]"):
            check_trust([with_field(target)], ["mine"], "run=x")


def test_the_precision_is_the_runs_unless_the_user_gives_one(tmp_path: Path) -> None:
    def precision(of_run: Any, double: bool = False, **given: Any) -> str:
        module = TimeVariableClassifier(TimeVariableResNet(4, 5, 3, 3))
        settings = {"_target_": "lightning.Trainer", "accelerator": "cpu", **given}
        own = {"settings": {"trainer": of_run}}
        module = module.double() if double else module
        trainer = evaluation_trainer(settings, own, module, tmp_path, Answers())
        return str(trainer.precision)

    assert precision({}) == "32-true"
    assert precision({"precision": "bf16-mixed"}) == "bf16-mixed"
    assert precision({"precision": "bf16-mixed"}, precision="32-true") == "32-true"
    assert precision({}, double=True) == "64-true"
    for odd in ("transformer-engine", ["64-true"], {"a": 1}, 7):  # a stranger's
        assert precision({"precision": odd}) == "32-true"
    for odd in (None, 3, "trainer", []):
        assert precision(odd) == "32-true"
