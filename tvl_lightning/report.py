"""Show runs on one page: `python -m tvl_lightning.report FOLDER`."""

import argparse
import sys
from pathlib import Path

from tvl_lightning.cli.commands import run_command
from tvl_lightning.limits import InputError

_DESCRIPTION = """\
Write the report of a run, or of all runs in a folder at any depth, as one HTML page that needs
no connection: FOLDER/report.html. A run that cannot be read is listed in it with the reason."""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="tvl_lightning.report", description=_DESCRIPTION)
    parser.add_argument("folders", type=Path, metavar="FOLDER", nargs="+")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the page goes")
    parser.add_argument(
        "--figures", action="store_true", help="also draw the figures of each run, into its folder"
    )
    given = parser.parse_args()
    if given.out is None and len(given.folders) > 1:
        raise InputError("several folders: their one page needs a place; add --out FILE")
    report(given.folders, given.out or given.folders[0] / "report.html", given.figures)


def report(folders: list[Path], path: Path, figures: bool = False) -> None:
    """Write the report of the runs in `folders` to `path`, and perhaps their figures."""
    from tvl_lightning.runs import figures as of_a_run
    from tvl_lightning.runs.report import write_page

    found = write_page(folders, path)
    for run, reason in found.unreadable:
        print(f"left out: {run}: {reason}", file=sys.stderr)
    print(f"{len(found.records)} runs: {path}")
    if figures:
        for record in found.records:
            of_a_run.draw_run(record.folder)
            print(record.folder / "figures")


def command() -> None:
    """The command, from a shell."""
    run_command(main)


if __name__ == "__main__":
    command()
