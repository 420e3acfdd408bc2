import json
from pathlib import Path

import pytest

from tests.conftest import SMALL, Command


def test_a_pruned_run_is_evaluated_as_it_was_tested(command: Command, tmp_path: Path) -> None:
    initial = "tau.initial=[0.5,0.001,0.3,0.2]"
    settings = ("pruning=adaptive", "pruning.interval=5", initial, "hydra.run.dir=run")
    done = command("tvl_lightning.train", *SMALL, *settings, "trainer.max_epochs=2")
    assert done.returncode == 0, done.stderr
    assert "iteration 5: removed layer 1; 3 hidden layers" in done.stdout
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["layers"] == [0, 2, 3]
    assert summary["parameters_before"] - summary["parameters"] == 12 * 12 + 12 + 1

    done = command("tvl_lightning.evaluate", "checkpoint=run/checkpoints/best.ckpt")
    assert done.returncode == 0, done.stderr
    [path] = (tmp_path / "outputs" / "evaluate").glob("*/*/evaluation.json")
    evaluation = json.loads(path.read_text())
    assert evaluation["layers"] == [0, 2, 3]
    assert evaluation["data"]["dataset"] == "mnist_5k"
    assert evaluation["test"] == pytest.approx(summary["test"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["checkpoint=none.ckpt"], "checkpoint none.ckpt: no such file"),
        ([], "checkpoint"),
    ],
)
def test_what_is_not_a_checkpoint_is_refused_in_one_line(
    command: Command, arguments: list[str], message: str
) -> None:
    done = command("tvl_lightning.evaluate", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
