"""Made-up run directories, and a browser to look at their reports."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tvl_lightning.runs.reading import Array

EPOCHS = 5
TARGET = "tvl_lightning.networks.perceptron"


def settings(layers: int = 6, seed: int = 0, **groups: Any) -> dict[str, Any]:
    """Those of a run, as its summary has them."""
    return {
        "seed": seed,
        "model": {"_target_": TARGET, "hidden_layers": layers, "horizon": 1.0},
        "reg": {"l1": {"_target_": "tvl_lightning.penalties.L1", "weight": 0.01}},
        "pruning": {"_target_": "tvl_lightning.training.AdaptivePruning", "epsilon": 0.05},
        "optimizer": {"_target_": "torch.optim.SGD", "lr": 0.01},
        **groups,
    }


def time_steps(iterations: int, layers: int) -> Array:
    """Row i is after i iterations. Layer 1 leaves after row iterations / 2, layer 2 after that."""
    at = np.arange(iterations + 1)[:, None] / iterations
    tau = (1 + np.arange(layers) * at) / layers
    tau[:, 1:3] = (1 - 0.99 * at) / layers
    tau[iterations // 2 + 1 :, 1] = np.nan
    tau[iterations // 2 + 2 :, 2] = np.nan
    return tau


def write_run(
    folder: Path,
    iterations: int = 100,
    layers: int = 6,
    *,
    seed: int = 0,
    accuracy: float = 0.9,
    tau: Array | None = None,
    chosen: dict[str, Any] | None = None,
    **summary: Any,
) -> Path:
    """A run directory; what is given in `summary` takes the place of what is made up."""
    folder.mkdir(parents=True)
    tau = time_steps(iterations, layers) if tau is None else tau
    iteration = np.arange(len(tau))
    loss = np.append(np.nan, 2.3 / iteration[1:])
    np.savez(
        folder / "tau.npz",
        iteration=iteration,
        tau=tau.astype(np.float32),
        loss=(loss + 0.1).astype(np.float32),
        task_loss=loss.astype(np.float32),
    )
    steps = np.linspace(0, iterations, EPOCHS + 1).astype(int)
    rows = [
        f"{i - 1},{step},{accuracy * i / EPOCHS},{2.3 - i / EPOCHS},{0.1 * i},{i}"
        for i, step in enumerate(steps)
    ]
    head = "epoch,step,val/acc,val/task_loss,penalty/l1,seconds"
    (folder / "metrics.csv").write_text("\n".join([head, *rows]) + "\n")
    left = np.flatnonzero(np.isfinite(tau[-1])).tolist()
    content = {
        "status": "finished",
        "reason": None,
        "settings": settings(layers, seed) if chosen is None else chosen,
        "seed": seed,
        "parameters_before": 130_006,
        "parameters": 89_602,
        "layers": left,
        "tau": tau[-1, left].tolist(),
        "sum_of_tau": float(np.nansum(tau[-1])),
        "horizon": 1.0,
        "iterations": iterations,
        "iterations_per_second": 123.4,
        "objective": accuracy,
        "test": {"test/acc": accuracy - 0.01},
        "device": "cpu, 1 threads",
        "git_commit": "0123456789abcdef0123456789abcdef01234567-dirty",
        "engine": {"name": "eager", "reason": "asked for"},
        "started": "2026-01-31T12:00:00.123456",
        **summary,
    }
    (folder / "summary.json").write_text(json.dumps(content))
    return folder
