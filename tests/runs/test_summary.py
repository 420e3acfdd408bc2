"""`summary.json`: what a run was and what came out."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, TensorDataset

from tests.conftest import SMALL, quiet_trainer, settings_in
from tvl_lightning.cli.build import build_parts
from tvl_lightning.runs import summary as module
from tvl_lightning.runs.summary import (
    describe_run,
    evaluate_kept,
    how_it_ended,
)
from tvl_lightning.training import BestCheckpoint, LastCheckpoint, MetricsTable
from tvl_lightning.training.checkpoints import read_checkpoint


def trained(folder: Path, *overrides: str, epochs: int = 2) -> Any:
    parts = build_parts(settings_in(folder, *SMALL, *overrides), folder)
    kept = [
        MetricsTable(folder / "metrics.csv"),
        BestCheckpoint(folder / "checkpoints"),
        LastCheckpoint(folder / "checkpoints"),
    ]
    trainer = quiet_trainer(folder, epochs=epochs)
    trainer.callbacks.extend(kept)  # type: ignore[attr-defined]
    trainer.fit(parts.module, parts.data)
    return trainer


def test_the_state_at_the_end_is_described(tmp_path: Path) -> None:
    trainer = trained(tmp_path)
    assert how_it_ended(trainer) == ("finished", None)
    found = describe_run(trainer, "finished")
    assert json.loads(json.dumps(found)) == found
    assert (found["status"], found["reason"]) == ("finished", None)
    assert (found["epochs"], found["iterations"]) == (2, 36)
    assert found["iterations_per_second"] == pytest.approx(36 / found["seconds"], rel=0.1)
    best = read_checkpoint(tmp_path / "checkpoints" / "best.ckpt")
    [state] = [
        value for key, value in best["callbacks"].items() if key.startswith("BestCheckpoint")
    ]
    assert found["objective"] == state["best_model_score"].item()
    assert found["best"] == {"epoch": found["best"]["epoch"], "val/acc": found["objective"]}
    assert found["tested_checkpoint"] == "checkpoints/best.ckpt"
    assert found["layers"] == [0, 1, 2, 3]
    assert found["tau"] == trainer.lightning_module.tau.tolist()
    assert found["sum_of_tau"] == sum(found["tau"])
    assert found["horizon"] == 1.0
    assert found["data"]["dataset"] == "MNIST5k"
    assert found["device"] == "cpu, 1 threads"
    assert found["versions"].keys() == {"python", "torch", "lightning", "tvl_lightning"}
    assert {"train/loss", "val/acc"} <= found["metrics"].keys()
    assert found["diverged_at"] is None


def test_without_validation_images_the_objective_is_the_last_test_accuracy(tmp_path: Path) -> None:
    found = describe_run(trained(tmp_path, "data.val_size=0"), "finished")
    assert found["objective"] == pytest.approx(found["metrics"]["test/acc"])
    assert found["best"] is None
    assert found["tested_checkpoint"] == "checkpoints/last.ckpt"


def test_a_run_that_keeps_no_checkpoint_tests_its_weights(tmp_path: Path) -> None:
    parts = build_parts(settings_in(tmp_path, *SMALL), tmp_path)
    trainer = quiet_trainer(tmp_path)
    trainer.fit(parts.module, parts.data)
    summary = describe_run(trainer, "finished")
    assert summary["tested_checkpoint"] is None
    found = evaluate_kept(trainer, {**summary, "objective": None})
    assert 0 < found["test"]["test/acc"] < 1
    assert 0 < found["objective"] < 1  # of the validation images
    assert found["objective"] != found["test"]["test/acc"]


def test_a_run_that_diverged_has_the_worst_objective(tmp_path: Path) -> None:
    trainer = trained(tmp_path, "optimizer.lr=1e30")
    status, reason = how_it_ended(trainer)
    assert status == "diverged"
    assert reason is not None
    found = describe_run(trainer, status, reason)
    assert found["objective"] == 0.0
    assert found["diverged_at"] == 18


def test_where_nothing_can_be_tested_nothing_is(tmp_path: Path) -> None:
    class WithoutTest(LightningDataModule):
        def __init__(self, data: LightningDataModule) -> None:
            super().__init__()
            self.data = data

        def setup(self, stage: str) -> None:
            self.data.setup("fit")

        def train_dataloader(self) -> Any:
            images = torch.rand(20, 1, 28, 28)
            return DataLoader(TensorDataset(images, torch.arange(20) % 10), batch_size=10)

    parts = build_parts(settings_in(tmp_path, *SMALL, "engine=lightning"), tmp_path)
    trainer = quiet_trainer(tmp_path)
    trainer.fit(parts.module, WithoutTest(parts.data))
    found = evaluate_kept(trainer, describe_run(trainer, "finished"))
    assert found["test"] is None


def test_the_commit_is_that_of_the_package_and_says_where_it_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "package"
    inside.mkdir()
    monkeypatch.setattr(module, "__file__", str(inside / "summary.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert module._git_commit() is None

    def git(*arguments: str) -> str:
        mine = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_DIR")}
        return subprocess.run(
            ["git", *mine, *arguments],
            cwd=tmp_path,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    (inside / "summary.py").write_text("1")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    assert module._git_commit() == git("rev-parse", "HEAD")
    (inside / "summary.py").write_text("2")
    assert module._git_commit() == git("rev-parse", "HEAD") + "-dirty"
