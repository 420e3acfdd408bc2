"""The L1 scheme: its coefficients, its formula, its gradient and what it solves."""

import itertools
import math
from functools import partial
from typing import Any

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, stack_module_state, vmap

from tests.networks import literal
from tests.networks.cases import count
from tvl_lightning.limits import InputError
from tvl_lightning.networks import (
    DenseField,
    Fractional,
    FractionalDNN,
    Learned,
    TimeVariableNetwork,
    TimeVariableResNet,
    history_coefficients,
)

GAMMA = st.floats(0.05, 1)
SEED = st.integers(0, 2**31)


pytestmark = pytest.mark.usefixtures("double_precision")


def _random_steps(n: int) -> Tensor:
    """Step sizes from 1e-3 to 3, small next to large."""
    return 1e-3 * 3000 ** torch.rand(n)


def _learned(tau: Tensor) -> partial[Learned]:
    return partial(Learned, initial=tau.tolist())


def _gradients(outputs: Tensor, network: nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(outputs.square().sum(), list(network.parameters())))


@settings(max_examples=40, deadline=None)
@given(
    seed=SEED,
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 6), st.integers(1, 4)),
    gamma=GAMMA,
    start=st.sampled_from([0, 1]),
    activation=st.sampled_from(["ReLU", "Tanh"]),
    fused=st.booleans(),
)
def test_outputs_are_those_of_the_literal_formula(
    seed: int,
    sizes: tuple[int, int, int, int],
    gamma: float,
    start: int,
    activation: str,
    fused: bool,
) -> None:
    torch.manual_seed(seed)
    tau = _random_steps(sizes[2])
    network = FractionalDNN(
        *sizes,
        gamma=gamma,
        history_start=start,
        tau=_learned(tau),
        activation=activation,
        fused=fused,
    )
    literal.scramble(network, seed)
    inputs = torch.randn(3, sizes[0])
    sigma = {"ReLU": torch.relu, "Tanh": torch.tanh}[activation]
    expected = literal.outputs(network, inputs, sigma, tau)
    torch.testing.assert_close(network(inputs), expected, rtol=1e-10, atol=1e-10)


@settings(max_examples=25, deadline=None)
@given(
    seed=SEED,
    layers=st.integers(1, 6),
    gamma=st.floats(0.05, 0.99),
    start=st.sampled_from([0, 1]),
    constant=st.booleans(),
    learn=st.booleans(),
)
def test_gradients_are_those_of_the_literal_formula(
    seed: int, layers: int, gamma: float, start: int, constant: bool, learn: bool
) -> None:
    torch.manual_seed(seed)
    network = FractionalDNN(
        3,
        4,
        layers,
        2,
        gamma=gamma,
        # with constant coefficients γ is learned through the factor τ^γ Γ(2-γ) alone
        learn_gamma=learn and not constant,
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
        torch.testing.assert_close(actual, gradient, rtol=1e-7, atol=1e-8)


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


def test_a_step_below_the_floor_enters_as_the_floor_and_is_shown_as_it_is() -> None:
    torch.manual_seed(0)
    steps, floored = torch.tensor([0.3, -0.2, 0.1, 0.01]), torch.tensor([0.3, 0.05, 0.1, 0.05])
    network = FractionalDNN(2, 3, 4, 2, tau_floor=0.05, tau=_learned(steps))
    literal.scramble(network, 5)
    inputs = torch.randn(3, 2)
    expected = literal.outputs(network, inputs, torch.relu, floored)
    torch.testing.assert_close(network(inputs), expected, rtol=1e-10, atol=1e-10)
    assert torch.equal(network.tau, steps)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("factor", "alive"), [(1 - 1e-3, False), (1, True), (1 + 1e-3, True)])
