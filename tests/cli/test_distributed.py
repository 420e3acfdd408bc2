"""Several processes, one run directory."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import SMALL, Command

TWO = [*SMALL, "trainer=ddp", "trainer.accelerator=cpu"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "count"), [([], 1), (["-m", "--config-dir", "configs", "reg=mine", "seed=0,1"], 2)]
)
def test_two_processes_share_one_run_directory(
    command: Command, tmp_path: Path, mode: list[str], count: int
) -> None:
    (tmp_path / "configs" / "reg").mkdir(parents=True)
    penalty = "mine: {_target_: tvl_lightning.penalties.L1, weight: 0.02}"
    (tmp_path / "configs" / "reg" / "mine.yaml").write_text(penalty)
    done = command("tvl_lightning.train", *mode, *TWO, "trainer.max_epochs=2")
    assert done.returncode == 0, done.stderr
    runs = [path.parent for path in (tmp_path / "outputs").rglob("summary.json")]
    assert len(runs) == count
    assert done.stdout.count("best epoch") == count, done.stdout
    assert "could not be drawn" not in done.stdout
    for run in runs:
        assert json.loads((run / "summary.json").read_text())["iterations"] == 18
    assert {p.parent for p in (tmp_path / "outputs").rglob("*.ckpt")} == {
        run / "checkpoints" for run in runs
    }


def wait_until(found: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end
        time.sleep(0.1)


def is_empty(group: int) -> bool:
    with suppress(ProcessLookupError):
        os.killpg(group, 0)
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize(
    ("send", "signum", "status"),
    [
        (os.kill, signal.SIGTERM, 143),
        (os.killpg, signal.SIGTERM, 143),  # as a batch system does
        (os.killpg, signal.SIGINT, 130),  # as a terminal does
    ],
    ids=["SIGTERM", "SIGTERM to all", "Ctrl-C"],
)
def test_a_signal_ends_all_processes_and_is_written_down_once(
    tmp_path: Path, send: Callable[[int, int], None], signum: signal.Signals, status: int
) -> None:
    run, said = tmp_path / "run", tmp_path / "said"
    with said.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tvl_lightning.train", *TWO, "hydra.run.dir=run"],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until((run / "checkpoints" / "last.ckpt").is_file)
        send(process.pid, signum)
        assert process.wait(60) == status, said.read_text()
        wait_until(lambda: is_empty(process.pid), 5)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    summary = json.loads((run / "summary.json").read_text())
    assert summary["status"] == "stopped"
    assert summary["iterations"] == 9 * summary["epochs"] > 0
    text = said.read_text()
    assert text.count("stopped by") == 1, text
    assert "Traceback" not in text


@pytest.mark.slow
def test_a_job_in_a_process_of_its_own_trains_in_one_process(call: Command) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="tvl-lightning[parallel]")
    done = call("tvl_lightning.train", "-m", "hydra/launcher=joblib", *TWO, "seed=0,1")
    assert done.returncode == 1
    assert "trainer.devices: a job of hydra/launcher=joblib trains in one process" in done.stderr
