"""Files that are whole or not there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tvl_lightning.checkpoint import AtomicCheckpointIO
from tvl_lightning.files import replacing


def test_new_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with replacing(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_missing_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.txt"
    with replacing(path) as part:
        part.write_text("new")
    assert path.read_text() == "new"


def test_file_is_written_in_the_same_folder(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    with replacing(path) as part:
        assert part.parent == path.parent
        assert part != path
        part.touch()


def write_half(path: Path, error: type[BaseException]) -> None:
    with replacing(path) as part:
        part.write_text("half of the ne")
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_exception_leaves_the_old_file_and_no_other(
    error: type[BaseException], tmp_path: Path
) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(error):
        write_half(path, error)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_exception_leaves_nothing_where_there_was_no_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        write_half(tmp_path / "file.txt", RuntimeError)
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_that_was_written_can_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "last.ckpt"
    for epoch in range(2):
        AtomicCheckpointIO().save_checkpoint({"epoch": epoch, "tau": torch.arange(3.0)}, path)
    content = torch.load(path, weights_only=True)
    assert content["epoch"] == 1
    assert torch.equal(content["tau"], torch.arange(3.0))
    assert list(path.parent.iterdir()) == [path]


def test_checkpoint_path_may_be_a_string(tmp_path: Path) -> None:
    AtomicCheckpointIO().save_checkpoint({"epoch": 7}, str(tmp_path / "last.ckpt"))
    assert torch.load(tmp_path / "last.ckpt", weights_only=True) == {"epoch": 7}


def test_checkpoint_that_cannot_be_pickled_leaves_the_previous_one(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"epoch": 1}, path)
    with pytest.raises((AttributeError, TypeError, RuntimeError)):
        AtomicCheckpointIO().save_checkpoint({"epoch": 2, "evil": lambda: None}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


# forks writers and kills each at another moment: torch is imported once for all of them
KILLED_WRITERS = """
import os, signal, sys, time
from pathlib import Path

import torch
from tvl_lightning.checkpoint import AtomicCheckpointIO

torch.set_num_threads(1)
path = Path(sys.argv[1])
checkpoint = {"epoch": 0, "state": torch.ones(4_000_000)}
AtomicCheckpointIO().save_checkpoint(checkpoint, path)
for kill in range(8):
    before = path.stat().st_mtime_ns
    writer = os.fork()
    if not writer:
        while True:
            checkpoint["epoch"] += 1
            AtomicCheckpointIO().save_checkpoint(checkpoint, path)
    while path.stat().st_mtime_ns == before:
        time.sleep(0.005)
    time.sleep(0.03 + 0.017 * kill)
    os.kill(writer, signal.SIGKILL)
    _, status = os.waitpid(writer, 0)
    content = torch.load(path, weights_only=True)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert content["epoch"] > 0
    assert len(content["state"]) == 4_000_000 and content["state"].sum() == 4_000_000
print("whole after each kill")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system with fork")
def test_killed_process_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_WRITERS, str(tmp_path / "last.ckpt")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "whole after each kill" in done.stdout
