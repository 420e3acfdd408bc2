"""What settings may be."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvl_lightning.limits import LIMITS, InputError, check

COUNTS = ["in_features", "width", "hidden_layers", "out_features", "min_hidden_layers"]
COUNTS += ["batch_size", "interval", "steps_per_call"]
FROM_ZERO = ["warmup", "max_epochs", "seed", "history_start"]
POSITIVE = ["horizon", "tau_floor", "eps", "lr"]

GOOD: dict[str, list[Any]] = {
    **{name: [1, 2, 10_000] for name in COUNTS},
    **{name: [1, 1e-4, 0.5, 6.0] for name in POSITIVE},
    "interval": [None, 1, 50],
    "gamma": [0.5, 1e-3, 1, 1.0],
    "history_start": [0, 1],
    "weight": [0, 0.0, 0.5, 100],
    "epsilon": [0, 0.0, 0.01, 0.999],
    "warmup": [0, 1, 5000],
    "val_size": [0, 0.0, 0.1, 0.999],
    "seed": [0, 1, 2**32 - 1],
    "max_epochs": [0, 1, 500],
}
BAD: dict[str, list[Any]] = {
    **{name: [0, -1, 1.0, 2.5] for name in COUNTS},
    **{name: [0, 0.0, -0.1, -1] for name in POSITIVE},
    "gamma": [0, 0.0, -0.5, 1.0001, 2],
    "history_start": [-1, 2, 0.0, 1.0],
    "weight": [-1, -1e-9],
    "epsilon": [-1e-9, 1, 1.0, 2],
    "warmup": [-1, 0.5, 1.0],
    "val_size": [-0.1, 1, 1.0, 400],
    "seed": [-1, 2**32, 1.0],
    "max_epochs": [-1, 0.5, 1.0],
}
NEVER = [math.nan, math.inf, -math.inf, True, False, "1", "0.5", "", "auto", [1], {"a": 1}, 1j]


def pairs(table: dict[str, list[Any]]) -> list[Any]:
    return [pytest.param(k, v, id=f"{k}={v}") for k, values in table.items() for v in values]


def test_every_limit_is_tested_from_both_sides() -> None:
    assert set(GOOD) == set(BAD) == set(LIMITS)


@pytest.mark.parametrize(("name", "value"), pairs(GOOD))
def test_sensible_value_is_accepted(name: str, value: Any) -> None:
    check(name, value)


@pytest.mark.parametrize(("name", "value"), pairs(BAD))
def test_value_outside_the_limits_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InputError):
        check(name, value)


@pytest.mark.parametrize("value", NEVER, ids=repr)
@pytest.mark.parametrize("name", LIMITS)
def test_what_is_no_finite_number_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InputError):
        check(name, value)


@pytest.mark.parametrize("name", sorted(set(LIMITS) - {"interval"}))
def test_null_is_refused_except_for_an_interval(name: str) -> None:
    with pytest.raises(InputError):
        check(name, None)


def test_refusal_gives_key_value_and_what_is_allowed_in_one_line() -> None:
    with pytest.raises(InputError) as caught:
        check("gamma", 2, "model.gamma")
    assert str(caught.value) == "model.gamma=2: must be a number in (0, 1]"


@pytest.mark.parametrize("name", LIMITS)
def test_refusal_names_the_setting_where_no_key_is_given(name: str) -> None:
    with pytest.raises(InputError) as caught:
        check(name, "nonsense")
    assert str(caught.value).startswith(f"{name}=nonsense: must be ")
    assert "\n" not in str(caught.value)


@given(st.floats())
def test_gamma_is_accepted_exactly_in_its_interval(value: float) -> None:
    try:
        check("gamma", value)
        accepted = True
    except InputError:
        accepted = False
    assert accepted == (0 < value <= 1)


def test_refusal_can_be_caught_as_a_value_error() -> None:
    with pytest.raises(ValueError, match="width=0"):
        check("width", 0)
