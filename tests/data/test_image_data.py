"""The datamodule: splits, batches, and refusals."""

from typing import Any

import pytest
import torch

from tvl_lightning.data import ImageData
from tvl_lightning.limits import InputError


def ready(**settings: Any) -> ImageData:
    data = ImageData(**settings)
    data.prepare_data()
    data.setup("fit")
    return data


def as_bytes(pixels: torch.Tensor) -> list[bytes]:
    return [image.numpy().tobytes() for image in pixels]


@pytest.fixture(scope="module")
def split() -> ImageData:
    return ready(val_size=0.1)


@pytest.fixture(scope="module")
def unsplit() -> ImageData:
    return ready(val_size=0)


def test_a_tenth_of_the_training_images_validates(split: ImageData) -> None:
    assert len(split.train.labels) == len(split.train.pixels) == 3600
    assert len(split.val.labels) == len(split.val.pixels) == 400
    assert split.validates_on == "val"


def test_training_validation_and_test_images_are_disjoint_and_all_there(
    split: ImageData, unsplit: ImageData
) -> None:
    train, val, test = (as_bytes(i.pixels) for i in (split.train, split.val, split.test))
    assert len(set(train) | set(val) | set(test)) == 5000
    assert sorted(train + val) == sorted(as_bytes(unsplit.train.pixels))


def test_validation_images_keep_their_labels(split: ImageData, unsplit: ImageData) -> None:
    label_of = dict(zip(as_bytes(unsplit.train.pixels), unsplit.train.labels.tolist(), strict=True))
    for images in (split.train, split.val):
        assert [label_of[i] for i in as_bytes(images.pixels)] == images.labels.tolist()


def test_validation_images_are_drawn_from_all_digits(split: ImageData) -> None:
    assert int(split.val.labels.bincount(minlength=10).min()) > 20


def test_split_is_the_same_for_every_seed(split: ImageData) -> None:
    torch.manual_seed(77)
    other = ready(val_size=0.1, seed=5)
    assert torch.equal(split.val.pixels, other.val.pixels)
    assert torch.equal(split.train.pixels, other.train.pixels)


def test_setting_up_again_changes_nothing(split: ImageData) -> None:
    again = ready(val_size=0.1)
    again.setup("test")
    assert torch.equal(split.val.pixels, again.val.pixels)
    assert len(again.train.labels) == 3600


def test_all_images_train_where_none_validate(unsplit: ImageData) -> None:
    assert len(unsplit.train.labels) == 4000
    assert len(unsplit.val.labels) == 0


def test_test_set_is_evaluated_after_every_epoch_where_none_validate(unsplit: ImageData) -> None:
    assert unsplit.validates_on == "test"
    evaluated = torch.cat([labels for _, labels in unsplit.val_dataloader()])
    tested = torch.cat([labels for _, labels in unsplit.test_dataloader()])
    assert torch.equal(evaluated, unsplit.test.labels)
    assert torch.equal(tested, unsplit.test.labels)


def test_validation_batches_are_the_validation_images(split: ImageData) -> None:
    pixels = torch.cat([pixels for pixels, _ in split.val_dataloader()])
    assert torch.equal(pixels, split.val.pixels)


def test_test_set_does_not_depend_on_the_validation_fraction(
    split: ImageData, unsplit: ImageData
) -> None:
    assert torch.equal(split.test.pixels, unsplit.test.pixels)
    assert len(split.test.labels) == 1000


def test_images_are_scaled_to_1_where_they_train(unsplit: ImageData) -> None:
    raw = unsplit.load()
    for images, loaded in ((unsplit.train, raw.train), (unsplit.test, raw.test)):
        assert images.pixels.dtype == torch.float32
        assert images.labels.dtype == torch.int64
        torch.testing.assert_close(images.pixels, loaded.pixels / 255)
        assert images.labels.tolist() == loaded.labels.tolist()


def test_training_batches_hold_each_training_image_once_in_shuffled_order() -> None:
    data = ready(batch_size=1000, val_size=0)
    batches = data.train_dataloader()
    assert len(batches) == 4
    pixels, labels = (torch.cat(part) for part in zip(*batches, strict=True))
    assert sorted(as_bytes(pixels)) == sorted(as_bytes(data.train.pixels))
    assert not torch.equal(labels, data.train.labels)


def test_order_of_training_images_follows_the_seed() -> None:
    first, same, other = (
        torch.cat([labels for _, labels in ready(seed=seed).train_dataloader()])
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_tensors_lie_on_the_cpu_without_a_trainer(split: ImageData) -> None:
    assert {t.device.type for i in (split.train, split.val, split.test) for t in i} == {"cpu"}


def test_batch_of_all_training_images_is_accepted() -> None:
    [(images, _)] = ready(batch_size=3600).train_dataloader()
    assert images.shape == (3600, 28, 28)


def test_batch_larger_than_the_training_set_is_refused_with_the_largest_allowed() -> None:
    data = ImageData(batch_size=3601)
    with pytest.raises(InputError, match=r"^data\.batch_size=3601: must be at most 3600"):
        data.setup("fit")


def test_unknown_data_set_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError) as caught:
        ImageData(dataset="cifar10")
    for name in ("cifar10", "mnist_5k", "mnist", "fashion_mnist"):
        assert name in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [{"batch_size": 0}, {"batch_size": 2.5}, {"val_size": 1}, {"val_size": -0.1}],
    ids=str,
)
def test_setting_outside_its_limits_is_refused_at_once(settings: dict[str, Any]) -> None:
    [name] = settings
    with pytest.raises(InputError, match=f"^{name}="):
        ImageData(**settings)


def test_description_counts_the_images_and_names_their_source(
    split: ImageData, unsplit: ImageData
) -> None:
    description = split.describe()
    source = description.pop("source")
    assert source.endswith("mnist_5k.csv.gz")
    assert description == {
        "dataset": "mnist_5k",
        "train_images": 3600,
        "val_images": 400,
        "test_images": 1000,
    }
    assert unsplit.describe()["train_images"] == 4000
    assert unsplit.describe()["val_images"] == 0


@pytest.mark.parametrize("val_size", [1e-5, 0.99999])
def test_a_split_without_images_on_one_side_is_refused(val_size: float) -> None:
    with pytest.raises(InputError, match=rf"data\.val_size={val_size}: must keep some"):
        ImageData(val_size=val_size).setup("fit")
