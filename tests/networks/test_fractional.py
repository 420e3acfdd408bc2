import gc
import itertools
import math
import weakref

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.networks import literal
from tvl_lightning.networks import FractionalDNN, TimeVariableResNet, history_coefficients

GAMMA = st.floats(0.05, 1)
SEED = st.integers(0, 2**31)


pytestmark = pytest.mark.usefixtures("double_precision")


def _random_steps(n: int) -> Tensor:
    """Step sizes from 1e-3 to 3, small next to large."""
    return 1e-3 * 3000 ** torch.rand(n)


def _learned(tau: Tensor) -> dict[str, object]:
    return {"rule": "learned", "initial": tau.tolist()}


def _gradients(outputs: Tensor, network: nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(outputs.square().sum(), list(network.parameters())))


@settings(max_examples=40, deadline=None)
@given(
    seed=SEED,
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 6), st.integers(1, 4)),
    gamma=GAMMA,
    start=st.sampled_from([0, 1]),
    activation=st.sampled_from(["ReLU", "Tanh"]),
)
def test_outputs_are_those_of_the_literal_formula(
    seed: int, sizes: tuple[int, int, int, int], gamma: float, start: int, activation: str
) -> None:
    torch.manual_seed(seed)
    tau = _random_steps(sizes[2])
    network = FractionalDNN(
        *sizes, gamma=gamma, history_start=start, tau=_learned(tau), activation=activation
    )
    literal.scramble(network, seed)
    inputs = torch.randn(3, sizes[0])
    sigma = {"ReLU": torch.relu, "Tanh": torch.tanh}[activation]
    expected = literal.outputs(network, inputs, sigma, tau)
    torch.testing.assert_close(network(inputs), expected, rtol=1e-10, atol=1e-10)


def test_the_two_history_starts_give_different_outputs() -> None:
    torch.manual_seed(0)
    networks = [FractionalDNN(2, 3, 4, 2, history_start=start) for start in (0, 1)]
    networks[1].load_state_dict(networks[0].state_dict())
    inputs = torch.randn(3, 2)
    assert (networks[0](inputs) - networks[1](inputs)).abs().max() > 1e-3


@settings(max_examples=40, deadline=None)
@given(seed=SEED, n=st.integers(1, 8), gamma=GAMMA)
def test_coefficients_are_those_of_the_literal_formula(seed: int, n: int, gamma: float) -> None:
    torch.manual_seed(seed)
    tau = _random_steps(n)
    actual = history_coefficients(tau, gamma)
    for l in range(n):
        for j in range(l):
            expected = literal.coefficient(tau, gamma, l, j)
            # the literal difference of powers loses digits itself, relative to the powers
            powers = tau[l] ** gamma / tau[j] * tau[j : l + 1].sum() ** (1 - gamma)
            torch.testing.assert_close(
                actual[l, j], expected, rtol=1e-9, atol=4e-15 * powers.item()
            )


@settings(max_examples=40, deadline=None)
@given(seed=SEED, n=st.integers(1, 8), gamma=GAMMA)
def test_coefficients_are_zero_from_the_diagonal_on(seed: int, n: int, gamma: float) -> None:
    torch.manual_seed(seed)
    a = history_coefficients(_random_steps(n), gamma)
    assert a.shape == (n, n)
    assert a.triu().count_nonzero() == 0


def _exact_coefficient(tau: Tensor, gamma: float, l: int, j: int) -> mpmath.mpf:
    with mpmath.workdps(60):
        steps, power = [mpmath.mpf(t) for t in tau.tolist()], 1 - mpmath.mpf(gamma)
        x, y = mpmath.fsum(steps[j : l + 1]), mpmath.fsum(steps[j + 1 : l + 1])
        return steps[l] ** mpmath.mpf(gamma) / steps[j] * (x**power - y**power)


