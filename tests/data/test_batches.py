"""The order of samples, and batches as slices."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tvl_lightning.data import Batches, Chunk, Shuffle

CPU = torch.device("cpu")


def order_of(n: int, seed: int, epoch: int, rank: int = 0, world_size: int = 1) -> list[int]:
    shuffle = Shuffle(n, seed, CPU, rank, world_size)
    shuffle.set_epoch(epoch)
    return shuffle.order().tolist()


def numbered(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images whose every pixel is their index, and their indices as labels."""
    labels = torch.arange(n)
    return labels.float()[:, None, None].expand(n, 2, 2).contiguous(), labels


@given(seed=st.integers(0, 2**32 - 1), epoch=st.integers(0, 10_000), n=st.integers(1, 50))
def test_order_is_the_same_for_the_same_seed_and_epoch(seed: int, epoch: int, n: int) -> None:
    assert order_of(n, seed, epoch) == order_of(n, seed, epoch)


def test_order_depends_on_nothing_that_was_drawn_before() -> None:
    shuffle = Shuffle(100, 3, CPU)
    shuffle.set_epoch(5)
    first = shuffle.order()
    assert torch.equal(shuffle.order(), first)
    for epoch in (0, 6, 1):
        shuffle.set_epoch(epoch)
        shuffle.order()
    torch.manual_seed(99)
    shuffle.set_epoch(5)
    assert torch.equal(shuffle.order(), first)


def test_drawing_an_order_leaves_torchs_own_random_numbers_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    order_of(100, 1, 1)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_sees_the_order_that_a_cpu_sees() -> None:
    order = Shuffle(1000, 7, torch.device("cuda")).order()
    assert order.device.type == "cuda"
    assert order.tolist() == order_of(1000, 7, 0)


def test_order_differs_between_epochs() -> None:
    orders = {tuple(order_of(100, 0, epoch)) for epoch in range(20)}
    assert len(orders) == 20


def test_order_differs_between_seeds() -> None:
    orders = {tuple(order_of(100, seed, epoch)) for seed in range(10) for epoch in range(3)}
    assert len(orders) == 30


def test_order_is_shuffled() -> None:
    assert order_of(100, 0, 0) != list(range(100))


@given(n=st.integers(1, 60), batch_size=st.integers(1, 70), epoch=st.integers(0, 5))
def test_every_image_comes_once_an_epoch(n: int, batch_size: int, epoch: int) -> None:
    shuffle = Shuffle(n, 0, CPU)
    shuffle.set_epoch(epoch)
    labels = torch.cat([labels for _, labels in Batches(*numbered(n), batch_size, shuffle)])
    assert sorted(labels.tolist()) == list(range(n))


@given(n=st.integers(2, 61), world_size=st.integers(2, 4), epoch=st.integers(0, 5))
def test_processes_share_the_images_without_overlap_in_equal_parts(
    n: int, world_size: int, epoch: int
) -> None:
    shares = [order_of(n, 7, epoch, rank, world_size) for rank in range(world_size)]
    assert {len(share) for share in shares} == {n // world_size}
    drawn = [index for share in shares for index in share]
    assert len(set(drawn)) == len(drawn)
    assert set(drawn) <= set(range(n))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(2, 4), st.integers(0, 5))
def test_batches_of_all_processes_make_up_that_of_one(
    batches: int, size: int, world_size: int, epoch: int
) -> None:
    n = batches * size * world_size
    shares = [order_of(n, 7, epoch, rank, world_size) for rank in range(world_size)]
    whole = order_of(n, 7, epoch)
    for start in range(0, batches * size, size):
        drawn = [index for share in shares for index in share[start : start + size]]
        assert sorted(drawn) == sorted(whole[start * world_size : (start + size) * world_size])


def test_two_processes_cover_an_even_number_of_images() -> None:
    assert sorted(order_of(60, 0, 2, 0, 2) + order_of(60, 0, 2, 1, 2)) == list(range(60))


