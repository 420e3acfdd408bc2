"""A run that was stopped goes on; one that has ended is not trained again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from tests.conftest import SMALL, Command, quiet_trainer, settings_in
from tests.runs.same_end import assert_same_end
from tvl_lightning.cli.build import build_parts
from tvl_lightning.limits import InputError
from tvl_lightning.runs.resume import Plan, check_resumable, locked, plan
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
    assert "tensorboard --logdir killed" in done.stdout
    assert_same_end(tmp_path / "whole", killed)
    layers = json.loads((killed / "summary.json").read_text())["layers"]
    assert (len(layers) < 4) == (settings is PRUNED)


def test_a_run_goes_on_in_the_other_loop(call: Command, tmp_path: Path) -> None:
    whole = [*SMALL, "trainer.max_epochs=2", "hydra.run.dir=whole"]
    assert call(TRAIN, *whole).returncode == 0
    assert call(TRAIN, *ONE).returncode == 0
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    other = ["trainer.max_epochs=2", "engine=lightning", f"resume={last}"]
    done = call(TRAIN, *SMALL, *other)
    assert done.returncode == 0, done.stderr
    assert_same_end(tmp_path / "whole", tmp_path / "run")


def files_of(run: Path) -> dict[str, bytes]:
    paths = [path for path in run.rglob("*") if path.is_file()]
    return {str(path.relative_to(run)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch that has ended."""
    folder = tmp_path_factory.mktemp("one")
    process = started(folder, *ONE, "reg=l1")
    assert process.wait(120) == 0
    return folder / "run"


