"""The full MNIST and Fashion-MNIST: found, checked, read, and downloaded where nothing is found."""

import gzip
import hashlib
import socket
import zlib
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torchvision
from torch import Tensor

from tvl_lightning.data.images import Dataset, Images
from tvl_lightning.limits import InputError

DOWNLOAD_TIMEOUT = 30.0  # seconds without an answer


class _Source(NamedTuple):
    name: str
    installed: list[Path]  # where systems put it
    torchvision: type[torchvision.datasets.MNIST]
    md5: dict[str, str]  # of the unpacked files


SOURCES = {
    "mnist": _Source(
        "MNIST",
        [Path("/usr/share/datasets/mnist"), Path("/usr/local/share/datasets/mnist")],
        torchvision.datasets.MNIST,
        {
            "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
            "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
            "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
            "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
        },
    ),
    "fashion_mnist": _Source(
        "FashionMNIST",
        [
            Path("/usr/share/datasets/fashion-mnist"),  # Debian's dataset-fashion-mnist
            Path("/usr/local/share/datasets/fashion-mnist"),
        ],
        torchvision.datasets.FashionMNIST,
        {
            "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
            "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
            "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
        },
    ),
}


def load_idx(dataset: str, root: Path) -> Dataset:
    """The full data set from `root`, from where the system installs it, or from the network.

    Args:
        dataset: `mnist` or `fashion_mnist`.
        root: looked at first, as torchvision lays it out (`root/MNIST/raw`) or with the files
            directly inside; downloads go there.

    Raises:
        InputError: for a file that is not what it should be, and where no place has the files
            and the download fails.
    """
    root = root.expanduser()
    source = SOURCES[dataset]
    places = [root / source.name / "raw", root, *source.installed]
    folder = _find(places, source)
    if folder is None:
        _download(dataset, root, places)
        folder = places[0]
    train_pixels, train_labels, test_pixels, test_labels = (
        _read(_file(folder, name), md5, source.name) for name, md5 in source.md5.items()
    )
    return Dataset(
        Images(train_pixels, train_labels), Images(test_pixels, test_labels), str(folder)
    )


def _file(folder: Path, name: str) -> Path:
    plain = folder / name
    return plain if plain.is_file() else folder / f"{name}.gz"


def _find(places: list[Path], source: _Source) -> Path | None:
    complete = (p for p in places if all(_file(p, name).is_file() for name in source.md5))
    return next(complete, None)


def _read(path: Path, md5: str, name: str) -> Tensor:
    """The array in an IDX file, plain or gzipped, whose content has the given MD5 sum."""
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path} is damaged ({error}): it must unpack to {name}'s file with MD5 {md5}; "
            "delete it and get it again"
        ) from None
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        raise InputError(
            f"{path} has MD5 {found}: {name}'s file has {md5}; delete it and get it again"
        )
    dimensions = content[3]
    header = 4 + 4 * dimensions
    shape = np.frombuffer(content, ">i4", dimensions, offset=4)
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy())


def _download(dataset: str, root: Path, places: list[Path]) -> None:
    source = SOURCES[dataset]
    default_timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)  # torchvision sets none
    try:
        source.torchvision(str(root), download=True)
    except (OSError, RuntimeError, HTTPException) as error:
        looked = ", ".join(str(place) for place in places)
        raise InputError(
            f"data={dataset}: its files are in none of {looked}, and the download failed "
            f"({' '.join(str(error).split())}); put the four IDX files (plain or .gz) into "
            f"{places[0]}, or name their folder with data.root=FOLDER"
        ) from None
    finally:
        socket.setdefaulttimeout(default_timeout)
