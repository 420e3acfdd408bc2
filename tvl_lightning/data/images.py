"""Labelled images as tensors."""

from typing import NamedTuple

import torch
from torch import Tensor


class Images(NamedTuple):
    """Grey values, shape (n, 28, 28), and labels 0 ... 9, shape (n,)."""

    pixels: Tensor
    labels: Tensor


class Dataset(NamedTuple):
    """Images to train and to test, as bytes on the host, and where they were read from."""

    train: Images
    test: Images
    source: str


def to_device(images: Images, device: torch.device) -> Images:
    """Bytes as the values that networks and losses take: float32 in [0, 1], and int64."""
    pixels = images.pixels.to(device).to(torch.float32)
    return Images(pixels.div_(255), images.labels.to(device).to(torch.int64))
