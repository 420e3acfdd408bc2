"""1,797 images of handwritten digits, 8x8, which ship with scikit-learn."""

from typing import ClassVar

import torch

from tvl_lightning.data.samples import Dataset, Samples, Sizes, every_fifth_tests
from tvl_lightning.data.tensor_data import TensorData
from tvl_lightning.limits import InputError


class Digits(TensorData):
    """1,442 images to train and 355 to test: of each digit, every fifth image tests.

    Args and Raises: as `TensorData`.
    """

    sizes: ClassVar[Sizes] = Sizes(in_shape=(1, 8, 8), classes=10)

    def load(self) -> Dataset:
        """Grey values 0 ... 16, scaled to [0, 1].

        Raises:
            InputError: where scikit-learn is missing.
        """
        try:
            import sklearn
            from sklearn.datasets import load_digits
        except ImportError:
            raise InputError(
                "Digits: its images come with scikit-learn; run `pip install scikit-learn`"
            ) from None
        digits = load_digits()
        inputs = torch.from_numpy(digits.images).to(torch.float32).div(16).unsqueeze(1)
        samples = Samples(inputs, torch.from_numpy(digits.target))
        return every_fifth_tests(samples, f"scikit-learn {sklearn.__version__}")
