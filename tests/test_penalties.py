import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tvl_lightning.limits import InputError
from tvl_lightning.penalties import L1, L2, Horizon, Penalty

STEPS = st.lists(st.floats(-10, 10), min_size=1, max_size=8)
WEIGHT = st.floats(0, 100)


def _double(steps: list[float]) -> Tensor:
    return torch.tensor(steps, dtype=torch.float64, requires_grad=True)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, weight=WEIGHT)
def test_l1_is_the_weighted_sum_of_absolute_values(steps: list[float], weight: float) -> None:
    value = L1(weight)(_double(steps))
    assert value.shape == ()
    assert math.isclose(value.item(), weight * sum(abs(t) for t in steps), abs_tol=1e-10)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, weight=WEIGHT)
def test_l2_is_the_weighted_sum_of_squares(steps: list[float], weight: float) -> None:
    value = L2(weight)(_double(steps))
    assert value.shape == ()
    assert math.isclose(
        value.item(), weight * sum(t * t for t in steps), rel_tol=1e-12, abs_tol=1e-12
    )


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, weight=WEIGHT, horizon=st.floats(0.1, 10))
def test_horizon_is_the_weighted_square_of_what_is_missing(
    steps: list[float], weight: float, horizon: float
) -> None:
    value = Horizon(weight, horizon)(_double(steps))
    assert value.shape == ()
    expected = weight * (horizon - sum(steps)) ** 2
    assert math.isclose(value.item(), expected, rel_tol=1e-10, abs_tol=1e-9)


def test_the_horizon_penalty_of_the_paper_has_half_the_square() -> None:
    assert Horizon(0.5, 1.0)(torch.tensor([0.5, 0.25, 2.25])).item() == 2.0


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, weight=WEIGHT, horizon=st.floats(0.1, 10))
def test_gradients_are_those_of_the_formulas(
    steps: list[float], weight: float, horizon: float
) -> None:
    missing = horizon - sum(steps)
    expected = {
        L1(weight): [weight * ((t > 0) - (t < 0)) for t in steps],
        L2(weight): [2 * weight * t for t in steps],
        Horizon(weight, horizon): [-2 * weight * missing for _ in steps],
    }
    for penalty, gradient in expected.items():
        tau = _double(steps)
        penalty(tau).backward()
        assert tau.grad is not None
        torch.testing.assert_close(
            tau.grad, torch.tensor(gradient, dtype=torch.float64), rtol=1e-10, atol=1e-9
        )


@pytest.mark.parametrize("weight", [-1e-6, -1, float("nan"), float("inf"), "1", None, True])
def test_a_weight_that_is_no_number_of_at_least_zero_is_refused(weight: object) -> None:
    for make in (L1, L2, partial(Horizon, horizon=1.0)):
        with pytest.raises(InputError, match=f"^weight={weight}: must be a number of at least 0"):
            make(weight)


@pytest.mark.parametrize("horizon", [0, -1, float("nan"), None])
def test_a_horizon_that_is_not_above_zero_is_refused(horizon: object) -> None:
    with pytest.raises(InputError, match=f"^horizon={horizon}: must be a number above 0"):
        Horizon(0.5, horizon)  # type: ignore[arg-type]


@pytest.mark.parametrize("penalty", [L1(0.5), L2(0.5), Horizon(0.5, 6.0)])
def test_a_penalty_works_in_the_precision_and_on_the_device_of_tau(penalty: Penalty) -> None:
    for dtype in (torch.float32, torch.float64):
        value = penalty(torch.ones(3, dtype=dtype, device="meta"))
        assert (value.dtype, value.device.type, value.shape) == (dtype, "meta", ())


def test_penalties_with_equal_numbers_are_equal_and_others_are_not() -> None:
    assert L1(0.5) == L1(0.5) != L1(0.4)
    assert L1(0.5) != L2(0.5)
    assert len({Horizon(0.5, 1.0), Horizon(0.5, 1.0), Horizon(0.5, 6.0)}) == 2
