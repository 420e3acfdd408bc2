"""The run directories in folders: each read, or listed with the reason why it cannot be."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tvl_lightning.limits import InputError
from tvl_lightning.runs.reading import Array, Run, read_run
from tvl_lightning.runs.report.record import Record, record_of
from tvl_lightning.runs.report.unsummarised import settings_so_far

_FILES = {"summary.json", "metrics.csv", "tau.npz"}
_SETTINGS = Path(".hydra", "config.yaml")
_NO_RUNS_IN = {"checkpoints", "tensorboard", "figures"}


@dataclass
class Found:
    """What lies in the folders that were named.

    Attributes:
        records: the runs, in the order of their paths.
        unreadable: the path of each run that cannot be read, and why.
    """

    records: list[Record] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)


def run_folders(folder: Path) -> Iterator[Path]:
    """Every run directory in `folder`, itself first; links are not followed."""
    for name, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in _NO_RUNS_IN)
        here = Path(name)
        if _FILES & set(files) or (here / _SETTINGS).is_file():
            yield here


def gather(folders: Sequence[Path]) -> Found:
    """Read the runs in `folders`; a damaged one is listed, and stops nothing.

    Raises:
        InputError: for a folder that is not there, has no run in it, or is one that cannot be read.
    """
    found = Found()
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder")
        for run in run_folders(folder):
            shown = run.relative_to(folder)
            path = str(Path(folder.resolve().name, shown) if len(folders) > 1 else shown)
            try:
                found.records.append(read_record(run, path))
            except InputError as error:
                found.unreadable.append((path, str(error).removeprefix(f"{run}{os.sep}")))
    if not found.records and [path for path, _ in found.unreadable] == ["."]:
        raise InputError(f"{folders[0]}: {found.unreadable[0][1]}")
    if not found.records and not found.unreadable:
        where = " ".join(map(str, folders))
        raise InputError(f"{where}: no run in it; a run directory has a metrics.csv")
    return found


def read_record(folder: Path, path: str) -> Record:
    """What the run in `folder` says of itself, to be shown as `path`.

    Raises:
        InputError: for a file that is damaged.
    """
    run = read_run(folder)
    so_far = {} if "settings" in run.summary else settings_so_far(folder)
    return record_of(run, trajectory_of(run), {**so_far, **run.summary}, path)


def trajectory_of(run: Run) -> dict[str, Array]:
    """What a run recorded of every iteration, in double precision; empty where that is nothing.

    What a run that diverged wrote after its last τ is left out: its layers were not removed.

    Raises:
        InputError: for iterations that do not increase.
    """
    trajectory = run.trajectory
    if not trajectory or 0 in trajectory["tau"].shape:
        return {}
    iteration = trajectory["iteration"].astype(float)
    if not (np.diff(iteration) > 0).all() or not 0 <= iteration[0] <= iteration[-1] < 2**53:
        raise InputError(f"{run.folder / 'tau.npz'}: cannot be read: its iterations must increase")
    there = np.flatnonzero(np.isfinite(trajectory["tau"]).any(1))
    if not len(there):
        return {}
    return {name: values[: there[-1] + 1].astype(float) for name, values in trajectory.items()}
