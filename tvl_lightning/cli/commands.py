"""How a Hydra command starts, how it refuses, and with which exit status it ends."""

import errno
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from tvl_lightning.cli.choices import CONFIG_PATH, check_choices, command_line
from tvl_lightning.cli.help import answered, pipe_may_close
from tvl_lightning.cli.hints import explained
from tvl_lightning.cli.stopping import Stopped

__all__ = ["CONFIG_PATH", "Diverged", "one_line_refusals", "refusal_line", "run_command"]

REFUSED, DIVERGED = 2, 3  # exit statuses; 1 is Python's, for an error with a traceback

# what a disk or a folder says, not a program
_DISK = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO),
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP),
}


class Diverged(BaseException):
    """A single run whose loss is not finite has ended, with everything written."""


def run_command(
    main: Callable[[], object],
    rewritten: Callable[[Sequence[str]], list[str]] = list,
    config: str | None = None,
    about: str | None = None,
) -> None:
    """Run a command from a shell; what the user has to mend is one line.

    Exit status: 2 for a refusal, 3 for a run that diverged, 130 after Ctrl-C, 143 after SIGTERM.

    Args:
        main: the command.
        rewritten: gives what Hydra is to read in place of the command line's arguments.
        config: the name of its configuration, where it is one of Hydra's.
        about: what `--help` prints; Hydra's own where None.
    """
    if about is not None and answered(about, sys.argv[1:]):
        return
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors come here instead of being printed
    logging.raiseExceptions = False  # a log on a full disk is no second error
    try:
        with _refusing(config or "train"):
            sys.argv[1:] = rewritten(sys.argv[1:])
            if config:
                check_choices(command_line(sys.argv[1:], config))
            with pipe_may_close():
                main()
    except Stopped as stop:
        sys.exit(stop.exit_status)
    except KeyboardInterrupt:
        sys.exit(130)
    except Diverged:
        sys.exit(DIVERGED)


@contextmanager
def one_line_refusals() -> Iterator[None]:
    """Say in one line what the user has to mend, and end with exit status 2.

    Not within a job of a multirun: there the other jobs go on.
    """
    with nullcontext() if _in_a_multirun() else _refusing():
        yield


@contextmanager
def _refusing(config: str = "train") -> Iterator[None]:
    try:
        yield
    except Exception as error:
        line = refusal_line(error, config)
        if line is None:
            raise
        print("error:", line, file=sys.stderr)
        sys.exit(REFUSED)


def _in_a_multirun() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def refusal_line(error: Exception, config: str = "train") -> str | None:
    """What the user has to mend, in one line; None for an error that keeps its traceback."""
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    if isinstance(cause, OSError) and cause.errno in _DISK:
        return f"{cause.filename or 'the run directory'}: {cause.strerror}"
    return explained(error, sys.argv[1:], config)
