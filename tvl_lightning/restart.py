"""`resume=auto`: a run that is started once more in its own folder."""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tvl_lightning.limits import InputError
from tvl_lightning.setups import DECISIVE

log = logging.getLogger(__name__)


@contextmanager
def sole_run(folder: Path) -> Iterator[None]:
    """Wait until no other run works in `folder`; its own processes share it."""
    if "LOCAL_RANK" in os.environ:
        yield
        return
    lock = FileLock(folder / ".lock")  # the system lets go of it when the process dies
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("%s: waiting for the run that works there", folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def earlier_objective(folder: Path, settings: Mapping[str, Any]) -> float | None:
    """What the run in `folder` reached, if it has ended.

    Raises:
        InputError: for a run with other settings than `settings`.
    """
    path = folder / "summary.json"
    if not path.is_file():
        return None
    summary = json.loads(path.read_text())
    earlier = summary["settings"]
    different = [name for name in DECISIVE if earlier[name] != settings[name]]
    if earlier["trainer"]["max_epochs"] != settings["trainer"]["max_epochs"]:
        different.append("trainer.max_epochs")
    if different:
        raise InputError(
            f"resume=auto: {folder} holds a run with another {', '.join(different)}; "
            "choose another folder"
        )
    log.info("%s has ended before", folder)
    objective: float = summary["objective"]
    return objective


def last_checkpoint(folder: Path) -> str | None:
    """The last checkpoint of a run that was stopped, if it came that far."""
    path = folder / "checkpoints" / "last.ckpt"
    return str(path) if path.is_file() else None
