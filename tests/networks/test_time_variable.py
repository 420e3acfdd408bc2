import io
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tvl_lightning.limits import InputError
from tvl_lightning.networks import (
    FractionalDNN,
    TimeVariableNetwork,
    TimeVariableResNet,
    build_network,
)

both = pytest.mark.parametrize("kind", [TimeVariableResNet, FractionalDNN])
every_rule = pytest.mark.parametrize(
    "rule", ["learned", "fixed", {"rule": "fixed", "first_only": True}, "final", "simplex"]
)
Kind = type[TimeVariableNetwork]
Rule = str | dict[str, Any]


def _size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _convolution() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 1, 3, padding=1), nn.Flatten(start_dim=1)
    )


def _small(kind: Kind = TimeVariableResNet, layers: int = 5, **options: Any) -> TimeVariableNetwork:
    torch.manual_seed(0)
    return kind(6, 16, layers, 3, **options)


def _move_steps(network: TimeVariableNetwork) -> None:
    with torch.no_grad():
        for parameter in network.time_steps.parameters():
            parameter.add_(0.1 * torch.rand_like(parameter))


@both
def test_the_architecture_of_the_paper_has_its_number_of_variables(kind: Kind) -> None:
    network = kind(784, 100, 6, 10)
    assert _size(network) == 130_006
    network.remove_layers([3])
    assert _size(network) == 130_006 - 10_101
    network.remove_layers([1, 4])
    assert _size(network) == 130_006 - 3 * 10_101


@both
@pytest.mark.parametrize("shape", [(4, 6), (4, 2, 3), (4, 1, 3, 2), (1, 6)])
def test_inputs_of_any_shape_are_flattened(kind: Kind, shape: tuple[int, ...]) -> None:
    network = _small(kind)
    inputs = torch.randn(shape)
    outputs = network(inputs)
    assert outputs.shape == (shape[0], 3)
    assert torch.equal(outputs, network(inputs.reshape(shape[0], 6)))


@both
@every_rule
def test_the_layers_that_were_asked_for_leave_and_the_others_are_untouched(
    kind: Kind, rule: Rule
) -> None:
    network = _small(kind, tau=rule)
    weights = [network.input.weight, *(layer.weight for layer in network.hidden)]
    network.remove_layers([1, 3])
    assert network.layers == [0, 2, 4]
    assert len(network.tau) == 3
    survivors = [network.input.weight, *(layer.weight for layer in network.hidden)]
    assert [id(w) for w in survivors] == [id(weights[l]) for l in (0, 2, 4)]
    assert network(torch.randn(2, 6)).shape == (2, 3)


def test_positions_are_those_of_the_network_as_it_is_now() -> None:
    network = _small()
    network.remove_layers([1])
    network.remove_layers([1, 2])
    assert network.layers == [0, 4]


def test_every_layer_but_the_first_can_leave() -> None:
    network = _small()
    network.remove_layers(range(1, 5))
    assert network.layers == [0]
    assert network(torch.randn(2, 6)).shape == (2, 3)


@both
@pytest.mark.parametrize("positions", [[0], [0, 1], [5], [1, 7], [-1]])
def test_a_position_that_cannot_leave_is_refused_and_nothing_happens(
    kind: Kind, positions: list[int]
) -> None:
    network = _small(kind)
    with pytest.raises(InputError, match=r"^remove_layers.*must be in 1 \.\.\. 4"):
        network.remove_layers(positions)
    assert network.layers == [0, 1, 2, 3, 4]
    assert len(network.tau) == len(network.hidden) + 1 == 5


def test_removed_layer_with_zero_tau_leaves_the_outputs_unchanged() -> None:
    network = _small(tau={"rule": "learned", "initial": [0.5, 0.0, 0.3, 0.0, -0.2]})
    inputs = torch.randn(7, 6)
    before = network(inputs)
    network.remove_layers([1, 3])
    assert torch.equal(network(inputs), before)
    network.remove_layers([1])
    assert (network(inputs) - before).abs().max() > 1e-4


@both
def test_a_block_of_the_users_own_works_and_leaves_with_all_its_variables(kind: Kind) -> None:
    network = _small(kind, block=_convolution, activation="Tanh")
    assert _size(network) == (6 * 16 + 16) + 4 * (9 + 1) + 16 * 3 + 5
    inputs = torch.randn(4, 6)
    network(inputs).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.hidden.parameters())
    removal = network.remove_layers([2])
    assert [tuple(p.shape) for p in removal.parameters] == [(1, 1, 3, 3), (1,)]
    assert _size(network) == (6 * 16 + 16) + 3 * (9 + 1) + 16 * 3 + 4
    assert network(inputs).shape == (4, 3)


