"""`python -m tvl_lightning.train -m`: nothing is lost, and nothing is trained twice."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SMALL, Command
from tests.runs.same_end import assert_same_end
from tvl_lightning.cli.failures import Attempt
from tvl_lightning.cli.requests import Request, write_settings
from tvl_lightning.cli.stopping import Stopped
from tvl_lightning.files import write_json
from tvl_lightning.limits import InputError

TRAIN = "tvl_lightning.train"
SWEEP = ["-m", "trainer.max_epochs=2", "hydra.sweep.dir=sweep"]
JOBLIB = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders in which something was trained, in a moment; a rate of 0.5 does not work out."""
    folders: list[str] = []

    def train(request: Request, folder: Path, found: Any, attempt: Attempt) -> dict[str, Any]:
        folders.append(folder.name)
        attempt.accepted = True
        write_settings(request, folder)
        lr, epochs = (
            request.settings[k][n] for k, n in (("optimizer", "lr"), ("trainer", "max_epochs"))
        )
        if lr == 0.5:
            raise InputError("optimizer.lr=0.5: is too much")
        if lr == 0.25:
            raise Stopped(signal.SIGTERM)
        diverged = {"status": "diverged", "reason": "the loss is not finite at iteration 3"}
        ended = diverged if lr == 0.75 else {"status": "finished", "reason": None}
        result = {"settings": request.settings, "epochs": epochs, "objective": 0.5, **ended}
        write_json(folder / "summary.json", result)
        return result

    monkeypatch.setattr("tvl_lightning.train.train", train)
    monkeypatch.setattr("tvl_lightning.train.show", lambda *args, **kwargs: None)
    return folders


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def test_runs_are_named_by_what_is_swept_over(
    call: Command, trained: list[str], tmp_path: Path
) -> None:
    done = call(TRAIN, *SWEEP, "reg=l1,[l1,horizon]", "seed=0,1", "model.width=12")
    assert done.returncode == 0, done.stderr
    expected = ["reg-l1+horizon_seed-0", "reg-l1+horizon_seed-1", "reg-l1_seed-0", "reg-l1_seed-1"]
    assert names_in(tmp_path / "sweep") == sorted(trained) == expected
    assert done.stdout.startswith(f"4 jobs to run in {tmp_path / 'sweep'}\n")
    assert (tmp_path / "sweep" / "multirun.yaml").is_file()


def test_a_job_that_fails_takes_no_other_with_it(
    call: Command, trained: list[str], tmp_path: Path
) -> None:
    done = call(TRAIN, *SWEEP, "optimizer.lr=0.1,0.5,0.2")
    assert done.returncode == 1
    assert len(trained) == 3
    last = done.stderr.splitlines()[-1]
    assert last == "1 of 3 jobs failed: optimizer.lr-0.5 (optimizer.lr=0.5: is too much)"
    folder = tmp_path / "sweep" / "optimizer.lr-0.5"
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["status"], summary["reason"]) == ("failed", "optimizer.lr=0.5: is too much")
    assert "optimizer.lr=0.5: is too much" in (folder / "train.log").read_text()


def test_a_run_that_diverged_is_a_result(call: Command, trained: list[str]) -> None:
    done = call(TRAIN, *SWEEP, "optimizer.lr=0.1,0.75")
    assert done.returncode == 0, done.stderr
    said = "1 of 2 jobs diverged: optimizer.lr-0.75 (the loss is not finite at iteration 3)"
    assert said in done.stdout.splitlines()
    call(TRAIN, *SWEEP, "optimizer.lr=0.1,0.75")
    assert len(trained) == 2


@pytest.mark.parametrize("where", [[], ["hydra.sweep.dir=sweep"]])
@pytest.mark.parametrize(
    ("swept", "complaint"),
    [
        (["model.width=12,24,0", "seed=0,1"], "model.width=0: must be"),
        (["reg=l1,none", "reg.l1.weight=0.1,0.2"], "reg.l1.weight: there is no such setting"),
        (["trainer.max_epochs=1,2,-3"], "trainer.max_epochs=-3: must be"),
        (["optimizer.lr=interval(0,1)"], "optimizer.lr=interval(0,1): has no end of values"),
    ],
)
def test_what_no_job_could_take_is_refused_before_any_begins(
    call: Command,
    trained: list[str],
    tmp_path: Path,
    swept: list[str],
    complaint: str,
    where: list[str],
) -> None:
    done = call(TRAIN, "-m", *swept, *where)
    [line] = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith(f"error: {complaint}")
    assert trained == []
    assert list(tmp_path.iterdir()) == []


