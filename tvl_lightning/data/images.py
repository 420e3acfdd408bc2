"""Labelled images as tensors."""

from typing import NamedTuple

import torch
from torch import Tensor


class Images(NamedTuple):
    """Grey values in [0, 1], shape (n, 28, 28), and labels 0 ... 9, shape (n,)."""

    pixels: Tensor
    labels: Tensor


class Dataset(NamedTuple):
    """Images to train and to test, and where they were read from."""

    train: Images
    test: Images
    source: str


def as_images(pixels: Tensor, labels: Tensor) -> Images:
    """Bytes (n, 28, 28) and (n,) as the values that networks and losses take."""
    return Images(pixels.to(torch.float32) / 255, labels.to(torch.int64))
