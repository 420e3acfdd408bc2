"""A folder with every run of the paper, made up, and the paper's commands."""

import os
import runpy
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.paper.made_up import all_setups, write_run
from tvl_lightning.paper.setups import Setup


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every run, in which every claim holds. Not to be changed."""
    folder = tmp_path_factory.mktemp("world")
    for shown in all_setups():
        write_run(folder, shown)
    return folder


@pytest.fixture
def altered(world: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the world in which one run is another."""

    def alter(shown: Setup, **changes: Any) -> Path:
        for run in world.iterdir():
            if run.name != f"{shown}-seed0":
                shutil.copytree(run, tmp_path / run.name, copy_function=os.link)
        write_run(tmp_path, shown, **changes)
        return tmp_path

    return alter


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run `python -m tvl_lightning.paper.NAME PATHS` in this process."""

    def run(name: str, *paths: Path) -> None:
        monkeypatch.setattr("sys.argv", [name, *map(str, paths)])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*found in sys.modules", RuntimeWarning)
            runpy.run_module(f"tvl_lightning.paper.{name}", run_name="__main__")

    return run
