"""Runs as one table: `python -m tvl_lightning.table FOLDER`."""

import argparse
import os
import sys
from pathlib import Path

from tvl_lightning.cli.commands import run_command
from tvl_lightning.limits import InputError

_DESCRIPTION = """\
One row for each run in a folder, at any depth: the settings that differ, accuracies, what is left
of the network, time, and how it ended."""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="tvl_lightning.table", description=_DESCRIPTION)
    parser.add_argument("folders", type=Path, metavar="FOLDER", nargs="+")
    parser.add_argument(
        "--over",
        metavar="SETTING[,SETTING]",
        help="one row for runs that differ in these only, say seed: mean ± standard deviation "
        "over those that finished",
    )
    parser.add_argument(
        "--accuracy", type=float, metavar="A", help="also, how many epochs it took to reach A"
    )
    parser.add_argument(
        "--sort", metavar="COLUMN", help="the least first; --sort=-COLUMN: the greatest first"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help=".csv, .parquet or .md")
    given = parser.parse_args()
    if given.accuracy is not None and not 0 < given.accuracy <= 1:
        raise InputError(f"--accuracy {given.accuracy:g}: must be a number in (0, 1]")
    over = [name.strip() for name in (given.over or "").split(",") if name.strip()]
    table(given.folders, over, given.accuracy, given.sort, given.out)


def table(
    folders: list[Path],
    over: list[str],
    accuracy: float | None = None,
    sort: str | None = None,
    out: Path | None = None,
) -> None:
    """Print the table of the runs in `folders`, or write it to `out`."""
    from tvl_lightning.runs.table import check_suffix, in_lines, read_rows, table_of, write_table

    if out:
        check_suffix(out)
    found = table_of(read_rows(folders, accuracy), over, accuracy, sort)
    if out:
        write_table(found, out)
        print(f"{found.counts}: {out}")
        return
    try:
        print("\n".join(in_lines(found)), flush=True)
    except BrokenPipeError:  # a reader such as head has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def command() -> None:
    """The command, from a shell."""
    run_command(main)


if __name__ == "__main__":
    command()
