"""The shape of the commands that read a folder of runs."""

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from tvl_lightning.limits import InputError


def on_folder(description: str | None, act: Callable[..., None], *optional: str) -> None:
    """Run `act` on the folder that the command line names.

    What the user has to mend is said in one line, with exit status 2.

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
    given = parser.parse_args()
    logging.basicConfig(format="%(message)s")
    try:
        if not given.folder.is_dir():
            raise InputError(f"{given.folder}: no such folder")
        act(**vars(given))
    except InputError as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(2)
