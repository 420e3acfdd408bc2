"""What a run was and what came out, as plain data and as one JSON file."""

import json
import platform
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning import Trainer
from lightning.pytorch.loggers import Logger
from torch import nn

import tvl_lightning
from tvl_lightning.files import replacing
from tvl_lightning.training import BestCheckpoint, LastCheckpoint


def count_parameters(network: nn.Module) -> int:
    """How many numbers the network learns."""
    return sum(parameter.numel() for parameter in network.parameters())


def describe_run(trainer: Trainer, start_iteration: int, seconds: float) -> dict[str, Any]:
    """The state at the end of training, which began at `start_iteration` and took `seconds`.

    `tested_checkpoint` is that of the best epoch by validation, or the last one where no images
    validate; `objective` is its validation accuracy, or else the last test accuracy.
    """
    best = _callback(trainer, BestCheckpoint)
    last = _callback(trainer, LastCheckpoint)
    kept = [c.best_model_path for c in (best, last) if c and c.best_model_path]
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    score = best.best_model_score if best else None
    module: Any = trainer.lightning_module
    data = trainer.datamodule  # type: ignore[attr-defined]
    return {
        "metrics": metrics,
        "objective": metrics.get("test/acc", float("nan")) if score is None else float(score),
        "tested_checkpoint": kept[0] if kept else None,
        "diverged_at": last.diverged_at if last else None,
        "epochs": trainer.current_epoch,
        "iterations": trainer.global_step,
        "parameters": count_parameters(module.network),
        "layers": module.network.layers,
        "tau": module.tau.tolist(),
        "seconds": seconds,
        "iterations_per_second": (trainer.global_step - start_iteration) / seconds,
        "data": data.describe() if hasattr(data, "describe") else type(data).__name__,
        "device": torch.cuda.get_device_name(module.device)
        if module.device.type == "cuda"
        else f"{module.device.type}, {torch.get_num_threads()} threads",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "lightning": lightning.__version__,
            "tvl_lightning": tvl_lightning.__version__,
        },
        "git_commit": _git_commit(),
    }


def log_settings(
    loggers: list[Logger],
    choices: Mapping[str, Any],
    settings: Mapping[str, Any],
    summary: dict[str, Any],
) -> None:
    """Give TensorBoard's hyperparameters page one line: the settings and what they reached.

    Args:
        loggers: those of the run.
        choices: what was chosen in each config group.
        settings: the whole configuration; of the groups that matter, all but `_target_` and the
            like is shown.
        summary: that of the run.
    """
    shown: dict[str, Any] = {"seed": settings["seed"]}
    for group in ("model", "scheme", "tau", "reg", "projection", "pruning", "optimizer", "data"):
        shown[group] = str(choices.get(group))
        shown |= {f"{group}/{name}": value for name, value in _leaves(settings[group])}
    reached = {f"hp/{name}": value for name, value in summary.get("test", {}).items()}
    for logger in loggers:
        logger.log_hyperparams(shown, {"hp/objective": summary["objective"], **reached})


def _leaves(node: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}/{rest}", leaf) for rest, leaf in _leaves(value))
        elif not name.startswith("_") and value is not None:
            yield name, value


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content` to `path`, whole or not at all."""
    with replacing(path) as part:
        part.write_text(json.dumps(content, indent=2) + "\n")


def _callback(trainer: Trainer, kind: type) -> Any:
    return next((c for c in trainer.checkpoint_callbacks if isinstance(c, kind)), None)


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
