"""What a run that was refused, that failed or was stopped early leaves in its folder."""

import logging
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from tvl_lightning.cli.commands import refusal_line
from tvl_lightning.cli.stopping import Stopped
from tvl_lightning.files import read_json, write_json
from tvl_lightning.limits import InputError
from tvl_lightning.runs.resume import holds_a_run

log = logging.getLogger(__name__)


@dataclass
class Attempt:
    """Whether a run may write into its folder: nothing speaks against its settings."""

    accepted: bool = False


@contextmanager
def leaving_the_reason(folder: Path, result: str = "summary.json") -> Iterator[Attempt]:
    """Write why a run failed to its log and to its result, which is never made worse.

    A refused command leaves no new folder, and an old one as it is; a refused job of a multirun
    leaves its folder with the reason.

    Args:
        folder: of the run.
        result: the file in it that says how it ended.
    """
    attempt = Attempt()
    try:
        yield attempt
    except Stopped as stop:
        if attempt.accepted:
            _summarise(folder / result, "stopped", stop.name)
        raise
    except Exception as error:
        line = refusal_line(error)
        if "LOCAL_RANK" in os.environ or (not attempt.accepted and holds_a_run(folder)):
            raise
        if line and not attempt.accepted and HydraConfig.get().mode == RunMode.RUN:
            forget(folder)
            raise
        _log_to_file(line or "".join(traceback.format_exception(error)))
        _summarise(folder / result, "failed", line or f"{type(error).__name__}: {error}")
        raise


def _summarise(path: Path, status: str, reason: str) -> None:
    config = HydraConfig.get()
    with suppress(InputError):
        if path.is_file() and read_json(path).get("status") in ("finished", "diverged", status):
            return
    asked = {
        "overrides": OmegaConf.to_container(config.overrides.task),
        "choices": OmegaConf.to_container(config.runtime.choices),
    }
    with suppress(OSError):  # the disk may be the reason
        write_json(path, {"status": status, "reason": " ".join(reason.split()), **asked})


def _log_to_file(text: str) -> None:
    """Log to files only: the terminal is told when the command ends."""
    record = log.makeRecord(log.name, logging.ERROR, __file__, 0, "%s", (text,), None)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)


def forget(folder: Path) -> None:
    """Remove an empty folder, and those above it that are empty and below the working directory."""
    with suppress(OSError):
        if [path.name for path in folder.iterdir()] == [".lock"]:
            (folder / ".lock").unlink()
        folder.rmdir()
        for parent in folder.parents:
            if Path.cwd() not in parent.parents:
                break
            parent.rmdir()
