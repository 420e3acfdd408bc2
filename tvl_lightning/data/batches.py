"""Batches as slices of tensors that already live where the network trains."""

from collections.abc import Iterator
from typing import NamedTuple

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


class Block(NamedTuple):
    """Several batches, as rows of `order`, shape (k, B), into all images and labels."""

    images: Tensor
    labels: Tensor
    order: Tensor


class Batches:
    """Pairs (images, labels), a batch at a time; the last one may be smaller.

    Args:
        images: shape (n, ...).
        labels: shape (n,), on the same device.
        batch_size: number of images in a batch.
        sampler: the order of the images; as they lie where it is None.
        block_size: with it, a sampler's batches come as blocks of at most so many equal ones.
    """

    batch_sampler = None  # Lightning looks for one

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        batch_size: int,
        sampler: Shuffle | None = None,
        block_size: int | None = None,
    ) -> None:
        self.images, self.labels = images, labels
        self.batch_size, self.sampler, self.block_size = batch_size, sampler, block_size

    def __len__(self) -> int:
        n = len(self.labels if self.sampler is None else self.sampler)
        if self.block_size is None:
            return -(-n // self.batch_size)
        full, rest = divmod(n, self.batch_size)
        return -(-full // self.block_size) + (rest > 0)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor] | Block]:
        if self.sampler is None:
            yield from zip(
                torch.split(self.images, self.batch_size),
                torch.split(self.labels, self.batch_size),
                strict=True,
            )
            return
        if self.block_size is not None:
            yield from self._blocks(self.sampler.order(), self.block_size)
            return
        for index in torch.split(self.sampler.order(), self.batch_size):
            yield self.images.index_select(0, index), self.labels.index_select(0, index)

    def _blocks(self, order: Tensor, size: int) -> Iterator[Block]:
        rest = len(order) % self.batch_size
        full = order[: len(order) - rest].view(-1, self.batch_size)
        for index in torch.split(full, size) if len(full) else ():
            yield Block(self.images, self.labels, index)
        if rest:
            yield Block(self.images, self.labels, order[-rest:][None])
