"""A run that was stopped goes on; one that has ended is not trained again."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from tests.conftest import SMALL, Command, quiet_trainer, settings_in
from tests.runs.same_end import assert_same_end
from tvl_lightning.cli.build import build_parts
from tvl_lightning.cli.commands import CONFIG_PATH
from tvl_lightning.limits import InputError
from tvl_lightning.runs.resume import check_resumable, earlier_objective, last_checkpoint, locked
from tvl_lightning.training.checkpoints import read_checkpoint

TRAIN = "tvl_lightning.train"
ONE = [*SMALL, "trainer.max_epochs=1", "hydra.run.dir=run"]


def started(folder: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", TRAIN, *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def kill(process: "subprocess.Popen[bytes]", when: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 90
    while not when() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


PRUNED = [
    "reg=l1",
    "reg.l1.weight=0.3",  # strong enough to prune within a few epochs
    "pruning=adaptive",
    "pruning.epsilon=0.1",
    "optimizer.lr=0.05",
    "+optimizer.momentum=0.9",
    "scheduler={_target_:torch.optim.lr_scheduler.StepLR,_partial_:true,step_size:3}",
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "kills"), [(PRUNED, (2, 3)), (["model=fractional", "tau=final"], (3,))]
)
def test_a_killed_run_resumes_to_the_end_of_one_that_was_never_stopped(
    call: Command, tmp_path: Path, settings: list[str], kills: tuple[int, ...]
) -> None:
    arguments = [*SMALL, *settings, "trainer.max_epochs=12"]
    done = call(TRAIN, *arguments, "hydra.run.dir=whole")
    assert done.returncode == 0, done.stderr
    killed, last = tmp_path / "killed", tmp_path / "killed" / "checkpoints" / "last.ckpt"
    for epochs in kills:
        seen = {last.stat().st_mtime_ns} if last.exists() else {0}

        def enough(seen: set[int] = seen, epochs: int = epochs) -> bool:
            if last.exists():
                seen.add(last.stat().st_mtime_ns)
            return len(seen) > epochs

        resume = [f"resume={last}"] if last.exists() else []
        kill(started(tmp_path, *arguments, "hydra.run.dir=killed", *resume), enough)
    done = call(TRAIN, *arguments, f"resume={last}")
    assert done.returncode == 0, done.stderr
    assert f"tensorboard --logdir {killed}" in done.stdout
    assert_same_end(tmp_path / "whole", killed)
    layers = json.loads((killed / "summary.json").read_text())["layers"]
    assert (len(layers) < 4) == (settings is PRUNED)


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_was(
    command: Command, call: Command, tmp_path: Path
) -> None:
    sweep = ["-m", *SMALL, "resume=auto", "seed=0,1", "trainer.max_epochs=8"]
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.launcher.batch_size=1"]
    whole = call(TRAIN, *sweep, "hydra.sweep.dir=whole")
    assert whole.returncode == 0, whole.stderr
    last = tmp_path / "killed" / "0" / "checkpoints" / "last.ckpt"
    kill(started(tmp_path, *sweep, *launcher, "hydra.sweep.dir=killed"), last.exists)
    # the launcher's workers outlive it: the runs that they still train are waited for
    done = command(TRAIN, *sweep, *launcher, "hydra.sweep.dir=killed")
    assert done.returncode == 0, done.stderr
    for job in "01":
        assert_same_end(tmp_path / "whole" / job, tmp_path / "killed" / job)
        with (tmp_path / "killed" / job / "metrics.csv").open(newline="") as file:
            assert [int(row["epoch"]) for row in csv.DictReader(file)] == list(range(-1, 8))


def test_a_run_goes_on_in_the_other_loop(call: Command, tmp_path: Path) -> None:
    whole = [*SMALL, "trainer.max_epochs=2", "hydra.run.dir=whole"]
    assert call(TRAIN, *whole).returncode == 0
    assert call(TRAIN, *ONE).returncode == 0
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    other = ["trainer.max_epochs=2", "engine=lightning", f"resume={last}"]
    done = call(TRAIN, *SMALL, *other)
    assert done.returncode == 0, done.stderr
    assert_same_end(tmp_path / "whole", tmp_path / "run")


def test_a_run_that_has_ended_is_not_trained_again(call: Command, tmp_path: Path) -> None:
    assert call(TRAIN, *ONE, "resume=auto").returncode == 0
    summary = tmp_path / "run" / "summary.json"
    before = summary.stat().st_mtime_ns
    done = call(TRAIN, *ONE, "resume=auto")
    assert done.returncode == 0
    assert "run has ended before" in done.stdout
    assert summary.stat().st_mtime_ns == before


@cache
def composed(*choice: str) -> dict[str, Any]:
    return settings_in(Path("run"), *SMALL, "resume=auto", *choice)


def settings(change: str = "") -> dict[str, Any]:
    """The settings of a run in one and the same folder, with one of them changed."""
    group, _, option = change.partition("=")
    if not change or (Path(CONFIG_PATH) / group / f"{option}.yaml").is_file():
        return composed(*change.split())
    merged: Any = OmegaConf.to_container(
        OmegaConf.merge(composed(), OmegaConf.from_dotlist([change]))
    )
    return merged  # type: ignore[no-any-return]


@pytest.fixture
def ended(tmp_path: Path) -> Path:
    """What a run that has ended left behind, with the sizes that it found in its data."""
    run = tmp_path / "run"
    run.mkdir()
    model = {**settings()["model"], "in_shape": [1, 28, 28], "classes": 10}
    summary = {"settings": {**settings(), "model": model}, "objective": 0.5}
    (run / "summary.json").write_text(json.dumps(summary))
    return run


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("reg=l1", "reg.l1.weight"),
        ("trainer.max_epochs=2", "trainer.max_epochs"),
        ("seed=1", "seed"),
        ("data=fashion_mnist", "data._target_"),
        ("data.batch_size=100", "data.batch_size"),
        ("data.val_size=0", "data.val_size"),
        ("trainer.precision=64", "trainer.precision"),
        ("trainer.gradient_clip_val=0.5", "trainer.gradient_clip_val"),
        ("model.width=13", "model.width"),
        ("model.in_shape=[784]", "model.in_shape"),
        ("model.classes=11", "model.classes"),
        ("scheme=heun", "scheme._target_"),
        ("tau.initial=[1,0,0,0]", "tau.initial"),
        ("projection=positive", "projection.eps"),
        ("pruning=adaptive", "pruning.epsilon"),
        ("optimizer=adam", "optimizer._target_"),
        ("optimizer.momentum=0.9", "optimizer.momentum"),
        ("scheduler._target_=mine.Schedule", "scheduler._target_"),
        ("callbacks.mine._target_=mine.Callback", "callbacks.mine._target_"),
    ],
)
def test_a_run_with_other_settings_is_not_taken_for_this_one(
    ended: Path, change: str, named: str
) -> None:
    with pytest.raises(InputError, match=r"holds a run with another .*; choose another") as refused:
        earlier_objective(ended, settings(change))
    assert f"{named} (" in str(refused.value)


def test_a_run_folder_can_be_moved(tmp_path: Path, ended: Path) -> None:
    moved = ended.rename(tmp_path / "moved")
    there = settings_in(moved, *SMALL, "resume=auto")
    assert there["callbacks"]["metrics"]["path"] == f"{moved}/metrics.csv"
    assert earlier_objective(moved, there) == 0.5


@pytest.mark.parametrize(
    "change",
    [
        "engine=compiled",
        "engine=lightning",
        "engine.chunk=10",
        "logger=none",
        "callbacks.progress_bar.refresh_rate=1",
        "resume=auto",
    ],
)
def test_settings_that_change_no_number_are_not_compared(ended: Path, change: str) -> None:
    assert earlier_objective(ended, settings(change)) == 0.5


def test_a_folder_of_other_settings_is_refused_before_a_result_is_written(
    call: Command, tmp_path: Path, ended: Path
) -> None:
    content = {path: path.read_bytes() for path in ended.iterdir()}
    done = call(TRAIN, *SMALL, "resume=auto", "hydra.run.dir=run", "data.batch_size=100")
    [line] = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith("error: resume=auto: ")
    assert "run holds a run with another data.batch_size (200 there, 100 here)" in line
    assert {path: path.read_bytes() for path in content} == content
    added = {path.name for path in ended.iterdir()} - {path.name for path in content}
    assert added <= {".hydra", ".lock", "train.log"}  # Hydra's own, and the lock


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The last checkpoint of a run with an ℓ¹ penalty, in a folder that says nothing else."""
    folder = tmp_path_factory.mktemp("stopped")
    parts = build_parts(settings_in(folder, *SMALL, "reg=l1"), folder)
    trainer = quiet_trainer(folder)
    trainer.fit(parts.module, parts.data)
    trainer.save_checkpoint(folder / "run" / "checkpoints" / "last.ckpt")
    return folder / "run"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("reg.l1.weight=0.02", "reg.l1.weight (0.01 there, 0.02 here)"),
        ("reg.mine._target_=mine.Penalty", "reg.mine._target_ (None there"),
        ("model.width=13", "model.width (12 there, 13 here)"),
        ("model.scheme._target_=mine.Scheme", "model.scheme._target_ (tvl_lightning"),
        ("model.tau.initial=[1]", "model.tau.initial (None there, [1] here)"),
        ("data._target_=mine.Data", "data._target_ (tvl_lightning.data.MNIST5k there"),
        ("data.batch_size=100", "data.batch_size (200 there, 100 here)"),
        ("data.seed=1", "data.seed (0 there, 1 here)"),
        ("seed=1", "seed (0 there, 1 here)"),
        ("optimizer.lr=0.5", "optimizer.lr (0.01 there, 0.5 here)"),
        ("trainer.precision=64", "trainer.precision (None there, 64 here)"),
        ("trainer.gradient_clip_val=0.1", "trainer.gradient_clip_val (None there, 0.1 here)"),
    ],
)
def test_a_stopped_run_does_not_go_on_with_other_settings(
    stopped: Path, change: str, said: str
) -> None:
    last = stopped / "checkpoints" / "last.ckpt"
    own = read_checkpoint(last)["hyper_parameters"]["settings"]
    assert check_resumable(last, own) == 18
    other: Any = OmegaConf.to_container(OmegaConf.merge(own, OmegaConf.from_dotlist([change])))
    with pytest.raises(InputError) as refused:
        check_resumable(last, other)
    assert str(refused.value).startswith(f"resume={last}: is of a run with another ")
    assert said in str(refused.value)


