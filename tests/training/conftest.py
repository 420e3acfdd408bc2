"""Runs for tests of training."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.training import runs


@pytest.fixture
def fit(tmp_path: Path) -> runs.Fit:
    """`runs.fit` in a folder of the test's own."""
    return partial(runs.fit, tmp_path / "run")


@pytest.fixture
def both(tmp_path: Path) -> runs.Both:
    """The same run in Lightning's loop and in chunks."""

    def run(
        callbacks: Any = list, chunk: int = 50, loop: str = "eager", **options: Any
    ) -> tuple[runs.Run, runs.Run]:
        singly = runs.fit(tmp_path / "singly", *callbacks(), **options)
        chunked = runs.fit(tmp_path / "chunks", *callbacks(), loop=loop, chunk=chunk, **options)
        return singly, chunked

    return run
