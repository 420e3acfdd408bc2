import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from tests.conftest import SMALL, Command

TRAIN = "tvl_lightning.train"


def last_weights(run: Path) -> dict[str, Any]:
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return {"epoch": content["epoch"], **content["state_dict"]}


def assert_same_end(one: Path, other: Path) -> None:
    first, second = last_weights(one), last_weights(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, second[name]), name
        else:
            assert value == second[name], name
    with np.load(one / "tau.npz") as a, np.load(other / "tau.npz") as b:
        for name in a.files:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert (one / "metrics.csv").read_text() == (other / "metrics.csv").read_text()


def test_a_run_directory_holds_all_that_a_study_needs(command: Command, tmp_path: Path) -> None:
    done = command(TRAIN, *SMALL, "model=fractional", "reg=[l1,horizon]", "trainer.max_epochs=3")
    assert done.returncode == 0, done.stderr
    [run] = (tmp_path / "outputs" / "train").glob("*/*")
    assert f"tensorboard --logdir {run}" in done.stdout
    assert "test/acc" in done.stdout
    assert {p.name for p in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert {p.name for p in (run / "figures").iterdir()} == {"tau.png", "curves.png"}
    assert (run / ".hydra" / "overrides.yaml").is_file()
    assert (run / "train.log").is_file()

    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["-1", "0", "1", "2"]
    columns = {"train/loss", "train/task_loss", "train/acc", "val/task_loss", "val/acc"}
    assert columns | {"penalty/l1", "penalty/horizon"} <= rows[0].keys()
    assert all(row[name] for row in rows[1:] for name in columns)
    before_training = {name for name, value in rows[0].items() if value}
    measured = {"val/task_loss", "val/acc", "penalty/l1", "penalty/horizon"}
    assert before_training == measured | {"epoch", "step"}

    with np.load(run / "tau.npz") as file:
        trajectory = dict(file)
    assert trajectory["iteration"].tolist() == list(range(1, 3 * 18 + 1))
    assert trajectory["tau"].shape == (54, 4)
    assert np.isfinite(trajectory["tau"]).all()
    assert (trajectory["loss"] > trajectory["task_loss"]).all()

    summary = json.loads((run / "summary.json").read_text())
    assert summary["parameters_before"] == summary["parameters"]
    assert summary["layers"] == [0, 1, 2, 3]
    assert summary["objective"] == pytest.approx(max(float(row["val/acc"]) for row in rows))
    assert summary["data"]["train_images"] == 3600
    assert summary["tested_checkpoint"].endswith("best.ckpt")
    assert 0 < summary["test"]["test/acc"] <= 1
    assert summary["iterations"] == 54

    events = EventAccumulator(str(run / "tensorboard")).Reload()
    tags = set(events.Tags()["scalars"])
    assert {"tau/00", "tau/03", "penalty/l1", "val/acc", "train/loss", "hp/test/acc"} <= tags
    assert "custom_scalars__config__" in events.Tags()["tensors"]
    plugin = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    shown = HParamsPluginData.FromString(plugin).session_start_info.hparams
    assert shown["model"].string_value == "fractional"
    assert shown["reg/l1/weight"].number_value == 0.01
    assert not any("_target_" in name for name in shown)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(
    command: Command, tmp_path: Path
) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        arguments = (f"seed={seed}", "trainer.max_epochs=2", f"hydra.run.dir={name}")
        assert command(TRAIN, *SMALL, *arguments).returncode == 0
    assert_same_end(tmp_path / "a", tmp_path / "b")
    one, other = last_weights(tmp_path / "a"), last_weights(tmp_path / "c")
    assert not torch.equal(one["network.output.weight"], other["network.output.weight"])


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
@pytest.mark.parametrize("settings", [PRUNED, ["model=fractional", "tau=final"]])
def test_a_killed_run_resumes_to_the_end_of_one_that_was_never_stopped(
    command: Command, tmp_path: Path, settings: list[str]
) -> None:
    arguments = [*SMALL, *settings, "trainer.max_epochs=12"]
    done = command(TRAIN, *arguments, "hydra.run.dir=whole")
    assert done.returncode == 0, done.stderr
    killed, last = tmp_path / "killed", tmp_path / "killed" / "checkpoints" / "last.ckpt"
    for kill_after in (2, 3):  # epochs
        seen = set[int]()
        process = subprocess.Popen(
            [sys.executable, "-m", TRAIN, *arguments, "hydra.run.dir=killed"]
            + ([f"resume={last}"] if last.exists() else []),
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        before = last.stat().st_mtime_ns if last.exists() else 0
        deadline = time.monotonic() + 60
        while len(seen) < kill_after and process.poll() is None and time.monotonic() < deadline:
            if last.exists() and last.stat().st_mtime_ns != before:
                seen.add(last.stat().st_mtime_ns)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    done = command(TRAIN, *arguments, f"resume={last}")
    assert done.returncode == 0, done.stderr
    assert f"tensorboard --logdir {killed}" in done.stdout
    assert_same_end(tmp_path / "whole", killed)
    layers = json.loads((killed / "summary.json").read_text())["layers"]
    assert (len(layers) < 4) == (settings is PRUNED)


def test_runs_that_start_in_the_same_second_have_their_own_folders(
    command: Command, tmp_path: Path
) -> None:
    from tvl_lightning.entry import unique_folder

    folders = {unique_folder(str(tmp_path / "2026-01-31" / "12-00-00")) for _ in range(3)}
    assert len(folders) == 3
    assert all(Path(folder).is_dir() for folder in folders)


@pytest.mark.slow
def test_a_sweep_runs_over_every_group_and_gets_the_validation_accuracy(
    command: Command, tmp_path: Path
) -> None:
    sweep = ["model=resnet,fractional", "tau=learned,final,simplex", "reg=none,[l1,horizon]"]
    done = command(TRAIN, "-m", *SMALL, *sweep, "trainer.max_epochs=1", timeout=300)
    assert done.returncode == 0, done.stderr
    [folder] = (tmp_path / "outputs" / "sweeps").iterdir()
    runs = sorted(folder.glob("*/summary.json"))
    assert len(runs) == 12
    objectives = [json.loads(path.read_text())["objective"] for path in runs]
    assert all(0 < objective < 1 for objective in objectives)


def test_without_validation_images_the_test_set_is_evaluated_after_every_epoch(
    command: Command, tmp_path: Path
) -> None:
    arguments = ("data.val_size=0", "trainer.max_epochs=2", "hydra.run.dir=run")
    assert command(TRAIN, *SMALL, *arguments).returncode == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    with (tmp_path / "run" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["-1", "0", "1"]
    assert all(row["test/acc"] for row in rows)
    assert "val/acc" not in rows[0]
    assert summary["data"]["train_images"] == 4000
    assert summary["tested_checkpoint"].endswith("last.ckpt")
    assert float(rows[-1]["test/acc"]) == pytest.approx(summary["test"]["test/acc"])


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_good_checkpoint(
    command: Command, tmp_path: Path
) -> None:
    good = ("trainer.max_epochs=1", "hydra.run.dir=run")
    assert command(TRAIN, *SMALL, *good).returncode == 0
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    content = torch.load(last, weights_only=True)
    content["optimizer_states"][0]["param_groups"][0]["lr"] = 1e30
    torch.save(content, last)
    done = command(TRAIN, *SMALL, f"resume={last}", "trainer.max_epochs=5")
    assert done.returncode == 0, done.stderr
    assert "the loss is not finite in epoch 1" in done.stdout
    assert "last good checkpoint" in done.stdout
    assert last_weights(tmp_path / "run")["epoch"] == 0
    assert all(
        value.isfinite().all()
        for value in last_weights(tmp_path / "run").values()
        if isinstance(value, torch.Tensor) and value.is_floating_point()
    )
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["diverged_at"] == 36


REFUSED = [
    ("model.horizon=0", "model.horizon=0: must be a number above 0"),
    ("model.horizon=abc", "model.horizon=abc: must be a number above 0"),
    ("model.hidden_layers=0", "model.hidden_layers=0: must be a whole number of at least 1"),
    ("model=cnn", "Could not find 'model/cnn' Available options in 'model': fractional resnet"),
    ("reg=l1 reg.l1.weight=-1", "reg.l1.weight=-1: must be a number of at least 0"),
    ("model=fractional model.gamma=1.5", "model.gamma=1.5: must be a number in (0, 1]"),
    ("model=fractional model.gamma=0", "model.gamma=0: must be a number in (0, 1]"),
    ("pruning=adaptive pruning.epsilon=1", "pruning.epsilon=1: must be a number in [0, 1)"),
    ("data.val_size=1", "data.val_size=1: must be a fraction in [0, 1)"),
    ("optimizer.lr=0", "optimizer.lr=0: must be a number above 0"),
    ("nonsense=1", "Could not override 'nonsense'"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_bad_settings_are_refused_in_one_line_before_torch_is_imported(
    command: Command, tmp_path: Path, arguments: str, message: str
) -> None:
    (tmp_path / "torch.py").write_text("raise AssertionError('torch was imported')")
    done = command(TRAIN, *arguments.split())
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"error: {message}") or message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("outputs/train/*/*/checkpoints"))


LATE = [
    ("data.batch_size=3601", "data.batch_size=3601: must be at most 3600"),
    ("model=fractional pruning=adaptive", "the history goes through it"),
    ("tau=final projection=simplex", "projection=simplex: needs tau=learned"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "message"), LATE)
def test_settings_that_do_not_fit_together_are_refused_in_one_line(
    command: Command, arguments: str, message: str
) -> None:
    done = command(TRAIN, *arguments.split())
    assert done.returncode == 2
    assert message in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error:")]) == 1
    assert "Traceback" not in done.stderr


def test_a_horizon_penalty_on_the_simplex_is_warned_about(command: Command) -> None:
    done = command(TRAIN, *SMALL, "tau=simplex", "reg=horizon", "trainer.max_epochs=1")
    assert done.returncode == 0, done.stderr
    assert "reg=horizon has nothing to penalise" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "count"), [([], 1), (["-m", "seed=0,1"], 2)])
def test_two_processes_share_one_run_directory(
    command: Command, tmp_path: Path, mode: list[str], count: int
) -> None:
    done = command(
        TRAIN, *mode, *SMALL, "trainer=ddp", "trainer.accelerator=cpu", "trainer.max_epochs=2"
    )
    assert done.returncode == 0, done.stderr
    runs = [path.parent for path in (tmp_path / "outputs").rglob("summary.json")]
    assert len(runs) == count
    for run in runs:
        assert json.loads((run / "summary.json").read_text())["iterations"] == 18
    assert {p.parent for p in (tmp_path / "outputs").rglob("*.ckpt")} == {
        run / "checkpoints" for run in runs
    }


def test_parts_of_the_users_own_come_from_a_folder_of_configs(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        """
import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, TensorDataset

class Data(LightningDataModule):
    def train_dataloader(self):
        return DataLoader(TensorDataset(torch.rand(64, 20), torch.arange(64) % 3), batch_size=16)
    val_dataloader = test_dataloader = train_dataloader

class Block(torch.nn.Sequential):
    def __init__(self):
        super().__init__(torch.nn.LayerNorm(12), torch.nn.Linear(12, 12))

def entropy(tau):
    return (tau * tau.log()).sum()
"""
    )
    for path, text in {
        "data/mine.yaml": "_target_: mine.Data",
        "reg/entropy.yaml": "entropy: {_target_: hydra.utils.get_method, path: mine.entropy}",
    }.items():
        (tmp_path / "configs" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "configs" / path).write_text(text)
    own = ["data=mine", "reg=entropy", "model.block={_target_: mine.Block, _partial_: true}"]
    sizes = ["model.in_features=20", "model.width=12", "model.out_features=3"]
    run = ("trainer.max_epochs=1", "hydra.run.dir=run")
    done = command(TRAIN, "--config-dir", "configs", *own, *sizes, *run)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["metrics"]["penalty/entropy"] < 0
    assert summary["parameters"] == 20 * 12 + 12 + 5 * (24 + 12 * 12 + 12) + 12 * 3 + 6

    done = command("tvl_lightning.evaluate", "checkpoint=run/checkpoints/last.ckpt")
    assert done.returncode == 2
    assert "the checkpoint does not name its data" in done.stderr


@pytest.mark.slow
def test_a_study_over_the_penalty_weights_maximises_the_validation_accuracy(
    command: Command, tmp_path: Path
) -> None:
    study = ["hparams_search=optuna", "hydra.sweeper.n_trials=2", "trainer.max_epochs=1"]
    done = command(TRAIN, "-m", *SMALL, *study)
    assert done.returncode == 0, done.stderr
    [folder] = (tmp_path / "outputs" / "sweeps").iterdir()
    runs = [json.loads(path.read_text()) for path in folder.glob("*/summary.json")]
    assert len(runs) == 2
    best = max(run["objective"] for run in runs)
    assert f"best_value: {best}" in (folder / "optimization_results.yaml").read_text()
    assert all({"penalty/l1", "penalty/horizon"} <= run["metrics"].keys() for run in runs)
