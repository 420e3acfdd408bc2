"""Layers that leave, structures that are loaded, and optimizers that follow."""

import copy
import io
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.networks.cases import RULES, SCHEMES, count, move_steps, train
from tvl_lightning.limits import InputError
from tvl_lightning.networks import (
    ConvField,
    DenseField,
    Euler,
    Learned,
    TimeVariableNetwork,
    convolutional,
    perceptron,
    transformer,
)
from tvl_lightning.networks.restructure import MAX_ID, MAX_LAYERS

every_scheme = pytest.mark.parametrize("scheme", SCHEMES)
every_rule = pytest.mark.parametrize("rule", RULES)
Make = Callable[[Any], torch.optim.Optimizer]


def _convolution(width: int) -> nn.Module:
    """A field with parameters, running statistics and numbers that no state dict holds."""
    return nn.Sequential(nn.Unflatten(1, (1, 4, width // 4)), ConvField(1, 1), nn.Flatten())


def _small(
    scheme: str = "euler", rule: str = "learned", layers: int = 5, **options: Any
) -> TimeVariableNetwork:
    torch.manual_seed(0)
    return perceptron([6], 3, 16, layers, scheme=SCHEMES[scheme](), tau=RULES[rule], **options)


def _stages(**options: Any) -> TimeVariableNetwork:
    torch.manual_seed(0)
    return convolutional([1, 6, 6], 3, (3, 4), 3, **options)


@every_scheme
@every_rule
def test_the_layers_that_were_asked_for_leave_and_the_others_are_untouched(
    scheme: str, rule: str
) -> None:
    network = _small(scheme, rule)
    fields = list(network.stages[0])
    network.remove_layers([1, 3])
    assert network.layers == [0, 2, 4]
    assert len(network.tau) == 3
    assert list(network.stages[0]) == [fields[l] for l in (0, 2, 4)]
    assert network(torch.randn(2, 6)).shape == (2, 3)


def test_positions_count_over_all_stages_and_ids_stay_what_they_were() -> None:
    network = _stages()
    network.remove_layers([2, 5])
    assert network.ids == [[0, 1, 3], [4, 6, 7]]
    assert network.stage_sizes == [3, 3]
    network.remove_layers([1, 4])
    assert network.ids == [[0, 3], [4, 7]]
    assert network.layers == [0, 3, 4, 7]
    assert network(torch.randn(2, 1, 6, 6)).shape == (2, 3)


def test_every_layer_but_the_lifts_can_leave() -> None:
    for network, inputs in ((_small(), (2, 6)), (_stages(), (2, 1, 6, 6))):
        lifts = {ids[0] for ids in network.ids}
        network.remove_layers([l for l, id in enumerate(network.layers) if id not in lifts])
        assert set(network.layers) == lifts
        assert len(network.tau) == len(lifts)
        assert network(torch.randn(inputs)).shape == (2, 3)


@pytest.mark.parametrize("positions", [[0], [0, 1], [4], [1, 4], [8], [1, 99], [-1]])
def test_a_position_that_cannot_leave_is_refused_and_nothing_happens(positions: list[int]) -> None:
    network = _stages()
    before, state = list(network.modules()), copy.deepcopy(network.state_dict())
    with pytest.raises(InputError, match=r"^remove_layers\(.*among \[1, 2, 3, 5, 6, 7\]"):
        network.remove_layers(positions)
    assert list(network.modules()) == before
    assert _same(network.state_dict(), state)


@every_rule
def test_to_remove_nothing_changes_nothing(rule: str) -> None:
    network = _small(rule=rule)
    before = network(torch.ones(1, 6))
    removal = network.remove_layers([])
    assert removal.parameters == []
    torch.testing.assert_close(network(torch.ones(1, 6)), before, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("scheme", ["euler", "heun"])
def test_a_removed_layer_of_zero_tau_leaves_the_outputs_unchanged(scheme: str) -> None:
    torch.manual_seed(0)
    rule = partial(Learned, initial=[0.5, 0.0, 0.3, 0.0, -0.2])
    network = perceptron([6], 3, 16, 5, scheme=SCHEMES[scheme](), tau=rule)
    inputs = torch.randn(7, 6)
    before = network(inputs)
    network.remove_layers([1, 3])
    assert torch.equal(network(inputs), before)
    network.remove_layers([1])
    assert (network(inputs) - before).abs().max() > 1e-4


@every_scheme
def test_a_field_leaves_with_all_its_variables_and_buffers(scheme: str) -> None:
    network = _stages(scheme=SCHEMES[scheme]())
    size, entries = count(network), len(network.state_dict())
    removal = network.remove_layers([2])
    assert [tuple(p.shape) for p in removal.parameters] == [(3, 3, 3, 3), (3,), (3,)]
    assert count(network) == size - (81 + 3 + 3) - 1
    # weight, and of the normalisation weight, bias, running mean and variance, number of batches
    assert len(network.state_dict()) == entries - 6


def test_a_parameter_that_a_remaining_field_shares_stays_with_the_optimizer() -> None:
    torch.manual_seed(0)
    shared = nn.Linear(4, 4)
    fields = [nn.Linear(6, 4), *(nn.Sequential(shared, nn.Linear(4, 4)) for _ in range(3))]
    network = TimeVariableNetwork([fields], nn.Linear(4, 3), Euler())
    optimizer = _sgd(network.parameters())
    _step(network, optimizer)
    network.remove_layers([2]).apply_to(optimizer)
    assert _held(optimizer) == {id(p) for p in network.parameters()}
    before = shared.weight.detach().clone()
    _step(network, optimizer)
    assert (shared.weight != before).any()


FIELDS = pytest.mark.parametrize("field", [None, _convolution])


@every_scheme
@every_rule
@FIELDS
def test_a_pruned_network_loads_into_a_full_one_and_a_full_one_into_a_pruned_one(
    scheme: str, rule: str, field: Callable[[int], nn.Module] | None
) -> None:
    full, pruned, other_full, other_pruned = (_small(scheme, rule, field=field) for _ in range(4))
    inputs, labels = torch.randn(4, 6), torch.tensor([0, 1, 2, 0])
    for network in (full, pruned):
        move_steps(network)
        train(network, inputs, labels, iterations=2)  # running statistics move
    pruned.remove_layers([1, 2])
    other_pruned.remove_layers([3])
    for network in (full, pruned, other_full, other_pruned):
        network.eval()
    other_full.load_state_dict(pruned.state_dict())
    assert other_full.layers == [0, 3, 4]
    assert torch.equal(other_full(inputs), pruned(inputs))
    other_pruned.load_state_dict(full.state_dict())
    assert other_pruned.layers == [0, 1, 2, 3, 4]
    assert torch.equal(other_pruned(inputs), full(inputs))
    assert not torch.equal(full(inputs), pruned(inputs))
    assert other_pruned.state_dict().keys() == full.state_dict().keys()


@every_rule
def test_the_state_of_a_pruned_network_is_saved_as_plain_data(rule: str) -> None:
    pruned, full = _stages(tau=RULES[rule]), _stages(tau=RULES[rule])
    move_steps(pruned)
    pruned.remove_layers([2, 5])
    file = io.BytesIO()
    torch.save(pruned.state_dict(), file)
    file.seek(0)
    full.load_state_dict(torch.load(file, weights_only=True))
    inputs = torch.randn(4, 1, 6, 6)
    assert full.ids == [[0, 1, 3], [4, 6, 7]]
    assert torch.equal(full(inputs), pruned(inputs))


@every_rule
def test_a_network_of_double_precision_is_rebuilt_in_double_precision(rule: str) -> None:
    pruned, full, other = (_stages(tau=RULES[rule]) for _ in range(3))
    pruned.remove_layers([2])
    pruned.double()
    pruned.load_state_dict(full.state_dict())
    full.double().load_state_dict(other.state_dict())
    for network in (pruned, full):
        floats = [v for v in [*network.parameters(), *network.buffers()] if v.is_floating_point()]
        assert {value.dtype for value in floats} == {torch.float64}
    inputs = torch.randn(4, 1, 6, 6)
    torch.testing.assert_close(pruned(inputs.double()), full(inputs.double()))


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_kept_by_removal_and_by_another_structure(training: bool) -> None:
    full, pruned = _stages().train(training), _stages().train(training)
    pruned.remove_layers([2, 6])
    state = full.state_dict()
    full.load_state_dict(pruned.state_dict())
    pruned.load_state_dict(state)
    for network in (full, pruned):
        assert {module.training for module in network.modules()} == {training}


def test_a_field_whose_normalisation_was_set_to_evaluate_keeps_that_when_others_go() -> None:
    network = _stages()
    network.stages[0][1].norm.eval()
    network.remove_layers([2])
    assert [field.norm.training for field in network.stages[0]] == [True, False, True]


@every_rule
def test_a_frozen_tau_stays_frozen_when_layers_go_and_come(rule: str) -> None:
    network, full = _small(rule=rule), _small(rule=rule)
    network.time_steps.requires_grad_(False)
    network.remove_layers([1])
    assert not network.tau.requires_grad
    network.load_state_dict(full.state_dict())
    assert len(network.tau) == 5
    assert not network.tau.requires_grad


class Masked(DenseField):
    """A field with numbers that it draws, and that a state dict leaves out."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width)
        self.register_buffer("mask", torch.rand(width), persistent=False)
        self.inner = nn.Module()
        self.inner.register_buffer("shift", torch.rand(width), persistent=False)

    def forward(self, y: Tensor) -> Tensor:
        return super().forward(y * self.mask + self.inner.shift)


def test_a_rebuilt_field_has_the_numbers_that_a_state_dict_leaves_out() -> None:
    network = _small(field=Masked)
    state, inputs = copy.deepcopy(network.state_dict()), torch.randn(3, 6)
    assert not any("mask" in name or "shift" in name for name in state)
    before = network(inputs)
    network.remove_layers([1, 2, 4])
    network.load_state_dict(state)
    assert torch.equal(network(inputs), before)
    masks = [field.mask for field in network.stages[0][1:]]
    assert len({id(mask) for mask in masks}) == 4
    assert all(mask.device.type != "meta" for mask in masks)


def test_blueprints_hold_no_memory_and_are_not_part_of_the_network() -> None:
    network = _stages()
    plans = list(network._blueprints.values())
    assert len(plans) == 6
    assert all(v.is_meta for p in plans for v in [*p.parameters(), *p.buffers()])
    assert not set(plans) & set(network.modules())


def test_a_copy_of_a_pruned_network_can_be_made_full() -> None:
    network, full = _stages(), _stages()
    network.remove_layers([2, 6])
    twin = copy.deepcopy(network)
    twin.load_state_dict(full.state_dict())
    inputs = torch.randn(4, 1, 6, 6)
    assert torch.equal(twin(inputs), full(inputs))
    assert network.ids == [[0, 1, 3], [4, 5, 7]]


NETWORKS: dict[str, tuple[Callable[..., TimeVariableNetwork], tuple[int, ...], list[int]]] = {
    "perceptron": (partial(perceptron, [6], 3, 16, 5), (4, 6), [1, 3]),
    "convolutional": (partial(convolutional, [1, 6, 6], 3, (3, 4), 2), (4, 1, 6, 6), [1, 5]),
    "transformer": (partial(transformer, [1, 6, 6], 3, 3, 8, 2, 2), (4, 1, 6, 6), [1, 4]),
}


@pytest.mark.parametrize("kind", NETWORKS)
@every_scheme
@every_rule
def test_a_network_built_on_meta_takes_on_any_state(kind: str, scheme: str, rule: str) -> None:
    make, shape, gone = NETWORKS[kind]
    options = {"scheme": SCHEMES[scheme], "tau": RULES[rule]}

    def network() -> TimeVariableNetwork:
        return make(scheme=options["scheme"](), tau=options["tau"])

    torch.manual_seed(0)
    real, inputs = network(), torch.randn(shape)
    for positions in ([], gone):
        real.remove_layers(positions)
        with torch.device("meta"):
            twin = network()
        assert all(value.is_meta for value in [*twin.parameters(), *twin.buffers()])
        twin.load_state_dict(real.state_dict(), assign=True)
        assert not any(value.is_meta for value in [*twin.parameters(), *twin.buffers()])
        assert twin.ids == real.ids
        assert torch.equal(twin(inputs), real(inputs))


# a network that began with [[0, 1, 2, 3], [4, 5, 6, 7]] cannot have these
IMPOSSIBLE: dict[str, Any] = {
    "none": None,
    "a number": 3,
    "a string": "ids",
    "a list": [[0, 1], [4, 5]],
    "empty": {},
    "without like": {"ids": [[0, 1], [4, 5]]},
    "without ids": {"like": {}},
    "no stage": {"ids": [], "like": {}},
    "a stage too few": {"ids": [[0, 1, 2, 3]], "like": {}},
    "a stage too many": {"ids": [[0], [4], [8]], "like": {}},
    "an empty stage": {"ids": [[0, 1], []], "like": {}},
    "another's lift": {"ids": [[0], [5]], "like": {}},
    "a lift inside": {"ids": [[0, 1], [4, 0]], "like": {}},
    "a field of another stage": {"ids": [[0, 5], [4, 6]], "like": {}},
    "a lift of another stage": {"ids": [[0, 4], [4, 5]], "like": {}},
    "stages exchanged": {"ids": [[4, 5], [0, 1]], "like": {}},
    "the lift not first": {"ids": [[1, 0], [4]], "like": {}},
    "another order": {"ids": [[0, 2, 1], [4]], "like": {}},
    "twice": {"ids": [[0, 1, 1], [4]], "like": {}},
    "born twice": {"ids": [[0, 9], [4, 9]], "like": {9: 1}},
    "born twice in one stage": {"ids": [[0, 9, 9], [4]], "like": {9: 1}},
    "unknown": {"ids": [[0, 9], [4]], "like": {}},
    "negative": {"ids": [[0, -1], [4]], "like": {-1: 1}},
    "bools": {"ids": [[False, True], [4]], "like": {}},
    "floats": {"ids": [[0.0, 1.0], [4.0]], "like": {}},
    "strings": {"ids": ["0123", "4567"], "like": {}},
    "strings of numbers": {"ids": [["0", "1"], ["4"]], "like": {}},
    "tensors": {"ids": torch.arange(8).view(2, 4), "like": {}},
    "nested": {"ids": [[0, [1]], [4]], "like": {}},
    "like a lift": {"ids": [[0, 9], [4]], "like": {9: 0}},
    "like one of another stage": {"ids": [[0, 9], [4]], "like": {9: 5}},
    "like itself": {"ids": [[0, 9], [4]], "like": {9: 9}},
    "like in a circle": {"ids": [[0, 8, 9], [4]], "like": {8: 9, 9: 8}},
    "like a born one": {"ids": [[0, 8, 9], [4]], "like": {8: 1, 9: 8}},
    "an initial one like another": {"ids": [[0, 1], [4]], "like": {1: 2}},
    "like of strings": {"ids": [[0, 9], [4]], "like": {"9": "1"}},
    "like of bools": {"ids": [[0, 9], [4]], "like": {9: True}},
    "like a list": {"ids": [[0, 9], [4]], "like": [9, 1]},
    "a great id": {"ids": [[0, MAX_ID + 1], [4]], "like": {MAX_ID + 1: 1}},
    "an id of 5,000 digits": {"ids": [[0, 10**5000], [4]], "like": {10**5000: 1}},
    "too many": {
        "ids": [[0, *range(10, 10 + MAX_LAYERS)], [4]],
        "like": dict.fromkeys(range(10, 10 + MAX_LAYERS), 1),
    },
}
deep: list[Any] = []
for _ in range(5000):
    deep = [deep]
IMPOSSIBLE["a deep list"] = {"ids": [[0, deep], [4]], "like": {}}


@pytest.mark.parametrize("record", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_an_impossible_structure_is_refused_in_one_line_and_changes_nothing(record: Any) -> None:
    network = _stages()
    network.remove_layers([2])
    before, state = list(network.modules()), copy.deepcopy(network.state_dict())
    with pytest.raises(InputError, match=r"^structure=") as caught:
        network.load_state_dict({**state, "_extra_state": record})
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)
    assert list(network.modules()) == before
    assert _same(network.state_dict(), state)


def test_a_structure_that_does_not_fit_its_tensors_is_an_error_of_the_loading() -> None:
    network = _stages()
    with pytest.raises(RuntimeError, match="Unexpected key"):
        network.load_state_dict(
            {**network.state_dict(), "_extra_state": {"ids": [[0], [4]], "like": {}}}
        )


@every_scheme
@every_rule
def test_a_layer_that_was_born_is_rebuilt_like_the_one_it_names(scheme: str, rule: str) -> None:
    deeper, network = _small(scheme, rule, layers=6), _small(scheme, rule, layers=4)
    move_steps(deeper)
    record = {"ids": [[0, 9, 1, 8, 2, 3]], "like": {9: 2, 8: 3}}
    network.load_state_dict({**deeper.state_dict(), "_extra_state": record})
    assert network.layers == [0, 9, 1, 8, 2, 3]
    inputs = torch.randn(4, 6)
    assert torch.equal(network(inputs), deeper(inputs))
    assert network.get_extra_state() == record

    network.remove_layers([1, 4])
    assert network.get_extra_state() == {"ids": [[0, 1, 8, 3]], "like": {8: 3}}
    other = _small(scheme, rule, layers=4)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(inputs), network(inputs))
    other.load_state_dict(_small(scheme, rule, layers=4).state_dict())
    assert other.get_extra_state() == {"ids": [[0, 1, 2, 3]], "like": {}}


def test_an_id_that_is_like_another_layer_in_another_run_is_built_anew() -> None:
    def network(like: int) -> TimeVariableNetwork:
        made = transformer([1, 6, 6], 3, 3, 8, 2, 1)
        state = {
            "ids": [[0, 1, 2, 9]],
            "like": {9: like},
        }
        made.set_extra_state(state)
        return made

    attention, tokens = network(1), network(2)
    torch.nn.init.normal_(attention.stages[0][3].attention.in_proj_weight)
    for parameter in attention.stages[0][3].parameters():
        torch.nn.init.normal_(parameter)
    tokens.load_state_dict(attention.state_dict())
    inputs = torch.randn(2, 1, 6, 6)
    assert torch.equal(tokens(inputs), attention(inputs))


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
        torch.equal(state[name], other[name])
        if isinstance(state[name], Tensor)
        else state[name] == other[name]
        for name in state
    )


@pytest.mark.parametrize("make", [_sgd, _adam])
@every_scheme
@pytest.mark.parametrize("rule", ["learned", "first only", "final", "simplex"])
def test_an_optimizer_goes_on_with_the_state_of_the_layers_that_stay(
    make: Make, scheme: str, rule: str
) -> None:
    network = _small(scheme, rule)
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
    kept = {"learned": [0, 2, 4], "final": [0, 2], "first only": [1, 3], "simplex": [0, 2, 4]}[rule]
    (new_free,) = network.time_steps.parameters()
    per_entry = {"exp_avg", "exp_avg_sq", "momentum_buffer"}
    assert tau_state.keys() & per_entry
    expected = {k: v[kept] if k in per_entry else v for k, v in tau_state.items()}
    assert _same(optimizer.state[new_free], expected)
    if scheme == "euler":
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
    make: Make,
) -> None:
    network = _small()
    going = list(network.stages[0][2].parameters())
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
    make: Make,
) -> None:
    network = _small()
    optimizer = make(network.parameters())
    network.remove_layers([2]).apply_to(optimizer)
    assert _held(optimizer) == {id(p) for p in network.parameters()}
    before = network.tau.detach().clone()
    _step(network, optimizer)
    assert (network.tau != before).all()


def test_a_removal_from_fixed_steps_is_followed() -> None:
    network = _small(rule="fixed")
    optimizer = _sgd(network.parameters())
    _step(network, optimizer)
    network.remove_layers([2]).apply_to(optimizer)
    assert _held(optimizer) == {id(p) for p in network.parameters()}
    _step(network, optimizer)
    assert torch.equal(network.tau, torch.full((4,), 0.2))


def test_an_optimizer_that_holds_nothing_of_tau_is_left_without_it() -> None:
    network = _small()
    optimizer = _sgd(network.stages.parameters())
    network.remove_layers([2]).apply_to(optimizer)
    assert _held(optimizer) == {id(p) for p in network.stages.parameters()}
