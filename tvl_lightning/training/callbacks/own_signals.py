"""Who is asked when a signal comes."""

import signal
import threading
from typing import Any

from lightning import Callback, Trainer

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class OwnSignals(Callback):
    """Keeps the program's handlers of SIGINT and SIGTERM, in place of those that Lightning sets.

    Lightning's handler speaks to the other processes first, and waits for ever where these are in
    another call to each other.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Any] = {}

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Note the handlers: Lightning has not set its own yet."""
        self._handlers = {signum: signal.getsignal(signum) for signum in _SIGNALS}

    def on_sanity_check_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Put them back."""
        self._put_back()

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Put them back, where nothing was evaluated before."""
        self._put_back()

    def _put_back(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for signum, handler in self._handlers.items():
                if handler is not None:  # of another language
                    signal.signal(signum, handler)
