"""The command that trains, from end to end."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from tests.conftest import SMALL, Command
from tests.runs.same_end import assert_same_end, last_weights

TRAIN = "tvl_lightning.train"


def table(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def summary_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "summary.json").read_text())  # type: ignore[no-any-return]


def test_a_run_directory_holds_all_that_a_study_needs(command: Command, tmp_path: Path) -> None:
    done = command(TRAIN, *SMALL, "model=fractional", "reg=[l1,horizon]", "trainer.max_epochs=3")
    assert done.returncode == 0, done.stderr
    [run] = (tmp_path / "outputs" / "train").glob("*/*")
    assert f"tensorboard --logdir {run.relative_to(tmp_path)}" in done.stdout
    assert "test/acc" in done.stdout
    assert {p.name for p in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert {p.name for p in (run / "figures").iterdir()} == {
        *("tau.png", "tau.svg", "curves.png", "curves.svg")
    }
    assert {p.name for p in (run / ".hydra").iterdir()} == {
        *("config.yaml", "hydra.yaml", "overrides.yaml")
    }
    assert (run / "train.log").is_file()
    assert (run / "report.html").is_file()

    rows = table(run)
    assert [row["epoch"] for row in rows] == ["-1", "0", "1", "2"]
    assert [row["step"] for row in rows] == ["0", "18", "36", "54"]
    learned = {"train/loss", "train/task_loss", "train/acc", "lr"}
    measured = {"val/task_loss", "val/acc", "penalty/l1", "penalty/horizon"}
    always = {"epoch", "step", "sum_of_tau", "layers", "parameters", "seconds"}
    assert rows[0].keys() == learned | measured | always
    assert all(all(row.values()) for row in rows[1:])
    assert {name for name, value in rows[0].items() if value} == measured | always

    with np.load(run / "tau.npz") as file:
        trajectory = dict(file)
    assert trajectory["iteration"].tolist() == list(range(3 * 18 + 1))
    assert trajectory["tau"].shape == (55, 4)
    assert np.isfinite(trajectory["tau"]).all()
    assert (trajectory["loss"] > trajectory["task_loss"])[1:].all()
    for row in rows:
        tau = trajectory["tau"][int(row["step"])]
        assert float(row["sum_of_tau"]) == pytest.approx(tau.sum())

    summary = summary_of(run)
    assert summary["parameters_before"] == summary["parameters"] == int(rows[-1]["parameters"])
    assert summary["layers"] == [0, 1, 2, 3]
    assert summary["objective"] == pytest.approx(max(float(row["val/acc"]) for row in rows))
    assert summary["data"]["train_images"] == 3600
    assert summary["tested_checkpoint"].endswith("best.ckpt")
    assert 0 < summary["test"]["test/acc"] <= 1
    assert summary["iterations"] == 54

    events = EventAccumulator(str(run)).Reload()
    tags = set(events.Tags()["scalars"])
    assert {"tau/00", "tau/03", "penalty/l1", "val/acc", "train/loss", "result/test/acc"} <= tags
    assert "custom_scalars__config__" in events.Tags()["tensors"]
    plugin = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    shown = HParamsPluginData.FromString(plugin).session_start_info.hparams
    assert shown["1 model"].string_value == "fractional"
    assert shown["reg/l1/weight"].number_value == 0.01
    assert not any("_target_" in name for name in shown)


def test_the_same_seed_gives_the_same_run_and_another_seed_another(
    call: Command, tmp_path: Path
) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        arguments = (f"seed={seed}", "trainer.max_epochs=2", f"hydra.run.dir={name}")
        assert call(TRAIN, *SMALL, *arguments).returncode == 0
    assert_same_end(tmp_path / "a", tmp_path / "b")
    one, other = last_weights(tmp_path / "a"), last_weights(tmp_path / "c")
    assert not torch.equal(one["network.decoder.weight"], other["network.decoder.weight"])


def test_without_validation_images_the_test_set_is_evaluated_after_every_epoch(
    call: Command, tmp_path: Path
) -> None:
    arguments = ("data.val_size=0", "trainer.max_epochs=2", "hydra.run.dir=run")
    assert call(TRAIN, *SMALL, *arguments).returncode == 0
    summary, rows = summary_of(tmp_path / "run"), table(tmp_path / "run")
    assert [row["epoch"] for row in rows] == ["-1", "0", "1"]
    assert all(row["test/acc"] for row in rows)
    assert "val/acc" not in rows[0]
    assert summary["data"]["train_images"] == 4000
    assert summary["tested_checkpoint"].endswith("last.ckpt")
    assert float(rows[-1]["test/acc"]) == pytest.approx(summary["test"]["test/acc"])


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_good_checkpoint(
    call: Command, tmp_path: Path
) -> None:
    good = ("trainer.max_epochs=1", "hydra.run.dir=run")
    assert call(TRAIN, *SMALL, *good).returncode == 0
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    content = torch.load(last, weights_only=True)
    content["optimizer_states"][0]["param_groups"][0]["lr"] = 1e30
    torch.save(content, last)
    done = call(TRAIN, *SMALL, f"resume={last}", "trainer.max_epochs=5", "+trainer.min_epochs=4")
    assert done.returncode == 2
    assert "trainer.min_epochs (none there, 4 here)" in done.stderr
    done = call(TRAIN, f"resume={last}", "trainer.max_epochs=5")
    assert done.returncode == 3, done.stderr
    assert "the loss is not finite in epoch 1" in done.stdout
    assert "last good checkpoint" in done.stdout
    assert last_weights(tmp_path / "run")["epoch"] == 0
    assert all(
        value.isfinite().all()
        for value in last_weights(tmp_path / "run").values()
        if isinstance(value, torch.Tensor) and value.is_floating_point()
    )
    summary = summary_of(tmp_path / "run")
    assert summary["diverged_at"] == 36
    assert (summary["status"], summary["objective"]) == ("diverged", 0.0)


@pytest.mark.parametrize("engine", ["eager", "lightning"])
def test_a_loss_that_is_not_finite_is_seen_within_an_epoch(
    call: Command, tmp_path: Path, engine: str
) -> None:
    many = ["data.batch_size=4", "engine.chunk=30", "optimizer.lr=1e30"]  # 900 iterations an epoch
    done = call(TRAIN, *SMALL, *many, f"engine={engine}", "hydra.run.dir=run")
    assert done.returncode == 3, done.stderr
    summary = summary_of(tmp_path / "run")
    assert 50 <= summary["diverged_at"] <= 80
    assert summary["iterations"] == summary["diverged_at"]


OWN = """
import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, TensorDataset

