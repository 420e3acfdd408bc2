"""The command that tests a checkpoint."""

import json
from pathlib import Path

import pytest

from tests.conftest import SMALL, Command

TRAIN, EVALUATE = "tvl_lightning.train", "tvl_lightning.evaluate"


def test_a_pruned_run_is_evaluated_as_it_was_tested(call: Command, tmp_path: Path) -> None:
    initial = "tau.initial=[0.5,0.001,0.3,0.2]"
    settings = ("pruning=adaptive", "pruning.interval=5", initial, "hydra.run.dir=run")
    done = call(TRAIN, *SMALL, *settings, "trainer.max_epochs=2")
    assert done.returncode == 0, done.stderr
    assert "iteration 5: removed layer 1 (" in done.stdout
    assert "; 3 hidden layers" in done.stdout
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["layers"] == [0, 2, 3]
    assert summary["parameters_before"] - summary["parameters"] == 12 * 12 + 12 + 1

    done = call(EVALUATE, "checkpoint=run/checkpoints/best.ckpt")
    assert done.returncode == 0, done.stderr
    [path] = (tmp_path / "outputs" / "evaluate").glob("*/*/evaluation.json")
    evaluation = json.loads(path.read_text())
    assert evaluation["layers"] == [0, 2, 3]
    assert evaluation["data"]["dataset"] == "MNIST5k"
    assert evaluation["test"] == pytest.approx(summary["test"])

    # on other images of the same size
    other = "data={_target_:tvl_lightning.data.MNIST5k,batch_size:7,val_size:0.5,seed:1}"
    done = call(EVALUATE, "checkpoint=run/checkpoints/best.ckpt", f"+{other}", "hydra.run.dir=b")
    assert done.returncode == 0, done.stderr
    evaluation = json.loads((tmp_path / "b" / "evaluation.json").read_text())
    assert evaluation["data"]["val_images"] == 2000
    assert evaluation["test"] == pytest.approx(summary["test"])

    done = call(EVALUATE, "checkpoint=run/checkpoints/best.ckpt", "data=digits")
    [line] = done.stderr.splitlines()
    assert done.returncode == 2
    assert "Digits has samples of shape (1, 8, 8) in 10 classes" in line
    assert "the network takes in_shape=[1, 28, 28] in classes=10" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["checkpoint=none.ckpt"], "checkpoint none.ckpt: no such file"),
        ([], "checkpoint"),
        (["checkpoint=none.ckpt", "nonsense=1"], "nonsense"),
        (["checkpoint=none.ckpt", "trainer.max_epochs=-1"], "trainer.max_epochs=-1"),
    ],
)
def test_what_is_not_a_checkpoint_is_refused_in_one_line(
    call: Command, arguments: list[str], message: str
) -> None:
    done = call(EVALUATE, *arguments)
    [line] = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith("error: ")
    assert message in line
