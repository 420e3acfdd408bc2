"""The shape of the commands that read a folder of runs."""

import argparse
import logging
from collections.abc import Callable
from pathlib import Path

from tvl_lightning.entry import refusals
from tvl_lightning.limits import InputError


def on_folder(description: str | None, act: Callable[[Path], None]) -> None:
    """Run `act` on the folder that the command line names; say in one line what to mend."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the run directories lie")
    folder: Path = parser.parse_args().folder
    logging.basicConfig(format="%(message)s")
    with refusals():
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder")
        act(folder)
