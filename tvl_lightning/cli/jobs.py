"""A job of a sweep, in whatever process the launcher gives it: it notes in its folder how it goes.

What a sweep's own process knows of its jobs it reads there, so any launcher will do.
"""

import hashlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from tvl_lightning.cli.commands import refusal_line
from tvl_lightning.cli.recipes import recipe
from tvl_lightning.cli.stopping import Stopped, ask_to_stop, stopping_on_signals
from tvl_lightning.files import read_json, replacing, write_json
from tvl_lightning.limits import InputError

STATE = ".job.json"
ENDED = ("finished", "diverged")

_STOPPING = ".stopping"
_SECONDS = 0.5  # between two looks at whether the sweep is being stopped


class JobError(Exception):
    """A job failed or was stopped, and why, in one line; any process can hand it to another."""


class State(NamedTuple):
    """What is noted of a job.

    Attributes:
        sweep: the command that ran it, empty where none did.
        status: `running`, or as in `summary.json`.
        reason: why it stopped or failed.
        recipe: what its settings were composed of, see `recipe`.
        summary: the digest of the `summary.json` of a run that has ended.
    """

    sweep: str = ""
    status: str = ""
    reason: str | None = None
    recipe: str | None = None
    summary: str | None = None


def state_of(folder: Path) -> State:
    """What was noted in a folder; nothing where that cannot be read."""
    with suppress(InputError, OSError):
        noted = read_json(folder / STATE)
        known = {name: noted[name] for name in State._fields if isinstance(noted.get(name), str)}
        return State(**known)
    return State()


def has_ended(folder: Path, state: State) -> bool:
    """Whether the job's run came to its end, and nothing was changed since."""
    digest = _digest(folder / "summary.json")
    return state.status in ENDED and digest is not None and digest == state.summary


def note(folder: Path, state: State) -> None:
    """Note it; a full disk is no reason for a job to fail."""
    with suppress(OSError):
        write_json(folder / STATE, state._asdict())


class Stopping:
    """Whether a sweep is being stopped: no job begins any more, and those that run end in order.

    Args:
        folder: of the sweep, where a mark tells the jobs in other processes.
        sweep: names this command.
    """

    def __init__(self, folder: Path, sweep: str) -> None:
        self.signum: int | None = None
        self._mark, self._sweep = folder / _STOPPING, sweep

    def __bool__(self) -> bool:
        return self.signum is not None

    def begin(self, signum: int) -> None:
        """From now on."""
        self.signum = signum
        with suppress(OSError), replacing(self._mark) as part:
            part.write_text(self._sweep)

    def is_marked(self) -> bool:
        """As it looks from another process."""
        with suppress(OSError):
            return self._mark.read_text() == self._sweep
        return False

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Begin at the first signal; the second ends the sweep's process, and with it all jobs."""
        if threading.current_thread() is not threading.main_thread():
            yield  # where no signal can be taken
            return

        def stop(signum: int, frame: FrameType | None) -> None:
            if self:
                os._exit(128 + signum)
            self.begin(signum)

        before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)
            self._mark.unlink(missing_ok=True)


class Task:
    """What a launcher calls in place of the command's own function.

    Args:
        task: the command's function.
        sweep: names this command.
        base: what all its jobs are composed of, see `recipe`.
        stopping: of the sweep.
        total: how many jobs are to be run.
    """

    def __init__(
        self,
        task: Callable[[DictConfig], Any],
        sweep: str,
        base: str | None,
        stopping: Stopping,
        total: int,
    ) -> None:
        self.task, self.sweep, self.base = task, sweep, base
        self.stopping, self.total, self.process = stopping, total, _this_process()

    def __call__(self, cfg: DictConfig) -> Any:
        """Run the job.

        Raises:
            JobError: whatever the reason.
        """
        config = HydraConfig.get()
        folder = Path(config.runtime.output_dir)
        if self.stopping.is_marked():
            raise JobError("the sweep was stopped before it began")
        overrides: Any = OmegaConf.to_container(config.overrides.task)
        own = recipe(self.base, overrides)
        begun = (folder / ".hydra" / "config.yaml").is_file()
        # a run that is there keeps its own, for this job may be refused
        known = (begun and state_of(folder).recipe) or own
        state = State(self.sweep, "running", recipe=known)
        note(folder, state)
        apart = self.process != _this_process()
        if apart and not config.job.chdir:
            os.chdir(config.runtime.cwd)  # where the sweep was started
        if not apart:
            print(f"{config.sweep.subdir}: job {config.job.num + 1} of {self.total}", flush=True)
        with _apart(self.stopping) if apart else stopping_on_signals():
            try:
                value = self.task(cfg)
            except Stopped as stop:
                if not apart:
                    self.stopping.begin(stop.signum)
                note(folder, state._replace(status="stopped", reason=stop.name))
                raise JobError(f"stopped by {stop.name}") from None
            except (Exception, SystemExit) as error:
                reason = reason_of(error)
                note(folder, state._replace(status="failed", reason=reason))
                if not apart:
                    print(f"{config.sweep.subdir}: failed: {reason}", file=sys.stderr, flush=True)
                raise JobError(reason) from None if apart else error
            note(folder, with_result(state._replace(recipe=own), folder))
            return value


def _this_process() -> tuple[str, int]:
    return socket.gethostname(), os.getpid()


def reason_of(error: BaseException) -> str:
    """Why a job failed, in one line."""
    line = refusal_line(error) if isinstance(error, Exception) else None
    return line or " ".join(f"{type(error).__name__}: {error}".split())


def with_result(state: State, folder: Path) -> State:
    """The state of a run that has ended, by its `summary.json`."""
    path = folder / "summary.json"
    try:
        summary = read_json(path)
    except (InputError, OSError):  # another command's jobs may write none
        return state._replace(status="finished")
    status, reason = summary.get("status", "finished"), summary.get("reason")
    return state._replace(status=status, reason=reason, summary=_digest(path))


def _digest(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


@contextmanager
def _apart(stopping: Stopping) -> Iterator[None]:
    """In a process of its own: the sweep's process is followed, and the terminal is left alone."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, logging.StreamHandler) and not isinstance(
            handler, logging.FileHandler
        ):
            root.removeHandler(handler)
    if threading.current_thread() is not threading.main_thread():
        yield  # where no signal can be taken
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # between two jobs, Ctrl-C is the sweep's
    done, starter = threading.Event(), os.getppid()

    def follow() -> None:
        told = asked = False
        while not done.wait(_SECONDS):
            told = told or stopping.is_marked()
            alone = os.getppid() != starter
            if asked and told and alone:
                os._exit(128 + signal.SIGKILL)
            if (told or alone) and not asked:
                asked = True
                ask_to_stop()

    with stopping_on_signals():
        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        try:
            yield
        finally:
            done.set()
            follower.join()
            if os.getppid() != starter:
                os._exit(1)  # nobody waits for the result
