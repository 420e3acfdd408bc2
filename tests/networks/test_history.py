"""The fused memory beside the plain one."""

import gc
import weakref
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tvl_lightning.networks import Fractional, FractionalDNN
from tvl_lightning.networks.history import FusedHistory, PlainHistory

pytestmark = pytest.mark.usefixtures("double_precision")

STARTS = pytest.mark.parametrize("start", [0, 1])


def _gradients(outputs: Tensor, network: nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(outputs.square().sum(), list(network.parameters())))


def _histories(n: int, size: int) -> list[PlainHistory | FusedHistory]:
    return [PlainHistory(), FusedHistory(n, size, like=torch.empty(()))]


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n=st.integers(2, 8),
    shape=st.sampled_from([(1,), (3, 2), (2, 1, 4, 4)]),
)
def test_fused_and_plain_history_agree_in_value_and_gradient(
    seed: int, n: int, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(seed)
    rhs = torch.randn(n, *shape, requires_grad=True)
    weights = torch.rand(n, n, requires_grad=True)
    factors = torch.randn(n, *shape)
    results = []
    for history in _histories(n, factors[0].numel()):
        # what is added depends on what came before, as in a network
        y, increments = torch.zeros(shape), []
        for k in range(n):
            increments.append(history.add(rhs[k] + torch.sin(y), weights[k, :k]))
            y = y + increments[-1]
        total = (torch.stack(increments) * factors).sum()
        results.append([y, *increments, *torch.autograd.grad(total, (rhs, weights))])
    for plain, fused in zip(*results, strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-9, atol=1e-9)


def test_the_increments_are_those_of_the_formula() -> None:
    rhs, weights = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([[0, 0], [0.5, 0], [0.25, 2.0]])
    for history in _histories(3, 1):
        d = [history.add(rhs[k : k + 1], weights[k, :k]).item() for k in range(3)]
        assert d == [1.0, 2 - 0.5, 3 - 0.25 - 2 * 1.5]


@STARTS
@pytest.mark.parametrize("constant", [False, True])
def test_networks_with_either_history_agree_in_value_and_gradient(
    start: int, constant: bool
) -> None:
    torch.manual_seed(0)
    networks = [
        FractionalDNN(3, 4, 6, 2, history_start=start, constant_coefficients=constant, fused=fused)
        for fused in (True, False)
    ]
    networks[1].load_state_dict(networks[0].state_dict())
    inputs = torch.randn(5, 3)
    fused, plain = (network(inputs) for network in networks)
    torch.testing.assert_close(fused, plain, rtol=1e-12, atol=1e-12)
    for a, b in zip(_gradients(fused, networks[0]), _gradients(plain, networks[1]), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-13)


@STARTS
@pytest.mark.parametrize("frozen", ["time_steps", "stages.0.0", "stages.0.2", "stages.0", "stages"])
def test_what_is_frozen_changes_no_other_gradient(frozen: str, start: int) -> None:
    torch.manual_seed(0)
    network = FractionalDNN(3, 4, 5, 2, history_start=start)
    inputs = torch.randn(5, 3)
    names = dict(network.named_parameters())
    named = dict(zip(names, _gradients(network(inputs), network), strict=True))
    network.get_submodule(frozen).requires_grad_(False)
    network(inputs).square().sum().backward()
    for name, parameter in network.named_parameters():
        if name.startswith(frozen):
            assert parameter.grad is None
        else:
            torch.testing.assert_close(parameter.grad, named[name], rtol=1e-12, atol=1e-14)


@STARTS
def test_a_second_backward_pass_gives_the_same_gradient(start: int) -> None:
    torch.manual_seed(0)
    network = FractionalDNN(3, 4, 6, 2, history_start=start)
    loss = network(torch.randn(5, 3)).square().sum()
    parameters = list(network.parameters())
    first = torch.autograd.grad(loss, parameters, retain_graph=True)
    second = torch.autograd.grad(loss, parameters, retain_graph=True)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(gradient.abs().max() > 0 for gradient in first)


@STARTS
@pytest.mark.parametrize("order", [[5, 3], [3, 5], [3, 3, 5, 2, 5], [1], [2, 4]])
def test_backward_passes_may_begin_at_any_layer(order: list[int], start: int) -> None:
    """A loss on a hidden state, say one that a hook caught."""
    torch.manual_seed(0)
    states: dict[bool, list[Tensor]] = {True: [], False: []}
    weight = torch.randn(4, 4, requires_grad=True)
    tau = torch.full((6,), 0.2, requires_grad=True)

    def field(y: Tensor, seen: list[Tensor]) -> Tensor:
        seen.append(y)
        return torch.tanh(y @ weight)

    inputs = torch.randn(3, 4)
    for fused, seen in states.items():
        scheme = Fractional(0.4, history_start=start, fused=fused)
        seen.append(scheme([partial(field, seen=seen)] * 6, tau, inputs))
    for k in order:
        fused, plain = (
            torch.autograd.grad(seen[k].square().sum(), (weight, tau), retain_graph=True)
            for seen in states.values()
        )
        for a, b in zip(fused, plain, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-13)


@STARTS
def test_passes_over_two_batches_do_not_disturb_each_other(start: int) -> None:
    torch.manual_seed(0)
    network = FractionalDNN(3, 4, 5, 2, history_start=start)
    one, other = torch.randn(5, 3), torch.randn(2, 3)
    alone = [_gradients(network(inputs), network) for inputs in (one, other)]
    outputs = [network(inputs) for inputs in (one, other)]
    together = [_gradients(y, network) for y in outputs]
    for expected, actual in zip(alone, together, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(expected, actual, strict=True))


def test_the_fused_history_refuses_a_second_derivative_instead_of_a_wrong_one() -> None:
    torch.manual_seed(0)
    network = FractionalDNN(2, 3, 4, 2, activation="Tanh")
    weights = network.decoder.weight, network.time_steps.free
    gradients = torch.autograd.grad(
        network(torch.randn(2, 2)).square().sum(), weights, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        sum(gradient.sum() for gradient in gradients).backward()


@STARTS
def test_evaluation_needs_no_gradient(start: int) -> None:
    network = FractionalDNN(3, 4, 5, 2, history_start=start)
    inputs = torch.randn(5, 3)
    expected = network(inputs)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert torch.equal(network(inputs), expected)


class Watched(nn.Module):
    def __init__(self, seen: list[weakref.ref[Tensor]]) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(x)
        self.seen.extend((weakref.ref(x), weakref.ref(y)))
        return y


@STARTS
@pytest.mark.parametrize("fused", [True, False])
def test_a_training_step_leaves_no_tensor_alive_without_the_garbage_collector(
    fused: bool, start: int
) -> None:
    network = FractionalDNN(3, 4, 5, 2, history_start=start, fused=fused)
    seen: list[weakref.ref[Tensor]] = []
    for module in list(network.modules()):
        if hasattr(module, "activation"):
            module.activation = Watched(seen)
    inputs = torch.randn(7, 3)

    def train() -> None:
        network.zero_grad()
        network(inputs).square().sum().backward()

    def tensors_alive() -> int:
        return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())

    train()
    gc.collect()
    gc.disable()
    try:
        before = tensors_alive()
        train()
        assert tensors_alive() == before
    finally:
        gc.enable()
    assert len(seen) == 2 * 2 * 5
    assert all(reference() is None for reference in seen)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_histories_keep_the_type_of_the_weights(dtype: torch.dtype) -> None:
    for history in (PlainHistory(), FusedHistory(2, 3, like=torch.empty((), dtype=dtype))):
        for k in range(2):
            added = history.add(torch.ones(3, dtype=torch.bfloat16), torch.ones(k, dtype=dtype))
            assert added.dtype == dtype
