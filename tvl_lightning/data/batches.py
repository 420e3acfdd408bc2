"""Batches as slices of tensors that already live where the network trains."""

from collections.abc import Iterator

import torch
from torch import Tensor


class Shuffle:
    """The order of n images in each epoch, a function of the seed and the epoch alone.

    So a resumed run sees the order that it would have seen. Lightning calls `set_epoch` of a
    loader's `sampler` at the start of each epoch.

    Args:
        n: number of images.
        seed: the seed of all epochs.
        device: where the order is drawn.
        rank: this process, of `world_size`: each takes every `world_size`-th image.
        world_size: number of processes that share the images.
    """

    def __init__(
        self, n: int, seed: int, device: torch.device, rank: int = 0, world_size: int = 1
    ) -> None:
        self.n, self.seed, self.epoch = n, seed, 0
        self.rank, self.world_size = rank, world_size
        self.generator = torch.Generator(device)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n // self.world_size

    def order(self) -> Tensor:
        """This process's image indices in this epoch, shape (len(self),)."""
        self.generator.manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.n, generator=self.generator, device=self.generator.device)
        return order[self.rank :: self.world_size][: len(self)]


class Batches:
    """Pairs (images, labels), a batch at a time; the last one may be smaller.

    Args:
        images: shape (n, ...).
        labels: shape (n,), on the same device.
        batch_size: number of images in a batch.
        sampler: the order of the images; as they lie where it is None.
    """

    batch_sampler = None  # Lightning looks for one

    def __init__(
        self, images: Tensor, labels: Tensor, batch_size: int, sampler: Shuffle | None = None
    ) -> None:
        self.images, self.labels = images, labels
        self.batch_size, self.sampler = batch_size, sampler

    def __len__(self) -> int:
        n = len(self.labels if self.sampler is None else self.sampler)
        return -(-n // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if self.sampler is None:
            yield from zip(
                torch.split(self.images, self.batch_size),
                torch.split(self.labels, self.batch_size),
                strict=True,
            )
            return
        for index in torch.split(self.sampler.order(), self.batch_size):
            yield self.images[index], self.labels[index]
