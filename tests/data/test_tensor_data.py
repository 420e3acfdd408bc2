"""The datamodule: splits, batches, and refusals."""

import copy
import pickle
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tvl_lightning.data import Chunk, Dataset, MNIST5k, Samples, Sizes, TensorData
from tvl_lightning.limits import InputError


def ready(**settings: Any) -> MNIST5k:
    data = MNIST5k(**settings)
    data.prepare_data()
    data.setup("fit")
    return data


def as_bytes(inputs: torch.Tensor) -> list[bytes]:
    return [image.numpy().tobytes() for image in inputs]


@pytest.fixture(scope="module")
def split() -> MNIST5k:
    return ready(val_size=0.1)


@pytest.fixture(scope="module")
def unsplit() -> MNIST5k:
    return ready(val_size=0)


def test_a_tenth_of_the_training_images_validates(split: MNIST5k) -> None:
    assert len(split.train.labels) == len(split.train.inputs) == 3600
    assert len(split.val.labels) == len(split.val.inputs) == 400
    assert split.validates_on == "val"


def test_training_validation_and_test_images_are_disjoint_and_all_there(
    split: MNIST5k, unsplit: MNIST5k
) -> None:
    train, val, test = (as_bytes(i.inputs) for i in (split.train, split.val, split.test))
    assert len(set(train) | set(val) | set(test)) == 5000
    assert sorted(train + val) == sorted(as_bytes(unsplit.train.inputs))


def test_validation_images_keep_their_labels(split: MNIST5k, unsplit: MNIST5k) -> None:
    label_of = dict(zip(as_bytes(unsplit.train.inputs), unsplit.train.labels.tolist(), strict=True))
    for images in (split.train, split.val):
        assert [label_of[i] for i in as_bytes(images.inputs)] == images.labels.tolist()


def test_validation_images_are_drawn_from_all_digits(split: MNIST5k) -> None:
    assert int(split.val.labels.bincount(minlength=10).min()) > 20


def test_split_is_the_same_for_every_seed(split: MNIST5k) -> None:
    torch.manual_seed(77)
    other = ready(val_size=0.1, seed=5)
    assert torch.equal(split.val.inputs, other.val.inputs)
    assert torch.equal(split.train.inputs, other.train.inputs)


def test_setting_up_again_changes_nothing(split: MNIST5k) -> None:
    again = ready(val_size=0.1)
    again.setup("test")
    assert torch.equal(split.val.inputs, again.val.inputs)
    assert len(again.train.labels) == 3600


def test_all_images_train_where_none_validate(unsplit: MNIST5k) -> None:
    assert len(unsplit.train.labels) == 4000
    assert len(unsplit.val.labels) == 0


def test_test_set_is_evaluated_after_every_epoch_where_none_validate(unsplit: MNIST5k) -> None:
    assert unsplit.validates_on == "test"
    evaluated = torch.cat([labels for _, labels in unsplit.val_dataloader()])
    tested = torch.cat([labels for _, labels in unsplit.test_dataloader()])
    assert torch.equal(evaluated, unsplit.test.labels)
    assert torch.equal(tested, unsplit.test.labels)


def test_validation_batches_are_the_validation_images(split: MNIST5k) -> None:
    inputs = torch.cat([inputs for inputs, _ in split.val_dataloader()])
    assert torch.equal(inputs, split.val.inputs)


def test_test_set_does_not_depend_on_the_validation_fraction(
    split: MNIST5k, unsplit: MNIST5k
) -> None:
    assert torch.equal(split.test.inputs, unsplit.test.inputs)
    assert len(split.test.labels) == 1000


def test_bytes_are_scaled_to_1_where_they_train(unsplit: MNIST5k) -> None:
    raw = unsplit.load()
    for images, loaded in ((unsplit.train, raw.train), (unsplit.test, raw.test)):
        assert images.inputs.dtype == torch.float32
        assert images.labels.dtype == torch.int64
        torch.testing.assert_close(images.inputs, loaded.inputs / 255)
        assert images.labels.tolist() == loaded.labels.tolist()


def test_training_batches_hold_each_training_image_once_in_shuffled_order() -> None:
    data = ready(batch_size=1000, val_size=0)
    batches = data.train_dataloader()
    assert len(batches) == 4
    inputs, labels = (torch.cat(part) for part in zip(*batches, strict=True))
    assert sorted(as_bytes(inputs)) == sorted(as_bytes(data.train.inputs))
    assert not torch.equal(labels, data.train.labels)


