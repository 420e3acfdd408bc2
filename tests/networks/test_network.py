"""A network as stages, a scheme, a decoder and τ."""

import copy
import itertools
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from tests.networks.cases import RULES, SCHEMES, move_steps, train, without_gradient
from tvl_lightning.limits import InputError
from tvl_lightning.networks import (
    DenseField,
    Euler,
    Fixed,
    Fractional,
    Learned,
    TimeVariableNetwork,
    count_parameters,
    perceptron,
)


def _three_stages(scheme: str = "euler", rule: str = "learned") -> TimeVariableNetwork:
    torch.manual_seed(0)
    widths = [6, 5, 5, 5, 4, 3, 3]
    fields = [DenseField(*sizes, "Tanh") for sizes in itertools.pairwise(widths)]
    stages = [fields[:3], fields[3:4], fields[4:]]
    return TimeVariableNetwork(stages, nn.Linear(3, 2), SCHEMES[scheme](), RULES[rule], 3.0)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_scheme_advances_each_stage_with_its_part_of_tau(scheme: str) -> None:
    network = _three_stages(scheme)
    move_steps(network)
    inputs = torch.randn(7, 6)
    y, (first, second, third) = inputs, network.stages
    y = network.scheme(first, network.tau[:3], y)
    y = network.scheme(second, network.tau[3:4], y)
    y = network.scheme(third, network.tau[4:], y)
    assert torch.equal(network(inputs), network.decoder(y))
    assert network.stage_sizes == [3, 1, 2]
    assert network.ids == [[0, 1, 2], [3], [4, 5]]
    assert network.layers == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_trains_with_every_rule(scheme: str, rule: str) -> None:
    network = _three_stages(scheme, rule)
    torch.testing.assert_close(network.tau, torch.full((6,), 0.5))
    assert network.horizon == 3.0
    losses = train(network, torch.randn(16, 6), torch.arange(16) % 2)
    assert losses[-1] < losses[0]
    assert without_gradient(network) == []


def test_parts_are_registered_in_the_order_steps_stages_decoder() -> None:
    names = [name for name, _ in _three_stages("learned order").named_parameters()]
    assert names[0] == "time_steps.free"
    assert names[1] == "stages.0.0.linear.weight"
    assert names[-3:] == ["decoder.weight", "decoder.bias", "scheme.gamma_logit"]


def test_what_is_recorded_is_tau_and_what_the_scheme_learns() -> None:
    for scheme in SCHEMES:
        network = _three_stages(scheme)
        seen = network.observables()
        assert list(seen) == (["tau", "gamma"] if scheme == "learned order" else ["tau"])
        assert torch.equal(seen["tau"], network.tau)


def test_whether_a_layer_of_zero_tau_can_go_is_what_the_scheme_says() -> None:
    expected = {"euler": True, "heun": True}
    for scheme in SCHEMES:
        assert _three_stages(scheme).identity_at_zero_tau == expected.get(scheme, False)


def test_tau_is_made_by_what_is_given() -> None:
    calls = []

    def rule(n: int, horizon: float) -> Learned:
        calls.append((n, horizon))
        return Learned(n, horizon, initial=[0.1] * n)

    network = TimeVariableNetwork([[nn.Linear(2, 2)] * 1], nn.Identity(), Euler(), rule, 4.0)
    assert calls == [(1, 4.0)]
    assert network.tau.tolist() == pytest.approx([0.1])
    assert isinstance(
        TimeVariableNetwork([[nn.Linear(2, 2)]], nn.Identity(), Euler()).time_steps, Learned
    )


@pytest.mark.parametrize("stages", [[], [[]], [[nn.Linear(2, 2)], []]])
def test_a_stage_without_a_lift_is_refused(stages: list[list[nn.Module]]) -> None:
    with pytest.raises(InputError, match=r"^stages: .*each must begin with a lift"):
        TimeVariableNetwork(stages, nn.Identity(), Euler())


def test_a_field_that_stands_in_two_places_is_refused() -> None:
    field = nn.Linear(2, 2)
    for stages in ([[field, field]], [[field], [field]]):
        with pytest.raises(InputError, match=r"^stages: .*one is there twice"):
            TimeVariableNetwork(stages, nn.Identity(), Euler())
    with pytest.raises(InputError, match=r"^stages: .*one is there twice"):
        perceptron([2], 2, 2, 4, field=lambda width: field)


@pytest.mark.parametrize("horizon", [0, -1.0, float("nan"), float("inf"), "1", None])
def test_a_horizon_that_is_not_above_zero_is_refused(horizon: float) -> None:
    with pytest.raises(InputError, match=f"^horizon={horizon}: must be a number above 0"):
        TimeVariableNetwork([[nn.Linear(2, 2)]], nn.Identity(), Euler(), Learned, horizon)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_copy_is_a_network_of_its_own(scheme: str) -> None:
    network = _three_stages(scheme)
    twin, inputs = copy.deepcopy(network), torch.randn(4, 6)
    before = network(inputs)
    assert torch.equal(twin(inputs), before)
    train(twin, inputs, torch.tensor([0, 1, 0, 1]))
    twin.remove_layers([1])
    assert torch.equal(network(inputs), before)


def test_networks_may_share_a_scheme_that_learns_nothing() -> None:
    torch.manual_seed(0)
    scheme = Fractional()
    networks = [
        perceptron(
            [3], 2, 4, n, activation="Tanh", scheme=scheme, tau=partial(Fixed, first_only=True)
        )
        for n in (3, 5)
    ]
    inputs = torch.randn(2, 3)
    outputs: list[Tensor] = [network(inputs) for network in networks]
    sum(y.sum() for y in outputs).backward()
    assert all(without_gradient(network) == [] for network in networks)


def test_every_number_that_is_learned_is_counted() -> None:
    layer = nn.Linear(3, 4)
    shared = nn.Sequential(layer, nn.ReLU(), layer, nn.BatchNorm1d(4))
    assert count_parameters(shared) == 3 * 4 + 4 + 2 * 4
