"""A terminal: what a program writes to it, and what is then seen on it."""

import os
import pty
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pyte
import pytest


class Terminal:
    """A pseudo-terminal of some columns, with a reader at its other end."""

    def __init__(self, columns: int) -> None:
        self.columns, self._written = columns, b""
        self._near, far = pty.openpty()
        self.stream = os.fdopen(far, "w", encoding="utf-8")
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._near, 65536)
            except OSError:  # the far end is closed
                return
            if not data:
                return
            self._written += data

    def close(self) -> None:
        self.stream.close()
        self._reader.join()
        os.close(self._near)

    @property
    def text(self) -> str:
        """All that was written."""
        return self._written.decode()

    @property
    def drawn(self) -> list[str]:
        """Every line that was drawn, in order, later ones over earlier ones."""
        plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", self.text)
        return [line.rstrip() for line in re.split(r"[\r\n]+", plain) if line.strip()]

    @property
    def seen(self) -> list[str]:
        """The rows of the screen at the end, empty ones left out."""
        screen = pyte.Screen(self.columns, 200)
        pyte.Stream(screen).feed(self.text)
        return [row.rstrip() for row in screen.display if row.strip()]


@contextmanager
def terminal(patch: pytest.MonkeyPatch, columns: int = 80) -> Iterator[Terminal]:
    """Let the output go to a terminal, which can be looked at afterwards."""
    shown = Terminal(columns)
    with patch.context() as within:
        within.setenv("COLUMNS", str(columns))
        within.setattr(sys, "stdout", shown.stream)
        try:
            yield shown
        finally:
            shown.close()
