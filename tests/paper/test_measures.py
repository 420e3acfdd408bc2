"""The numbers of a run that need every iteration of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tvl_lightning.paper.measures import Measures, measured
from tvl_lightning.runs.reading import Run

STEADY = np.full((2000, 2), 0.5)


def measures(tau: Any, layers: tuple[int, ...] = (0, 1), first: int = 1, **arrays: Any) -> Measures:
    tau = np.asarray(tau, float)
    iteration = np.arange(first, first + len(tau))
    trajectory = {"iteration": iteration, "tau": tau, "loss": np.ones(len(tau)), **arrays}
    return measured(Run(Path("nowhere"), {}, trajectory, {"layers": list(layers)}))


def test_the_ends_and_the_bounds_are_those_of_every_layer() -> None:
    found = measures([[0.5, 0.5], [0.9, -0.2], [0.7, 0.4]])
    assert (found.start, found.end) == ([0.5, 0.5], [0.7, 0.4])
    assert (found.least, found.greatest) == ([0.5, -0.2], [0.9, 0.5])
    assert found.negative_at == [None, 2]
    assert found.sum_end == pytest.approx(1.1)


def test_the_state_before_training_is_no_iteration() -> None:
    found = measures([[9, 9], [0.5, 0.5], [0.9, 0.2]], first=0, loss=np.array([np.nan, 1, 1]))
    assert found.start == [0.5, 0.5]
    assert found.not_finite == 0
    assert found.greatest == [0.9, 0.5]


def test_a_pruned_layer_has_no_end_and_no_part_in_the_sum() -> None:
    tau = STEADY.copy()
    tau[1000:, 1] = np.nan
    found = measures(tau, layers=(0,))
    assert found.end == [0.5, None]
    assert found.late_share == [1.0, None]
    assert found.sum_end == 0.5


def test_a_layer_that_the_last_iteration_pruned_has_no_end() -> None:
    found = measures([[1.0, 0.5], [1.1, 0.001]], layers=(0,))
    assert found.end == [1.1, None]
    assert found.sum_end == pytest.approx(1.1)


def test_a_share_that_stays_small_is_that_of_the_second_half() -> None:
    tau = STEADY.copy()
    tau[500:, 1] = 0.004
    tau[1500, 1] = 0.5 / 99  # one hundredth of the sum
    found = measures(tau)
    assert found.late_share[1] == pytest.approx(0.01)
    assert found.vanished_at == [None, 1502]
    tau[-1, 1] = 0.1
    assert measures(tau).vanished_at == [None, None]


def test_the_floor_is_counted_after_a_thousand_iterations() -> None:
    tau = STEADY.copy()
    tau[:1250, 1] = 1e-4
    assert measures(tau).on_floor == [0, 0.25]
    assert measures(tau.astype(np.float32)).on_floor == [0, 0.25]
    assert measures(tau[:500]).on_floor == [0, 0]


@pytest.mark.parametrize(
    ("total", "exceeds"),
    [
        ([0.9, 1.1, 0.95, 1.05, 1.3, 1.1], [4, 4, 5, 5]),
        ([1.0, 1.0, 1.2, 1.1], [3, 3, 3, 3]),
        ([1.1, 1.2, 1.3], [1, 1, 1, 2]),
        ([0.9, 1.0, 0.95], [None, None, None, None]),
        ([1.0, 1.001, 1.02, 1.07, 1.02], [2, 3, 4, None]),
    ],
)
def test_the_sum_exceeds_the_horizon_where_it_stays_above_it_until_it_is_greatest(
    total: list[float], exceeds: list[int | None]
) -> None:
    tau = np.array([total, np.zeros(len(total))]).T
    assert measures(tau).sum_exceeds == exceeds
    assert measures(tau).sum_greatest == max(total)


def test_distances_to_the_horizon_are_over_all_iterations() -> None:
    found = measures([[0.5, 0.5], [0.5, 0.6], [0.5, 0.9]])
    assert found.off_horizon == pytest.approx(0.1)
    assert found.furthest_off_horizon == pytest.approx(0.4)


def test_losses_that_are_not_finite_are_counted() -> None:
    assert measures(STEADY[:3], loss=np.array([1.0, np.inf, np.nan])).not_finite == 2
