"""The convolutional network: a stage for each resolution."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.networks.cases import RULES, SCHEMES, count, move_steps, train, without_gradient
from tvl_lightning.limits import InputError
from tvl_lightning.networks import ConvField, Euler, TimeVariableNetwork, convolutional


def _small(**options: Any) -> TimeVariableNetwork:
    torch.manual_seed(0)
    return convolutional([2, 9, 6], 5, (3, 4), 2, **options)


def _batch() -> tuple[Tensor, Tensor]:
    return torch.randn(10, 2, 9, 6), torch.arange(10) % 5


def test_the_number_of_variables_is_that_counted_by_hand() -> None:
    stage_0 = (2 * 3 * 9 + 2 * 3) + 2 * (3 * 3 * 9 + 2 * 3)
    stage_1 = (3 * 4 * 9 + 2 * 4) + 2 * (4 * 4 * 9 + 2 * 4)
    assert count(_small()) == stage_0 + stage_1 + (4 * 5 + 5) + 6


def test_the_defaults_are_three_stages_of_a_lift_and_three_fields() -> None:
    network = convolutional([1, 28, 28], 10)
    widths = [1, 16, 16, 16, 16, 32, 32, 32, 32, 64, 64, 64, 64]
    fields = sum(9 * a * b + 2 * b for a, b in itertools.pairwise(widths))
    assert count(network) == fields + 650 + 12
    assert network.stage_sizes == [4, 4, 4]
    assert isinstance(network.scheme, Euler)
    torch.testing.assert_close(network.tau, torch.full((12,), 1 / 12))


@pytest.mark.parametrize("shape", [(2, 9, 6), (1, 8, 8), (3, 2, 2), (1, 1, 1), (4, 1, 7)])
def test_the_lift_of_every_stage_but_the_first_halves_height_and_width(
    shape: tuple[int, int, int],
) -> None:
    network = convolutional(shape, 5, (3, 4, 6), 1)
    seen: list[torch.Size] = []
    for stage in network.stages:
        for field in stage:
            field.register_forward_hook(lambda _, __, y: seen.append(y.shape[1:]))
    assert network(torch.randn(10, *shape)).shape == (10, 5)
    _, h, w = shape
    half, quarter = ((h + 1) // 2, (w + 1) // 2), ((h + 3) // 4, (w + 3) // 4)
    assert seen == 2 * [(3, h, w)] + 2 * [(4, *half)] + 2 * [(6, *quarter)]


def test_a_field_is_a_convolution_a_normalisation_and_an_activation() -> None:
    torch.manual_seed(0)
    field, y = ConvField(2, 3, "Tanh", stride=2), torch.randn(7, 2, 5, 5)
    z = nn.functional.conv2d(y, field.conv.weight, stride=2, padding=1)
    mean, variance = z.mean((0, 2, 3), keepdim=True), z.var((0, 2, 3), keepdim=True, correction=0)
    torch.testing.assert_close(field(y), torch.tanh((z - mean) / (variance + 1e-5).sqrt()))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_trains_with_every_rule(scheme: str, rule: str) -> None:
    network = _small(scheme=SCHEMES[scheme](), tau=RULES[rule])
    losses = train(network, *_batch())
    assert losses[-1] < losses[0]
    assert without_gradient(network) == []


def test_a_layer_takes_its_running_statistics_with_it_and_the_others_keep_theirs() -> None:
    network = _small()
    train(network, *_batch())
    before = {name: value.clone() for name, value in network.named_buffers()}
    network.remove_layers([1, 5])
    after = dict(network.named_buffers())
    assert len(after) == len(before) - 2 * 3
    moved = {"stages.0.1": "stages.0.2"}  # the layer behind the removed one
    for name, value in after.items():
        stage = name[: len("stages.0.0")]
        assert torch.equal(value, before[name.replace(stage, moved.get(stage, stage))])


def test_running_statistics_are_loaded_into_other_structures() -> None:
    full, pruned = _small(), _small()
    for network in (full, pruned):
        move_steps(network)
        train(network, *_batch())
        assert (network.stages[1][2].norm.running_mean != 0).all()
    pruned.remove_layers([2, 4])
    inputs, _ = _batch()
    other_full, other_pruned = _small().eval(), _small().eval()
    other_pruned.remove_layers([1, 2, 4])
    other_full.load_state_dict(pruned.state_dict())
    other_pruned.load_state_dict(full.state_dict())
    assert torch.equal(other_full(inputs), pruned.eval()(inputs))
    assert torch.equal(other_pruned(inputs), full.eval()(inputs))


@pytest.mark.parametrize(("scheme", "calls"), [("euler", 1), ("fractional", 1), ("heun", 2)])
def test_running_statistics_see_every_state_that_a_field_sees(scheme: str, calls: int) -> None:
    network = _small(scheme=SCHEMES[scheme]())
    network(_batch()[0])
    seen = [[f.norm.num_batches_tracked.item() for f in stage] for stage in network.stages]
    assert seen == 2 * [[1, calls, calls]]


def test_a_field_and_an_activation_of_ones_own_take_the_places_of_the_usual_ones() -> None:
    network = _small(field=lambda width: nn.Conv2d(width, width, 1), activation=nn.Tanh)
    kinds = [[type(field) for field in stage] for stage in network.stages]
    assert kinds == 2 * [[ConvField, nn.Conv2d, nn.Conv2d]]
    assert sum(isinstance(module, nn.Tanh) for module in network.modules()) == 2
    assert network(_batch()[0]).shape == (10, 5)


def test_stages_may_be_lifts_alone() -> None:
    network = convolutional([1, 8, 8], 3, (4, 5, 6), fields=0)
    assert network.ids == [[0], [1], [2]]
    assert network(torch.randn(2, 1, 8, 8)).shape == (2, 3)
    with pytest.raises(InputError, match=r"among \[\]"):
        network.remove_layers([1])


@pytest.mark.parametrize("in_shape", [[784], [28, 28], [1, 1, 28, 28]])
def test_data_that_are_no_images_are_refused_in_one_line(in_shape: list[int]) -> None:
    with pytest.raises(InputError, match=r"^in_shape=.*must be \(channels, height, width\)") as e:
        convolutional(in_shape, 10)
    assert "\n" not in str(e.value)
