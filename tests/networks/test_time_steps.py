from collections.abc import Mapping
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tvl_lightning.limits import InputError
from tvl_lightning.networks import FractionalDNN, TimeVariableNetwork, TimeVariableResNet
from tvl_lightning.networks.time_steps import build_time_steps

FIXED_FIRST = {"rule": "fixed", "first_only": True}
FINAL_DETACHED = {"rule": "final", "detach": True}
EVERY_RULE = ["learned", "fixed", FIXED_FIRST, "final", FINAL_DETACHED, "simplex"]
SEED = st.integers(0, 2**31)


pytestmark = pytest.mark.usefixtures("double_precision")


def _options(rule: str | Mapping[str, Any]) -> dict[str, Any]:
    return {"rule": rule} if isinstance(rule, str) else dict(rule)


def _move(network: TimeVariableNetwork, seed: int) -> None:
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in network.time_steps.parameters():
            parameter.add_(torch.randn_like(parameter))


@pytest.mark.parametrize("hidden_layers", [1, 2, 6])
@pytest.mark.parametrize("rule", EVERY_RULE)
def test_steps_start_as_equal_parts_of_the_horizon(
    rule: str | Mapping[str, Any], hidden_layers: int
) -> None:
    tau = build_time_steps(rule, hidden_layers, 2.5)()
    expected = torch.full((hidden_layers,), 2.5 / hidden_layers)
    torch.testing.assert_close(tau, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_steps_start_as_the_list_that_is_given(rule: str | Mapping[str, Any]) -> None:
    initial = [0.5, 0.1, 0.15, 1.75]
    tau = build_time_steps({**_options(rule), "initial": initial}, 4, 2.5)()
    torch.testing.assert_close(tau, torch.tensor(initial), rtol=1e-12, atol=0)


@pytest.mark.parametrize("rule", ["learned", "fixed", FIXED_FIRST])
def test_steps_without_a_sum_may_start_anywhere(rule: str | Mapping[str, Any]) -> None:
    initial = [5.0, -0.1, 0.0]
    tau = build_time_steps({**_options(rule), "initial": initial}, 3, 1.0)()
    assert tau.tolist() == initial


@pytest.mark.parametrize(
    ("rule", "parameters", "moving"),
    [
        ("learned", 4, [0, 1, 2, 3]),
        ("fixed", 0, []),
        (FIXED_FIRST, 3, [1, 2, 3]),
        ("final", 3, [0, 1, 2, 3]),
        (FINAL_DETACHED, 3, [0, 1, 2, 3]),
        ("simplex", 4, [0, 1, 2, 3]),
    ],
)
def test_what_is_learned_of_the_steps_is_a_parameter(
    rule: str | Mapping[str, Any], parameters: int, moving: list[int]
) -> None:
    network = TimeVariableResNet(2, 3, 4, 2, tau=rule)
    assert sum(p.numel() for p in network.time_steps.parameters()) == parameters
    before = network.tau.detach().clone()
    with torch.no_grad():
        for parameter in network.time_steps.parameters():
            parameter.add_(torch.linspace(0.3, 0.9, parameter.numel()))
    moved = (network.tau != before).nonzero().flatten().tolist()
    assert moved == moving


@pytest.mark.parametrize("rule", ["fixed", FIXED_FIRST])
@pytest.mark.parametrize("network", [TimeVariableResNet, FractionalDNN])
def test_training_leaves_fixed_steps_where_they_are(
    network: type[TimeVariableNetwork], rule: str | Mapping[str, Any]
) -> None:
    torch.manual_seed(0)
    model = network(2, 3, 4, 2, tau=rule)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(8, 2)).square().sum().backward()
        optimizer.step()
    moved = (model.tau != 0.25).nonzero().flatten().tolist()
    assert moved == ([] if rule == "fixed" else [1, 2, 3])


@settings(max_examples=40, deadline=None)
@given(
    seed=SEED,
    hidden_layers=st.integers(1, 8),
    horizon=st.floats(0.1, 10),
    rule=st.sampled_from(["final", FINAL_DETACHED, "simplex"]),
    data=st.data(),
)
def test_the_sum_stays_the_horizon_whatever_is_learned_and_removed(
    seed: int,
    hidden_layers: int,
    horizon: float,
    rule: str | Mapping[str, Any],
    data: st.DataObject,
) -> None:
    network = TimeVariableResNet(1, 1, hidden_layers, 1, horizon=horizon, tau=rule)
    _move(network, seed)
    assert abs(network.tau.sum().item() - horizon) < 1e-12
    gone = data.draw(st.sets(st.integers(1, hidden_layers)))
    network.remove_layers(gone - {hidden_layers})
    assert len(network.tau) == hidden_layers - len(gone - {hidden_layers})
    assert abs(network.tau.sum().item() - horizon) < 1e-12
    _move(network, seed + 1)
    assert abs(network.tau.sum().item() - horizon) < 1e-12


