"""The full data sets: where they are looked for, what is refused, and the download."""

import gzip
import hashlib
import os
import shutil
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
import torchvision

from tvl_lightning.data import MNIST, Dataset, FashionMNIST, mnist
from tvl_lightning.data.idx import IdxFile
from tvl_lightning.limits import InputError

FULL = Path(os.environ.get("TVL_DATA") or Path(__file__).parents[2] / ".." / "shared" / "data")
NAMES = list(MNIST.files)
MNIST_TRAIN = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
MNIST_TEST = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]

needs_full_data = pytest.mark.skipif(
    not all(
        (FULL / part / "raw" / f"{name}.gz").is_file()
        for part in ("MNIST", "FashionMNIST")
        for name in NAMES
    ),
    reason=f"the full data sets are not in {FULL}; name their folder in TVL_DATA",
)


def unpack(folder: Path, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        with gzip.open(folder / f"{name}.gz") as packed, (into / name).open("wb") as plain:
            shutil.copyfileobj(packed, plain)


def assert_same(one: Dataset, other: Dataset) -> None:
    for a, b in zip((*one.train, *one.test), (*other.train, *other.test), strict=True):
        assert torch.equal(a, b)


@pytest.fixture(scope="module")
def full_mnist() -> Dataset:
    return MNIST(str(FULL)).load()


@needs_full_data
def test_full_mnist_has_its_known_counts_of_digits(full_mnist: Dataset) -> None:
    assert full_mnist.train.inputs.shape == (60_000, 1, 28, 28)
    assert full_mnist.test.inputs.shape == (10_000, 1, 28, 28)
    assert full_mnist.train.labels.bincount().tolist() == MNIST_TRAIN
    assert full_mnist.test.labels.bincount().tolist() == MNIST_TEST


@needs_full_data
def test_full_fashion_mnist_has_equally_many_images_of_each_class() -> None:
    data = FashionMNIST(str(FULL)).load()
    assert data.train.inputs.shape == (60_000, 1, 28, 28)
    assert data.train.labels.bincount().tolist() == [6000] * 10
    assert data.test.labels.bincount().tolist() == [1000] * 10
    assert data.source == str(FULL / "FashionMNIST" / "raw")


@needs_full_data
def test_full_mnist_trains_on_pixels_from_0_to_1_with_its_known_mean() -> None:
    data = MNIST(str(FULL), val_size=0)
    data.setup("fit")
    assert data.train.inputs.dtype == torch.float32
    assert data.train.labels.dtype == torch.int64
    for images in (data.train, data.test):
        assert images.inputs.min() == 0
        assert images.inputs.max() == 1
    assert float(data.train.inputs.mean()) == pytest.approx(0.1307, abs=1e-4)
    assert float(data.train.inputs.std()) == pytest.approx(0.3081, abs=1e-4)


@needs_full_data
def test_unpacked_full_mnist_directly_in_root_is_the_same(
    full_mnist: Dataset, tmp_path: Path
) -> None:
    unpack(FULL / "MNIST" / "raw", tmp_path)
    data = MNIST(str(tmp_path)).load()
    assert data.source == str(tmp_path)
    assert_same(data, full_mnist)


@needs_full_data
def test_fashion_mnist_is_refused_where_mnist_is_asked() -> None:
    with pytest.raises(InputError) as caught:
        MNIST(str(FULL / "FashionMNIST" / "raw")).load()
    message = str(caught.value)
    assert "f4a8712d7a061bf5bd6d2ca38dc4d50a" in message
    assert "6bbc9ace898e44ae57da46a324031adb" in message
    assert "train-images-idx3-ubyte.gz" in message


def tiny_files(seed: int) -> dict[str, bytes]:
    """IDX files of 12 images to train and 5 to test."""
    rng = np.random.default_rng(seed)
    files = {}
    for name in NAMES:
        n = 12 if name.startswith("train") else 5
        if "images" in name:
            body = rng.integers(0, 256, n * 28 * 28, dtype=np.uint8)
            files[name] = struct.pack(">4B3i", 0, 0, 8, 3, n, 28, 28) + body.tobytes()
        else:
            body = rng.integers(0, 10, n, dtype=np.uint8)
            files[name] = struct.pack(">4Bi", 0, 0, 8, 1, n) + body.tobytes()
    return files


def put(folder: Path, files: dict[str, bytes], packed: set[str] | None = None) -> Path:
    """Write the files, gzipped where their name is in `packed` (all where it is None)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if packed is None or name in packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


def unreachable(*_: object, **__: object) -> None:
    raise AssertionError("a download was tried")


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Tiny files, which are what MNIST has to be in this test."""
    files = tiny_files(0)
    known = {name: IdxFile(len(content), md5(content)) for name, content in files.items()}
    monkeypatch.setattr(MNIST, "files", known)
    monkeypatch.setattr(MNIST, "installed", [tmp_path / "system", tmp_path / "local"])
    offline = type("MNIST", (torchvision.datasets.MNIST,), {"download": unreachable})
    monkeypatch.setattr(MNIST, "downloader", offline)
    return files


def assert_is(data: Dataset, files: dict[str, bytes]) -> None:
    train_images, train_labels, test_images, test_labels = (files[name] for name in NAMES)
    for images, labels, found in (
        (train_images, train_labels, data.train),
        (test_images, test_labels, data.test),
    ):
        expected = np.frombuffer(images, np.uint8)[16:].reshape(-1, 1, 28, 28)
        assert found.labels.tolist() == list(labels[8:])
        assert np.array_equal(found.inputs.numpy(), expected)


@pytest.mark.parametrize(
    "packed", [None, set(), set(NAMES[:1]), set(NAMES[1:])], ids=["gz", "plain", "one gz", "three"]
)
@pytest.mark.parametrize("inside", ["MNIST/raw", "."])
def test_files_are_read_plain_gzipped_and_mixed(
    inside: str, packed: set[str] | None, files: dict[str, bytes], tmp_path: Path
) -> None:
    folder = put(tmp_path / "root" / inside, files, packed)
    data = MNIST(str(tmp_path / "root")).load()
    assert_is(data, files)
    assert data.source == str(folder)


def test_root_comes_before_what_the_system_installed(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    places = [tmp_path / place for place in ("root/MNIST/raw", "root", "system", "local")]
    for place in places:
        put(place, files)
    for place in places:
        assert MNIST(str(tmp_path / "root")).load().source == str(place)
        for path in place.glob("*.gz"):
            path.unlink()


def test_folder_with_three_of_the_four_files_is_passed_over(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    put(tmp_path / "root", {name: files[name] for name in NAMES[:3]})
    put(tmp_path / "system", files)
    assert MNIST(str(tmp_path / "root")).load().source == str(tmp_path / "system")


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def own_timeout(monkeypatch: pytest.MonkeyPatch) -> Iterator[float]:
    """A default time-out of the caller's own, and no proxy before local addresses."""
    monkeypatch.setenv("no_proxy", "*")
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(12.5)
    yield 12.5
    socket.setdefaulttimeout(before)


@pytest.fixture
def served(files: dict[str, bytes], tmp_path: Path) -> Iterator[str]:
    """The address of a server that has the gzipped files."""
    folder = put(tmp_path / "served", files)
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def download_from(
    url: str, files: dict[str, bytes], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let MNIST be downloaded from this address."""
    resources = [
        (f"{name}.gz", md5((folder / f"{name}.gz").read_bytes()) if folder.is_dir() else "0" * 32)
        for name in files
    ]
    downloader = type(
        "MNIST", (torchvision.datasets.MNIST,), {"mirrors": [url], "resources": resources}
    )
    monkeypatch.setattr(MNIST, "downloader", downloader)


def test_missing_files_are_downloaded_once(
    files: dict[str, bytes],
    served: str,
    own_timeout: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    download_from(served, files, tmp_path / "served", monkeypatch)
    data = MNIST(str(tmp_path / "new" / "root")).load()
    assert_is(data, files)
    assert data.source == str(tmp_path / "new" / "root" / "MNIST" / "raw")
    assert socket.getdefaulttimeout() == own_timeout

    shutil.rmtree(tmp_path / "served")
    assert_is(MNIST(str(tmp_path / "new" / "root")).load(), files)


def test_several_that_miss_the_files_at_once_download_them_once(
    files: dict[str, bytes],
    served: str,
    own_timeout: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    download_from(served, files, tmp_path / "served", monkeypatch)
    plain, downloads = MNIST.downloader, []

    def download(self: torchvision.datasets.MNIST) -> None:
        downloads.append(self.root)
        time.sleep(0.2)
        plain.download(self)

    monkeypatch.setattr(MNIST, "downloader", type("MNIST", (plain,), {"download": download}))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: MNIST(str(tmp_path / "new")).load(), range(4)))
    assert downloads == [str(tmp_path / "new")]
    for data in found:
        assert_is(data, files)


def test_failed_download_names_the_places_looked_at_and_the_remedy(
    files: dict[str, bytes],
    served: str,
    own_timeout: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    download_from(f"{served}elsewhere/", files, tmp_path / "served", monkeypatch)
    with pytest.raises(InputError) as caught:
        MNIST(str(tmp_path / "root")).load()
    message = str(caught.value)
    for place in ("root/MNIST/raw", "root", "system", "local"):
        assert str(tmp_path / place) in message
    assert message.startswith("MNIST: ")
    assert "404" in message
    assert "data.root=FOLDER" in message
    assert "\n" not in message
    assert socket.getdefaulttimeout() == own_timeout


def test_downloaded_file_that_is_not_the_expected_one_is_refused(
    files: dict[str, bytes],
    served: str,
    own_timeout: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    download_from(served, files, tmp_path / "served", monkeypatch)
    (tmp_path / "served" / f"{NAMES[2]}.gz").write_bytes(b"<html>please log in</html>")
    # newer torchvision names the file
    with pytest.raises(InputError, match=rf"download failed \(.*({NAMES[2]}|corrupted)"):
        MNIST(str(tmp_path / "root")).load()


def test_download_in_which_the_server_never_answers_ends_within_the_time_out(
    files: dict[str, bytes], own_timeout: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist, "DOWNLOAD_TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        download_from(url, files, tmp_path / "served", monkeypatch)
        start = time.monotonic()
        with pytest.raises(InputError) as caught:
            MNIST(str(tmp_path / "root")).load()
        waited = time.monotonic() - start
    assert 0.4 < waited < 5
    message = str(caught.value)
    for place in ("root/MNIST/raw", "root", "system", "local"):
        assert str(tmp_path / place) in message
    assert "data.root=FOLDER" in message
    assert "\n" not in message
    assert socket.getdefaulttimeout() == own_timeout


def test_file_of_another_data_set_is_refused(files: dict[str, bytes], tmp_path: Path) -> None:
    put(tmp_path, {**files, NAMES[2]: tiny_files(1)[NAMES[2]]})
    with pytest.raises(InputError, match=rf"{NAMES[2]}\.gz has MD5 .*MNIST's file has"):
        MNIST(str(tmp_path)).load()


def test_fashion_mnist_has_its_own_files_and_download() -> None:
    assert FashionMNIST.downloader is torchvision.datasets.FashionMNIST
    assert FashionMNIST.sizes == MNIST.sizes == ((1, 28, 28), 10)
    assert not {known.md5 for known in FashionMNIST.files.values()} & {
        known.md5 for known in MNIST.files.values()
    }


def test_root_and_the_other_arguments_are_kept() -> None:
    data = MNIST("~/images", batch_size=50, val_size=0.2, seed=3)
    assert data.root == Path.home() / "images"
    assert (data.batch_size, data.val_size, data.seed) == (50, 0.2, 3)