def test_the_same_command_trains_what_is_missing_whatever_was_added_or_reordered(
    call: Command, trained: list[str]
) -> None:
    assert call(TRAIN, *SWEEP, "reg=l1,l2", "seed=1").returncode == 0
    assert sorted(trained) == ["reg-l1", "reg-l2"]
    trained.clear()
    done = call(TRAIN, *SWEEP, "seed=2,1,0", "reg=l2,none,l1")
    assert done.returncode == 0
    assert "7 jobs to run" in done.stdout
    assert ", 2 of 9 have ended before" in done.stdout
    assert len(trained) == 7
    trained.clear()
    assert call(TRAIN, *SWEEP, "reg=l1,l2,none", "seed=0,1,2").returncode == 0
    assert trained == []


def test_what_failed_is_tried_again_in_its_own_folder(
    call: Command, trained: list[str], tmp_path: Path
) -> None:
    for _ in range(2):
        assert call(TRAIN, *SWEEP, "optimizer.lr=0.1,0.5").returncode == 1
    assert trained == ["optimizer.lr-0.1", "optimizer.lr-0.5", "optimizer.lr-0.5"]
    assert names_in(tmp_path / "sweep") == ["optimizer.lr-0.1", "optimizer.lr-0.5"]


def test_runs_are_known_by_their_settings_where_nothing_was_noted(
    call: Command, trained: list[str], tmp_path: Path
) -> None:
    assert call(TRAIN, *SWEEP, "seed=0,1").returncode == 0
    for name in ("seed-0", "seed-1"):
        (tmp_path / "sweep" / name / ".job.json").unlink()
    (tmp_path / "sweep" / "seed-1").rename(tmp_path / "sweep" / "renamed")
    trained.clear()
    assert call(TRAIN, *SWEEP, "seed=0,1,2", "logger=csv").returncode == 0
    assert trained == ["seed-2"]
    assert names_in(tmp_path / "sweep") == ["renamed", "seed-0", "seed-2"]


def test_a_changed_summary_is_not_taken_for_the_end(
    call: Command, trained: list[str], tmp_path: Path
) -> None:
    assert call(TRAIN, *SWEEP, "seed=0,1").returncode == 0
    path = tmp_path / "sweep" / "seed-1" / "summary.json"
    write_json(path, {**json.loads(path.read_text()), "status": "stopped"})
    trained.clear()
    assert call(TRAIN, *SWEEP, "seed=0,1").returncode == 0
    assert trained == ["seed-1"]


def test_other_settings_outside_the_sweep_have_folders_of_their_own(
    call: Command, trained: list[str], tmp_path: Path
) -> None:
    assert call(TRAIN, *SWEEP, "seed=0,1").returncode == 0
    for _ in range(2):
        assert call(TRAIN, *SWEEP, "seed=0,1", "data.batch_size=50").returncode == 0
    assert trained == ["seed-0", "seed-1", "seed-0-2", "seed-1-2"]


def test_a_longer_run_goes_on_in_its_folder(call: Command, trained: list[str]) -> None:
    assert call(TRAIN, *SWEEP, "seed=0,1").returncode == 0
    assert call(TRAIN, *SWEEP, "seed=0,1", "trainer.max_epochs=3").returncode == 0
    assert trained == ["seed-0", "seed-1", "seed-0", "seed-1"]


def test_runs_that_differ_in_their_length_only_are_none_of_a_third_length(
    call: Command, trained: list[str], tmp_path: Path
) -> None:
    lengths = [*SWEEP[:1], *SWEEP[2:]]
    assert call(TRAIN, *lengths, "trainer.max_epochs=1,2").returncode == 0
    assert call(TRAIN, *lengths, "trainer.max_epochs=3").returncode == 0
    assert len(trained) == 3
    assert names_in(tmp_path / "sweep") == ["run", "trainer.max_epochs-1", "trainer.max_epochs-2"]
    trained.clear()
    assert call(TRAIN, *lengths, "trainer.max_epochs=1,2,3").returncode == 0
    assert trained == []


