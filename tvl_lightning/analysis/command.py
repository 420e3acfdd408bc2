"""The shape of the commands that read a folder of runs."""

import argparse
import logging
from collections.abc import Callable
from pathlib import Path

from tvl_lightning.entry import refusals
from tvl_lightning.limits import InputError


def on_folder(description: str | None, act: Callable[..., None], *optional: str) -> None:
    """Run `act` on the folder that the command line names; say in one line what to mend.

    Args:
        description: what the command does.
        act: takes `folder`, and each of `optional` as a path or None.
        optional: names of further paths that the command line may have.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the run directories lie")
    for name in optional:
        parser.add_argument(name, type=Path, metavar=name.upper(), nargs="?")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    with refusals():
        if not arguments.folder.is_dir():
            raise InputError(f"{arguments.folder}: no such folder")
        act(**vars(arguments))
