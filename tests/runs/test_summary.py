"""`summary.json`: what a run was and what came out."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.loggers import Logger
from torch import nn

from tests.conftest import SMALL, quiet_trainer, settings_in
from tvl_lightning.cli.build import build_parts
from tvl_lightning.runs import summary as module
from tvl_lightning.runs.summary import (
    count_parameters,
    describe_run,
    log_settings,
    write_json,
)
from tvl_lightning.training import BestCheckpoint, LastCheckpoint


def trained(folder: Path, *overrides: str, epochs: int = 2) -> Any:
    parts = build_parts(settings_in(folder, *SMALL, *overrides), folder)
    kept = [BestCheckpoint(folder / "checkpoints"), LastCheckpoint(folder / "checkpoints")]
    trainer = quiet_trainer(folder, epochs=epochs)
    trainer.callbacks.extend(kept)  # type: ignore[attr-defined]
    trainer.fit(parts.module, parts.data)
    return trainer


def test_every_number_that_is_learned_is_counted() -> None:
    layer = nn.Linear(3, 4)
    shared = nn.Sequential(layer, nn.ReLU(), layer, nn.BatchNorm1d(4))
    assert count_parameters(shared) == 3 * 4 + 4 + 2 * 4


def test_the_state_at_the_end_is_described(tmp_path: Path) -> None:
    trainer = trained(tmp_path)
    found = describe_run(trainer, start_iteration=18, seconds=2.0)
    assert json.loads(json.dumps(found)) == found
    assert (found["epochs"], found["iterations"]) == (2, 36)
    assert found["iterations_per_second"] == 9.0  # of this leg
    assert found["objective"] == max(
        torch.load(path, weights_only=True)["callbacks"][key]["best_model_score"].item()
        for path in (tmp_path / "checkpoints").glob("best.ckpt")
        for key in torch.load(path, weights_only=True)["callbacks"]
        if key.startswith("BestCheckpoint")
    )
    assert found["tested_checkpoint"] == str(tmp_path / "checkpoints" / "best.ckpt")
    assert found["layers"] == [0, 1, 2, 3]
    assert found["tau"] == trainer.lightning_module.tau.tolist()
    assert found["data"]["dataset"] == "MNIST5k"
    assert found["device"] == "cpu, 1 threads"
    assert found["versions"].keys() == {"python", "torch", "lightning", "tvl_lightning"}
    assert {"train/loss", "val/acc"} <= found["metrics"].keys()
    assert found["diverged_at"] is None


def test_without_validation_images_the_objective_is_the_last_test_accuracy(tmp_path: Path) -> None:
    found = describe_run(trained(tmp_path, "data.val_size=0"), 0, 1.0)
    assert found["objective"] == found["metrics"]["test/acc"]
    assert found["tested_checkpoint"] == str(tmp_path / "checkpoints" / "last.ckpt")


def test_a_run_that_keeps_no_checkpoint_tests_none(tmp_path: Path) -> None:
    parts = build_parts(settings_in(tmp_path, *SMALL), tmp_path)
    trainer = quiet_trainer(tmp_path)
    trainer.fit(parts.module, parts.data)
    assert describe_run(trainer, 0, 1.0)["tested_checkpoint"] is None


class Kept(Logger):
    name, version = "kept", ""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self.reached: dict[str, Any] = {}

    def log_metrics(self, *_: Any, **__: Any) -> None:
        raise AssertionError("a line of the hyperparameters page is no point of a curve")

    def log_hyperparams(self, settings: Any, reached: Any) -> None:  # type: ignore[override]
        self.settings, self.reached = settings, reached


def test_the_loggers_get_the_settings_that_matter_and_what_they_reached(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, *SMALL, "model=fractional", "reg=[l1,horizon]", "seed=3")
    logger = Kept()
    reached = {"objective": 0.5, "test": {"test/acc": 0.25}}
    log_settings([logger], {"model": "fractional", "reg": ["l1"]}, settings, reached)
    assert logger.reached == {"hp/objective": 0.5, "hp/test/acc": 0.25}
    assert logger.settings["seed"] == 3
    assert logger.settings["model"] == "fractional"
    assert logger.settings["model/width"] == 12
    assert logger.settings["scheme/gamma"] == 0.5
    assert logger.settings["reg/horizon/weight"] == 0.5
    assert not any("_target_" in name or "_partial_" in name for name in logger.settings)
    assert None not in logger.settings.values()


def test_a_summary_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_json(path, {"τ": [1, 2]})
    with pytest.raises(TypeError):
        write_json(path, {"τ": object()})
    assert json.loads(path.read_text()) == {"τ": [1, 2]}
    assert [p.name for p in tmp_path.iterdir()] == ["summary.json"]


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
