"""Ctrl-C and SIGTERM end a run in order; a second signal ends it at once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
_received: list[list[int]] = []  # the signals, of each `stopping_on_signals` that is entered
_asked: list[int] = []  # by this process itself, and still on the way


class Stopped(BaseException):
    """A signal asked the run to stop. Nothing on the way takes it for an error.

    Attributes:
        signum: its number.
        exit_status: 128 plus that, as shells have it.
        name: of the signal, for a reader.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum
        self.exit_status = 128 + signum
        self.name = _NAMES.get(signal.Signals(signum), signal.Signals(signum).name)

    def told(self, epoch: int, folder: Path) -> str:
        """What happened, what is kept, and the command that goes on, in one line."""
        kept = (
            f"epochs 0 to {epoch - 1} are kept"
            if epoch > 1
            else ("epoch 0 is kept" if epoch else "no epoch is kept")
        )
        return (
            f"stopped by {self.name} in epoch {epoch}: {kept}; to go on: "
            f"python -m tvl_lightning.train resume={folder}"
        )


@contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Raise `Stopped` where the program is when a signal comes, in a process's main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received = _received[-1] if _received else []
    _received.append(received)

    def stop(signum: int, frame: FrameType | None) -> None:
        if _asked and signum == signal.SIGTERM:
            _asked.clear()
            if received:
                return
        if received:
            os._exit(128 + signum)
        received.append(signum)
        raise Stopped(signum)

    before = {signum: signal.signal(signum, stop) for signum in _NAMES}
    try:
        yield
    finally:
        _received.pop()
        for signum, handler in before.items():
            signal.signal(signum, handler)


def ask_to_stop() -> None:
    """End the run in this process as SIGTERM does, unless it ends already; from any thread."""
    _asked.append(signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
