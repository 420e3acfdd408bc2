"""The 1,797 images that ship with scikit-learn."""

import sys

import pytest
import torch
from sklearn.datasets import load_digits

from tvl_lightning.data import Dataset, Digits
from tvl_lightning.limits import InputError


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return Digits().load()


def test_every_fifth_image_of_each_digit_tests(digits: Dataset) -> None:
    original = load_digits()
    for digit in range(10):
        images = torch.tensor(original.images[original.target == digit], dtype=torch.float32) / 16
        tests = torch.arange(len(images)) % 5 == 4
        for samples, expected in ((digits.train, images[~tests]), (digits.test, images[tests])):
            assert torch.equal(samples.inputs[samples.labels == digit], expected[:, None])


def test_images_have_a_channel_and_values_from_0_to_1(digits: Dataset) -> None:
    assert digits.train.inputs.shape == (1442, *Digits.sizes.in_shape) == (1442, 1, 8, 8)
    assert digits.test.inputs.shape == (355, 1, 8, 8)
    assert digits.train.inputs.dtype == torch.float32
    assert digits.train.inputs.min() == 0
    assert digits.train.inputs.max() == 1


def test_values_stay_as_they_are_where_they_train() -> None:
    data = Digits(val_size=0)
    data.setup("fit")
    assert data.train.inputs.max() == 1
    assert len(data.train.labels) == 1442


def test_source_is_the_package(digits: Dataset) -> None:
    assert digits.source.startswith("scikit-learn ")


def test_missing_scikit_learn_is_refused_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(InputError, match="pip install scikit-learn"):
        Digits().load()
