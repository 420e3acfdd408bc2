"""The transformer: attention and perceptron as fields of their own."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.networks.cases import RULES, SCHEMES, count, train, without_gradient
from tvl_lightning.limits import InputError
from tvl_lightning.networks import Euler, TimeVariableNetwork, transformer
from tvl_lightning.networks.transformer import AttentionField, PatchEmbedding, TokenField


def _small(**options: Any) -> TimeVariableNetwork:
    torch.manual_seed(0)
    return transformer([2, 6, 4], 5, patch=2, width=8, heads=2, blocks=2, **options)


def _batch() -> tuple[Tensor, Tensor]:
    return torch.randn(10, 2, 6, 4), torch.arange(10) % 5


def test_the_number_of_variables_is_that_counted_by_hand() -> None:
    lift = 2 * 2 * 2 * 8 + 8 + 6 * 8  # patches and positions
    attention = 2 * 8 + 4 * (8 * 8 + 8)  # query, key, value, output
    tokens = 2 * 8 + (8 * 32 + 32) + (32 * 8 + 8)
    decoder = 2 * 8 + (8 * 5 + 5)
    assert count(_small()) == lift + 2 * (attention + tokens) + decoder + 5


def test_the_defaults_are_thirteen_layers_in_one_stage() -> None:
    network = transformer([1, 28, 28], 10)
    lift, attention, tokens = 49 * 64 + 64 + 16 * 64, 16_768, 33_216
    assert count(network) == lift + 6 * (attention + tokens) + 128 + 650 + 13
    assert network.stage_sizes == [13]
    assert isinstance(network.scheme, Euler)
    kinds = [type(field) for field in network.stages[0]]
    assert kinds == [PatchEmbedding, *6 * [AttentionField, TokenField]]


def test_tokens_keep_their_shape_from_the_lift_to_the_decoder() -> None:
    network = _small()
    seen: list[torch.Size] = []
    for field in network.stages[0]:
        field.register_forward_hook(lambda _, __, y: seen.append(y.shape))
    assert network(_batch()[0]).shape == (10, 5)
    assert seen == 5 * [(10, 6, 8)]


def test_a_patch_is_mapped_linearly_and_gets_its_position() -> None:
    torch.manual_seed(0)
    lift, images = PatchEmbedding([2, 6, 4], 8, 2), torch.randn(3, 2, 6, 4)
    tokens = lift(images)
    weight, bias = lift.patches.weight.flatten(1), lift.patches.bias
    for row in range(3):
        for column in range(2):
            k = 2 * row + column
            patch = images[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].flatten(1)
            expected = patch @ weight.T + bias + lift.position[0, k]
            torch.testing.assert_close(tokens[:, k], expected, rtol=1e-5, atol=1e-6)


def test_an_attention_mixes_tokens_and_a_perceptron_does_not() -> None:
    torch.manual_seed(0)
    y = torch.randn(1, 6, 8, requires_grad=True)
    for field, mixes in ((AttentionField(8, 2), True), (TokenField(8), False)):
        (gradient,) = torch.autograd.grad(field(y)[0, 0].square().sum(), y)
        assert gradient[0, 0].count_nonzero() > 0
        assert (gradient[0, 1:].count_nonzero() > 0) == mixes


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_trains_with_every_rule(scheme: str, rule: str) -> None:
    network = _small(scheme=SCHEMES[scheme](), tau=RULES[rule])
    losses = train(network, *_batch())
    assert losses[-1] < losses[0]
    assert without_gradient(network) == []


def test_attentions_and_perceptrons_leave_alone_and_come_back_as_what_they_were() -> None:
    full, pruned = _small(), _small()
    train(full, *_batch())
    removal = pruned.remove_layers([1, 4])
    assert [type(field) for field in pruned.stages[0]] == [
        PatchEmbedding,
        TokenField,
        AttentionField,
    ]
    assert sum(p.numel() for p in removal.parameters) == (16 + 288) + (16 + 288 + 264)
    inputs, _ = _batch()
    twin = _small()
    twin.load_state_dict(pruned.state_dict())
    assert torch.equal(twin(inputs), pruned(inputs))
    pruned.load_state_dict(full.state_dict())
    assert torch.equal(pruned(inputs), full(inputs))


def test_a_field_of_ones_own_takes_the_place_of_each_perceptron() -> None:
    network = _small(field=lambda width: nn.Linear(width, width))
    kinds = [type(field) for field in network.stages[0]]
    assert kinds == [PatchEmbedding, *2 * [AttentionField, nn.Linear]]
    assert network(_batch()[0]).shape == (10, 5)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"in_shape": [1, 28, 30]}, r"patch=7: must divide the images' 28 x 30"),
        ({"in_shape": [1, 30, 28]}, r"patch=7: must divide the images' 30 x 28"),
        ({"patch": 56}, r"patch=56: must divide the images' 28 x 28"),
        ({"width": 66}, r"heads=4: must divide the width, 66"),
        ({"heads": 5}, r"heads=5: must divide the width, 64"),
        ({"in_shape": [784]}, r"in_shape=\[784\]: must be \(channels, height, width\).*"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_in_one_line(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        transformer(**{"in_shape": [1, 28, 28], "classes": 10, **sizes})