def test_a_shorter_run_has_a_folder_of_its_own_and_takes_nothing_from_the_longer(
    call: Command, trained: list[str], tmp_path: Path
) -> None:
    assert call(TRAIN, *SWEEP, "seed=0,1").returncode == 0
    assert call(TRAIN, *SWEEP, "seed=0", "trainer.max_epochs=1").returncode == 0
    assert names_in(tmp_path / "sweep") == ["run", "seed-0", "seed-1"]
    trained.clear()
    assert call(TRAIN, *SWEEP, "seed=0,1").returncode == 0
    assert call(TRAIN, *SWEEP, "seed=0", "trainer.max_epochs=1").returncode == 0
    assert trained == []


def test_a_refused_job_takes_no_run_from_another(
    call: Command, trained: list[str], tmp_path: Path
) -> None:
    named = ["seed=0,1", "hydra.sweep.subdir=x_${seed}"]
    assert call(TRAIN, *SWEEP, "model.width=8", *named).returncode == 0
    done = call(TRAIN, *SWEEP, "model.width=12", *named)
    assert done.returncode == 1
    assert "x_0 is of a run with other settings: model.width (8 there, 12 here)" in done.stderr
    trained.clear()
    assert call(TRAIN, *SWEEP, "model.width=8", *named).returncode == 0
    assert call(TRAIN, *SWEEP, "model.width=8", "seed=0,1").returncode == 0
    assert trained == []
    assert names_in(tmp_path / "sweep") == ["x_0", "x_1"]


def test_a_folder_for_several_jobs_is_refused(
    call: Command, trained: list[str], tmp_path: Path
) -> None:
    done = call(TRAIN, *SWEEP, "model.width=8,16", "hydra.sweep.subdir=r_${seed}")
    assert done.returncode == 2
    assert "gives several jobs one folder, r_0; leave it out" in done.stderr
    assert trained == []
    numbered = "hydra.sweep.subdir=${hydra.job.num}_x"
    assert call(TRAIN, *SWEEP, "seed=1,0", numbered).returncode == 0
    done = call(TRAIN, *SWEEP, "seed=2,1,0", numbered)
    assert "gives several jobs one folder, 0_x" in done.stderr


def test_a_run_that_cannot_be_read_is_nobodys(
    call: Command, trained: list[str], tmp_path: Path
) -> None:
    assert call(TRAIN, *SWEEP, "seed=0,1").returncode == 0
    folder = tmp_path / "sweep" / "seed-1"
    (folder / ".job.json").unlink()
    (folder / "summary.json").write_text('{"status": "fin')
    trained.clear()
    assert call(TRAIN, *SWEEP, "seed=0,1,2").returncode == 0
    assert trained == ["seed-1-2", "seed-2"]


def test_a_path_of_its_own_folder_does_not_hide_a_run(call: Command, trained: list[str]) -> None:
    own = "+callbacks.mine={_target_: mine.Own, path: '${hydra:runtime.output_dir}/x'}"
    for _ in range(2):
        assert call(TRAIN, *SWEEP, "seed=0,1", own).returncode == 0
    assert trained == ["seed-0", "seed-1"]


@pytest.mark.parametrize("name", ["a\\b", "it's", "two words", "a\\"])
def test_a_sweep_lies_where_it_was_said_to(
    call: Command, trained: list[str], tmp_path: Path, name: str
) -> None:
    quoted = name.replace("'", "\\'") + ("\\" if name.endswith("\\") else "")
    done = call(TRAIN, *SWEEP[:2], f"hydra.sweep.dir='{quoted}'", "seed=0,1")
    assert done.returncode == 0, done.stderr
    assert names_in(tmp_path / name) == ["seed-0", "seed-1"]


def test_what_is_swept_over_tells_jobs_apart_though_it_changes_no_number(
    call: Command, trained: list[str]
) -> None:
    assert call(TRAIN, *SWEEP, "engine=eager,lightning").returncode == 0
    assert trained == ["engine-eager", "engine-lightning"]
    assert call(TRAIN, *SWEEP, "engine=lightning,eager").returncode == 0
    assert len(trained) == 2


def test_a_job_that_is_given_twice_runs_once(call: Command, trained: list[str]) -> None:
    assert call(TRAIN, *SWEEP, "seed=0,1,0").returncode == 0
    assert trained == ["seed-0", "seed-1"]


def test_folders_may_be_named_otherwise(call: Command, trained: list[str]) -> None:
    named = ["hydra.sweep.subdir=run-${hydra.job.num}-${seed}"]
    assert call(TRAIN, *SWEEP, "seed=5,6", *named).returncode == 0
    assert call(TRAIN, *SWEEP, "seed=5,6,7", *named).returncode == 0
    assert trained == ["run-0-5", "run-1-6", "run-2-7"]


