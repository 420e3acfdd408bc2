"""Jobs of a sweep on a real Ray and a real submitit, in processes that this one did not start."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command

PACKAGES = {"ray": "hydra_ray_launcher", "submitit_local": "hydra_submitit_launcher"}
OWN_RAY = "hydra.launcher.ray.init.address=local"  # whatever else runs on this machine
SMALL = ["data=digits", "model.width=6", "model.hidden_layers=3", "trainer=cpu"]
MODULE = """
import os
import signal
from pathlib import Path

from torch import nn


def field(width, fails=False, dies=False):
    if fails:
        raise ValueError("this field fails")
    if dies and not Path("died").exists():
        Path("died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return nn.Sequential(nn.Linear(width, width), nn.Tanh())
"""
FIELD = ["+model.field._target_=mine.field", "+model.field._partial_=true"]

pytestmark = pytest.mark.slow
# its workers see what the tests see, and its token is not left in a home directory
RAY = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


def needs(launcher: str) -> None:
    package = PACKAGES[launcher]
    if importlib.util.find_spec(f"hydra_plugins.{package}") is None:
        pytest.skip(f"{package} is not installed")


@pytest.fixture(params=PACKAGES)
def launcher(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    needs(request.param)
    for name, value in RAY.items():
        monkeypatch.setenv(name, value)
    return str(request.param)


def on(launcher: str) -> list[str]:
    return [f"hydra/launcher={launcher}", *([OWN_RAY] if launcher == "ray" else [])]


def summaries(folder: Path) -> dict[str, dict[str, Any]]:
    """By the name of the run."""
    paths = sorted(folder.rglob("summary.json"))
    return {path.parent.name: json.loads(path.read_text()) for path in paths}


def test_jobs_run_elsewhere_and_one_that_fails_takes_no_other_along(
    launcher: str, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    settings = [*SMALL, *FIELD, "trainer.max_epochs=1", "hydra.sweep.dir=sweep"]
    values = ["seed=0,1", "+model.field.fails=false,true"]
    jobs = ["tvl_lightning.train", "-m", *on(launcher), *settings, *values]
    done = command(*jobs, timeout=400)
    assert done.returncode == 1, done.stderr
    assert "2 of 4 jobs failed" in done.stderr
    assert "Traceback" not in done.stderr
    found = summaries(tmp_path / "sweep")
    assert len(found) == 4
    for name, summary in found.items():
        if "fails-True" in name:
            assert summary["status"] == "failed"
            assert "this field fails" in summary["reason"]
        else:
            assert summary["status"] == "finished"
            assert 0 < summary["objective"] <= 1
            assert summary["threads"] == 1

    began = {name: summary.get("started") for name, summary in found.items()}
    (tmp_path / "mine.py").write_text(MODULE.replace("if fails:", "if False:"))
    again = command(*jobs, timeout=400)
    assert again.returncode == 0, again.stderr
    assert "2 of 4 have ended before" in again.stdout
    for name, summary in summaries(tmp_path / "sweep").items():
        assert summary["status"] == "finished"
        assert (summary["started"] == began[name]) == (found[name]["status"] == "finished")


def test_a_job_whose_process_dies_is_run_again_while_the_others_go_on(
    launcher: str, command: Command, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(MODULE)
    settings = [*SMALL, *FIELD, "trainer.max_epochs=100", "hydra.sweep.dir=sweep"]
    values = "+model.field.dies=true,false"
    done = command(*("tvl_lightning.train", "-m", *on(launcher), *settings, values), timeout=400)
    assert (tmp_path / "died").exists()
    assert done.returncode == 0, done.stderr
    found = summaries(tmp_path / "sweep")
    assert [summary["status"] for summary in found.values()] == ["finished"] * 2
    [other] = [name for name in found if "dies-False" in name]
    log = (tmp_path / "sweep" / other / "train.log").read_text()
    assert log.count("epoch 0:") == 1
    assert "waiting for" not in log


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A process with children of its own, which end with it."""
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=folder,
            env=environment,
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_until(found: Callable[[], bool], seconds: float = 200) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_sigterm_ends_the_jobs_in_order_wherever_they_are(launcher: str, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    settings = [*SMALL, "trainer.max_epochs=100000", f"hydra.sweep.dir={sweep}", "seed=0,1"]
    arguments = ["tvl_lightning.train", "-m", *on(launcher), *settings]
    with started(tmp_path, *arguments) as process:
        wait_until(lambda: len(list(sweep.rglob("last.ckpt"))) == 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(100) == 143, (tmp_path / "said").read_text()
    for summary in summaries(sweep).values():
        assert summary["status"] == "stopped"
        assert summary["epochs"] > 0
    assert "2 of 2 jobs stopped" in (tmp_path / "said").read_text()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("", 0))
        return int(taken.getsockname()[1])


def test_jobs_on_a_cluster_that_began_elsewhere_write_where_the_sweep_was_started(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("ray")
    for name, value in RAY.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "mine.py").write_text(MODULE)
    port = free_port()
    where = ["--head", "--block", f"--port={port}", "--num-cpus=2", "--include-dashboard=false"]

    def answers() -> bool:
        with socket.socket() as line:
            return line.connect_ex(("127.0.0.1", port)) == 0

    with started(tmp_path / "elsewhere", "ray.scripts.scripts", "start", *where):
        wait_until(answers)
        address = f"hydra.launcher.ray.init.address=127.0.0.1:{port}"
        settings = [*SMALL, *FIELD, "+model.field.fails=false", "trainer.max_epochs=1"]
        done = command(
            *("tvl_lightning.train", "-m", "hydra/launcher=ray", address),
            *(*settings, "seed=0,1", "hydra.sweep.dir=sweep"),
            timeout=400,
        )
    assert done.returncode == 0, done.stderr
    found = summaries(tmp_path)
    assert {summary["status"] for summary in found.values()} == {"finished"}
    assert len(found) == len(summaries(tmp_path / "sweep")) == 2
