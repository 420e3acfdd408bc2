"""A run directory as arrays."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Run:
    """What a run wrote down.

    Attributes:
        folder: the run directory.
        metrics: each column of `metrics.csv`, shape (epochs,), NaN where nothing was logged.
        trajectory: the arrays of `tau.npz`: iteration (n,), tau (n, L-1), loss and task_loss (n,).
        summary: `summary.json`; empty for a run that has not ended.
    """

    folder: Path
    metrics: dict[str, Array]
    trajectory: dict[str, Array]
    summary: dict[str, Any]


def read_run(folder: str | Path) -> Run:
    """Read a run directory; what is missing in it is empty."""
    folder = Path(folder)
    table, trajectory, summary = folder / "metrics.csv", folder / "tau.npz", folder / "summary.json"
    return Run(
        folder,
        _columns(table) if table.is_file() else {},
        dict(np.load(trajectory)) if trajectory.is_file() else {},
        json.loads(summary.read_text()) if summary.is_file() else {},
    )


def _columns(path: Path) -> dict[str, Array]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = rows[0].keys() if rows else []
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in names}