@pytest.fixture
def ended(one: Path, tmp_path: Path) -> Path:
    shutil.copytree(one, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize(
    "again", [["resume=run"], [*ONE, "reg=l1", "resume=auto"], ["resume=run", "logger=none"]]
)
def test_a_run_that_has_ended_is_left_as_it_is(
    call: Command, ended: Path, again: list[str]
) -> None:
    before = files_of(ended)
    done = call(TRAIN, *again)
    assert done.returncode == 0, done.stderr
    assert "run has ended before" in done.stdout
    after = files_of(ended)
    assert {name: after[name] for name in before if name != "train.log"} == {
        name: content for name, content in before.items() if name != "train.log"
    }


def test_a_folder_that_holds_a_run_is_refused(call: Command, ended: Path) -> None:
    before = files_of(ended)
    done = call(TRAIN, *ONE, "reg=l1")
    [line] = done.stderr.splitlines()
    assert done.returncode == 2
    assert line == (
        f"error: hydra.run.dir: {ended} holds a run; resume={ended} goes on with it, or choose "
        "another folder"
    )
    assert files_of(ended) == before


@pytest.mark.parametrize(
    "resume", ["resume=run", "resume=auto hydra.run.dir=run", "resume=run/checkpoints/last.ckpt"]
)
def test_other_settings_are_refused_each_by_name_before_anything_is_written(
    call: Command, ended: Path, resume: str
) -> None:
    before = files_of(ended)
    own = [*SMALL, "reg=l1"] if "auto" in resume else []
    done = call(TRAIN, *own, *resume.split(), "optimizer=adam", "seed=9", "reg.l1.weight=0.5")
    [line] = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith("error: resume: ")
    for named in (
        "seed (0 there, 9 here)",
        "optimizer._target_ (torch.optim.SGD there",
        "0.5 here",
    ):
        assert named in line
    assert files_of(ended) == before


@pytest.mark.parametrize("how", ["folder", "auto"])
def test_a_run_becomes_longer_and_equals_one_that_was_long_from_the_start(
    call: Command, ended: Path, tmp_path: Path, how: str
) -> None:
    seconds = json.loads((ended / "summary.json").read_text())["seconds"]
    longer = ["resume=run"] if how == "folder" else [*ONE[:-2], "reg=l1", "resume=auto", ONE[-1]]
    done = call(TRAIN, *longer, "trainer.max_epochs=3")
    assert done.returncode == 0, done.stderr
    done = call(TRAIN, *SMALL, "reg=l1", "trainer.max_epochs=3", "hydra.run.dir=whole")
    assert done.returncode == 0, done.stderr
    assert_same_end(tmp_path / "whole", ended)
    summary = json.loads((ended / "summary.json").read_text())
    assert summary["seconds"] > seconds
    assert summary["iterations_per_second"] == pytest.approx(54 / summary["seconds"])
    assert summary["settings"]["trainer"]["max_epochs"] == 3
    overrides = OmegaConf.to_container(OmegaConf.load(ended / ".hydra" / "overrides.yaml"))
    assert "trainer.max_epochs=3" in overrides  # type: ignore[operator]
    assert "trainer.max_epochs=1" not in overrides  # type: ignore[operator]


def test_a_run_does_not_become_shorter(call: Command, ended: Path) -> None:
    assert call(TRAIN, "resume=run", "trainer.max_epochs=2").returncode == 0
    done = call(TRAIN, "resume=run", "trainer.max_epochs=1")
    assert done.returncode == 2
    assert done.stderr.endswith("run has trained 2 epochs\n")


def test_a_moved_run_goes_on_with_its_own_best_checkpoint(
    call: Command, ended: Path, tmp_path: Path
) -> None:
    moved = ended.rename(tmp_path / "moved")
    done = call(TRAIN, "resume=moved", "trainer.max_epochs=2", "optimizer.lr=0.01")
    assert done.returncode == 0, done.stderr
    state = read_checkpoint(moved / "checkpoints" / "last.ckpt")["callbacks"]
    [best] = [value for key, value in state.items() if key.startswith("BestCheckpoint")]
    assert best["best_model_path"] == str(moved / "checkpoints" / "best.ckpt")
    assert not ended.exists()


@pytest.mark.slow
@pytest.mark.parametrize("lost", [["summary.json"], ["summary.json", "figures"], ["figures"]])
def test_a_run_killed_at_its_end_is_completed_by_the_same_command(
    command: Command, ended: Path, lost: list[str]
) -> None:
    summary = json.loads((ended / "summary.json").read_text())
    for name in lost:
        path = ended / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    done = command(TRAIN, *ONE, "reg=l1", "resume=auto")
    assert done.returncode == 0, done.stderr
    again = json.loads((ended / "summary.json").read_text())
    for name in ("status", "objective", "test", "metrics", "best", "tau", "iterations", "epochs"):
        assert again[name] == summary[name], name
    assert (ended / "figures" / "tau.png").is_file()
    assert (ended / "figures" / "curves.png").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("cut", ["trainer.max_steps=30", "trainer.max_steps=9"])
@pytest.mark.parametrize("engine", ["auto", "lightning"])
def test_a_run_that_ended_within_an_epoch_goes_on_without_losing_an_iteration(
    call: Command, tmp_path: Path, cut: str, engine: str
) -> None:
    settings = [*SMALL, "scheme=fractional", "trainer.max_epochs=3"]
    done = call(TRAIN, *settings, f"+{cut}", f"engine={engine}", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["iterations"] == int(cut.partition("=")[2])
    assert summary["tested_checkpoint"] == (
        "checkpoints/best.ckpt" if summary["iterations"] > 18 else "checkpoints/end.ckpt"
    )
    assert 0 < summary["objective"] < 1
    done = call(TRAIN, "resume=run", "~trainer.max_steps")
    assert done.returncode == 0, done.stderr
    assert call(TRAIN, *settings, "hydra.run.dir=whole").returncode == 0
    assert_same_end(tmp_path / "whole", tmp_path / "run")


def test_a_checkpoint_of_within_an_epoch_is_refused(call: Command, tmp_path: Path) -> None:
    assert call(TRAIN, *ONE, "+trainer.max_steps=9").returncode == 0
    done = call(TRAIN, "resume=run/checkpoints/end.ckpt", "~trainer.max_steps")
    assert done.returncode == 2
    assert "was saved within an epoch; last.ckpt beside it" in done.stderr


@pytest.mark.parametrize("name", [".lock", "train.log"])
def test_no_link_is_followed(call: Command, ended: Path, tmp_path: Path, name: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (ended / name).unlink(missing_ok=True)
    (ended / name).symlink_to(precious)
    done = call(TRAIN, "resume=run", "trainer.max_epochs=2")
    assert done.returncode == 2
    assert "is a symbolic link, and a run follows none" in done.stderr
    assert precious.read_text() == "mine"


def test_a_summary_that_cannot_be_read_is_named(call: Command, ended: Path) -> None:
    (ended / "summary.json").write_text('{"settings": ')
    done = call(TRAIN, *ONE, "reg=l1", "resume=auto")
    [line] = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith(f"error: {ended / 'summary.json'}: cannot be read: ")


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
        ("reg.mine._target_=mine.Penalty", "reg.mine._target_ (none there"),
        ("model.width=13", "model.width (12 there, 13 here)"),
        ("model.scheme._target_=mine.Scheme", "model.scheme._target_ (tvl_lightning"),
        ("model.tau.initial=[1]", "model.tau.initial (none there, [1] here)"),
        ("data._target_=mine.Data", "data._target_ (tvl_lightning.data.MNIST5k there"),
        ("data.batch_size=100", "data.batch_size (200 there, 100 here)"),
        ("data.seed=1", "data.seed (0 there, 1 here)"),
        ("seed=1", "seed (0 there, 1 here)"),
        ("optimizer.lr=0.5", "optimizer.lr (0.01 there, 0.5 here)"),
        ("trainer.precision=64", "trainer.precision (none there, 64 here)"),
        ("trainer.gradient_clip_val=0.1", "trainer.gradient_clip_val (none there, 0.1 here)"),
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
    assert str(refused.value).startswith(f"resume: {last} is of a run with other settings: ")
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
    assert plan(tmp_path, {}, "auto") == Plan()
    (tmp_path / "tau.npz").touch()
    assert plan(tmp_path, {}, "auto") == Plan()
    with pytest.raises(InputError, match="holds a run"):
        plan(tmp_path, {}, None)


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
