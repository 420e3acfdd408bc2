"""Ctrl-C and SIGTERM end a run in order; going on loses nothing."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SMALL, Command
from tests.runs.same_end import assert_same_end
from tvl_lightning.cli.stopping import Stopped, stopping_on_signals

TRAIN = "tvl_lightning.train"


def started(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", TRAIN, *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


LONG = [*SMALL, "scheme=fractional", "reg=horizon", "trainer.max_epochs=100000"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signum", "status", "name"),
    [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")],
)
def test_a_signal_ends_a_run_with_all_written_and_it_goes_on_to_the_same_end(
    call: Command, tmp_path: Path, signum: signal.Signals, status: int, name: str
) -> None:
    run = tmp_path / "run"
    process = started(tmp_path, *LONG, "hydra.run.dir=run")
    wait_for(run / "checkpoints" / "last.ckpt", process)
    time.sleep(0.5)
    process.send_signal(signum)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == status, said
    assert "Traceback" not in said
    summary: dict[str, Any] = json.loads((run / "summary.json").read_text())
    assert (summary["status"], summary["reason"]) == ("stopped", name)
    epochs = summary["epochs"]
    assert summary["iterations"] == epochs * 18
    assert len(summary["tau"]) == 4
    [line] = re.findall(rf"stopped by {name} in epoch .*", said)
    assert line.endswith(f"to go on: python -m tvl_lightning.train resume={run}")
    assert line in (run / "train.log").read_text()
    assert (run / "figures" / "tau.png").is_file()

    more = epochs + 2
    done = call(TRAIN, "resume=run", f"trainer.max_epochs={more}")
    assert done.returncode == 0, done.stderr
    short = [f"trainer.max_epochs={more}", "hydra.run.dir=whole"]
    assert call(TRAIN, *LONG[:-1], *short).returncode == 0
    assert_same_end(tmp_path / "whole", run)
    assert json.loads((run / "summary.json").read_text())["status"] == "finished"


@pytest.mark.slow
def test_a_run_that_is_stopped_before_its_first_epoch_ends_says_so_and_begins_anew(
    call: Command, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    process = started(tmp_path, *LONG, "hydra.run.dir=run")
    wait_for(run / ".hydra" / "config.yaml", process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["status"], summary["reason"]) == ("stopped", "SIGTERM")
    done = call(TRAIN, "resume=run", "trainer.max_epochs=2")
    assert done.returncode == 0, done.stderr
    assert json.loads((run / "summary.json").read_text())["epochs"] == 2


def test_the_first_signal_raises_and_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped) as stopped, stopping_on_signals():
        signal.raise_signal(signal.SIGTERM)
    assert (stopped.value.exit_status, stopped.value.name) == (143, "SIGTERM")
    assert signal.getsignal(signal.SIGTERM) is before
    assert not isinstance(stopped.value, Exception)  # nothing takes it for an error


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    program = (
        "import signal, time\n"
        "from tvl_lightning.cli.stopping import Stopped, stopping_on_signals\n"
        "with stopping_on_signals():\n"
        "    try:\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    except Stopped:\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "        time.sleep(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=30)
    assert done.returncode == 130


@pytest.mark.parametrize(
    ("epoch", "kept"),
    [(0, "no epoch is kept"), (1, "epoch 0 is kept"), (7, "epochs 0 to 6 are kept")],
)
def test_what_is_kept_is_said(epoch: int, kept: str, tmp_path: Path) -> None:
    told = Stopped(signal.SIGINT).told(epoch, tmp_path)
    assert told.startswith(f"stopped by Ctrl-C in epoch {epoch}: {kept}; to go on: ")
