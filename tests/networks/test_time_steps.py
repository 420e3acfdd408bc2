from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.networks.cases import RULES, SCHEMES
from tvl_lightning.limits import InputError
from tvl_lightning.networks import (
    Final,
    Fixed,
    Learned,
    Simplex,
    TimeVariableNetwork,
    TimeVariableResNet,
    perceptron,
)

SUMMING = ["final", "final detached", "simplex"]
FREE = ["learned", "fixed", "first only"]
SEED = st.integers(0, 2**31)


pytestmark = pytest.mark.usefixtures("double_precision")


def _move(network: TimeVariableNetwork, seed: int) -> None:
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in network.time_steps.parameters():
            parameter.add_(torch.randn_like(parameter))


@pytest.mark.parametrize("hidden_layers", [1, 2, 6])
@pytest.mark.parametrize("rule", RULES)
def test_steps_start_as_equal_parts_of_the_horizon(rule: str, hidden_layers: int) -> None:
    tau = RULES[rule](hidden_layers, 2.5)()
    expected = torch.full((hidden_layers,), 2.5 / hidden_layers)
    torch.testing.assert_close(tau, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("rule", RULES)
def test_steps_start_as_the_list_that_is_given(rule: str) -> None:
    initial = [0.5, 0.1, 0.15, 1.75]
    tau = RULES[rule](4, 2.5, initial=initial)()
    torch.testing.assert_close(tau, torch.tensor(initial), rtol=1e-12, atol=0)


@pytest.mark.parametrize("rule", FREE)
def test_steps_without_a_sum_may_start_anywhere(rule: str) -> None:
    initial = [5.0, -0.1, 0.0]
    tau = RULES[rule](3, 1.0, initial=initial)()
    assert tau.tolist() == initial


@pytest.mark.parametrize(
    ("rule", "parameters", "moving"),
    [
        ("learned", 4, [0, 1, 2, 3]),
        ("fixed", 0, []),
        ("first only", 3, [1, 2, 3]),
        ("final", 3, [0, 1, 2, 3]),
        ("final detached", 3, [0, 1, 2, 3]),
        ("simplex", 4, [0, 1, 2, 3]),
    ],
)
def test_what_is_learned_of_the_steps_is_a_parameter(
    rule: str, parameters: int, moving: list[int]
) -> None:
    network = TimeVariableResNet(2, 3, 4, 2, tau=RULES[rule])
    assert sum(p.numel() for p in network.time_steps.parameters()) == parameters
    before = network.tau.detach().clone()
    with torch.no_grad():
        for parameter in network.time_steps.parameters():
            parameter.add_(torch.linspace(0.3, 0.9, parameter.numel()))
    moved = (network.tau != before).nonzero().flatten().tolist()
    assert moved == moving


@pytest.mark.parametrize("rule", ["fixed", "first only"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_training_leaves_fixed_steps_where_they_are(scheme: str, rule: str) -> None:
    torch.manual_seed(0)
    model = perceptron([2], 2, 3, 4, scheme=SCHEMES[scheme](), tau=RULES[rule])
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
    rule=st.sampled_from(SUMMING),
    data=st.data(),
)
def test_the_sum_stays_the_horizon_whatever_is_learned_and_removed(
    seed: int,
    hidden_layers: int,
    horizon: float,
    rule: str,
    data: st.DataObject,
) -> None:
    network = TimeVariableResNet(1, 1, hidden_layers, 1, horizon=horizon, tau=RULES[rule])
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
    network = TimeVariableResNet(1, 1, 6, 1, tau=Simplex)
    with torch.no_grad():
        for logits in network.time_steps.parameters():
            logits.copy_(scale * torch.randn(6))
    assert (network.tau > 0).all()


def test_simplex_steps_grow_by_a_common_factor_when_one_leaves() -> None:
    network = TimeVariableResNet(1, 1, 4, 1, tau=partial(Simplex, initial=[0.1, 0.2, 0.3, 0.4]))
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
    network = TimeVariableResNet(1, 1, 4, 1, tau=partial(Final, initial=[0.1, 0.2, 0.3, 0.4]))
    network.remove_layers(gone)
    torch.testing.assert_close(network.tau, torch.tensor(expected), rtol=1e-12, atol=0)


@pytest.mark.parametrize("rule", FREE)
def test_steps_without_a_sum_keep_their_values_when_others_leave(
    rule: str,
) -> None:
    initial = [0.1, 0.2, 0.3, 0.4, 0.5]
    network = TimeVariableResNet(1, 1, 5, 1, tau=partial(RULES[rule], initial=initial))
    network.remove_layers([3, 1])
    assert network.tau.tolist() == [0.1, 0.3, 0.5]


def test_the_last_step_may_become_negative() -> None:
    network = TimeVariableResNet(1, 1, 3, 1, tau=Final)
    with torch.no_grad():
        for free in network.time_steps.parameters():
            free.copy_(torch.tensor([0.9, 0.7]))
    assert abs(network.tau[-1].item() + 0.6) < 1e-12


@pytest.mark.parametrize(("rule", "through_last"), [("final", 1.0), ("final detached", 0.0)])
def test_the_gradient_passes_through_the_last_step_unless_it_is_detached(
    rule: str, through_last: float
) -> None:
    network = TimeVariableResNet(1, 1, 4, 1, tau=RULES[rule])
    (network.tau * torch.tensor([2.0, 3.0, 5.0, 7.0])).sum().backward()
    (free,) = network.time_steps.parameters()
    assert free.grad is not None
    expected = torch.tensor([2.0, 3.0, 5.0]) - 7 * through_last
    torch.testing.assert_close(free.grad, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "initial",
    [[1.0], [0.5, 0.5, 0.0, 0.0], [], [0.5, float("nan"), 0.5], [float("inf"), 0.0, 0.0]],
)
def test_initial_values_of_the_wrong_number_or_kind_are_refused(
    rule: str, initial: list[float]
) -> None:
    with pytest.raises(InputError, match=r"^tau\.initial=.*3 finite numbers"):
        RULES[rule](3, 1.0, initial=initial)


@pytest.mark.parametrize("rule", SUMMING)
def test_initial_values_that_miss_the_horizon_are_refused(rule: str) -> None:
    with pytest.raises(InputError, match=r"^tau\.initial=.*must sum to the horizon, 1\.0"):
        RULES[rule](3, 1.0, initial=[0.5, 0.25, 0.3])


@pytest.mark.parametrize("initial", [[1.5, -0.5], [1.0, 0.0]])
def test_initial_values_not_above_zero_are_refused_on_the_simplex(initial: list[float]) -> None:
    with pytest.raises(InputError, match=r"^tau\.initial=.*above 0"):
        Simplex(2, 1.0, initial=initial)


@pytest.mark.parametrize(
    "initial", ["123", {0: 1.0, 1: 1.0, 2: 1.0}, 3, [0.5, "1", 0.5], [True] * 3]
)
def test_initial_values_are_a_list_of_numbers(initial: object) -> None:
    with pytest.raises(InputError, match=r"^tau\.initial=.*3 finite numbers"):
        Learned(3, 1.0, initial=initial)  # type: ignore[arg-type]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "positions", [[0, 2], [0, None, 1, 2, None, 3], [0], [0, None], [0, 1, 2, 3]]
)
def test_a_rearranged_step_is_what_it_was_or_new(rule: str, positions: list[int | None]) -> None:
    steps = RULES[rule](4, 1.0, initial=[0.1, 0.2, 0.3, 0.4])
    learns = steps.free is not None
    steps.rearrange(positions)
    tau = steps().detach()
    assert len(tau) == len(positions)
    assert (steps.free is not None) == learns
    if rule in SUMMING:
        assert abs(tau.sum().item() - 1) < 1e-12
    else:
        was = [0.1, 0.2, 0.3, 0.4]
        assert tau.tolist() == [0.0 if p is None else was[p] for p in positions]


@pytest.mark.parametrize("rule", RULES)
def test_what_is_frozen_stays_frozen_when_steps_are_rearranged(rule: str) -> None:
    steps = RULES[rule](4, 1.0).requires_grad_(False)
    steps.rearrange([0, 2, None])
    assert not any(parameter.requires_grad for parameter in steps.parameters())


def test_a_rule_without_entries_of_tau_cannot_be_projected_and_says_so() -> None:
    assert [RULES[rule](3, 1.0).free_is_tau for rule in RULES] == [True] * 5 + [False]
    assert Fixed(3, 1.0).free is None
