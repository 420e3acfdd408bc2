"""The runs in folders, a row each: what their summaries say, and of their curves what is needed."""

import csv
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tvl_lightning.files import read_json
from tvl_lightning.limits import InputError
from tvl_lightning.runs.reading import Array, Run
from tvl_lightning.runs.report.record import UNFINISHED, Record, mapping, number, record_of
from tvl_lightning.runs.report.unsummarised import settings_so_far

UNREADABLE, RUNNING = "unreadable", "running or killed"

_FILES = {"summary.json", "metrics.csv", "tau.npz"}
_CURVES = ("epoch", "step", "val/acc", "test/acc", "layers", "parameters", "sum_of_tau", "seconds")
_DEEPEST = 50  # mapping in a summary


@dataclass(frozen=True)
class Row:
    """A run.

    Attributes:
        record: what it says of itself; empty where it cannot be read, which its status tells.
        results: what came out, by name; None where it is not known.
    """

    record: Record
    results: Mapping[str, float | None]


def read_rows(folders: Sequence[Path], accuracy: float | None = None) -> list[Row]:
    """The runs in `folders`, at any depth, in the natural order of their paths.

    Args:
        folders: where to look; where they are several, the runs' paths begin with theirs.
        accuracy: how many epochs it took to reach it is then among the results.

    Raises:
        InputError: for a folder that is not there, and where there is no run.
    """
    rows, seen = [], set[Path]()
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder")
        for run, complaint in _walk(folder):
            if run.resolve() in seen:  # of a folder that was named twice
                continue
            seen.add(run.resolve())
            inside = run.relative_to(folder)
            path = str(folder / inside if len(folders) > 1 else inside)
            path = folder.resolve().name if path == "." else path
            rows.append(
                _unreadable(run, path, complaint) if complaint else _row(run, path, accuracy)
            )
    if not rows:
        where = " ".join(map(str, folders))
        raise InputError(f"{where}: no run in it; a run directory has a summary.json")
    return rows


def _walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every run directory, or one that cannot be looked into, and why.

    Links are not followed; nothing in a run directory is a run.
    """
    to_do = [folder]
    while to_do:
        here = to_do.pop()
        try:
            with os.scandir(here) as found:
                entries = list(found)
        except OSError as error:
            yield here, error.strerror or type(error).__name__
            continue
        folders = [e.name for e in entries if e.is_dir(follow_symlinks=False)]
        files = {e.name for e in entries if e.is_file()}
        begun = ".hydra" in folders and (here / ".hydra" / "config.yaml").is_file()
        if files & _FILES or (begun and "evaluation.json" not in files):
            yield here, ""
        else:
            names = sorted((n for n in folders if not n.startswith(".")), key=_natural)
            to_do += [here / name for name in reversed(names)]


def _natural(name: str) -> list[tuple[int, str]]:
    """2 before 10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]


def _row(folder: Path, path: str, accuracy: float | None) -> Row:
    try:
        return _readable(folder, path, accuracy)
    except InputError as error:
        return _unreadable(folder, path, str(error).removeprefix(f"{folder}{os.sep}"))


def _unreadable(folder: Path, path: str, reason: str) -> Row:
    nothing = record_of(Run(folder, {}, {}, {}), {}, {}, path)
    return Row(replace(nothing, status=UNREADABLE, reason=reason), {})


def _readable(folder: Path, path: str, accuracy: float | None) -> Row:
    at = folder / "summary.json"
    summary = read_json(at) if at.is_file() else {}
    last, best = mapping(summary.get("metrics")), mapping(summary.get("best"))
    of_every_epoch = accuracy is not None or not last or "test/acc" in last
    if of_every_epoch or ("val/acc" in last and "val/acc" not in best):
        curves = _columns(folder / "metrics.csv")
    else:
        curves = {}
    said = summary if "settings" in summary else {**settings_so_far(folder), **summary}
    if not _shallow(said):
        raise InputError(f"{at}: cannot be read: nested too deeply")
    record = record_of(Run(folder, curves, {}, summary), {}, said, path)
    if record.status == UNFINISHED:
        record = replace(record, status=RUNNING)
    results = {
        "best_val_acc": number(best.get("val/acc"), _best(curves, "val/acc")),
        "last_val_acc": number(last.get("val/acc"), _last(curves, "val/acc")),
        "best_test_acc": _best(curves, "test/acc"),
        "last_test_acc": number(last.get("test/acc"), _last(curves, "test/acc")),
        "test_acc": record.test,
        "layers": number(record.layers, _last(curves, "layers")),
        "parameters": record.parameters,
        "sum_of_tau": record.sum_of_tau,
        "epochs": number(summary.get("epochs"), _epochs(curves)),
        "seconds": number(summary.get("seconds"), _last(curves, "seconds")),
        "iterations_per_second": record.rate,
    }
    if accuracy is not None:
        results[name_of(accuracy)] = _epochs_to(curves, accuracy)
    return Row(record, results)


def name_of(accuracy: float) -> str:
    """The result that says how many epochs it took to reach `accuracy`."""
    return f"epochs_to_{accuracy:g}"


def _columns(path: Path) -> dict[str, Array]:
    """Those of `metrics.csv` that a row may need; empty without the file or a row in it."""
    if not path.is_file():
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = csv.reader(file)
            head = next(lines, [])
            rows = list(lines)
        where = {name: head.index(name) for name in _CURVES if name in head}
        columns = {n: np.array([float(r[i] or "nan") for r in rows]) for n, i in where.items()}
    except (OSError, ValueError, IndexError, csv.Error) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read: {reason}") from error
    return columns if rows else {}


def _last(curves: Mapping[str, Array], name: str) -> float | None:
    return number(*curves.get(name, np.empty(0))[::-1].tolist())


def _trained(curves: Mapping[str, Array], name: str) -> Array:
    """A metric by epoch, NaN before training and where it is not known."""
    values = curves.get(name, np.empty(0))
    return np.where(curves["epoch"] >= 0, values, np.nan) if "epoch" in curves else values


def _best(curves: Mapping[str, Array], name: str) -> float | None:
    values = _trained(curves, name) if name in curves else np.empty(0)
    finite = values[np.isfinite(values)]
    return float(finite.max()) if len(finite) else None


def _epochs(curves: Mapping[str, Array]) -> float | None:
    last = _last(curves, "epoch")
    return None if last is None else last + 1


def _epochs_to(curves: Mapping[str, Array], accuracy: float) -> float | None:
    """How many epochs it took, by validation, or else by the test set."""
    names = [n for n in ("val/acc", "test/acc") if np.isfinite(curves.get(n, np.nan)).any()]
    if not names or "epoch" not in curves:
        return None
    reached = curves["epoch"][curves[names[0]] >= accuracy]
    return float(reached.min()) + 1 if len(reached) else None


def _shallow(content: Any) -> bool:
    """Whether it is nested so little that one may recurse into it."""
    level = [content]
    for _ in range(_DEEPEST):
        inner = (node.values() if isinstance(node, dict) else node for node in level)
        level = [value for values in inner for value in values if isinstance(value, (dict, list))]
    return not level
