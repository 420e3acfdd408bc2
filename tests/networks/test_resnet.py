import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.networks import literal
from tvl_lightning.networks import TimeVariableResNet

pytestmark = pytest.mark.usefixtures("double_precision")


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 6), st.integers(1, 4)),
    horizon=st.floats(0.1, 10),
    activation=st.sampled_from(["ReLU", "Tanh"]),
)
def test_outputs_are_those_of_the_literal_formula(
    seed: int, sizes: tuple[int, int, int, int], horizon: float, activation: str
) -> None:
    torch.manual_seed(seed)
    tau = horizon * torch.randn(sizes[2])
    network = TimeVariableResNet(
        *sizes,
        horizon=horizon,
        tau={"rule": "learned", "initial": tau.tolist()},
        activation=activation,
    )
    literal.scramble(network, seed)
    inputs = torch.randn(3, sizes[0])
    sigma = {"ReLU": torch.relu, "Tanh": torch.tanh}[activation]
    expected = literal.outputs(network, inputs, sigma, tau)
    torch.testing.assert_close(network(inputs), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rule", ["final", "simplex", "fixed"])
def test_the_steps_of_every_rule_enter_the_formula(rule: str) -> None:
    network = TimeVariableResNet(3, 4, 5, 2, horizon=2.5, tau=rule)
    literal.scramble(network, 1)
    inputs = torch.randn(3, 3)
    expected = literal.outputs(network, inputs, torch.relu, torch.full((5,), 0.5))
    torch.testing.assert_close(network(inputs), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rule", ["learned", "final", "simplex"])
def test_gradients_of_all_parameters_are_those_of_finite_differences(rule: str) -> None:
    torch.manual_seed(0)
    network = TimeVariableResNet(2, 3, 4, 2, horizon=1.5, tau=rule, activation="Tanh")
    literal.scramble(network, 2)
    call, values = literal.as_function(network, torch.randn(3, 2))
    assert len(values) == 1 + 2 * 4 + 1
    assert torch.autograd.gradcheck(call, values)


def _decay(initial: list[float]) -> Tensor:
    """y[L-1] for σ(W y + b) = -y after y[1] = 1."""

    def minus() -> nn.Module:
        layer = nn.Linear(1, 1)
        nn.init.constant_(layer.weight, -1)
        nn.init.zeros_(layer.bias)
        return layer

    network = TimeVariableResNet(
        1,
        1,
        len(initial),
        1,
        tau={"rule": "learned", "initial": initial},
        activation=lambda x: x,
        block=minus,
    )
    for layer, weight in ((network.input, 1 / initial[0]), (network.output, 1.0)):
        nn.init.constant_(layer.weight, weight)
    nn.init.zeros_(network.input.bias)
    return network(torch.ones(1, 1)).squeeze()


def test_decay_is_solved_with_an_error_that_halves_with_the_step() -> None:
    time = 1.0
    errors = []
    for steps in (16, 32, 64, 128):
        end = _decay([0.25] + [time / steps] * steps)
        errors.append(abs(end.item() - math.exp(-time)))
    orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert errors[-1] < 2e-3
    # the error is c h + O(h^2), so the order is 1 + O(h)
    assert all(abs(order - 1) < 1 / 16 for order in orders)


def test_decay_is_solved_on_a_grid_of_unequal_steps() -> None:
    grid = torch.linspace(0, 1, 257) ** 1.5
    end = _decay([0.25, *(grid[1:] - grid[:-1]).tolist()])
    assert abs(end.item() - math.exp(-1)) < 2e-3
