"""Several processes, one run directory."""

import json
from pathlib import Path

import pytest

from tests.conftest import SMALL, Command


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "count"), [([], 1), (["-m", "seed=0,1"], 2)])
def test_two_processes_share_one_run_directory(
    command: Command, tmp_path: Path, mode: list[str], count: int
) -> None:
    settings = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.max_epochs=2"]
    done = command("tvl_lightning.train", *mode, *SMALL, *settings)
    assert done.returncode == 0, done.stderr
    runs = [path.parent for path in (tmp_path / "outputs").rglob("summary.json")]
    assert len(runs) == count
    for run in runs:
        assert json.loads((run / "summary.json").read_text())["iterations"] == 18
    assert {p.parent for p in (tmp_path / "outputs").rglob("*.ckpt")} == {
        run / "checkpoints" for run in runs
    }