@both
@every_rule
@pytest.mark.parametrize("block", [None, _convolution])
def test_a_pruned_network_loads_into_a_full_one_and_a_full_one_into_a_pruned_one(
    kind: Kind, rule: Rule, block: Callable[[], nn.Module] | None
) -> None:
    full, pruned, other_full, other_pruned = (_small(kind, tau=rule, block=block) for _ in range(4))
    torch.manual_seed(1)
    for network in (full, pruned):
        for parameter in [*network.hidden.parameters(), network.input.weight]:
            nn.init.normal_(parameter, std=0.3)
        _move_steps(network)
    pruned.remove_layers([1, 2])
    other_pruned.remove_layers([3])
    inputs = torch.randn(4, 6)
    other_full.load_state_dict(pruned.state_dict())
    assert other_full.layers == [0, 3, 4]
    assert torch.equal(other_full(inputs), pruned(inputs))
    other_pruned.load_state_dict(full.state_dict())
    assert other_pruned.layers == [0, 1, 2, 3, 4]
    assert torch.equal(other_pruned(inputs), full(inputs))
    assert not torch.equal(full(inputs), pruned(inputs))


def test_a_pruned_network_loads_into_one_of_double_precision() -> None:
    pruned, full = _small(), _small().double()
    pruned.remove_layers([2])
    full.load_state_dict(pruned.state_dict())
    assert {value.dtype for value in full.parameters()} == {torch.float64}
    inputs = torch.randn(4, 6)
    torch.testing.assert_close(full(inputs.double()).float(), pruned(inputs))


@both
@every_rule
def test_the_state_of_a_pruned_network_is_saved_as_plain_data(kind: Kind, rule: Rule) -> None:
    pruned, full = _small(kind, tau=rule), _small(kind, tau=rule)
    _move_steps(pruned)
    pruned.remove_layers([2, 4])
    file = io.BytesIO()
    torch.save(pruned.state_dict(), file)
    file.seek(0)
    full.load_state_dict(torch.load(file, weights_only=True))
    inputs = torch.randn(4, 6)
    assert full.layers == [0, 1, 3]
    assert torch.equal(full(inputs), pruned(inputs))


SPECIAL: list[tuple[Kind, dict[str, Any]]] = [
    (TimeVariableResNet, {}),
    (TimeVariableResNet, {"horizon": 2.0, "activation": "GELU", "tau": "simplex"}),
    (
        TimeVariableResNet,
        {"tau": {"rule": "final", "detach": True, "initial": [0.2, 0.3, 0.1, 0.15, 0.25]}},
    ),
    (FractionalDNN, {}),
    (
        FractionalDNN,
        {
            "horizon": 3.0,
            "gamma": 0.3,
            "history_start": 0,
            "constant_coefficients": True,
            "tau_floor": 0.25,
            "tau": {"rule": "fixed", "first_only": True, "initial": [0.1, 0.2, 0.3, 0.4, 2.0]},
            "activation": "Tanh",
        },
    ),
]


@pytest.mark.parametrize(("kind", "options"), SPECIAL)
def test_a_network_is_built_again_from_its_description(kind: Kind, options: dict[str, Any]) -> None:
    network = _small(kind, **options)
    twin = build_network(json.loads(json.dumps(network.spec)))
    assert type(twin) is kind
    assert twin.spec == network.spec
    assert torch.equal(twin.tau, network.tau)
    twin.load_state_dict(network.state_dict())
    inputs = torch.randn(4, 6)
    outputs, other = network(inputs), twin(inputs)
    assert torch.equal(outputs, other)
    gradients, others = (
        torch.autograd.grad(y.square().sum(), list(n.parameters()))
        for y, n in ((outputs, network), (other, twin))
    )
    assert all(torch.equal(a, b) for a, b in zip(gradients, others, strict=True))


def test_building_a_network_leaves_its_description_as_it_was() -> None:
    spec = _small(FractionalDNN).spec
    copy = json.loads(json.dumps(spec))
    build_network(spec)
    assert spec == copy


@pytest.mark.parametrize("name", ["nosuch", None, "TimeVariableNetwork"])
def test_a_description_of_an_unknown_network_is_refused(name: str | None) -> None:
    with pytest.raises(InputError, match=r"^network=.*TimeVariableResNet, FractionalDNN"):
        build_network({**_small().spec, "network": name})


@pytest.mark.parametrize("own", [{"block": _convolution}, {"activation": torch.tanh}])
def test_a_description_cannot_name_what_is_the_users_own(own: dict[str, Any]) -> None:
    spec = _small(**own).spec
    assert json.loads(json.dumps(spec)) == spec
    with pytest.raises(InputError, match="of the user's own"):
        build_network(spec)