@pytest.mark.parametrize("gamma", [0.1, 0.5, 0.9])
def test_coefficients_keep_their_digits_in_float32_where_the_literal_formula_does_not(
    gamma: float,
) -> None:
    tau = torch.tensor([1e-4, 6.0, 1e-4, 1.0, 3e-4, 2.0, 1e-4], dtype=torch.float32)
    actual = history_coefficients(tau, gamma)
    assert actual.dtype == torch.float32
    errors, literal_errors = [], []
    for l in range(len(tau)):
        for j in range(l):
            exact = _exact_coefficient(tau, gamma, l, j)
            naive = literal.coefficient(tau, gamma, l, j)
            errors.append(float(abs(actual[l, j].item() / exact - 1)))
            literal_errors.append(float(abs(naive.item() / exact - 1)))
    assert max(errors) < 1e-4
    assert max(literal_errors) > 1e-3


@settings(max_examples=40, deadline=None)
@given(seed=SEED, gamma=GAMMA, step=st.floats(1e-3, 10))
def test_coefficients_of_equal_steps_do_not_depend_on_the_step(
    seed: int, gamma: float, step: float
) -> None:
    n = seed % 12 + 1
    a = history_coefficients(torch.full((n,), step), gamma)
    for l in range(n):
        for j in range(l):
            expected = (l - j + 1) ** (1 - gamma) - (l - j) ** (1 - gamma)
            assert math.isclose(a[l, j].item(), expected, rel_tol=1e-10, abs_tol=1e-13)


