"""How a Hydra command starts, and how it refuses."""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from tvl_lightning.limits import InputError

_PACKAGE = Path(__file__).parents[1]
CONFIG_PATH = str(next(p for p in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if p.is_dir()))

_REFUSALS = (InputError, HydraException, OmegaConfBaseException)
_LIGHTNINGS = ("MisconfigurationException",)  # by name: importing Lightning takes seconds
_NO_NEWS = (
    "`isinstance.treespec, LeafSpec",  # Lightning on torch
    "The number of training batches",  # it counts chunks
    "Checkpoint directory",  # of a run that is resumed
)


def run_command(main: Callable[[], object]) -> None:
    """Run a Hydra command from a shell."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors come here instead of being printed
    with one_line_refusals():
        main()


@contextmanager
def without_repetition() -> Iterator[None]:
    """Keep what is no news to the user from the terminal, until the run has ended."""
    # Lightning prints what it logs, and Hydra logs it once more
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    level = logger.level
    logger.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for message in _NO_NEWS:
            warnings.filterwarnings("ignore", message)
        try:
            yield
        finally:
            logger.setLevel(level)


@contextmanager
def one_line_refusals() -> Iterator[None]:
    """Say in one line what the user has to mend, and end with exit status 2."""
    try:
        yield
    except Exception as error:
        cause = error.__cause__ if isinstance(error.__cause__, InputError) else error
        if not isinstance(cause, _REFUSALS) and type(cause).__name__ not in _LIGHTNINGS:
            raise
        message, _, _ = str(cause).partition("Config search path")
        print("error:", " ".join(message.split()), file=sys.stderr)
        sys.exit(2)
