"""Random images in the shape of MNIST, so that no benchmark needs the files."""

import torch
from torch import Tensor

from tvl_lightning.data import Dataset, Samples, Sizes, TensorData


def draw(n: int) -> Samples:
    """Bytes, shape (n, 1, 28, 28), and labels 0 ... 9."""
    generator = torch.Generator().manual_seed(n)
    pixels: Tensor = torch.randint(0, 256, (n, 1, 28, 28), dtype=torch.uint8, generator=generator)
    return Samples(pixels, torch.randint(0, 10, (n,), dtype=torch.uint8, generator=generator))


class RandomImages(TensorData):
    """60,000 images to train and 10,000 to test, in place of the files."""

    sizes = Sizes((1, 28, 28), 10)

    def load(self) -> Dataset:
        """Draw them."""
        return Dataset(draw(60_000), draw(10_000), "random")