def test_a_stopped_run_may_become_longer_and_show_less(stopped: Path) -> None:
    last = stopped / "checkpoints" / "last.ckpt"
    own = read_checkpoint(last)["hyper_parameters"]["settings"]
    longer = ["trainer.max_epochs=300", "callbacks.progress_bar=null", "logger={}"]
    other: Any = OmegaConf.to_container(OmegaConf.merge(own, OmegaConf.from_dotlist(longer)))
    assert check_resumable(last, other) == 18


@pytest.mark.parametrize(
    "top", [{"global_step": "2"}, {"global_step": None}, {"loops": 5}, {"loops": {"a": "b"}}]
)
def test_a_run_does_not_go_on_from_what_does_not_say_how_far_it_came(
    top: dict[str, Any], stopped: Path, tmp_path: Path
) -> None:
    content = read_checkpoint(stopped / "checkpoints" / "last.ckpt")
    settings = content["hyper_parameters"]["settings"]
    torch.save({**content, **top}, tmp_path / "changed.ckpt")
    with pytest.raises(InputError, match="does not say how far its run came"):
        check_resumable(tmp_path / "changed.ckpt", settings)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["reg=[l1,horizon]"], "reg.horizon.weight (None there, 0.5 here)"),
        (["reg=l1", "scheme=heun"], "tvl_lightning.networks.Heun here"),
    ],
)
@pytest.mark.parametrize("auto", [True, False])
def test_the_command_refuses_it_before_a_result_is_written(
    call: Command, stopped: Path, change: list[str], said: str, auto: bool
) -> None:
    last = stopped / "checkpoints" / "last.ckpt"
    before = last.read_bytes()
    resume = "resume=auto" if auto else f"resume={last}"
    done = call(TRAIN, *SMALL, *change, resume, f"hydra.run.dir={stopped}")
    [line] = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith(f"error: resume={last}: is of a run with another ")
    assert said in line
    assert last.read_bytes() == before
    added = {path.name for path in stopped.iterdir()} - {"checkpoints"}
    assert added <= {".hydra", ".lock", "train.log"}


