"""What a run that was refused or that failed leaves in its folder."""

import json
from pathlib import Path

import pytest

from tests.conftest import SMALL, Command

TRAIN = "tvl_lightning.train"


@pytest.mark.parametrize("folder", [[], ["hydra.run.dir=run"], ["hydra.run.dir=a/b/c"]])
def test_a_refused_command_leaves_no_folder(
    call: Command, tmp_path: Path, folder: list[str]
) -> None:
    done = call(TRAIN, *SMALL, "model.hidden_layers=0", *folder)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_refused_command_leaves_what_was_in_the_folder(call: Command, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    assert call(TRAIN, "model.hidden_layers=0", "hydra.run.dir=run").returncode == 2
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]


def test_a_run_that_crashes_keeps_its_reason_and_its_traceback(
    call: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text(
        "def penalty(tau):\n    return {}['labels']\n\ndef make():\n    return penalty\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    broken = ["+reg.mine._target_=broken.make", "hydra.run.dir=run", "trainer.max_epochs=1"]
    with pytest.raises(KeyError, match="labels"):
        call(TRAIN, *SMALL, *broken)
    log = (tmp_path / "run" / "train.log").read_text()
    assert "Traceback" in log
    assert "KeyError: 'labels'" in log
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["status"], summary["reason"]) == ("failed", "KeyError: 'labels'")
    assert "+reg.mine._target_=broken.make" in summary["overrides"]


def test_a_folder_that_cannot_be_made_is_one_line(call: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = call(TRAIN, *SMALL, "hydra.run.dir=file/run")
    [line] = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith("error: ")
    assert "file" in line
    assert "Not a directory" in line
