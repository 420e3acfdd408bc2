"""The report of a run, or of a folder of runs, as one self-contained page."""

from collections.abc import Sequence
from pathlib import Path

from tvl_lightning.files import replacing
from tvl_lightning.runs.reading import read_run
from tvl_lightning.runs.report.gather import Found, gather, trajectory_of
from tvl_lightning.runs.report.many_runs import many_runs
from tvl_lightning.runs.report.one_run import one_run
from tvl_lightning.runs.report.page import page

__all__ = ["write_page", "write_report"]


def write_report(folder: str | Path) -> Path:
    """Write `report.html` into a run directory, or into a folder of runs.

    Returns:
        Where it is.

    Raises:
        InputError: for a folder without a run, and for a run that cannot be read.
    """
    path = Path(folder) / "report.html"
    write_page([Path(folder)], path)
    return path


def write_page(folders: Sequence[Path], path: Path) -> Found:
    """Write the report of all runs in `folders` to `path`, whole or not at all.

    Returns:
        What was found in them.

    Raises:
        InputError: as `write_report`.
    """
    found = gather(folders)
    if len(found.records) == 1 and not found.unreadable:
        [record] = found.records
        content = one_run(record, trajectory_of(read_run(record.folder)))
    else:
        content = many_runs(found, ", ".join(folder.resolve().name for folder in folders))
    with replacing(path) as part:
        part.write_text(page(content), encoding="utf-8")
    return found