def test_a_checkpoint_of_version_0_1_is_refused_in_one_line(
    call: Command, tmp_path: Path, stopped: Path
) -> None:
    content = torch.load(stopped / "checkpoints" / "last.ckpt", weights_only=True)
    del content["hyper_parameters"]["format"]
    torch.save(content, tmp_path / "old.ckpt")
    for module, argument in (
        (TRAIN, "resume=old.ckpt"),
        ("tvl_lightning.evaluate", "checkpoint=old.ckpt"),
    ):
        settings = [*SMALL, "reg=l1"] if module == TRAIN else []
        done = call(module, *settings, argument)
        [line] = done.stderr.splitlines()
        assert done.returncode == 2
        assert line.startswith("error: ")
        assert "old.ckpt: is of version 0.1, whose runs this version does not read" in line


def test_what_is_no_checkpoint_is_refused_in_one_line(call: Command, tmp_path: Path) -> None:
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    for name, said in (("none.ckpt", "no such file"), ("text.ckpt", "not a readable checkpoint")):
        done = call(TRAIN, *SMALL, f"resume={name}")
        [line] = done.stderr.splitlines()
        assert done.returncode == 2
        assert line.startswith(f"error: checkpoint {name}: ")
        assert said in line


def test_a_run_that_did_not_come_to_a_checkpoint_begins_anew(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoints" / "last.ckpt")


def test_a_second_run_in_the_same_folder_waits(tmp_path: Path) -> None:
    order = []

    def second() -> None:
        with locked(tmp_path):
            order.append("second")

    with locked(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_processes_of_one_run_share_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with locked(tmp_path):
        monkeypatch.setenv("LOCAL_RANK", "1")
        with locked(tmp_path):
            pass