def test_a_stop_ends_the_sweep_in_order(call: Command, trained: list[str], tmp_path: Path) -> None:
    done = call(TRAIN, *SWEEP, "optimizer.lr=0.1,0.25,0.2")
    assert done.returncode == 143
    assert trained == ["optimizer.lr-0.1", "optimizer.lr-0.25"]
    lines = done.stdout.splitlines()
    assert "1 of 3 jobs stopped: optimizer.lr-0.25 (SIGTERM)" in lines
    assert lines[-1] == (
        f"1 job did not begin; to go on: the same command with hydra.sweep.dir={tmp_path / 'sweep'}"
    )
    assert not list((tmp_path / "sweep").glob(".*"))


def test_a_launcher_that_is_not_installed_is_one_line(
    call: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing(*args: Any, **kwargs: Any) -> Any:
        raise ImportError("no joblib")

    monkeypatch.setattr("hydra.core.plugins.Plugins.instantiate_launcher", missing)
    done = call(TRAIN, *SWEEP, *JOBLIB, "seed=0,1")
    [line] = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith("error: hydra/launcher=joblib: pip install 'tvl-lightning[parallel]'")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ten_jobs_of_a_thousand_begin_within_half_a_minute(
    call: Command, trained: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hydra_plugins.tvl_lightning_sweeper import _core
    from tvl_lightning.cli import recipes
    from tvl_lightning.cli.jobs import STATE, state_of, with_result

    bases: list[str | None] = []

    def base_of(*args: Any) -> str | None:
        bases.append(recipes.base_of(*args))
        return bases[-1]

    monkeypatch.setattr(_core, "base_of", base_of)
    assert call(TRAIN, *SWEEP, "seed=0,1").returncode == 0
    model = tmp_path / "sweep" / "seed-1"
    state = state_of(model)
    assert bases[0] is not None
    for seed in range(2, 990):
        folder = tmp_path / "sweep" / f"seed-{seed}"
        shutil.copytree(model, folder)
        recipe = recipes.recipe(bases[0], ["trainer.max_epochs=2", f"seed={seed}"])
        write_json(folder / STATE, with_result(state._replace(recipe=recipe), folder)._asdict())
    trained.clear()
    begun = time.monotonic()
    first: list[float] = []
    monkeypatch.setattr(
        "tvl_lightning.train.show", lambda *args, **kwargs: first.append(time.monotonic())
    )
    done = call(TRAIN, *SWEEP, "seed=range(0,1000)")
    assert done.returncode == 0, done.stderr
    assert trained == [f"seed-{seed}" for seed in range(990, 1000)]
    assert first[0] - begun < 30


def started(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", TRAIN, *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_until(so: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 180
    while not so():
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def epochs_in(run: Path) -> list[int]:
    with (run / "metrics.csv").open(newline="") as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [[], JOBLIB], ids=["one by one", "side by side"])
def test_a_killed_sweep_ends_as_one_that_was_never_stopped(
    call: Command, command: Command, tmp_path: Path, launcher: list[str]
) -> None:
    sweep = ["-m", *SMALL, "trainer.max_epochs=60"]
    killed = tmp_path / "killed"
    process = started(tmp_path, *sweep, "seed=0,1", *launcher, "hydra.sweep.dir=killed")
    wait_until((killed / "seed-1" / "checkpoints" / "last.ckpt").exists, process)
    process.kill()
    process.wait()
    # in processes of their own runs that nobody waits for stop by themselves, and are waited for
    done = command(TRAIN, *sweep, "seed=2,1,0", *launcher, "hydra.sweep.dir=killed")
    assert done.returncode == 0, done.stdout + done.stderr
    assert names_in(killed) == ["seed-0", "seed-1", "seed-2"]
    assert call(TRAIN, *sweep, "seed=0,1,2", "hydra.sweep.dir=whole").returncode == 0
    for name in names_in(killed):
        assert epochs_in(killed / name) == list(range(-1, 60))
        assert_same_end(tmp_path / "whole" / name, killed / name)
    before = {path: path.stat().st_mtime_ns for path in killed.rglob("*") if path.is_file()}
    again = call(TRAIN, *sweep, "seed=0,1,2", "hydra.sweep.dir=killed")
    assert "0 jobs to run" in again.stdout
    after = {path: path.stat().st_mtime_ns for path in killed.rglob("*") if path.is_file()}
    multirun = killed / "multirun.yaml"
    assert {**before, multirun: 0} == {**after, multirun: 0}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signum", "status", "name"),
    [(signal.SIGTERM, 143, "SIGTERM"), (signal.SIGINT, 130, "Ctrl-C")],
)
def test_a_signal_ends_the_workers_too_and_no_queued_job_begins(
    tmp_path: Path, signum: signal.Signals, status: int, name: str
) -> None:
    sweep = tmp_path / "sweep"
    arguments = ["-m", *SMALL, "trainer.max_epochs=100000", "seed=0,1,2,3", *JOBLIB]
    process = started(tmp_path, *arguments, "hydra.sweep.dir=sweep")
    last = [sweep / f"seed-{seed}" / "checkpoints" / "last.ckpt" for seed in (0, 1)]
    wait_until(lambda: all(path.exists() for path in last), process)
    if signum == signal.SIGINT:
        os.killpg(process.pid, signum)  # as a terminal does
    else:
        process.send_signal(signum)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == status, said
    assert "Traceback" not in said
    assert names_in(sweep) == ["seed-0", "seed-1"]
    for path in last:
        summary = json.loads((path.parents[1] / "summary.json").read_text())
        assert summary["status"] == "stopped"
        assert summary["reason"] in (name, "SIGTERM")
    assert re.search(r"^2 of 4 jobs stopped: seed-0 \(.*\), seed-1 \(.*\)$", said, re.MULTILINE)
    with pytest.raises(ProcessLookupError):  # no process is left
        wait_for_the_end(process.pid)


SLOW_TO_STOP = """
import time
from lightning import Callback

class Dawdling(Callback):
    def on_exception(self, *args):
        time.sleep(300)
"""


@pytest.mark.slow
def test_a_second_signal_ends_workers_that_take_their_time_to_stop(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SLOW_TO_STOP)
    sweep = tmp_path / "sweep"
    arguments = ["-m", *SMALL, "trainer.max_epochs=100000", "seed=0,1,2", *JOBLIB]
    dawdling = "+callbacks.mine={_target_: mine.Dawdling}"
    process = started(tmp_path, *arguments, dawdling, "hydra.sweep.dir=sweep")
    last = [sweep / f"seed-{seed}" / "checkpoints" / "last.ckpt" for seed in (0, 1)]
    wait_until(lambda: all(path.exists() for path in last), process)
    process.send_signal(signal.SIGTERM)
    time.sleep(3)
    assert process.poll() is None  # it waits for its workers
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=5) == 143
    with pytest.raises(ProcessLookupError):  # no process is left
        wait_for_the_end(process.pid)