class Data(LightningDataModule):
    def train_dataloader(self):
        inputs = torch.rand(64, 20, generator=torch.Generator().manual_seed(0))
        return DataLoader(TensorDataset(inputs, torch.arange(64) % 3), batch_size=16)
    val_dataloader = test_dataloader = train_dataloader

class Field(torch.nn.Sequential):
    def __init__(self, width):
        super().__init__(torch.nn.LayerNorm(width), torch.nn.Linear(width, width))

class Entropy:
    def __call__(self, tau):
        return (tau * tau.log()).sum()
"""


@pytest.mark.slow
def test_parts_of_ones_own_are_trained_resumed_and_evaluated_by_the_command(
    command: Command, call: Command, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    for path, text in {
        "data/mine.yaml": "_target_: mine.Data",
        "reg/entropy.yaml": "entropy: {_target_: mine.Entropy}",
    }.items():
        (tmp_path / "configs" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "configs" / path).write_text(text)
    own = ["data=mine", "reg=entropy", "model.field={_target_: mine.Field, _partial_: true}"]
    train = [TRAIN, "--config-dir", "configs", *own, "model.width=12"]
    done = command(*train, "trainer.max_epochs=1", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert "in the training data: in_shape [20], classes 3" in done.stdout
    summary = summary_of(tmp_path / "run")
    assert summary["engine"]["name"] == "lightning"
    assert "data other than a TensorData (Data)" in summary["engine"]["reason"]
    assert summary["metrics"]["penalty/entropy"] < 0
    assert summary["parameters"] == 20 * 12 + 12 + 5 * (24 + 12 * 12 + 12) + 12 * 3 + 6

    done = command(*train, "trainer.max_epochs=2", "resume=run/checkpoints/last.ckpt")
    assert done.returncode == 0, done.stderr
    assert [row["epoch"] for row in table(tmp_path / "run")] == ["-1", "0", "1"]
    tested = summary_of(tmp_path / "run")["test"]

    evaluate = ["tvl_lightning.evaluate", "checkpoint=run/checkpoints/best.ckpt"]
    done = call(*evaluate)
    assert done.returncode == 2
    assert done.stderr.endswith("checkpoint=run/checkpoints/best.ckpt 'trust=[mine]'\n")
    assert len(done.stderr.splitlines()) == 1
    done = command(*evaluate, "trust=[mine]", "hydra.run.dir=evaluation")
    assert done.returncode == 0, done.stderr
    evaluation = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    assert evaluation["test"] == pytest.approx(tested)
    assert evaluation["data"] == "Data"


@pytest.mark.slow
def test_a_sweep_runs_over_every_group_and_gets_the_validation_accuracy(
    call: Command, tmp_path: Path
) -> None:
    sweep = ["model=resnet,fractional", "tau=learned,final,simplex", "reg=none,[l1,horizon]"]
    done = call(TRAIN, "-m", *SMALL, *sweep, "trainer.max_epochs=1")
    assert done.returncode == 0, done.stderr
    [folder] = (tmp_path / "outputs" / "sweeps").iterdir()
    runs = sorted(folder.glob("*/summary.json"))
    assert len(runs) == 12
    objectives = [json.loads(path.read_text())["objective"] for path in runs]
    assert all(0 < objective < 1 for objective in objectives)


@pytest.mark.slow
def test_a_study_over_the_penalty_weights_maximises_the_validation_accuracy(
    command: Command, tmp_path: Path
) -> None:
    study = ["hparams_search=penalties", "hydra.sweeper.n_trials=2", "trainer.max_epochs=1"]
    done = command(TRAIN, "-m", *SMALL, *study)
    assert done.returncode == 0, done.stderr
    [folder] = (tmp_path / "outputs" / "sweeps").iterdir()
    runs = [json.loads(path.read_text()) for path in folder.glob("*/summary.json")]
    assert len(runs) == 2
    best = max(run["objective"] for run in runs)
    assert f"best_value: {best}" in (folder / "optimization_results.yaml").read_text()
    assert all({"penalty/l1", "penalty/horizon"} <= run["metrics"].keys() for run in runs)
