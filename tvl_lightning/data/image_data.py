"""The datamodule: one data set, its splits, and batches on the training device."""

from pathlib import Path
from typing import Any

import torch
from lightning import LightningDataModule

from tvl_lightning.data.batches import Batches, Shuffle
from tvl_lightning.data.idx import SOURCES, load_idx
from tvl_lightning.data.images import Dataset, Images, to_device
from tvl_lightning.data.mnist_5k import load_mnist_5k
from tvl_lightning.limits import InputError, check

_EVALUATION_BATCH = 2500  # large enough to keep a device busy, small enough for any
_SPLIT_SEED = 0  # one split for all runs, so that their validation accuracies compare


class ImageData(LightningDataModule):
    """MNIST, Fashion-MNIST or the 5,000 images of `mnist_5k`, scaled to [0, 1].

    Args:
        dataset: `mnist`, `fashion_mnist` or `mnist_5k`.
        root: folder of the full data sets, see `load_idx`.
        batch_size: images in a training batch, at most as many as there are.
        val_size: fraction of the training images kept for validation. With 0 all of them train,
            as in the paper, and the test set is evaluated after every epoch.
        seed: of the order in which images are drawn.

    Raises:
        InputError: for a data set that is not known, found or intact, or a batch that is too large.
    """

    def __init__(
        self,
        dataset: str = "mnist_5k",
        root: str = "data",
        batch_size: int = 100,
        val_size: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if dataset != "mnist_5k" and dataset not in SOURCES:
            raise InputError(f"dataset={dataset}: must be mnist_5k, {' or '.join(SOURCES)}")
        check("batch_size", batch_size)
        check("val_size", val_size)
        check("seed", seed)
        self.save_hyperparameters(logger=False)
        self.dataset, self.root = dataset, Path(root)
        self.batch_size, self.val_size, self.seed = batch_size, val_size, seed
        self.validates_on = "val" if val_size > 0 else "test"
        self._loaded: Dataset | None = None
        self._device: torch.device | None = None

    def load(self) -> Dataset:
        """The data set on the host, read once."""
        if self._loaded is None:
            self._loaded = (
                load_mnist_5k() if self.dataset == "mnist_5k" else load_idx(self.dataset, self.root)
            )
        return self._loaded

    def prepare_data(self) -> None:
        """Find or download the files, in one process."""
        self.load()

    def setup(self, stage: str) -> None:
        """Split the images and move them to the training device."""
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        if self._device == device:  # it was set up to fit, and now it is to test
            return
        data = self.load()
        n = len(data.train.labels)
        held_out = round(self.val_size * n)
        if self.val_size > 0 and not 0 < held_out < n:
            raise InputError(
                f"data.val_size={self.val_size}: must keep some of the {n} images to validate and "
                "some to train, or be 0"
            )
        if self.batch_size > n - held_out:
            raise InputError(
                f"data.batch_size={self.batch_size}: must be at most {n - held_out}, "
                f"the training images of {self.dataset}"
            )
        order = torch.randperm(n, generator=torch.Generator().manual_seed(_SPLIT_SEED))
        self.train = to_device(_select(data.train, order[held_out:]), device)
        self.val = to_device(_select(data.train, order[:held_out]), device)
        self.test = to_device(data.test, device)
        self._device = device

    def describe(self) -> dict[str, Any]:
        """Where the images came from and how many serve for what."""
        return {
            "dataset": self.dataset,
            "source": self.load().source,
            "train_images": len(self.train.labels),
            "val_images": len(self.val.labels),
            "test_images": len(self.test.labels),
        }

    def train_dataloader(self) -> Batches:
        """Shuffled batches of this process's share of the training images.

        They come in blocks where the module has a `block_size`.
        """
        rank, world_size = (
            (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        )
        module = self.trainer.lightning_module if self.trainer else None
        pixels, labels = self.train
        shuffle = Shuffle(len(labels), self.seed, labels.device, rank, world_size)
        block_size = getattr(module, "block_size", None)
        return Batches(pixels, labels, self.batch_size, shuffle, block_size)

    def val_dataloader(self) -> Batches:
        """What is evaluated after every epoch: the validation images, or else the test set."""
        return Batches(*(self.val if self.validates_on == "val" else self.test), _EVALUATION_BATCH)

    def test_dataloader(self) -> Batches:
        """The test set."""
        return Batches(*self.test, _EVALUATION_BATCH)


def _select(images: Images, index: torch.Tensor) -> Images:
    ascending = index.sort().values
    return Images(images.pixels[ascending], images.labels[ascending])
