"""What an argument may be, and how it is refused."""

import inspect
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import get_object
from hypothesis import given
from hypothesis import strategies as st

from tvl_lightning.cli.choices import CONFIG_PATH
from tvl_lightning.constraints import Positive, ScaledSimplex
from tvl_lightning.limits import COUNT, COUNTS, LIMITS, InputError, check, optional, refusal, takes
from tvl_lightning.networks import (
    Final,
    Fixed,
    Fractional,
    FractionalDNN,
    Learned,
    Simplex,
    TimeSteps,
    TimeVariableResNet,
    convolutional,
    perceptron,
    transformer,
)
from tvl_lightning.penalties import L1, L2, Horizon

IMAGES = {"in_shape": [1, 14, 14], "classes": 3}
FEATURES = {"in_features": 4, "width": 3, "hidden_layers": 2, "out_features": 2}
# what is needed to make one, and what it then refuses
CONSTRUCTORS: list[tuple[Callable[..., Any], dict[str, Any], dict[str, Any]]] = [
    (perceptron, IMAGES, {"width": 0, "hidden_layers": 1.5, "horizon": 0, "classes": True}),
    (perceptron, IMAGES, {"in_shape": [], "classes": None}),
    (convolutional, IMAGES, {"in_shape": [1, 0, 3], "widths": [8, 0], "fields": -1, "horizon": -1}),
    (convolutional, IMAGES, {"in_shape": None, "classes": "3", "widths": []}),
    (transformer, IMAGES, {"patch": 0, "width": -4, "heads": 0, "blocks": 0, "horizon": math.inf}),
    (transformer, IMAGES, {"in_shape": "1,8,8", "classes": 0}),
    (TimeVariableResNet, FEATURES, dict.fromkeys(FEATURES, 0)),
    (TimeVariableResNet, FEATURES, dict.fromkeys(FEATURES)),
    (FractionalDNN, FEATURES, dict.fromkeys(FEATURES, 2.5)),
    (FractionalDNN, FEATURES, {"gamma": 1.01, "tau_floor": 0, "horizon": math.nan}),
    (Fractional, {}, {"gamma": 0, "history_start": 2, "tau_floor": -1e-4, "learn_gamma": 1}),
    (Fractional, {}, {"gamma": True, "history_start": True, "fused": None}),
    (Fractional, {}, {"gamma": "0.5", "history_start": 1.0, "constant_coefficients": "false"}),
    *(
        (rule, {"n": 2, "horizon": 1.0}, {"horizon": 0})
        for rule in (Learned, Fixed, Final, Simplex)
    ),
    (Fixed, {"n": 2, "horizon": 1.0}, {"first_only": 0}),
    (Final, {"n": 2, "horizon": 1.0}, {"detach": "no"}),
    (L1, {"weight": 0.5}, {"weight": -1}),
    (L2, {"weight": 0}, {"weight": math.nan}),
    (Horizon, {"weight": 0.5, "horizon": 1.0}, {"weight": None, "horizon": 0}),
    (Positive, {}, {"eps": 0}),
    (ScaledSimplex, {}, {"eps": "auto"}),
]


@pytest.mark.parametrize(
    ("make", "needed", "name", "value"),
    [
        pytest.param(make, needed, name, value, id=f"{make.__name__}-{name}={value}")
        for make, needed, bad in CONSTRUCTORS
        for name, value in bad.items()
    ],
)
def test_every_constructor_refuses_by_name_in_one_line(
    make: Callable[..., Any], needed: dict[str, Any], name: str, value: Any
) -> None:
    with pytest.raises(InputError) as caught:
        make(**{**needed, name: value})
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{name}={value}: must be ")


def test_every_constructor_accepts_what_it_needs() -> None:
    for make, needed, _ in CONSTRUCTORS:
        make(**needed)


def test_a_refusal_gives_name_value_and_what_is_allowed() -> None:
    with pytest.raises(InputError) as caught:
        check("Fractional", history_start=1, gamma=2)
    assert str(caught.value) == "gamma=2: must be a number in (0, 1]"


