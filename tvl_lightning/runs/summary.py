"""What a run was and what came out, as plain data and as one JSON file."""

import logging
import math
import platform
import subprocess
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning import LightningDataModule, Trainer
from lightning.pytorch.callbacks import Timer

import tvl_lightning
from tvl_lightning.training import BestCheckpoint, LastCheckpoint, MetricsTable, StopHopeless
from tvl_lightning.training.callbacks.checkpoints import network_state

log = logging.getLogger(__name__)

FINISHED, STOPPED, DIVERGED, FAILED = "finished", "stopped", "diverged", "failed"


def how_it_ended(trainer: Trainer) -> tuple[str, str | None]:
    """The status of a run whose training came to its own end, and why that was not `max_epochs`."""
    last = _callback(trainer, LastCheckpoint)
    if last and last.diverged_at is not None:
        return DIVERGED, f"the loss is not finite at iteration {last.diverged_at}"
    timer = _callback(trainer, Timer)
    if timer and (timer.time_remaining() or 0) <= 0:
        return STOPPED, "trainer.max_time"
    hopeless = _callback(trainer, StopHopeless)
    if hopeless and hopeless.reason:
        return STOPPED, hopeless.reason
    if 0 <= trainer.max_steps <= trainer.global_step:
        return FINISHED, "trainer.max_steps"
    if trainer.max_epochs is not None and 0 <= trainer.max_epochs <= trainer.current_epoch:
        return FINISHED, None
    return FINISHED, f"a callback ended training in epoch {trainer.current_epoch - 1}"


def describe_run(trainer: Trainer, status: str, reason: str | None = None) -> dict[str, Any]:
    """What came out of training.

    `tested_checkpoint`, relative to the run folder, is that of the best epoch by validation, or the
    end of the run where no images validate; `objective` is its validation accuracy, or else the
    last test accuracy, and 0 for a run that diverged. Of a run that was stopped by
    a signal the state is that of `last.ckpt`.
    """
    best, last = _callback(trainer, BestCheckpoint), _callback(trainer, LastCheckpoint)
    table = _callback(trainer, MetricsTable)
    module: Any = trainer.lightning_module
    state = {
        "epochs": trainer.current_epoch,
        "iterations": trainer.global_step,
        **network_state(module),
    }
    if last and status == STOPPED and last.end is None:
        state = last.kept or {**state, "epochs": 0, "iterations": 0}
    epoch = state["epochs"] - (0 if last and last.end else 1)
    row = table.rows.get(epoch, {}) if table else {}
    metrics = _metrics(row) or {k: float(v) for k, v in trainer.callback_metrics.items()}
    chosen = _best(best, table)
    objective = metrics.get("test/acc") if chosen is None else chosen["val/acc"]
    if status == DIVERGED:
        objective = 0.0
    seconds = table.seconds if table else None
    kept = [best and best.best_model_path, last and last.end, last and last.best_model_path]
    tested = next((Path(path) for path in kept if path), None)
    data = trainer.datamodule  # type: ignore[attr-defined]
    return {
        "status": status,
        "reason": reason,
        "metrics": metrics,
        "objective": objective,
        "best": chosen,
        "tested_checkpoint": tested and _relative(tested, trainer.default_root_dir),
        "diverged_at": last.diverged_at if last else None,
        **state,
        "sum_of_tau": sum(state["tau"]),
        "horizon": module.network.time_steps.horizon,
        "seconds": seconds,
        "iterations_per_second": state["iterations"] / seconds if seconds else None,
        "data": data.describe() if hasattr(data, "describe") else type(data).__name__,
        "device": torch.cuda.get_device_name(module.device)
        if module.device.type == "cuda"
        else f"{module.device.type}, {torch.get_num_threads()} threads",
        **where(),
    }


def evaluate_kept(trainer: Trainer, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Test the kept checkpoint, or where there is none the weights as they are.

    A run that kept no checkpoint of a validated epoch is validated first: that is its objective.
    """
    module: Any = trainer.lightning_module
    data = trainer.datamodule  # type: ignore[attr-defined]
    found: dict[str, Any] = {}
    loggers = trainer.loggers
    if "test/acc" in summary["metrics"]:
        trainer.loggers = []  # the curve of the test set has this point already
    try:
        validates = getattr(data, "validates_on", "val") == "val" and _has(data, "val_dataloader")
        if summary["objective"] is None and validates:
            [validated] = trainer.validate(module, data, verbose=False) or [{}]
            found["objective"] = validated.get("val/acc")
        if not _has(data, "test_dataloader"):
            log.info("%s has no test_dataloader: nothing is tested", type(data).__name__)
            return {**found, "test": None}
        kept = summary["tested_checkpoint"]
        path = str(Path(trainer.default_root_dir) / kept) if kept else None
        [tested] = trainer.test(module, data, ckpt_path=path, weights_only=True, verbose=False)
    finally:
        trainer.loggers = loggers
    found["test"] = {name: value for name, value in tested.items() if name != "step"}
    if found.get("objective", summary["objective"]) is None:
        found["objective"] = found["test"].get("test/acc")
    return found


def _has(data: Any, loader: str) -> bool:
    return getattr(type(data), loader) is not getattr(LightningDataModule, loader)


def now() -> str:
    """The time, to seconds, with its zone."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def where() -> dict[str, Any]:
    """The versions and the commit that a run is made with."""
    return {
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "lightning": lightning.__version__,
            "tvl_lightning": tvl_lightning.__version__,
        },
        "git_commit": _git_commit(),
    }


def _metrics(row: Mapping[str, Any]) -> dict[str, float]:
    """Of a row of the table the metrics: those with a name like `val/acc`, and the rate."""
    return {name: float(v) for name, v in row.items() if "/" in name or name == "lr"}


def _relative(path: Path, folder: str) -> str:
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _best(best: BestCheckpoint | None, table: MetricsTable | None) -> dict[str, Any] | None:
    """The epoch that the best checkpoint is of, with its validation accuracy and what chose it."""
    if best is None or best.best_model_score is None:
        return None
    score, name = float(best.best_model_score), str(best.monitor)
    rows = table.rows.items() if table else ()
    epochs = [epoch for epoch, row in rows if epoch >= 0 and _equal(row.get(name), score)]
    epoch = min(epochs, default=None)
    row = table.rows[epoch] if table and epoch is not None else {}
    accuracy = float(row["val/acc"]) if row.get("val/acc") not in (None, "") else None
    return {"epoch": epoch, "val/acc": accuracy, name: score}


def _equal(value: Any, score: float) -> bool:
    return value not in (None, "") and math.isclose(float(value), score, rel_tol=1e-6)


def _callback(trainer: Trainer, kind: type) -> Any:
    callbacks: Any = trainer.callbacks  # type: ignore[attr-defined]
    return next((c for c in callbacks if isinstance(c, kind)), None)


def _git_commit() -> str | None:
    """The commit of the checkout that this package runs from, `-dirty` where it was changed."""
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