OWN_DATA = """
import os
from tvl_lightning.data import MNIST5k

class Data(MNIST5k):
    def prepare_data(self):
        with open("prepared.txt", "a") as file:
            file.write(f"{os.getppid()}\\n")
        super().prepare_data()
"""


@pytest.mark.slow
def test_data_are_prepared_before_jobs_begin_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN_DATA)
    arguments = ["-m", *SMALL, "trainer.max_epochs=1", "data._target_=mine.Data", "seed=0,1"]
    process = started(tmp_path, *arguments, *JOBLIB, "hydra.sweep.dir=sweep")
    said, _ = process.communicate(timeout=180)
    assert process.returncode == 0, said
    first, *others = (tmp_path / "prepared.txt").read_text().split()
    assert first == str(os.getpid())  # in the process that this one began
    assert str(os.getpid()) not in others


def wait_for_the_end(group: int) -> None:
    for _ in range(100):
        os.killpg(group, 0)
        time.sleep(0.1)


@pytest.mark.slow
def test_jobs_side_by_side_fail_alone_and_share_no_line(command: Command, tmp_path: Path) -> None:
    arguments = ["-m", *SMALL[:2], "trainer.max_epochs=2", "data.batch_size=100,100000,200"]
    done = command(TRAIN, *arguments, *JOBLIB, "hydra.sweep.dir=sweep")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == f"3 jobs to run in {tmp_path / 'sweep'}"
    ends = [
        line for line in lines if re.match(r"data\.batch_size-\d+: (finished|failed: .*);", line)
    ]
    assert len(ends) == 3
    assert "3 of 3 jobs, 0 running, 1 failed" in ends[-1]
    assert not any("epoch 0" in line for line in lines)
    assert done.stderr.splitlines()[-1].startswith("1 of 3 jobs failed: data.batch_size-100000 (")
    log = (tmp_path / "sweep" / "data.batch_size-100" / "train.log").read_text()
    assert "epoch 1: " in log