@both
def test_a_description_with_an_unknown_argument_is_refused(kind: Kind) -> None:
    with pytest.raises(InputError, match=rf"^network={kind.__name__} does not take .*nosuch"):
        build_network({**_small(kind).spec, "nosuch": 1})


def test_a_description_without_a_size_is_refused() -> None:
    spec = _small().spec
    del spec["width"]
    with pytest.raises(InputError, match=r"^network=TimeVariableResNet does not take"):
        build_network(spec)


GOOD: dict[str, Any] = {"in_features": 6, "width": 4, "hidden_layers": 3, "out_features": 2}


@both
@pytest.mark.parametrize("name", list(GOOD))
@pytest.mark.parametrize("value", [0, -1, 2.5, True, "3", None, float("nan")])
def test_a_size_that_is_no_count_is_refused_by_name(kind: Kind, name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"^{name}={value}: must be a whole number"):
        kind(**{**GOOD, name: value})


@both
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "1", True, None])
def test_a_horizon_that_is_not_above_zero_is_refused_by_name(kind: Kind, value: object) -> None:
    with pytest.raises(InputError, match=f"^horizon={value}: must be a number above 0"):
        kind(**GOOD, horizon=value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gamma", 0),
        ("gamma", -0.5),
        ("gamma", 1.01),
        ("gamma", float("nan")),
        ("gamma", "0.5"),
        ("gamma", None),
        ("history_start", 2),
        ("history_start", -1),
        ("history_start", 1.0),
        ("history_start", True),
        ("tau_floor", 0),
        ("tau_floor", -1e-4),
        ("tau_floor", float("inf")),
    ],
)
def test_an_argument_of_the_fractional_network_out_of_range_is_refused_by_name(
    name: str, value: object
) -> None:
    with pytest.raises(InputError, match=f"^{name}={value}: must be"):
        FractionalDNN(**GOOD, **{name: value})


@both
@pytest.mark.parametrize("value", ["nosuch", "relu", "Linear", "Threshold", "MultiheadAttention"])
def test_an_activation_that_cannot_be_made_by_name_is_refused(kind: Kind, value: str) -> None:
    with pytest.raises(InputError, match=f"^activation={value}: "):
        kind(**GOOD, activation=value)


@both
def test_a_rule_for_tau_that_does_not_exist_is_refused(kind: Kind) -> None:
    with pytest.raises(InputError, match=r"^tau=nosuch: must be one of"):
        kind(**GOOD, tau="nosuch")


def _step(network: TimeVariableNetwork, optimizer: torch.optim.Optimizer) -> None:
    generator = torch.Generator().manual_seed(7)
    inputs, targets = (torch.randn(16, n, generator=generator) for n in (6, 3))
    optimizer.zero_grad()
    (network(inputs) - targets).square().mean().backward()
    optimizer.step()


def _sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)


def _adam(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=0.01)


def _held(optimizer: torch.optim.Optimizer) -> set[int]:
    return {id(p) for group in optimizer.param_groups for p in group["params"]}


def _copy(state: dict[str, Any]) -> dict[str, Any]:
    return {k: v.clone() if isinstance(v, Tensor) else v for k, v in state.items()}


def _same(state: dict[str, Any], other: dict[str, Any]) -> bool:
    return state.keys() == other.keys() and all(
        torch.equal(torch.as_tensor(state[name]), torch.as_tensor(other[name])) for name in state
    )


@pytest.mark.parametrize("make", [_sgd, _adam])
@both
@pytest.mark.parametrize("rule", ["learned", {"rule": "fixed", "first_only": True}, "final"])
def test_an_optimizer_goes_on_with_the_state_of_the_layers_that_stay(
    make: Callable[[Any], torch.optim.Optimizer], kind: Kind, rule: Rule
) -> None:
    network = _small(kind, tau=rule)
    optimizer = make(network.parameters())
    for _ in range(3):
        _step(network, optimizer)
    (free,) = network.time_steps.parameters()
    tau_state = _copy(optimizer.state[free])
    removal = network.remove_layers([1, 3])
    survivors = [p for p in network.parameters() if p is not removal.new_tau]
    states = [_copy(optimizer.state[p]) for p in survivors]
    removal.apply_to(optimizer)

    assert _held(optimizer) == {id(p) for p in network.parameters()}
    assert set(optimizer.state) == set(network.parameters())
    assert all(_same(optimizer.state[p], s) for p, s in zip(survivors, states, strict=True))
    kept = {
        "learned": [0, 2, 4],
        "final": [0, 2],
    }.get(str(rule), [1, 3])
    (new_free,) = network.time_steps.parameters()
    per_entry = {"exp_avg", "exp_avg_sq", "momentum_buffer"}
    assert tau_state.keys() & per_entry
    expected = {k: v[kept] if k in per_entry else v for k, v in tau_state.items()}
    assert _same(optimizer.state[new_free], expected)
    if kind is TimeVariableResNet or rule != "learned":
        assert all(v.abs().min() > 0 for k, v in expected.items() if k in per_entry)

    before = [p.detach().clone() for p in network.parameters()]
    _step(network, optimizer)
    assert all((p != b).any() for p, b in zip(network.parameters(), before, strict=True))