def test_order_of_training_images_follows_the_seed() -> None:
    first, same, other = (
        torch.cat([labels for _, labels in ready(seed=seed).train_dataloader()])
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_tensors_lie_on_the_cpu_without_a_trainer(split: MNIST5k) -> None:
    assert {t.device.type for i in (split.train, split.val, split.test) for t in i} == {"cpu"}


def test_batch_of_all_training_images_is_accepted() -> None:
    [(images, _)] = ready(batch_size=3600).train_dataloader()
    assert images.shape == (3600, 1, 28, 28)


def test_batch_larger_than_the_training_set_is_refused_with_the_largest_allowed() -> None:
    data = MNIST5k(batch_size=3601)
    with pytest.raises(InputError, match=r"^data\.batch_size=3601: must be at most 3600"):
        data.setup("fit")


@pytest.mark.parametrize(
    "settings",
    [{"batch_size": 0}, {"batch_size": 2.5}, {"val_size": 1}, {"val_size": -0.1}, {"seed": -1}],
    ids=str,
)
def test_setting_outside_its_limits_is_refused_at_once(settings: dict[str, Any]) -> None:
    [name] = settings
    with pytest.raises(InputError, match=f"^{name}="):
        MNIST5k(**settings)


def test_description_counts_the_images_and_names_their_source(
    split: MNIST5k, unsplit: MNIST5k
) -> None:
    description = split.describe()
    source = description.pop("source")
    assert source.endswith("mnist_5k.csv.gz")
    assert description == {
        "dataset": "MNIST5k",
        "train_images": 3600,
        "val_images": 400,
        "test_images": 1000,
    }
    assert unsplit.describe()["train_images"] == 4000
    assert unsplit.describe()["val_images"] == 0


@pytest.mark.parametrize("val_size", [1e-5, 0.99999])
def test_a_split_without_images_on_one_side_is_refused(val_size: float) -> None:
    with pytest.raises(InputError, match=rf"data\.val_size={val_size}: must keep some"):
        MNIST5k(val_size=val_size).setup("fit")


class Signs(TensorData):
    """Numbers, and whether they are positive."""

    sizes = Sizes(in_shape=(2,), classes=2)

    def __init__(self, scale: float = 300.0, batch_size: int = 7, val_size: float = 0.1) -> None:
        super().__init__(batch_size, val_size)
        self.scale, self.loads = scale, 0

    def load(self) -> Dataset:
        self.loads += 1
        inputs = self.scale * torch.linspace(-1, 1, 60, dtype=torch.float64).view(30, 2)
        samples = Samples(inputs, (inputs.sum(1) > 0).to(torch.int32))
        return Dataset(samples, samples, source="a formula")


def test_data_set_of_ones_own_needs_sizes_and_load_alone() -> None:
    data = Signs()
    data.prepare_data()
    data.setup("fit")
    assert data.describe() == {
        "dataset": "Signs",
        "source": "a formula",
        "train_images": 27,
        "val_images": 3,
        "test_images": 30,
    }
    for inputs, labels in data.train_dataloader():
        assert torch.equal(labels, (inputs.sum(1) > 0).long())


def test_inputs_other_than_bytes_keep_their_values_in_float32() -> None:
    data = Signs(scale=300)
    data.setup("fit")
    assert data.train.inputs.dtype == torch.float32
    assert data.train.labels.dtype == torch.int64
    assert data.test.inputs.min() == -300


def test_tensors_are_loaded_once() -> None:
    data = Signs()
    data.prepare_data()
    for stage in ("fit", "validate", "test"):
        data.setup(stage)
    data.describe()
    assert data.loads == 1


def test_data_set_without_load_is_told_so() -> None:
    class Nothing(TensorData):
        sizes = Sizes((2,), 2)

    with pytest.raises(NotImplementedError, match=r"Nothing must define load\(\)"):
        Nothing().prepare_data()


def numbers(n: int, *shape: int) -> torch.Tensor:
    return torch.zeros(n, *shape)


WRONG = {
    "wide": (numbers(9, 3), [0, 1, 2] * 3, "inputs have shape (9, 3): must have (9, 2)"),
    "flat": (numbers(9), [0, 1, 2] * 3, "inputs have shape (9,): must have (9, 2)"),
    "lengths": (numbers(8, 2), [0, 1, 2], "inputs have shape (8, 2): must have (3, 2)"),
    "too many classes": (numbers(3, 2), [0, 1, 3], "labels are 0 ... 3: must be within 0 ... 2"),
    "negative": (numbers(3, 2), [-1, 1, 2], "labels are -1 ... 2: must be within 0 ... 2"),
    "fractions": (numbers(3, 2), [0.0, 1.0, 2.0], "labels are torch.float32 of shape (3,): must"),
    "columns": (numbers(3, 2), [[0], [1], [2]], "labels are torch.int64 of shape (3, 1): must"),
    "empty": (numbers(0, 2), [], "labels are torch.float32 of shape (0,): must be whole numbers"),
    "numpy": (numbers(3, 2).numpy(), [0, 1, 2], "is a ndarray and a Tensor: must be two tensors"),
}


@pytest.mark.parametrize(("inputs", "labels", "complaint"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("part", ["train", "test"])
def test_tensors_that_are_not_what_sizes_says_are_refused_in_one_line(
    part: str, inputs: Any, labels: list[Any], complaint: str
) -> None:
    right = Samples(numbers(9, 2), torch.tensor([0, 1, 2] * 3))
    wrong = Samples(inputs, torch.tensor(labels))

    class Own(TensorData):
        sizes = Sizes(in_shape=(2,), classes=3)

        def load(self) -> Dataset:
            return Dataset(right, right, "here")._replace(**{part: wrong})

    with pytest.raises(InputError) as caught:
        Own(batch_size=1, val_size=0).setup("fit")
    assert str(caught.value).startswith(f"Own.load(): {part} {complaint}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("is_set_up", [False, True])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda data: pickle.loads(pickle.dumps(data))])
def test_copies_and_pickles_give_the_same_batches(copied: Any, is_set_up: bool) -> None:
    data = Signs()
    if is_set_up:
        data.setup("fit")
    other = copied(data)
    data.setup("fit")
    other.setup("fit")
    for one, two in zip(data.train_dataloader(), other.train_dataloader(), strict=True):
        assert torch.equal(one[0], two[0])
        assert torch.equal(one[1], two[1])


def trained_in_chunks_of(chunk: int | None) -> Any:
    """What the data sees of a trainer."""
    module = SimpleNamespace() if chunk is None else SimpleNamespace(chunk=chunk)
    return SimpleNamespace(global_rank=0, world_size=1, lightning_module=module)


@pytest.mark.parametrize("chunk", [None, 1, 3, 100])
def test_iterations_of_an_epoch_do_not_depend_on_the_chunk(chunk: int | None) -> None:
    data = Signs(batch_size=7)
    data.setup("fit")
    data.trainer = trained_in_chunks_of(chunk)
    assert data.iterations_per_epoch == 4
    assert len(list(data.train_dataloader())) == {None: 4, 1: 4, 3: 2, 100: 2}[chunk]


def test_training_comes_in_chunks_where_a_chunk_is_set_and_evaluation_does_not() -> None:
    data = Signs(batch_size=7)
    data.setup("fit")
    singly = [labels for _, labels in data.train_dataloader()]
    data.trainer = trained_in_chunks_of(2)
    chunks = list(data.train_dataloader())
    assert all(isinstance(chunk, Chunk) for chunk in chunks)
    assert [chunk.order.shape for chunk in chunks] == [(2, 7), (1, 7), (1, 6)]
    rows = [chunk.labels[row] for chunk in chunks for row in chunk.order]
    assert all(torch.equal(one, two) for one, two in zip(singly, rows, strict=True))
    for loader in (data.val_dataloader(), data.test_dataloader()):
        assert not any(isinstance(batch, Chunk) for batch in loader)


class Numbered(TensorData):
    """Samples that are their own numbers."""

    sizes = Sizes(in_shape=(1,), classes=10)

    def __init__(self, tests: int, batch_size: int = 1) -> None:
        super().__init__(batch_size, val_size=0)
        self.tests = tests

    def load(self) -> Dataset:
        train, test = (
            Samples(torch.arange(n).float()[:, None], torch.zeros(n, dtype=torch.long))
            for n in (12, self.tests)
        )
        return Dataset(train, test, source="counted")


def one_of(processes: int, rank: int, data: TensorData) -> TensorData:
    """Data as they are in one of several processes."""
    data.trainer = SimpleNamespace(  # type: ignore[assignment]
        global_rank=rank,
        world_size=processes,
        lightning_module=SimpleNamespace(),
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
    )
    data.setup("fit")
    return data


@pytest.mark.parametrize("tests", [3, 7, 4_999, 5_000, 5_001, 7_501])
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_evaluate_each_sample_once_in_equally_many_batches(
    tests: int, processes: int
) -> None:
    shares = [
        [inputs.flatten() for inputs, _ in one_of(processes, r, Numbered(tests)).test_dataloader()]
        for r in range(processes)
    ]
    assert len({len(share) for share in shares}) == 1
    taken = torch.cat([batch for share in shares for batch in share])
    assert taken.sort().values.tolist() == list(range(tests))
    assert all(len(batch) for share in shares for batch in share)


def test_fewer_samples_to_evaluate_than_processes_are_refused() -> None:
    with pytest.raises(InputError, match=r"^trainer\.devices: 3 processes cannot share 2 samples"):
        one_of(3, 0, Numbered(tests=2))


def test_batch_larger_than_the_share_of_a_process_is_refused() -> None:
    one_of(3, 0, Numbered(5, batch_size=4))
    with pytest.raises(InputError, match=r"batch_size=5: must be at most 4, .* of 3 processes$"):
        one_of(3, 0, Numbered(5, batch_size=5))
