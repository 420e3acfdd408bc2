"""Random images in the shape of MNIST, so that no benchmark needs the files."""

import torch
from torch import Tensor

from tvl_lightning.data import ImageData
from tvl_lightning.data.images import Dataset, Images


def draw(n: int) -> Images:
    """Bytes, shape (n, 28, 28), and labels 0 ... 9."""
    generator = torch.Generator().manual_seed(n)
    pixels: Tensor = torch.randint(0, 256, (n, 28, 28), dtype=torch.uint8, generator=generator)
    return Images(pixels, torch.randint(0, 10, (n,), dtype=torch.uint8, generator=generator))


class RandomImages(ImageData):
    """60,000 images to train and 10,000 to test, in place of the files."""

    def load(self) -> Dataset:
        """Draw them once."""
        if self._loaded is None:
            self._loaded = Dataset(draw(60_000), draw(10_000), "random")
        return self._loaded
