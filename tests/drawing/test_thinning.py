"""Long curves, thinned."""

import numpy as np
import pytest

from tvl_lightning.drawing.thinning import thinned

BINS = 400


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    """120,000 iterations of six layers, with two extremes of a single iteration each."""
    values = np.random.default_rng(0).normal(size=(120_000, 6)).cumsum(axis=0)
    values[7, 0], values[99_999, 3] = 1e6, -1e6
    return values


def test_bins_hold_every_row_in_order(noise: np.ndarray) -> None:
    end = thinned(noise, BINS).end
    assert end[-1] == len(noise) - 1
    assert (np.diff(end) > 0).all()
    assert len(end) <= 2 * BINS


@pytest.mark.parametrize("n", [1, 2, 3, 399, 400, 401, 5_000, 120_000])
def test_no_bin_is_wider_than_a_pixel_on_either_axis(n: int) -> None:
    end = thinned(np.zeros(n), BINS).end
    starts = np.concatenate(([0], end[:-1] + 1))
    assert (end - starts <= n / BINS).all()
    assert (np.log((end + 1) / (starts + 1)) <= np.log(n + 1) / BINS + 1e-9).all()


def test_a_bin_keeps_its_last_least_and_greatest_value(noise: np.ndarray) -> None:
    end, last, least, greatest = thinned(noise, BINS)
    start = 0
    for i, stop in enumerate(end + 1):
        part = noise[start:stop]
        np.testing.assert_array_equal(last[i], part[-1])
        np.testing.assert_array_equal(least[i], part.min(axis=0))
        np.testing.assert_array_equal(greatest[i], part.max(axis=0))
        start = stop


def test_an_extreme_of_a_single_iteration_is_kept(noise: np.ndarray) -> None:
    _, _, least, greatest = thinned(noise, BINS)
    assert greatest[:, 0].max() == 1e6
    assert least[:, 3].min() == -1e6


@pytest.mark.parametrize("n", [1, 2, 7, 400])
def test_few_rows_stay_as_they_are(n: int) -> None:
    values = np.arange(n) ** 2.0
    end, *kept = thinned(values, BINS)
    assert end.tolist() == list(range(n))
    for each in kept:
        np.testing.assert_array_equal(each, values)


def test_nothing_stays_nothing() -> None:
    assert [len(part) for part in thinned(np.empty((0, 3)))] == [0, 0, 0, 0]


@pytest.mark.filterwarnings("error")
def test_rows_without_a_layer_hide_no_extreme_of_it() -> None:
    values = np.full((5_000, 2), np.nan)
    values[:4_500, 0] = 1.0
    values[4_490, 0] = 3.0
    end, last, least, greatest = thinned(values)
    assert np.nanmax(greatest[:, 0]) == 3.0
    assert np.nanmin(least[:, 0]) == 1.0
    assert np.isnan(last[end >= 4_500]).all()
    assert np.isnan(greatest[:, 1]).all()
