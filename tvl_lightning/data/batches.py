"""Batches as slices of tensors that already live where the network trains."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import TensorDataset


class Shuffle:
    """The order of n samples in each epoch, a function of the seed and the epoch alone.

    So a resumed run sees the order that it would have seen, and a GPU the one that a CPU sees: it
    is drawn on the host. Lightning calls `set_epoch` of a loader's `sampler` at the start of each
    epoch.

    Several processes take turns at the samples, so their batches of B/`world_size` make up, in each
    iteration, the batch of B that one process would take; the last few samples of an order, fewer
    than processes, are left out.

    Args:
        n: number of samples.
        seed: the seed of all epochs.
        device: where the order is needed.
        rank: this process, of `world_size`: each takes every `world_size`-th sample.
        world_size: number of processes that share the samples.
    """

    def __init__(
        self, n: int, seed: int, device: torch.device, rank: int = 0, world_size: int = 1
    ) -> None:
        self.n, self.seed, self.epoch = n, seed, 0
        self.device, self.rank, self.world_size = device, rank, world_size
        self.generator = torch.Generator()

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n // self.world_size

    def order(self) -> Tensor:
        """This process's indices in this epoch, shape (len(self),)."""
        self.generator.manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.n, generator=self.generator)
        return order[self.rank :: self.world_size][: len(self)].to(self.device)


class Chunk(NamedTuple):
    """Several batches, as rows of `order`, shape (k, B), into all inputs and labels."""

    inputs: Tensor
    labels: Tensor
    order: Tensor


class Batches:
    """Pairs (inputs, labels), a batch at a time; the last one may be smaller.

    Args:
        inputs: shape (n, ...).
        labels: shape (n,), on the same device.
        batch_size: number of samples in a batch.
        sampler: the order of the samples; as they lie where it is None.
        chunk: with it, a sampler's batches come as chunks of at most so many equal ones.
    """

    batch_sampler = None  # Lightning looks for one

    def __init__(
        self,
        inputs: Tensor,
        labels: Tensor,
        batch_size: int,
        sampler: Shuffle | None = None,
        chunk: int | None = None,
    ) -> None:
        self.inputs, self.labels = inputs, labels
        self.dataset = TensorDataset(inputs, labels)  # its length ends a search for the batch size
        self.batch_size, self.sampler, self.chunk = batch_size, sampler, chunk

    @property
    def iterations(self) -> int:
        """Number of batches, whether they come singly or in chunks."""
        return -(-self._samples // self.batch_size)

    def __len__(self) -> int:
        if self.sampler is None or self.chunk is None:
            return self.iterations
        full, rest = divmod(self._samples, self.batch_size)
        return -(-full // self.chunk) + (rest > 0)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor] | Chunk]:
        if self.sampler is None:
            yield from zip(
                torch.split(self.inputs, self.batch_size),
                torch.split(self.labels, self.batch_size),
                strict=True,
            )
            return
        if self.chunk is not None:
            yield from self._chunks(self.sampler.order(), self.chunk)
            return
        for index in torch.split(self.sampler.order(), self.batch_size):
            yield self.inputs.index_select(0, index), self.labels.index_select(0, index)

    @property
    def _samples(self) -> int:
        return len(self.labels if self.sampler is None else self.sampler)

    def _chunks(self, order: Tensor, size: int) -> Iterator[Chunk]:
        rest = len(order) % self.batch_size
        full = order[: len(order) - rest].view(-1, self.batch_size)
        for index in torch.split(full, size) if len(full) else ():
            yield Chunk(self.inputs, self.labels, index)
        if rest:
            yield Chunk(self.inputs, self.labels, order[-rest:][None])