def test_the_network_shows_the_coefficients_of_the_steps_in_use() -> None:
    network = FractionalDNN(
        2, 3, 3, 2, gamma=0.3, tau_floor=0.05, tau=_learned(torch.tensor([0.3, -0.2, 0.1]))
    )
    expected = history_coefficients(torch.tensor([0.3, 0.05, 0.1]), 0.3)
    torch.testing.assert_close(network.history_coefficients(), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("start", [0, 1])
def test_with_gamma_1_the_network_is_the_resnet(start: int) -> None:
    torch.manual_seed(0)
    tau = _learned(_random_steps(6))
    resnet = TimeVariableResNet(3, 4, 6, 2, tau=tau)
    fractional = FractionalDNN(3, 4, 6, 2, gamma=1, history_start=start, tau=tau)
    literal.scramble(resnet, 3)
    fractional.load_state_dict(resnet.state_dict())
    inputs = torch.randn(5, 3)
    torch.testing.assert_close(fractional(inputs), resnet(inputs), rtol=1e-12, atol=1e-12)
    for actual, expected in zip(
        _gradients(fractional(inputs), fractional), _gradients(resnet(inputs), resnet), strict=True
    ):
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rule", ["learned", "final", "simplex"])
@pytest.mark.parametrize("start", [0, 1])
def test_gradients_of_all_parameters_are_those_of_finite_differences(start: int, rule: str) -> None:
    torch.manual_seed(0)
    network = FractionalDNN(
        2,
        2,
        4,
        2,
        horizon=1.5,
        gamma=0.4,
        history_start=start,
        tau={"rule": rule, "initial": [0.2, 0.5, 0.1, 0.7]},
        activation="Tanh",
    )
    literal.scramble(network, 2)
    call, values = literal.as_function(network, torch.randn(2, 2))
    assert len(values) == 1 + 2 * 4 + 1
    assert torch.autograd.gradcheck(call, values)


@settings(max_examples=25, deadline=None)
@given(
    seed=SEED,
    layers=st.integers(1, 6),
    gamma=GAMMA,
    start=st.sampled_from([0, 1]),
    constant=st.booleans(),
)
def test_gradients_are_those_of_the_literal_formula(
    seed: int, layers: int, gamma: float, start: int, constant: bool
) -> None:
    torch.manual_seed(seed)
    network = FractionalDNN(
        3,
        4,
        layers,
        2,
        gamma=gamma,
        history_start=start,
        constant_coefficients=constant,
        tau=_learned(0.05 + torch.rand(layers)),
        activation="Tanh",
    )
    literal.scramble(network, seed)
    inputs = torch.randn(3, 3)
    expected = literal.outputs(network, inputs, torch.tanh, network.tau)
    for actual, gradient in zip(
        _gradients(network(inputs), network), _gradients(expected, network), strict=True
    ):
        torch.testing.assert_close(actual, gradient, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("start", [0, 1])
def test_constant_coefficients_change_the_gradient_of_tau_but_not_the_outputs(start: int) -> None:
    torch.manual_seed(0)
    networks = [
        FractionalDNN(3, 4, 5, 2, history_start=start, constant_coefficients=constant)
        for constant in (False, True)
    ]
    literal.scramble(networks[0], 4)
    networks[1].load_state_dict(networks[0].state_dict())
    inputs = torch.randn(3, 3)
    full, constant = (network(inputs) for network in networks)
    assert torch.equal(full, constant)
    gradients = [
        dict(zip(dict(n.named_parameters()), _gradients(y, n), strict=True))
        for n, y in zip(networks, (full, constant), strict=True)
    ]
    for name, gradient in gradients[0].items():
        difference = (gradient - gradients[1][name]).abs().max()
        if name.startswith("time_steps"):
            assert difference > 1e-3
        else:
            assert difference < 1e-12


@pytest.mark.parametrize("start", [0, 1])
def test_a_second_backward_pass_gives_the_same_gradient(start: int) -> None:
    torch.manual_seed(0)
    network = FractionalDNN(3, 4, 6, 2, history_start=start)
    loss = network(torch.randn(5, 3)).square().sum()
    parameters = list(network.parameters())
    first = torch.autograd.grad(loss, parameters, retain_graph=True)
    second = torch.autograd.grad(loss, parameters, retain_graph=True)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(gradient.abs().max() > 0 for gradient in first)


@pytest.mark.parametrize("start", [0, 1])
def test_passes_over_two_batches_do_not_disturb_each_other(start: int) -> None:
    torch.manual_seed(0)
    network = FractionalDNN(3, 4, 5, 2, history_start=start)
    one, other = torch.randn(5, 3), torch.randn(2, 3)
    alone = [_gradients(network(inputs), network) for inputs in (one, other)]
    outputs = [network(inputs) for inputs in (one, other)]
    together = [_gradients(y, network) for y in outputs]
    for expected, actual in zip(alone, together, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(expected, actual, strict=True))


def test_a_step_below_the_floor_enters_as_the_floor_and_is_shown_as_it_is() -> None:
    torch.manual_seed(0)
    steps, floored = torch.tensor([0.3, -0.2, 0.1, 0.01]), torch.tensor([0.3, 0.05, 0.1, 0.05])
    network = FractionalDNN(2, 3, 4, 2, tau_floor=0.05, tau=_learned(steps))
    literal.scramble(network, 5)
    inputs = torch.randn(3, 2)
    expected = literal.outputs(network, inputs, torch.relu, floored)
    torch.testing.assert_close(network(inputs), expected, rtol=1e-10, atol=1e-10)
    assert torch.equal(network.tau, steps)


def _relaxation(gamma: float, steps: int) -> list[float]:
    """The L1 scheme's values at t = 1/steps, ..., 1 for D^γ y = -y, y(0) = y[1] = 1."""
    visited: list[float] = []

    def note(x: Tensor) -> Tensor:
        visited.append(x.item())
        return x

    def minus() -> nn.Module:
        layer = nn.Linear(1, 1)
        nn.init.constant_(layer.weight, -1)
        nn.init.zeros_(layer.bias)
        return layer

    tau = torch.full((steps + 1,), 1 / steps)
    network = FractionalDNN(
        1, 1, steps + 1, 1, gamma=gamma, tau=_learned(tau), activation=note, block=minus
    )
    nn.init.constant_(network.input.weight, steps**gamma / math.gamma(2 - gamma))
    nn.init.zeros_(network.input.bias)
    nn.init.ones_(network.output.weight)
    end = network(torch.ones(1, 1)).item()
    # σ sees W(0) u first, then -1 at t = 0, then -y at every later time
    return [-x for x in visited[2:]] + [end]


def _mittag_leffler(gamma: float, t: float) -> float:
    """E_γ(-t^γ) by its series, for t <= 1."""
    with mpmath.workdps(40):
        order, z = mpmath.mpf(gamma), -(mpmath.mpf(t) ** gamma)
        return float(mpmath.fsum(z**k * mpmath.rgamma(order * k + 1) for k in range(300)))


def test_the_series_gives_known_values_of_the_mittag_leffler_function() -> None:
    assert math.isclose(_mittag_leffler(1, 0.7), math.exp(-0.7), rel_tol=1e-14)
    # E_{1/2}(-x) = exp(x^2) erfc(x)
    assert math.isclose(_mittag_leffler(0.5, 0.49), math.exp(0.49) * math.erfc(0.7), rel_tol=1e-14)


@pytest.mark.parametrize("gamma", [0.3, 0.5, 0.8])
def test_fractional_relaxation_is_solved_with_order_1_at_a_fixed_time(gamma: float) -> None:
    # The explicit right-hand side is wrong by y(t) - y(t - h), whose integral against the kernel
    # is O(h) at t = 1, whatever γ is. The L1 scheme adds O(h), and O(h^(2-γ)) away from 0.
    exact = _mittag_leffler(gamma, 1)
    errors = [abs(_relaxation(gamma, steps)[-1] - exact) for steps in (32, 64, 128, 256)]
    orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert errors[-1] < 1e-3
    assert all(abs(order - 1) < 0.05 for order in orders)


@pytest.mark.parametrize("gamma", [0.3, 0.5, 0.8])
def test_the_first_step_of_the_fractional_relaxation_is_explicit(gamma: float) -> None:
    expected = 1 - 0.05**gamma * math.gamma(2 - gamma)
    assert math.isclose(_relaxation(gamma, 20)[0], expected, rel_tol=1e-12)


@settings(max_examples=40, deadline=None)
@given(seed=SEED, steps=st.integers(1, 10), gamma=GAMMA)
def test_a_linear_function_is_integrated_exactly_on_any_grid(
    seed: int, steps: int, gamma: float
) -> None:
    torch.manual_seed(seed)
    tau = 0.01 + torch.rand(steps + 1)
    times = tau[1:].cumsum(0)
    # y = t solves D^γ y = t^(1-γ) / Γ(2-γ); the first value of σ gives y[1] = τ(0)^γ Γ(2-γ)
    values = iter([1.0, *(times ** (1 - gamma) / math.gamma(2 - gamma)).tolist()])
    network = FractionalDNN(
        1,
        1,
        steps + 1,
        1,
        gamma=gamma,
        tau=_learned(tau),
        activation=lambda x: torch.full_like(x, next(values)),
    )
    nn.init.ones_(network.output.weight)
    expected = tau[0].item() ** gamma * math.gamma(2 - gamma) + times[-1].item()
    assert math.isclose(network(torch.ones(1, 1)).item(), expected, rel_tol=1e-10)


@pytest.mark.parametrize("start", [0, 1])
def test_a_training_step_leaves_no_tensor_alive_without_the_garbage_collector(start: int) -> None:
    seen: list[weakref.ref[Tensor]] = []

    def watched(x: Tensor) -> Tensor:
        y = torch.tanh(x)
        seen.extend((weakref.ref(x), weakref.ref(y)))
        return y

    network = FractionalDNN(3, 4, 5, 2, history_start=start, activation=watched)
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


@pytest.mark.parametrize("history_start", [0, 1])
def test_mixed_precision_trains_and_stays_close_to_full_precision(history_start: int) -> None:
    torch.manual_seed(0)
    network = FractionalDNN(4, 3, 5, 2, history_start=history_start)
    inputs = torch.rand(6, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = network(inputs).double()
    outputs.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
    torch.testing.assert_close(outputs, network(inputs), rtol=0.05, atol=0.02)
