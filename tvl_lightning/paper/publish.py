"""Make a study small enough to be kept with the code: some 30 kB a run.

    python -m tvl_lightning.paper.publish FOLDER [TO]

writes to TO, which is FOLDER-published where it is not given, a folder for each run: its settings
and versions, its metrics, its measures, which need every iteration, and τ and the loss thinned to
some hundred iterations. Figures, claims and the write-up are made from it as from the runs.
"""

import csv
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tvl_lightning.files import replacing, write_json
from tvl_lightning.paper.command import on_folder
from tvl_lightning.paper.study import MEASURES, READ, MeasuredRun, read_study

BINS = 250  # of τ, even in the iteration, and as many even in its logarithm
GROUPS = (
    *("model", "scheme", "tau", "reg", "projection", "pruning", "optimizer", "scheduler", "data"),
    *("trainer", "seed", "variant"),
)
SAID = ("status", "seed", "engine", "data", "git_commit", *READ["summary"])


def publish(folder: Path, to: Path | None = None) -> None:
    """Write the runs under `folder` to `to`, thinned."""
    to = to or folder.with_name(f"{folder.resolve().name}-published")
    study = read_study(folder)
    for shown, runs in study.runs.items():
        for seed, run in runs.items():
            _publish(run, to / f"{shown}-seed{seed}")
    size = sum(path.stat().st_size for path in to.rglob("*") if path.is_file())
    print(f"written: {to}, {len(study.every_run())} runs, {size / 1e6:.1f} MB")


def _publish(run: MeasuredRun, to: Path) -> None:
    metrics = {
        name: column
        for name, column in run.metrics.items()
        if name in READ["metrics"] or name.startswith("penalty/")
    }
    with replacing(to / "metrics.csv") as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(metrics)
        rows = zip(*metrics.values(), strict=True)
        writer.writerows([[f"{value}" for value in row] for row in rows])
    kept = _kept(len(run.trajectory["tau"]))
    iteration, tau, loss = (run.trajectory[name][kept] for name in READ["trajectory"])
    arrays = {"tau": np.float32(tau), "loss": np.float32(loss)}
    with replacing(to / "tau.npz") as part, part.open("wb") as file:
        np.savez(file, iteration=np.int32(iteration), **arrays)
    said = {name: run.summary[name] for name in SAID if name in run.summary}
    settings = {name: run.summary["settings"].get(name) for name in GROUPS}
    # where the files of the data lay changes nothing, and is nobody's business
    settings["data"] = {k: v for k, v in settings["data"].items() if k != "root"}
    said["data"] = {k: v for k, v in said.get("data", {}).items() if k != "source"}
    write_json(to / "summary.json", {"settings": settings, **said})
    write_json(to / MEASURES, asdict(run.measures))


def _kept(n: int) -> Any:
    """The rows of n that stay: dense at the start and even later on; the last is among them."""
    even, early = np.linspace(0, n - 1, BINS), np.geomspace(1, n, BINS) - 1
    return np.unique(np.concatenate((even, early)).round().astype(int))


if __name__ == "__main__":
    on_folder(__doc__, publish, "to")