def test_length_of_a_share_is_the_number_of_indices_in_it() -> None:
    shuffle = Shuffle(61, 0, CPU, rank=1, world_size=2)
    assert len(shuffle) == len(shuffle.order()) == 30


@pytest.mark.parametrize("shuffled", [True, False])
def test_last_batch_is_the_smaller_rest(shuffled: bool) -> None:
    batches = Batches(*numbered(10), 4, Shuffle(10, 0, CPU) if shuffled else None)
    assert [len(labels) for _, labels in batches] == [4, 4, 2]


@given(
    n=st.integers(1, 60),
    batch_size=st.integers(1, 70),
    world_size=st.one_of(st.none(), st.integers(1, 3)),
)
def test_length_is_the_number_of_batches(n: int, batch_size: int, world_size: int | None) -> None:
    share = world_size and n >= world_size
    sampler = Shuffle(n, 0, CPU, 0, world_size) if share else None
    batches = Batches(*numbered(n), batch_size, sampler)
    assert len(batches) == len(list(batches))


def test_images_keep_their_order_without_a_sampler() -> None:
    batches = list(Batches(*numbered(10), 3))
    assert torch.cat([labels for _, labels in batches]).tolist() == list(range(10))
    assert [images[:, 0, 0].tolist() for images, _ in batches] == [
        [0, 1, 2],
        [3, 4, 5],
        [6, 7, 8],
        [9],
    ]


def test_images_stay_with_their_labels() -> None:
    for images, labels in Batches(*numbered(50), 7, Shuffle(50, 0, CPU)):
        assert torch.equal(images, labels.float()[:, None, None].expand_as(images))


def test_next_epoch_of_the_sampler_changes_the_batches() -> None:
    batches = Batches(*numbered(50), 50, Shuffle(50, 0, CPU))
    [(_, first)] = batches
    [(_, again)] = batches
    batches.sampler.set_epoch(1)
    [(_, second)] = batches
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


@given(
    n=st.integers(1, 60), size=st.integers(1, 20), chunk=st.integers(1, 9), seed=st.integers(0, 99)
)
def test_chunks_hold_the_batches_in_their_order(n: int, size: int, chunk: int, seed: int) -> None:
    inputs, labels = numbered(n)
    singly = [b.tolist() for _, b in Batches(inputs, labels, size, Shuffle(n, seed, CPU))]
    chunks = Batches(inputs, labels, size, Shuffle(n, seed, CPU), chunk=chunk)
    found = [*chunks]
    assert len(chunks) == len(found)
    assert [row for c in found for row in c.order.tolist()] == singly
    assert max(len(c.order) for c in found) <= chunk


def test_chunk_points_into_all_inputs_and_labels_without_a_copy() -> None:
    inputs, labels = numbered(10)
    for chunk in Batches(inputs, labels, 3, Shuffle(10, 0, CPU), chunk=2):
        assert isinstance(chunk, Chunk)
        assert chunk.inputs is inputs
        assert chunk.labels is labels


@given(n=st.integers(1, 60), size=st.integers(1, 70), chunk=st.one_of(st.none(), st.integers(1, 9)))
def test_iterations_are_the_batches_of_a_pass_whatever_the_chunk(
    n: int, size: int, chunk: int | None
) -> None:
    batches = Batches(*numbered(n), size, Shuffle(n, 0, CPU), chunk)
    rows = sum(len(c.order) if isinstance(c, Chunk) else 1 for c in batches)
    assert batches.iterations == rows


def test_iterations_of_a_process_are_those_of_its_share() -> None:
    assert Batches(*numbered(61), 10, Shuffle(61, 0, CPU, 1, 2)).iterations == 3


def test_dataset_has_all_samples() -> None:
    batches = Batches(*numbered(7), 3, Shuffle(7, 0, CPU, 0, 2))
    assert len(batches.dataset) == 7
    assert [int(label) for _, label in batches.dataset] == list(range(7))
