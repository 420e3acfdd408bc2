"""`resume=auto`."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import SMALL, Command
from tests.test_train import assert_same_end
from tvl_lightning.restart import sole_run

TRAIN = "tvl_lightning.train"
AUTO = [*SMALL, "resume=auto", "hydra.run.dir=run"]


def test_a_run_that_has_ended_is_not_trained_again(command: Command, tmp_path: Path) -> None:
    assert command(TRAIN, *AUTO, "trainer.max_epochs=1").returncode == 0
    summary = tmp_path / "run" / "summary.json"
    before = summary.stat().st_mtime_ns
    done = command(TRAIN, *AUTO, "trainer.max_epochs=1")
    assert done.returncode == 0
    assert "run has ended before" in done.stdout
    assert summary.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("change", "named"),
    [("reg=l1", "reg"), ("trainer.max_epochs=2", "trainer.max_epochs"), ("seed=1", "seed")],
)
def test_a_run_with_other_settings_is_not_taken_for_this_one(
    command: Command, tmp_path: Path, change: str, named: str
) -> None:
    (tmp_path / "run").mkdir()
    command_line = [*AUTO, "trainer.max_epochs=1"]
    shown = command(TRAIN, *command_line, "--cfg", "job", "--resolve")
    assert shown.returncode == 0, shown.stderr
    from omegaconf import OmegaConf

    settings = OmegaConf.to_container(OmegaConf.create(shown.stdout))
    (tmp_path / "run" / "summary.json").write_text(
        json.dumps({"settings": settings, "objective": 0.5})
    )
    refused = command(TRAIN, *command_line, change)
    assert refused.returncode == 2
    assert f"run holds a run with another {named};" in refused.stderr
    assert command(TRAIN, *command_line).returncode == 0


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_was(command: Command, tmp_path: Path) -> None:
    sweep = ["-m", *SMALL, "resume=auto", "seed=0,1", "trainer.max_epochs=8"]
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.launcher.batch_size=1"]
    whole = command(TRAIN, *sweep, "hydra.sweep.dir=whole")
    assert whole.returncode == 0, whole.stderr
    process = subprocess.Popen(
        [sys.executable, "-m", TRAIN, *sweep, *launcher, "hydra.sweep.dir=killed"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    last = tmp_path / "killed" / "0" / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 90
    while not last.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # the launcher's workers outlive it: the runs that they still train are waited for
    done = command(TRAIN, *sweep, *launcher, "hydra.sweep.dir=killed")
    assert done.returncode == 0, done.stderr
    for job in "01":
        assert_same_end(tmp_path / "whole" / job, tmp_path / "killed" / job)
        with (tmp_path / "killed" / job / "metrics.csv").open(newline="") as file:
            assert [int(row["epoch"]) for row in csv.DictReader(file)] == list(range(-1, 8))


def test_a_second_run_in_the_same_folder_waits(tmp_path: Path) -> None:
    order = []

    def second() -> None:
        with sole_run(tmp_path):
            order.append("second")

    with sole_run(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_processes_of_one_run_share_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sole_run(tmp_path):
        monkeypatch.setenv("LOCAL_RANK", "1")
        with sole_run(tmp_path):
            pass
