"""Labelled samples as tensors."""

from typing import NamedTuple

import torch
from torch import Tensor


class Sizes(NamedTuple):
    """What a network must know of a data set: the shape of one input, the number of classes."""

    in_shape: tuple[int, ...]
    classes: int


class Samples(NamedTuple):
    """Inputs, shape (n, *in_shape), and labels 0 ... classes - 1, shape (n,)."""

    inputs: Tensor
    labels: Tensor


class Dataset(NamedTuple):
    """Samples to train and to test, on the host, and where they were read from."""

    train: Samples
    test: Samples
    source: str


def to_device(samples: Samples, device: torch.device) -> Samples:
    """The values that networks and losses take: float32, bytes scaled to [0, 1]; int64."""
    inputs = samples.inputs.to(device).to(torch.float32)
    if samples.inputs.dtype == torch.uint8:
        inputs.div_(255)
    return Samples(inputs, samples.labels.to(device).to(torch.int64))


def every_fifth_tests(samples: Samples, source: str) -> Dataset:
    """Sorted by class; of each class, every fifth sample tests and the others train."""
    order = samples.labels.argsort(stable=True)
    inputs, labels = samples.inputs[order], samples.labels[order]
    test = torch.cat([torch.arange(n) % 5 == 4 for n in labels.bincount().tolist()])
    return Dataset(
        train=Samples(inputs[~test], labels[~test]),
        test=Samples(inputs[test], labels[test]),
        source=source,
    )
