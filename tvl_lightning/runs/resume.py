"""Going on with a run in its own folder."""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tvl_lightning.limits import InputError

log = logging.getLogger(__name__)

# Settings that cannot change a number of a run; all others tell two runs apart.
_HARMLESS = (
    *("callbacks.progress_bar", "data.root", "engine", "logger", "resume"),
    # these lie in the run folder, which may have been moved
    *("callbacks.recorder.path", "callbacks.metrics.path"),
    *("callbacks.best_checkpoint.dirpath", "callbacks.last_checkpoint.dirpath"),
)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
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
    different = _differences(summary["settings"], settings)
    if different:
        raise InputError(
            f"resume=auto: {folder} holds a run with another {different}; choose another folder"
        )
    log.info("%s has ended before", folder)
    objective: float = summary["objective"]
    return objective


def last_checkpoint(folder: Path) -> str | None:
    """The last checkpoint of a run that was stopped, if it came that far."""
    path = folder / "checkpoints" / "last.ckpt"
    return str(path) if path.is_file() else None


def check_resumable(path: str | Path, settings: Mapping[str, Any]) -> int:
    """The iteration of a checkpoint; refuses to go on from that of other settings.

    Args:
        path: the checkpoint.
        settings: those of now; a longer run is the same run.

    Raises:
        InputError: as `read_checkpoint` does, and naming what differs.
    """
    from tvl_lightning.training.checkpoints import read_checkpoint

    checkpoint = read_checkpoint(path)
    saved = checkpoint["hyper_parameters"].get("settings")
    if not isinstance(saved, dict):
        raise InputError(f"resume={path}: was written in Python, and holds no settings of a run")
    different = _differences(saved, settings, "trainer.max_epochs")
    if different:
        raise InputError(
            f"resume={path}: is of a run with another {different[:1000]}; repeat the settings of "
            "its run"
        )
    loops, iteration = checkpoint.get("loops"), checkpoint.get("global_step")
    if type(iteration) is not int or not isinstance(loops, dict) or not _counts(loops):
        raise InputError(f"checkpoint {path}: does not say how far its run came")
    return iteration


def _counts(node: Any) -> bool:
    if isinstance(node, dict):
        return all(isinstance(name, str) and _counts(value) for name, value in node.items())
    return type(node) is bool or (type(node) is int and 0 <= node < 2**62)


def _differences(earlier: Mapping[str, Any], present: Mapping[str, Any], *harmless: str) -> str:
    """The settings that tell two runs apart, and how; empty where they are the same run."""
    there, here = _flat(earlier, ""), _flat(present, "")
    return ", ".join(
        f"{name} ({there.get(name)} there, {here.get(name)} here)"
        for name in {**there, **here}
        if there.get(name) != here.get(name)
        and not any(f"{name}.".startswith(f"{known}.") for known in (*_HARMLESS, *harmless))
        # a size that is null is the data's
        and not (name in ("model.in_shape", "model.classes") and here.get(name) is None)
    )


def _flat(node: Any, prefix: str) -> dict[str, Any]:
    if not isinstance(node, Mapping):
        return {prefix: node}
    return {
        name: leaf
        for key, value in node.items()
        for name, leaf in _flat(value, f"{prefix}.{key}" if prefix else str(key)).items()
    }
