"""The networks of the paper."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from tests.networks.cases import RULES, SCHEMES, count, train, without_gradient
from tvl_lightning.limits import InputError
from tvl_lightning.networks import (
    DenseField,
    Euler,
    Fractional,
    FractionalDNN,
    TimeVariableNetwork,
    TimeVariableResNet,
    perceptron,
)
from tvl_lightning.networks.perceptron import activation_of

SHORT = pytest.mark.parametrize("kind", [TimeVariableResNet, FractionalDNN])


@SHORT
def test_the_architecture_of_the_paper_has_its_number_of_variables(
    kind: type[TimeVariableNetwork],
) -> None:
    network = kind(784, 100, 6, 10)
    assert count(network) == 130_006
    network.remove_layers([3])
    assert count(network) == 130_006 - 10_101
    network.remove_layers([1, 4])
    assert count(network) == 130_006 - 3 * 10_101


def test_the_defaults_are_the_sizes_of_the_paper() -> None:
    network = perceptron([1, 28, 28], 10)
    assert count(network) == 130_006
    assert isinstance(network.scheme, Euler)
    torch.testing.assert_close(network.tau, torch.full((6,), 1 / 6))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("options", [{}, {"gamma": 0.3, "history_start": 0}])
def test_the_short_constructors_give_the_networks_that_perceptron_gives(
    options: dict[str, Any], rule: str
) -> None:
    for kind, scheme in ((TimeVariableResNet, Euler()), (FractionalDNN, Fractional(**options))):
        torch.manual_seed(3)
        short = kind(
            12, 5, 4, 3, 2.5, RULES[rule], "Tanh", **(options if kind is FractionalDNN else {})
        )
        torch.manual_seed(3)
        long = perceptron([3, 4], 3, 5, 4, 2.5, "Tanh", scheme=scheme, tau=RULES[rule])
        assert short.state_dict().keys() == long.state_dict().keys()
        inputs = torch.randn(2, 3, 4)
        assert torch.equal(short(inputs), long(inputs))


def test_weights_begin_as_those_of_linear_layers_made_from_input_to_output() -> None:
    torch.manual_seed(5)
    network = TimeVariableResNet(7, 4, 3, 2)
    torch.manual_seed(5)
    plain = [nn.Linear(7, 4), nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2, bias=False)]
    (lift, *fields), decoder = network.stages[0], network.decoder
    for ours, torchs in zip(
        [lift[1].linear, *(f.linear for f in fields), decoder], plain, strict=True
    ):
        assert torch.equal(ours.weight, torchs.weight)
        assert ours.bias is torchs.bias is None or torch.equal(ours.bias, torchs.bias)


@SHORT
@pytest.mark.parametrize("shape", [(4, 6), (4, 2, 3), (4, 1, 3, 2), (1, 6)])
def test_inputs_of_any_shape_are_flattened(
    kind: type[TimeVariableNetwork], shape: tuple[int, ...]
) -> None:
    network = kind(6, 16, 5, 3)
    inputs = torch.randn(shape)
    outputs = network(inputs)
    assert outputs.shape == (shape[0], 3)
    assert torch.equal(outputs, network(inputs.reshape(shape[0], 6)))


def _convolution(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 4, width // 4)),
        nn.Conv2d(1, 1, 3, padding=1),
        nn.Flatten(),
        nn.Tanh(),
    )


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_field_of_ones_own_works_and_leaves_with_all_its_variables(scheme: str) -> None:
    torch.manual_seed(0)
    network = perceptron([6], 3, 16, 5, field=_convolution, scheme=SCHEMES[scheme]())
    size = (6 * 16 + 16) + 4 * (9 + 1) + 16 * 3 + 5 + (scheme == "learned order")
    assert count(network) == size
    losses = train(network, torch.randn(8, 6), torch.arange(8) % 3)
    assert losses[-1] < losses[0]
    assert without_gradient(network) == []
    removal = network.remove_layers([2])
    assert [tuple(p.shape) for p in removal.parameters] == [(1, 1, 3, 3), (1,)]
    assert count(network) == size - 10 - 1
    assert network(torch.randn(4, 6)).shape == (4, 3)


def test_each_field_has_an_activation_of_its_own() -> None:
    network = perceptron([6], 3, 4, 3, activation=nn.PReLU)
    activations = [m for m in network.modules() if isinstance(m, nn.PReLU)]
    assert len({id(m) for m in activations}) == 3
    assert count(network) == (6 * 4 + 4) + 2 * (16 + 4) + 12 + 3 + 3
    network.remove_layers([1])
    assert count(network) == (6 * 4 + 4) + (16 + 4) + 12 + 2 + 2


@pytest.mark.parametrize(
    ("activation", "kind"),
    [
        ("GELU", nn.GELU),
        ("PReLU", nn.PReLU),
        (nn.Tanh, nn.Tanh),
        (partial(nn.LeakyReLU, 0.2), nn.LeakyReLU),
        (lambda: nn.Sequential(nn.ReLU()), nn.Sequential),
    ],
)
def test_an_activation_is_a_name_or_what_makes_a_module(
    activation: str | Callable[[], nn.Module], kind: type[nn.Module]
) -> None:
    assert isinstance(activation_of(activation), kind)
    assert isinstance(DenseField(2, 2, activation).activation, kind)


@pytest.mark.parametrize(
    ("activation", "shown"),
    [
        ("nosuch", "nosuch"),
        ("relu", "relu"),
        ("Linear", "Linear"),
        ("__all__", "__all__"),
        ("Threshold", "Threshold"),
        ("MultiheadAttention", "MultiheadAttention"),
        (torch.tanh, "tanh"),
        (nn.ReLU(), r"ReLU\(\)"),
        (dict, "dict"),
        (None, "None"),
        (3, "3"),
    ],
)
def test_an_activation_that_cannot_be_made_is_refused_in_one_line(
    activation: Any, shown: str
) -> None:
    with pytest.raises(InputError, match=f"^activation={shown}: must ") as caught:
        perceptron([2], 2, activation=activation)
    assert "\n" not in str(caught.value)
