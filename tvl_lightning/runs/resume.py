"""Going on with a run in its own folder."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from tvl_lightning.files import read_json
from tvl_lightning.limits import InputError
from tvl_lightning.runs.same import LENGTH, differences, flat

log = logging.getLogger(__name__)

_TRACES = ("metrics.csv", "tau.npz", "checkpoints")  # not of one that was refused as it began


class Plan(NamedTuple):
    """What is to be done in a run folder.

    Attributes:
        summary: that of a run that has ended: nothing is to be trained.
        checkpoint: the file to go on from; None for a run that begins.
    """

    summary: dict[str, Any] | None = None
    checkpoint: str | None = None


def refuse_links(folder: Path) -> None:
    """Refuse a run folder in which what a run appends to is a link to somewhere else.

    Raises:
        InputError: naming the link.
    """
    for name in (".lock", "train.log", ".hydra"):
        if (folder / name).is_symlink():
            raise InputError(f"{folder / name}: is a symbolic link, and a run follows none")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Wait until no other run works in `folder`; the processes of one run share it."""
    if "LOCAL_RANK" in os.environ:
        yield
        return
    lock = FileLock(folder / ".lock")  # the system lets go of it when the process dies
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.warning("%s: waiting for the command that works there", folder)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def is_at_work(folder: Path) -> bool:
    """Whether a run works in `folder` at this moment, on this machine or another one."""
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def plan(folder: Path, settings: Mapping[str, Any], resume: str | None) -> Plan:
    """Whether the run in `folder` begins, goes on, or has ended; nothing is written.

    Args:
        folder: the run directory.
        settings: those of now.
        resume: None for a run that begins; `auto` or `folder` to go on from the last checkpoint in
            `folder`, if there is one; or the path of a checkpoint.

    Raises:
        InputError: for a folder that holds another run, or settings that are not those of the run
            to go on with, naming each that differs.
    """
    if "LOCAL_RANK" in os.environ:  # a process of a run that was planned before
        resume = resume or "auto"
    elif resume is None and holds_a_run(folder):
        raise InputError(
            f"hydra.run.dir: {folder} holds a run; resume={folder} goes on with it, or choose "
            "another folder"
        )
    if resume not in (None, "auto", str(folder)):
        check_resumable(resume, settings)
        return Plan(None, resume)
    if resume is None or not holds_a_run(folder):
        return Plan()
    summary, asked = _summary(folder), settings_in(folder)
    if asked is not None:
        _refuse_other(differences(asked, settings), str(folder))
    elif summary is not None and isinstance(summary.get("settings"), dict):
        _refuse_other(differences(summary["settings"], settings, filled=True), str(folder))
    if summary is not None and _has_ended(folder, summary, settings):
        return Plan(summary)
    last = folder / "checkpoints" / "last.ckpt"
    if not last.is_file():
        return Plan()
    check_resumable(last, settings)
    return Plan(None, str(last))


def has_come_to_its_end(folder: Path, settings: Mapping[str, Any]) -> bool:
    """Whether the run in a folder, whose settings these are, has ended with the length of now.

    Raises:
        InputError: for one that is longer, or whose result cannot be read.
    """
    summary = _summary(folder)
    return summary is not None and _has_ended(folder, summary, settings)


def _summary(folder: Path) -> dict[str, Any] | None:
    path = folder / "summary.json"
    return read_json(path) if path.is_file() else None


def holds_a_run(folder: Path) -> bool:
    """Whether a run of ours wrote results into `folder`."""
    path = folder / "summary.json"
    if path.is_file() and read_json(path).get("status") != "failed":
        return True
    return any((folder / name).exists() for name in _TRACES)


def check_resumable(path: str | Path, settings: Mapping[str, Any]) -> int:
    """The iteration of a checkpoint; refuses to go on from that of other settings.

    Args:
        path: the checkpoint.
        settings: those of now; a longer run is the same run.

    Raises:
        InputError: as `read_checkpoint` does, naming what differs, and for one that was saved
            within an epoch, whose other iterations would be lost.
    """
    from tvl_lightning.training.checkpoints import read_checkpoint

    checkpoint = read_checkpoint(path)
    saved = checkpoint["hyper_parameters"].get("settings")
    if not isinstance(saved, dict):
        raise InputError(f"resume={path}: was written in Python, and holds no settings of a run")
    _refuse_other(differences(saved, settings, filled=True), str(path))
    loops, iteration = checkpoint.get("loops"), checkpoint.get("global_step")
    if type(iteration) is not int or not isinstance(loops, dict) or not _counts(loops):
        raise InputError(f"checkpoint {path}: does not say how far its run came")
    if not loops.get("fit_loop", {}).get("epoch_loop.batch_progress", {}).get("is_last_batch"):
        raise InputError(
            f"resume={path}: was saved within an epoch; last.ckpt beside it is the end of one, "
            "and the run goes on from there without losing an iteration"
        )
    return iteration


def _refuse_other(different: list[str], there: str) -> None:
    if different:
        listed = ", ".join(different)
        raise InputError(
            f"resume: {there} is of a run with other settings: {listed[:1000]}; leave them out to "
            "go on, or choose another folder for another run"
        )


def settings_in(folder: Path) -> Any:
    """The settings that a run wrote down as it began, None where it did not come to that."""
    import yaml
    from omegaconf import OmegaConf

    path = folder / ".hydra" / "config.yaml"
    if not path.is_file():
        return None
    # what OmegaConf has written needs none of its own rules, and a sweep reads a thousand
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        written = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
        return OmegaConf.to_container(OmegaConf.create(written), resolve=True)
    except Exception as error:  # a stranger's file can be anything
        raise InputError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error


def _has_ended(folder: Path, summary: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    if summary.get("status") not in ("finished", "diverged"):
        return False
    then, now = flat(summary["settings"]), flat(settings)
    done, wanted = summary["epochs"], now.get("trainer.max_epochs")
    if isinstance(wanted, int) and 0 <= wanted < done:
        raise InputError(
            f"trainer.max_epochs={wanted}: the run in {folder} has trained {done} epochs"
        )
    return all(then.get(name) == now.get(name) for name in LENGTH) or wanted == done


def _counts(node: Any) -> bool:
    if isinstance(node, dict):
        return all(isinstance(name, str) and _counts(value) for name, value in node.items())
    return type(node) is bool or (type(node) is int and 0 <= node < 2**62)
