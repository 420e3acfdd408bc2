"""The full MNIST and Fashion-MNIST: found, checked, read, and downloaded where nothing is found."""

import socket
from http.client import HTTPException
from pathlib import Path
from typing import ClassVar

import torchvision
from filelock import FileLock

from tvl_lightning.data.idx import IdxFile, read_idx
from tvl_lightning.data.samples import Dataset, Samples, Sizes
from tvl_lightning.data.tensor_data import TensorData
from tvl_lightning.limits import InputError

DOWNLOAD_TIMEOUT = 30.0  # seconds without an answer


class MNIST(TensorData):
    """Handwritten digits: 60,000 images to train and 10,000 to test.

    Args:
        root: looked at first, as torchvision lays it out (`root/MNIST/raw`) or with the files
            directly inside, plain or gzipped; downloads go there.
        batch_size: see `TensorData`, as the others.
        val_size: fraction of the training images kept for validation.
        seed: of the order in which images are drawn.

    Raises:
        InputError: for an argument outside its limits.
    """

    sizes: ClassVar[Sizes] = Sizes(in_shape=(1, 28, 28), classes=10)
    files: ClassVar[dict[str, IdxFile]] = {
        "train-images-idx3-ubyte": IdxFile(47_040_016, "6bbc9ace898e44ae57da46a324031adb"),
        "train-labels-idx1-ubyte": IdxFile(60_008, "a25bea736e30d166cdddb491f175f624"),
        "t10k-images-idx3-ubyte": IdxFile(7_840_016, "2646ac647ad5339dbf082846283269ea"),
        "t10k-labels-idx1-ubyte": IdxFile(10_008, "27ae3e4e09519cfbb04c329615203637"),
    }
    installed: ClassVar[list[Path]] = [  # where systems put them
        Path("/usr/share/datasets/mnist"),
        Path("/usr/local/share/datasets/mnist"),
    ]
    downloader: ClassVar[type[torchvision.datasets.MNIST]] = torchvision.datasets.MNIST

    def __init__(
        self, root: str = "data", batch_size: int = 100, val_size: float = 0.1, seed: int = 0
    ) -> None:
        super().__init__(batch_size, val_size, seed)
        self.root = Path(root).expanduser()

    def load(self) -> Dataset:
        """Bytes from `root`, from where the system installs them, or from the network.

        Raises:
            InputError: for a file that is not what it should be, and where no place has the files
                and the download fails.
        """
        name = self.downloader.__name__
        folder = self.found()
        if folder is None:
            self._download()
            folder = self._places()[0]
        train_images, train_labels, test_images, test_labels = (
            read_idx(_path(folder, file), known, name) for file, known in self.files.items()
        )
        return Dataset(
            Samples(train_images.unsqueeze(1), train_labels),
            Samples(test_images.unsqueeze(1), test_labels),
            str(folder),
        )

    def found(self) -> Path | None:
        """The folder that has all files, None where they would have to be downloaded."""
        return next((place for place in self._places() if self._complete(place)), None)

    def _places(self) -> list[Path]:
        return [self.root / self.downloader.__name__ / "raw", self.root, *self.installed]

    def _complete(self, folder: Path) -> bool:
        return all(_path(folder, file).is_file() for file in self.files)

    def _download(self) -> None:
        """Into the first place, unless another process did so in the meantime."""
        places = self._places()
        default_timeout = socket.getdefaulttimeout()
        socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)  # torchvision sets none
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / f".{self.downloader.__name__}.lock"):
                if not self._complete(places[0]):
                    self.downloader(str(self.root), download=True)
        except (OSError, RuntimeError, HTTPException) as error:
            looked = ", ".join(str(place) for place in places)
            raise InputError(
                f"{self.downloader.__name__}: its files are in none of {looked}, and the download "
                f"failed ({' '.join(str(error).split())}); put the four IDX files (plain or .gz) "
                f"into {places[0]}, or name their folder with data.root=FOLDER"
            ) from None
        finally:
            socket.setdefaulttimeout(default_timeout)


class FashionMNIST(MNIST):
    """Pieces of clothing, ten kinds: 60,000 images to train and 10,000 to test.

    Args and Raises: as `MNIST`.
    """

    files: ClassVar[dict[str, IdxFile]] = {
        "train-images-idx3-ubyte": IdxFile(47_040_016, "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
        "train-labels-idx1-ubyte": IdxFile(60_008, "9018921c3c673c538a1fc5bad174d6f9"),
        "t10k-images-idx3-ubyte": IdxFile(7_840_016, "8181f5470baa50b63fa0f6fddb340f0a"),
        "t10k-labels-idx1-ubyte": IdxFile(10_008, "15d484375f8d13e6eb1aabb0c3f46965"),
    }
    installed: ClassVar[list[Path]] = [
        Path("/usr/share/datasets/fashion-mnist"),  # Debian's dataset-fashion-mnist
        Path("/usr/local/share/datasets/fashion-mnist"),
    ]
    downloader: ClassVar[type[torchvision.datasets.MNIST]] = torchvision.datasets.FashionMNIST


def _path(folder: Path, file: str) -> Path:
    plain = folder / file
    return plain if plain.is_file() else folder / f"{file}.gz"