def test_the_step_after_a_removal_uses_the_momentum_that_tau_had() -> None:
    network = _small()
    optimizer = _sgd(network.parameters())
    for _ in range(3):
        _step(network, optimizer)
    (free,) = network.time_steps.parameters()
    momentum = optimizer.state[free]["momentum_buffer"][[0, 1, 3]].clone()
    network.remove_layers([2, 4]).apply_to(optimizer)
    before = network.tau.detach().clone()
    _step(network, optimizer)
    (free,) = network.time_steps.parameters()
    assert free.grad is not None
    expected = before - 0.05 * (0.9 * momentum + free.grad)
    torch.testing.assert_close(network.tau.detach(), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("make", [_sgd, _adam])
def test_groups_and_schedulers_outlive_a_removal(
    make: Callable[[Any], torch.optim.Optimizer],
) -> None:
    network = _small()
    going = list(network.hidden[1].parameters())
    steps = list(network.time_steps.parameters())
    rest = [p for p in network.parameters() if all(p is not q for q in going + steps)]
    optimizer = make([{"params": going}, {"params": steps, "lr": 0.02}, {"params": rest}])
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)
    groups = list(optimizer.param_groups)
    rates = [group["lr"] for group in groups]
    _step(network, optimizer)
    scheduler.step()
    network.remove_layers([2]).apply_to(optimizer)
    assert [id(g) for g in optimizer.param_groups] == [id(g) for g in groups]
    assert [len(g["params"]) for g in groups] == [0, 1, len(rest)]
    assert groups[1]["params"][0] is next(iter(network.time_steps.parameters()))
    before = network.tau.detach().clone()
    _step(network, optimizer)
    scheduler.step()
    assert (network.tau != before).all()
    assert [g["lr"] for g in groups] == pytest.approx([0.1 * rate for rate in rates], rel=1e-12)


@pytest.mark.parametrize("make", [_sgd, _adam])
def test_a_removal_before_the_first_step_is_followed(
    make: Callable[[Any], torch.optim.Optimizer],
) -> None:
    network = _small()
    optimizer = make(network.parameters())
    network.remove_layers([2]).apply_to(optimizer)
    assert _held(optimizer) == {id(p) for p in network.parameters()}
    before = network.tau.detach().clone()
    _step(network, optimizer)
    assert (network.tau != before).all()


def test_a_removal_from_fixed_steps_is_followed() -> None:
    network = _small(tau="fixed")
    optimizer = _sgd(network.parameters())
    _step(network, optimizer)
    network.remove_layers([2]).apply_to(optimizer)
    assert _held(optimizer) == {id(p) for p in network.parameters()}
    _step(network, optimizer)
    assert torch.equal(network.tau, torch.full((4,), 0.2))


def test_an_optimizer_that_holds_nothing_of_tau_is_left_without_it() -> None:
    network = _small()
    optimizer = _sgd(network.hidden.parameters())
    network.remove_layers([2]).apply_to(optimizer)
    assert _held(optimizer) == {id(p) for p in network.hidden.parameters()}


def test_a_network_that_evaluates_still_does_after_it_took_on_another_structure() -> None:
    def network() -> TimeVariableResNet:
        return TimeVariableResNet(4, 3, 5, 2, block=lambda: nn.Sequential(nn.Linear(3, 3)))

    full, pruned = network().eval(), network()
    pruned.remove_layers([2])
    full.load_state_dict(pruned.state_dict())
    assert not any(module.training for module in full.modules())


def test_a_frozen_tau_stays_frozen_when_layers_go() -> None:
    network = TimeVariableResNet(4, 3, 5, 2)
    network.time_steps.requires_grad_(False)
    network.remove_layers([1])
    assert not network.tau.requires_grad


def test_a_block_that_gives_the_same_layer_again_is_refused() -> None:
    layer = nn.Linear(3, 3)
    with pytest.raises(InputError, match="must make a new hidden layer"):
        TimeVariableResNet(4, 3, 5, 2, block=lambda: layer)