def test_a_refusal_can_be_asked_for_without_raising() -> None:
    assert refusal("Positive", "eps", 0) == "must be a number above 0"
    assert refusal("Positive", "eps", 1e-4) is None


def test_a_refusal_can_be_caught_as_a_value_error() -> None:
    with pytest.raises(ValueError, match="width=0"):
        check("perceptron", width=0)


def test_a_limit_belongs_to_a_class_and_says_nothing_of_another_one() -> None:
    check("ExponentialLR", gamma=1.1)
    check("RAdam", eps=-1)
    check("L1", epsilon="mine")
    with pytest.raises(InputError):
        check("Fractional", gamma=1.1)


def test_the_first_argument_that_does_not_fit_is_named() -> None:
    with pytest.raises(InputError, match=r"^classes=0"):
        check("perceptron", width=3, classes=0, hidden_layers=0)


@given(value=st.floats())
def test_the_fractional_order_is_accepted_exactly_in_its_interval(value: float) -> None:
    assert (refusal("Fractional", "gamma", value) is None) == (0 < value <= 1)


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, True, False, "1", "", [1.5], {"a": 1}, 1j, object()]
)
def test_what_is_no_finite_number_is_no_number(value: Any) -> None:
    numbers = {
        (owner, name)
        for owner, limits in LIMITS.items()
        for name, (admits, allowed) in limits.items()
        if "number" in allowed and "list" not in allowed
    }
    assert len(numbers) > 20
    assert all(refusal(owner, name, value) for owner, name in numbers)


@pytest.mark.parametrize("value", ["123", b"12", {1, 2}, {1: 2}, range(3), [[1]], [None], 3])
def test_a_list_of_sizes_is_a_list_or_a_tuple_of_counts(value: Any) -> None:
    assert not COUNTS[0](value)
    assert COUNTS[0]((1, 2))
    assert COUNTS[0]([3])


def test_an_optional_limit_admits_null_and_what_the_limit_admits() -> None:
    admits, allowed = optional(COUNT)
    assert [admits(value) for value in (None, 1, 0)] == [True, True, False]
    assert allowed == "a whole number of at least 1, or null"


@pytest.mark.parametrize("value", [10**30, 10**400, -(10**400), 3.5e38, 1e300])
def test_a_number_that_no_tensor_holds_is_refused(value: Any) -> None:
    assert refusal("L1", "weight", value)
    assert refusal("perceptron", "horizon", value)


def test_a_network_has_no_more_layers_than_a_checkpoint_may_have() -> None:
    assert refusal("perceptron", "hidden_layers", 1001) == "must be a whole number in 1 ... 1000"
    assert refusal("convolutional", "fields", 501)
    assert refusal("transformer", "blocks", 501)


def named_in_the_configuration() -> list[str]:
    found = re.compile(r"_target_: (tvl_lightning\.\S+)")
    files = Path(CONFIG_PATH).rglob("*.yaml")
    return sorted({name for file in files for name in found.findall(file.read_text())})


@pytest.mark.parametrize("target", named_in_the_configuration())
def test_what_a_class_takes_is_known_without_it(target: str) -> None:
    made, owner = get_object(target), target.rpartition(".")[2]
    parameters = inspect.signature(made).parameters.values()
    names = {p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    if any(p.kind == p.VAR_KEYWORD for p in parameters) and names:
        assert takes(owner, "anything")  # it hands them on
        return
    given_later = {"n", "horizon"} if issubclass_of(made, TimeSteps) else {"optimizer"}
    assert {name for name in names - given_later if not takes(owner, name)} == set()
    assert not takes(owner, "nonsense")


def issubclass_of(made: Any, kind: type) -> bool:
    return inspect.isclass(made) and issubclass(made, kind)


def test_limits_are_known_without_torch() -> None:
    code = "import sys, tvl_lightning.limits; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
