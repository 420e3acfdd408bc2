"""A terminal on which a bar is drawn while the log is written above it."""

import logging
import multiprocessing
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm


def on_a_terminal() -> bool:
    """Whether the output is a terminal that no other run of a sweep writes to."""
    return sys.stdout.isatty() and multiprocessing.parent_process() is None


def columns() -> int:
    """How many may be written to: in some terminals a full line wraps."""
    return shutil.get_terminal_size().columns - 1


@contextmanager
def logging_above_bars() -> Iterator[None]:
    """Let the log's lines leave a bar of tqdm whole."""
    console = [
        handler
        for handler in logging.getLogger().handlers
        if isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stdout, sys.stderr)
    ]
    streams = [handler.setStream(_AboveBars(handler.stream)) for handler in console]
    try:
        yield
    finally:
        for handler, stream in zip(console, streams, strict=True):
            handler.setStream(stream)


class _AboveBars:
    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        with tqdm.external_write_mode(file=self.stream):
            return self.stream.write(text)

    def flush(self) -> None:
        self.stream.flush()