def test_a_step_on_the_floor_is_alive_and_one_below_is_not(
    factor: float, alive: bool, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    network = FractionalDNN(5, 4, 4, 3).to(dtype)
    free = network.time_steps.free
    assert free is not None
    with torch.no_grad():
        free.copy_(torch.tensor([0.7, 1e-4, 1e-4, 0.3]))
        free[1] *= factor
    (gradient,) = torch.autograd.grad(network(torch.rand(6, 5, dtype=dtype)).square().sum(), free)
    assert gradient[[0, 2, 3]].count_nonzero() == 3
    assert (gradient[1] != 0).item() == alive


def _relaxation(gamma: float, steps: int) -> list[float]:
    """The L1 scheme's values at t = 1/steps, ..., 1 for D^γ y = -y, y(0) = y[1] = 1."""
    visited: list[float] = []

    def lift(u: Tensor) -> Tensor:
        return u * steps**gamma / math.gamma(2 - gamma)

    def minus(y: Tensor) -> Tensor:
        visited.append(y.item())
        return -y

    tau = torch.full((steps + 1,), 1 / steps)
    end = Fractional(gamma)([lift, *[minus] * steps], tau, torch.ones(1)).item()
    return [*visited[1:], end]


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
    # y = t solves D^γ y = t^(1-γ) / Γ(2-γ); the lift gives y[1] = τ(0)^γ Γ(2-γ)
    values = iter([1.0, *(times ** (1 - gamma) / math.gamma(2 - gamma)).tolist()])
    fields = [lambda y: torch.full_like(y, next(values))] * (steps + 1)
    end = Fractional(gamma)(fields, tau, torch.ones(1)).item()
    expected = tau[0].item() ** gamma * math.gamma(2 - gamma) + times[-1].item()
    assert math.isclose(end, expected, rel_tol=1e-10)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("start", [0, 1])
def test_the_memory_starts_anew_in_each_stage(start: int, fused: bool) -> None:
    torch.manual_seed(0)
    widths = [3, 4, 4, 4, 2, 2, 2, 2]
    fields = [DenseField(*sizes, "Tanh") for sizes in itertools.pairwise(widths)]
    scheme = Fractional(0.4, history_start=start, fused=fused)
    network = TimeVariableNetwork(
        [fields[:3], fields[3:]], nn.Identity(), scheme, _learned(0.1 + torch.rand(7))
    )
    inputs = torch.randn(5, 3)
    expected = inputs
    for part, tau in ((fields[:3], network.tau[:3]), (fields[3:], network.tau[3:])):
        w = [field.linear.weight for field in part]
        b = [field.linear.bias for field in part]
        expected = torch.stack(
            [
                literal.fractional(u, [*w, torch.eye(len(w[-1]))], b, tau, torch.tanh, 0.4, start)
                for u in expected
            ]
        )
    torch.testing.assert_close(network(inputs), expected, rtol=1e-10, atol=1e-10)
    for a, e in zip(
        _gradients(network(inputs), network), _gradients(expected, network), strict=True
    ):
        torch.testing.assert_close(a, e, rtol=1e-9, atol=1e-9)


def test_a_learned_order_starts_at_gamma_and_is_one_parameter() -> None:
    network = FractionalDNN(784, 100, 6, 10, gamma=0.3, learn_gamma=True)
    assert count(network) == 130_007
    assert network.scheme.gamma.shape == ()
    assert math.isclose(network.scheme.gamma.item(), 0.3, rel_tol=1e-12)
    assert torch.equal(network.observables()["gamma"], network.scheme.gamma)
    fixed = FractionalDNN(2, 3, 4, 2, gamma=0.3)
    assert fixed.scheme.gamma == 0.3
    assert list(fixed.observables()) == ["tau"]


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("start", [0, 1])
def test_the_gradient_of_a_learned_order_is_that_of_differences_unless_coefficients_are_constant(
    start: int, constant: bool
) -> None:
    torch.manual_seed(0)
    options: dict[str, Any] = {"history_start": start, "constant_coefficients": constant}
    network = FractionalDNN(3, 4, 5, 2, gamma=0.6, learn_gamma=True, **options)
    inputs = torch.randn(6, 3)

    def loss(logit: float) -> float:
        with torch.no_grad():
            network.scheme.gamma_logit.fill_(logit)
        return network(inputs).square().sum().item()

    at, h = network.scheme.gamma_logit.item(), 1e-5
    difference = (loss(at + h) - loss(at - h)) / (2 * h)
    loss(at)
    (gradient,) = torch.autograd.grad(network(inputs).square().sum(), [network.scheme.gamma_logit])
    assert abs(difference) > 1e-3
    assert math.isclose(gradient.item(), difference, rel_tol=1e-6) != constant


@pytest.mark.parametrize("order", [0.2, 0.8])
def test_the_order_that_made_the_data_is_learned_back(order: float) -> None:
    torch.manual_seed(0)
    teacher = FractionalDNN(3, 8, 5, 2, gamma=order, activation="Tanh")
    network = FractionalDNN(3, 8, 5, 2, learn_gamma=True, activation="Tanh")
    network.load_state_dict(teacher.state_dict(), strict=False)
    inputs = torch.randn(20, 3)
    targets = teacher(inputs).detach()
    optimizer, seen = torch.optim.Adam(network.scheme.parameters(), lr=0.1), []
    for _ in range(150):
        optimizer.zero_grad()
        (network(inputs) - targets).square().mean().backward()
        optimizer.step()
        seen.append(network.scheme.gamma.item())
    assert abs(seen[-1] - order) < 0.01
    assert all(0 < gamma < 1 for gamma in seen)


def test_an_order_of_1_cannot_be_learned() -> None:
    with pytest.raises(InputError, match=r"^gamma=1: must be below 1 where it is learned"):
        Fractional(1, learn_gamma=True)
    assert Fractional(1).gamma == 1


def test_the_scheme_says_that_a_layer_of_tau_zero_is_no_identity() -> None:
    assert not Fractional().identity_at_zero_tau
    assert not Fractional(1.0).identity_at_zero_tau


def _plain(**options: Any) -> FractionalDNN:
    torch.manual_seed(0)
    return FractionalDNN(2, 3, 4, 2, activation="Tanh", fused=False, **options)


ORDERS = pytest.mark.parametrize("learn", [False, True])
STARTS = pytest.mark.parametrize("start", [0, 1])


@ORDERS
@STARTS
def test_stacked_networks_can_be_mapped_over(start: int, learn: bool) -> None:
    networks = [_plain(history_start=start, learn_gamma=learn) for _ in range(3)]
    for seed, network in enumerate(networks):
        literal.scramble(network, seed)
        with torch.no_grad():
            network.time_steps.free.mul_(1 + 0.2 * seed)
    parameters, buffers = stack_module_state(networks)
    inputs = torch.randn(5, 2)

    def call(p: dict[str, Tensor], b: dict[str, Tensor]) -> Tensor:
        return functional_call(networks[0], (p, b), (inputs,))

    expected = torch.stack([network(inputs) for network in networks])
    torch.testing.assert_close(vmap(call)(parameters, buffers), expected, rtol=1e-12, atol=1e-12)

    gradients = vmap(grad(lambda p, b: call(p, b).square().sum()))(parameters, buffers)
    for k, network in enumerate(networks):
        for name, value in zip(gradients, _gradients(expected[k], network), strict=True):
            torch.testing.assert_close(gradients[name][k], value, rtol=1e-10, atol=1e-12)


@ORDERS
@STARTS
def test_derivatives_along_a_direction_are_those_of_finite_differences(
    start: int, learn: bool
) -> None:
    network = _plain(history_start=start, learn_gamma=learn)
    inputs = torch.randn(5, 2)
    at = {name: p.detach() for name, p in network.named_parameters()}
    along = {name: torch.randn_like(p) for name, p in at.items()}

    def call(p: dict[str, Tensor]) -> Tensor:
        return functional_call(network, p, (inputs,))

    _, derivative = jvp(call, (at,), (along,))
    ahead, behind = (
        call({name: p + h * along[name] for name, p in at.items()}) for h in (1e-5, -1e-5)
    )
    torch.testing.assert_close(derivative, (ahead - behind) / 2e-5, rtol=1e-6, atol=1e-8)


@ORDERS
@STARTS
def test_second_derivatives_are_those_of_finite_differences(start: int, learn: bool) -> None:
    network = _plain(history_start=start, learn_gamma=learn)
    call, values = literal.as_function(network, torch.randn(2, 2))
    assert torch.autograd.gradgradcheck(lambda *v: call(*v).square().sum(), values)


@STARTS
def test_compiled_it_is_what_it_is(start: int) -> None:
    network = _plain(history_start=start, learn_gamma=True)
    inputs = torch.randn(5, 2)
    expected = network(inputs)
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)(inputs)
    torch.testing.assert_close(compiled, expected, rtol=1e-12, atol=1e-12)
    for a, b in zip(_gradients(compiled, network), _gradients(expected, network), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
