"""A run directory as arrays.

A folder may be a stranger's, or damaged: what cannot be read is refused in one line that names the
file, and no file takes more memory than some times its own size.
"""

import csv
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_STORED, ZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from tvl_lightning.files import read_json
from tvl_lightning.limits import InputError

Array = NDArray[Any]


@dataclass(frozen=True)
class Run:
    """What a run wrote down.

    Attributes:
        folder: the run directory.
        metrics: each column of `metrics.csv`, shape (epochs,), NaN where nothing was logged.
        trajectory: the arrays of `tau.npz`, n rows each: iteration (n,), tau with a column for
            every layer there ever was, by id, and what else was recorded, say loss (n,). τ is NaN
            before a layer is born and after it is removed; the iteration that removed it still has
            the value that was the cause.
        summary: `summary.json`; empty for a run that has not ended.
    """

    folder: Path
    metrics: dict[str, Array]
    trajectory: dict[str, Array]
    summary: dict[str, Any]


def read_run(folder: str | Path) -> Run:
    """Read a run directory; what is missing in it is empty.

    Raises:
        InputError: for a file that is damaged, or that no run wrote.
    """
    folder = Path(folder)
    table, trajectory, summary = folder / "metrics.csv", folder / "tau.npz", folder / "summary.json"
    return Run(
        folder,
        _columns(table) if table.is_file() else {},
        _arrays(trajectory) if trajectory.is_file() else {},
        read_json(summary) if summary.is_file() else {},
    )


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the parsers raise a dozen kinds, and each means the same
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: cannot be read: {reason}") from error


def _columns(path: Path) -> dict[str, Array]:
    with _naming(path), path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
        names = reader.fieldnames if rows and reader.fieldnames else []
        return {name: np.array([float(row[name] or "nan") for row in rows]) for name in names}


def _arrays(path: Path) -> dict[str, Array]:
    with _naming(path), ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type != ZIP_STORED for member in members):
            raise ValueError("its members must be stored, not compressed")
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise ValueError("its members claim more than the file holds")
        arrays = {}
        for member in members:
            with archive.open(member) as file:
                _check_header(file, member.file_size)
                file.seek(0)
                arrays[member.filename.removesuffix(".npy")] = np.load(file, allow_pickle=False)
        tau, iteration = arrays["tau"], arrays["iteration"]
        if tau.ndim != 2 or iteration.ndim != 1 or {len(a) for a in arrays.values()} != {len(tau)}:
            raise ValueError("must hold iteration (n,), tau (n, layers), and n rows of all else")
        return arrays


_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def _check_header(file: IO[bytes], size: int) -> None:
    """Refuse an array that is not of plain numbers, or not as large as its file of `size` bytes."""
    shape, _, dtype = _HEADERS[npy.read_magic(file)](file)
    if dtype.kind not in "fiu":
        raise ValueError(f"its arrays must be of numbers, not of {dtype}")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size - file.tell():
        raise ValueError("the header of an array does not fit its values")
