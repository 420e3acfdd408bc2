"""IDX files of strangers: read where they are the known ones, refused in one line otherwise."""

import gzip
import hashlib
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tvl_lightning.data.idx import IdxFile, read_idx
from tvl_lightning.data.mnist import MNIST
from tvl_lightning.limits import InputError

CONTENT = struct.pack(">4B3i", 0, 0, 8, 3, 4, 5, 6) + bytes(range(120))
KNOWN = IdxFile(len(CONTENT), hashlib.md5(CONTENT, usedforsecurity=False).hexdigest())
LABELS = MNIST.files["t10k-labels-idx1-ubyte"]


def refused(path: Path, known: IdxFile = KNOWN) -> str:
    with pytest.raises(InputError) as caught:
        read_idx(path, known, "MNIST")
    message = str(caught.value)
    assert message.startswith(str(path))
    assert f"MNIST's file has {known.size} bytes, MD5 {known.md5}" in message
    assert message.endswith("delete it and get it again")
    assert "\n" not in message
    return message


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["images", "images.gz"])
def test_array_is_read_plain_and_gzipped(name: str, tmp_path: Path) -> None:
    content = gzip.compress(CONTENT) if name.endswith(".gz") else CONTENT
    array = read_idx(write(tmp_path / name, content), KNOWN, "MNIST")
    assert torch.equal(array, torch.arange(120, dtype=torch.uint8).view(4, 5, 6))


def flipped(packed: bytes) -> bytes:
    """The same gzip file with its compressed data spoilt."""
    return packed[:12] + bytes(255 - byte for byte in packed[12:40]) + packed[40:]


@pytest.mark.parametrize(
    "damage",
    [
        lambda packed: packed[: len(packed) // 2],
        lambda packed: packed[:-3],
        lambda packed: b"<html>404 not found</html>",
        lambda packed: b"",
        lambda packed: packed[:10] + b"\xff" * 40,
        lambda packed: packed + b"rubbish",
        flipped,
    ],
    ids=["half", "no end", "html", "empty", "garbage", "rubbish after", "flipped"],
)
def test_damaged_file_is_named_with_what_it_should_be(
    damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    refused(write(tmp_path / "images.gz", damage(gzip.compress(CONTENT))))


@pytest.mark.parametrize("length", [0, 3, 10, 100])
def test_cut_plain_file_is_named_with_what_it_should_be(length: int, tmp_path: Path) -> None:
    refused(write(tmp_path / "images", CONTENT[:length]))


@pytest.mark.parametrize("name", ["images", "images.gz"])
def test_file_with_other_content_is_named_with_both_md5_sums(name: str, tmp_path: Path) -> None:
    other = CONTENT[:-1] + b"!"
    content = gzip.compress(other) if name.endswith(".gz") else other
    message = refused(write(tmp_path / name, content))
    assert hashlib.md5(other, usedforsecurity=False).hexdigest() in message


def peak_of_refusing(path: Path, known: IdxFile) -> tuple[str, int]:
    """The message, and the most bytes that were held meanwhile."""
    tracemalloc.start()
    try:
        message = refused(path, known)
        return message, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("members", [1, 100], ids=["one member", "many members"])
def test_gzip_bomb_is_refused_before_it_unpacks(members: int, tmp_path: Path) -> None:
    path = tmp_path / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(bytes(200_000_000 // members)) * members)
    assert path.stat().st_size < 300_000
    message, peak = peak_of_refusing(path, LABELS)
    assert "unpacks to more than 10008 bytes" in message
    assert peak < 1_000_000


def test_larger_plain_file_is_refused_without_being_read(tmp_path: Path) -> None:
    path = tmp_path / "t10k-labels-idx1-ubyte"
    with path.open("wb") as file:
        file.truncate(2**40)
    message, peak = peak_of_refusing(path, LABELS)
    assert f"has {2**40} bytes" in message
    assert peak < 1_000_000


def test_file_with_one_byte_more_is_refused(tmp_path: Path) -> None:
    assert "more than" in refused(write(tmp_path / "i.gz", gzip.compress(CONTENT + b"\0")))
    assert f"has {KNOWN.size + 1} bytes" in refused(write(tmp_path / "i", CONTENT + b"\0"))