@settings(max_examples=40, deadline=None)
@given(seed=SEED, scale=st.floats(0.1, 50))
def test_simplex_steps_are_positive(seed: int, scale: float) -> None:
    torch.manual_seed(seed)
    network = TimeVariableResNet(1, 1, 6, 1, tau="simplex")
    with torch.no_grad():
        for logits in network.time_steps.parameters():
            logits.copy_(scale * torch.randn(6))
    assert (network.tau > 0).all()


def test_simplex_steps_grow_by_a_common_factor_when_one_leaves() -> None:
    network = TimeVariableResNet(
        1, 1, 4, 1, tau={"rule": "simplex", "initial": [0.1, 0.2, 0.3, 0.4]}
    )
    network.remove_layers([1])
    expected = torch.tensor([0.1, 0.3, 0.4]) / 0.8
    torch.testing.assert_close(network.tau, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("gone", "expected"),
    [([1], [0.1, 0.3, 0.6]), ([3], [0.1, 0.2, 0.7]), ([2, 3], [0.1, 0.9]), ([1, 2, 3], [1.0])],
)
def test_the_last_remaining_step_takes_the_rest_of_the_horizon(
    gone: list[int], expected: list[float]
) -> None:
    network = TimeVariableResNet(1, 1, 4, 1, tau={"rule": "final", "initial": [0.1, 0.2, 0.3, 0.4]})
    network.remove_layers(gone)
    torch.testing.assert_close(network.tau, torch.tensor(expected), rtol=1e-12, atol=0)


@pytest.mark.parametrize("rule", ["learned", "fixed", FIXED_FIRST])
def test_steps_without_a_sum_keep_their_values_when_others_leave(
    rule: str | Mapping[str, Any],
) -> None:
    initial = [0.1, 0.2, 0.3, 0.4, 0.5]
    network = TimeVariableResNet(1, 1, 5, 1, tau={**_options(rule), "initial": initial})
    network.remove_layers([3, 1])
    assert network.tau.tolist() == [0.1, 0.3, 0.5]


def test_the_last_step_may_become_negative() -> None:
    network = TimeVariableResNet(1, 1, 3, 1, tau="final")
    with torch.no_grad():
        for free in network.time_steps.parameters():
            free.copy_(torch.tensor([0.9, 0.7]))
    assert abs(network.tau[-1].item() + 0.6) < 1e-12


@pytest.mark.parametrize(("rule", "through_last"), [("final", 1.0), (FINAL_DETACHED, 0.0)])
def test_the_gradient_passes_through_the_last_step_unless_it_is_detached(
    rule: str | Mapping[str, Any], through_last: float
) -> None:
    network = TimeVariableResNet(1, 1, 4, 1, tau=rule)
    (network.tau * torch.tensor([2.0, 3.0, 5.0, 7.0])).sum().backward()
    (free,) = network.time_steps.parameters()
    assert free.grad is not None
    expected = torch.tensor([2.0, 3.0, 5.0]) - 7 * through_last
    torch.testing.assert_close(free.grad, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("rule", EVERY_RULE)
@pytest.mark.parametrize(
    "initial",
    [[1.0], [0.5, 0.5, 0.0, 0.0], [], [0.5, float("nan"), 0.5], [float("inf"), 0.0, 0.0]],
)
def test_initial_values_of_the_wrong_number_or_kind_are_refused(
    rule: str | Mapping[str, Any], initial: list[float]
) -> None:
    with pytest.raises(InputError, match=r"^tau\.initial=.*3 finite numbers"):
        build_time_steps({**_options(rule), "initial": initial}, 3, 1.0)


@pytest.mark.parametrize("rule", ["final", FINAL_DETACHED, "simplex"])
def test_initial_values_that_miss_the_horizon_are_refused(rule: str | Mapping[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^tau\.initial=.*must sum to the horizon, 1\.0"):
        build_time_steps({**_options(rule), "initial": [0.5, 0.25, 0.3]}, 3, 1.0)


@pytest.mark.parametrize("initial", [[1.5, -0.5], [1.0, 0.0]])
def test_initial_values_not_above_zero_are_refused_on_the_simplex(initial: list[float]) -> None:
    with pytest.raises(InputError, match=r"^tau\.initial=.*above 0"):
        build_time_steps({"rule": "simplex", "initial": initial}, 2, 1.0)


@pytest.mark.parametrize("rule", ["nosuch", {"rule": "nosuch"}, {"initial": [1.0]}])
def test_an_unknown_rule_is_refused(rule: str | Mapping[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^tau=(nosuch|None): must be one of learned, fixed"):
        build_time_steps(rule, 1, 1.0)


def test_an_option_of_another_rule_is_refused() -> None:
    with pytest.raises(InputError, match=r"^tau=learned does not take .*detach"):
        build_time_steps({"rule": "learned", "detach": True}, 3, 1.0)


def test_the_description_of_the_steps_is_left_as_it_was_given() -> None:
    rule = {"rule": "final", "initial": [0.5, 0.5], "detach": True}
    TimeVariableResNet(1, 1, 2, 1, tau=rule)
    assert rule == {"rule": "final", "initial": [0.5, 0.5], "detach": True}
