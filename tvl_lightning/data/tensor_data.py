"""The datamodule: one data set, its splits, and batches on the training device."""

from functools import cached_property
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from lightning import LightningDataModule
from torch import Tensor

from tvl_lightning.data.batches import Batches, Shuffle
from tvl_lightning.data.samples import Dataset, Samples, Sizes, to_device
from tvl_lightning.limits import InputError, check

_EVALUATION_BATCH = 2500  # large enough to keep a device busy, small enough for any
_SPLIT_SEED = 0  # one split for all runs, so that their validation accuracies compare


@runtime_checkable
class TakesChunks(Protocol):
    """A module that takes several batches a call."""

    chunk: int  # at most so many


class TensorData(LightningDataModule):
    """A data set that fits on the training device as a whole.

    One of your own says its `sizes`, and reads its tensors in `load`:

        class Moons(TensorData):
            sizes = Sizes(in_shape=(2,), classes=2)

            def load(self) -> Dataset:
                return Dataset(Samples(x, y), Samples(x_test, y_test), source="moons.csv")

    Args:
        batch_size: samples in a training batch, at most as many as there are. Of several processes
            each takes batches of this size.
        val_size: fraction of the training samples kept for validation. With 0 all of them train,
            as in the paper, and the test set is evaluated after every epoch.
        seed: of the order in which samples are drawn.

    Raises:
        InputError: for an argument outside its limits.
    """

    sizes: ClassVar[Sizes]

    def __init__(self, batch_size: int = 100, val_size: float = 0.1, seed: int = 0) -> None:
        super().__init__()
        if not isinstance(getattr(type(self), "sizes", None), Sizes):
            raise InputError(
                f"{type(self).__name__}: needs a class attribute sizes = Sizes(in_shape, classes)"
            )
        check("TensorData", batch_size=batch_size, val_size=val_size, seed=seed)
        self.batch_size, self.val_size, self.seed = batch_size, val_size, seed
        self.validates_on = "val" if val_size > 0 else "test"
        self._device: torch.device | None = None

    def load(self) -> Dataset:
        """The data set on the host; called once.

        Bytes are scaled to [0, 1] later, all other inputs are taken as they are.
        """
        raise NotImplementedError(f"{type(self).__name__} must define load()")

    @cached_property
    def _loaded(self) -> Dataset:
        return self.load()

    def prepare_data(self) -> None:
        """Find or download the files, in one process."""
        _ = self._loaded

    def setup(self, stage: str) -> None:
        """Split the samples and move them to the training device.

        Raises:
            InputError: where `load` does not give what `sizes` says, and for a split or a batch
                that so many samples do not allow.
        """
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        if self._device == device:  # it was set up to fit, and now it is to test
            return
        name, data = type(self).__name__, self._loaded
        _check_samples(f"{name}.load(): train", data.train, self.sizes)
        _check_samples(f"{name}.load(): test", data.test, self.sizes)
        n = len(data.train.labels)
        held_out = round(self.val_size * n)
        if self.val_size > 0 and not 0 < held_out < n:
            raise InputError(
                f"data.val_size={self.val_size}: must keep some of the {n} samples to validate and "
                "some to train, or be 0"
            )
        _, processes = self._place
        share = (n - held_out) // processes
        if self.batch_size > share:
            among = f" for each of {processes} processes" if processes > 1 else ""
            raise InputError(
                f"data.batch_size={self.batch_size}: must be at most {share}, "
                f"the training samples of {name}{among}"
            )
        fewest = min(count for count in (held_out, len(data.test.labels)) if count)
        if fewest < processes:
            raise InputError(
                f"trainer.devices: {processes} processes cannot share {fewest} samples of {name} "
                "to evaluate on; use fewer"
            )
        order = torch.randperm(n, generator=torch.Generator().manual_seed(_SPLIT_SEED))
        self.train = to_device(_select(data.train, order[held_out:]), device)
        self.val = to_device(_select(data.train, order[:held_out]), device)
        self.test = to_device(data.test, device)
        self._device = device

    def describe(self) -> dict[str, Any]:
        """Where the samples came from and how many serve for what."""
        return {
            "dataset": type(self).__name__,
            "source": self._loaded.source,
            "train_images": len(self.train.labels),
            "val_images": len(self.val.labels),
            "test_images": len(self.test.labels),
        }

    @property
    def iterations_per_epoch(self) -> int:
        """Batches in which this process takes its share of the training samples, after `setup`."""
        return self.train_dataloader().iterations

    def train_dataloader(self) -> Batches:
        """Shuffled batches of this process's share of the training samples.

        They come in chunks where the module that trains takes them so.
        """
        rank, processes = self._place
        module = self.trainer.lightning_module if self.trainer else None
        chunk = module.chunk if isinstance(module, TakesChunks) else None
        inputs, labels = self.train
        self.batch_size = min(self.batch_size, len(labels))  # a search for it goes beyond
        shuffle = Shuffle(len(labels), self.seed, labels.device, rank, processes)
        return Batches(inputs, labels, self.batch_size, shuffle, chunk)

    def val_dataloader(self) -> Batches:
        """What is evaluated after every epoch: the validation samples, or else the test set.

        Each process takes its share, so that all of them together take each sample once.
        """
        return self._to_evaluate(self.val if self.validates_on == "val" else self.test)

    def test_dataloader(self) -> Batches:
        """The test set, shared out as in `val_dataloader`."""
        return self._to_evaluate(self.test)

    @property
    def _place(self) -> tuple[int, int]:
        """Which process this is, of how many."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _to_evaluate(self, samples: Samples) -> Batches:
        rank, processes = self._place
        largest = -(-len(samples.labels) // processes)  # share; another one may be smaller by 1
        # so none ends with a batch of 1, which not every process would have and wait for
        size = next(b for b in range(_EVALUATION_BATCH, 1, -1) if b == 2 or largest % b != 1)
        inputs, labels = (part[rank::processes] for part in samples)
        return Batches(inputs, labels, size)


def _select(samples: Samples, index: Tensor) -> Samples:
    ascending = index.sort().values
    return Samples(samples.inputs[ascending], samples.labels[ascending])


def _check_samples(what: str, samples: Samples, sizes: Sizes) -> None:
    """Refuse samples of which a network built for `sizes` would be fed something else."""
    inputs, labels = samples
    if not (isinstance(inputs, Tensor) and isinstance(labels, Tensor)):
        raise InputError(
            f"{what} is a {type(inputs).__name__} and a {type(labels).__name__}: must be two "
            "tensors; use torch.as_tensor"
        )
    if labels.is_floating_point() or labels.ndim != 1 or len(labels) == 0:
        raise InputError(
            f"{what} labels are {labels.dtype} of shape {tuple(labels.shape)}: must be whole "
            "numbers of shape (n,), n at least 1; use labels.long().flatten()"
        )
    expected = (len(labels), *sizes.in_shape)
    if inputs.shape != expected:
        raise InputError(
            f"{what} inputs have shape {tuple(inputs.shape)}: must have {expected}, for "
            f"{len(labels)} labels and sizes.in_shape={tuple(sizes.in_shape)}; change load or sizes"
        )
    low, high = (int(bound) for bound in labels.to(torch.int64).aminmax())
    if low < 0 or high >= sizes.classes:
        raise InputError(
            f"{what} labels are {low} ... {high}: must be within 0 ... {sizes.classes - 1}, for "
            f"sizes.classes={sizes.classes}; change load or sizes"
        )
