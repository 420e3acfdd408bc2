"""Schemes: as functions of plain Python functions, and as networks beside the literal formulas."""

import itertools
import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.networks import literal
from tests.networks.cases import RULES, SCHEMES
from tvl_lightning.networks import Euler, Heun, Learned, Scheme, TimeVariableNetwork, perceptron

pytestmark = pytest.mark.usefixtures("double_precision")

F = Callable[[Tensor], Tensor]
ONE_STEP = {"euler": Euler, "heun": Heun}


def solve(scheme: Scheme, f: F, start: float, steps: Tensor) -> float:
    """y(Σ steps) for y' = f(y), y(0) = `start`, which the lift makes."""
    tau = torch.cat((torch.tensor([0.25]), steps))
    end = scheme([lambda u: u / 0.25, *[f] * len(steps)], tau, torch.tensor([start]))
    return end.item()


# y' = f(y) with y(0) and y(1)
PROBLEMS: dict[str, tuple[F, float, float]] = {
    "decay": (lambda y: -y, 1.0, math.exp(-1)),
    "logistic": (lambda y: y * (1 - y), 0.2, 1 / (1 + 4 * math.exp(-1))),
    "blow-up": (lambda y: y * y, 0.5, 1.0),
}


def even(n: int) -> Tensor:
    return torch.full((n,), 1 / n)


def uneven(n: int) -> Tensor:
    return (torch.linspace(0, 1, n + 1) ** 1.5).diff()


@pytest.mark.parametrize("grid", [even, uneven])
@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize(("scheme", "order"), [(Euler(), 1), (Heun(), 2)])
def test_problems_of_known_solution_are_solved_with_the_order_of_the_scheme(
    scheme: Scheme, order: int, problem: str, grid: Callable[[int], Tensor]
) -> None:
    f, start, end = PROBLEMS[problem]
    errors = [abs(solve(scheme, f, start, grid(n)) - end) for n in (256, 512, 1024)]
    assert errors[-1] < 0.01 / 10**order
    assert all(abs(math.log2(a / b) - order) < 0.03 for a, b in itertools.pairwise(errors))


def test_heun_is_exact_where_the_solution_is_a_parabola_and_euler_is_not() -> None:
    def f(y: Tensor) -> Tensor:  # y = (t, x), t' = 1, x' = t
        return torch.stack((torch.ones(()), y[0]))

    steps = torch.tensor([0.5, 0.1, 0.3, 0.2, 0.4])
    ends = {
        name: scheme()(
            [torch.zeros_like, *[f] * 5], torch.cat((torch.ones(1), steps)), torch.ones(2)
        )
        for name, scheme in ONE_STEP.items()
    }
    torch.testing.assert_close(ends["heun"], torch.tensor([1.5, 1.125]), rtol=1e-14, atol=0)
    assert abs(ends["euler"][1] - 1.125) > 0.1


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4), (2, 1, 4, 4)])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_scheme_takes_any_functions_and_states_of_any_shape(
    scheme: str, shape: tuple[int, ...]
) -> None:
    fields = [lambda y: y + 1, torch.tanh, lambda y: -y, nn.Tanh()]
    tau = torch.tensor([0.4, 0.3, 0.2, 0.1], requires_grad=True)
    state = torch.randn(shape)
    ends = [SCHEMES[scheme]()(given, tau, state) for given in (fields, tuple(fields), iter(fields))]
    assert ends[0].shape == shape
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[0], ends[2])
    (gradient,) = torch.autograd.grad(ends[0].sum(), tau)
    assert (gradient != 0).all()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_stage_of_a_lift_alone_scales_what_the_lift_makes(scheme: str) -> None:
    tau = torch.tensor([0.25])
    end = SCHEMES[scheme]()([lambda y: y[:, :1] + 2], tau, torch.ones(3, 4))
    factor = 0.25 if scheme in ONE_STEP else 0.25**0.5 * math.gamma(1.5)
    torch.testing.assert_close(end, torch.full((3, 1), 3 * factor), rtol=1e-14, atol=0)


@pytest.mark.parametrize("scheme", ONE_STEP)
def test_a_layer_whose_tau_is_zero_is_the_identity(scheme: str) -> None:
    make = ONE_STEP[scheme]
    assert make.identity_at_zero_tau
    lift, f, g = torch.tanh, torch.exp, torch.cos
    u = torch.randn(5)
    full = make()([lift, f, g, f], torch.tensor([0.5, 0.3, 0.0, 0.2]), u)
    short = make()([lift, f, f], torch.tensor([0.5, 0.3, 0.2]), u)
    assert torch.equal(full, short)


def test_how_often_a_field_is_called_is_the_number_of_stages_of_the_method() -> None:
    for make, calls in (*((make, 1) for make in SCHEMES.values() if make is not Heun), (Heun, 2)):
        seen: list[int] = []

        def field(y: Tensor, seen: list[int] = seen) -> Tensor:
            seen.append(1)
            return y

        make()([torch.tanh, field], torch.tensor([0.5, 0.5]), torch.ones(2))
        assert len(seen) == calls


@pytest.mark.parametrize("scheme", ONE_STEP)
def test_fields_and_steps_of_different_number_are_an_error(scheme: str) -> None:
    with pytest.raises(ValueError, match="zip"):
        ONE_STEP[scheme]()([torch.tanh] * 3, torch.ones(2), torch.ones(2))


def dense(
    scheme: str, sizes: tuple[int, int, int, int], tau: Tensor, activation: str = "Tanh"
) -> TimeVariableNetwork:
    inputs, width, layers, classes = sizes
    rule = partial(Learned, initial=tau.tolist())
    return perceptron(
        [inputs],
        classes,
        width,
        layers,
        activation=activation,
        scheme=SCHEMES[scheme](),
        tau=rule,
    )


@pytest.mark.parametrize("scheme", ONE_STEP)
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 6), st.integers(1, 4)),
    scale=st.floats(0.1, 10),
    activation=st.sampled_from(["ReLU", "Tanh"]),
)
def test_outputs_and_gradients_are_those_of_the_literal_formula(
    scheme: str, seed: int, sizes: tuple[int, int, int, int], scale: float, activation: str
) -> None:
    torch.manual_seed(seed)
    network = dense(scheme, sizes, scale * torch.randn(sizes[2]), activation)
    literal.scramble(network, seed)
    inputs = torch.randn(3, sizes[0])
    sigma = {"ReLU": torch.relu, "Tanh": torch.tanh}[activation]
    parameters = list(network.parameters())
    actual = network(inputs)
    expected = literal.outputs(network, inputs, sigma, network.tau)
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)
    weights = torch.randn(expected.shape)
    for a, b in zip(
        torch.autograd.grad((actual * weights).sum(), parameters),
        torch.autograd.grad((expected * weights).sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8 * (1 + b.abs().max().item()))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("scheme", ONE_STEP)
def test_the_steps_of_every_rule_enter_the_formula(scheme: str, rule: str) -> None:
    network = perceptron([3], 2, 4, 5, horizon=2.5, scheme=ONE_STEP[scheme](), tau=RULES[rule])
    literal.scramble(network, 1)
    inputs = torch.randn(3, 3)
    expected = literal.outputs(network, inputs, torch.relu, torch.full((5,), 0.5))
    torch.testing.assert_close(network(inputs), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rule", ["learned", "first only", "final", "simplex"])
@pytest.mark.parametrize("scheme", ["euler", "heun", "fractional", "learned order"])
def test_gradients_of_all_parameters_are_those_of_finite_differences(
    scheme: str, rule: str
) -> None:
    torch.manual_seed(0)
    network = perceptron(
        [2],
        2,
        3,
        4,
        horizon=1.5,
        activation="Tanh",
        scheme=SCHEMES[scheme](),
        tau=partial(RULES[rule], initial=[0.2, 0.5, 0.1, 0.7]),
    )
    literal.scramble(network, 2)
    call, values = literal.as_function(network, torch.randn(3, 2))
    assert len(values) == 1 + 2 * 4 + 1 + (scheme == "learned order")
    assert torch.autograd.gradcheck(call, values)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_mixed_precision_trains_and_stays_close_to_full_precision(scheme: str) -> None:
    torch.manual_seed(0)
    network = dense(scheme, (4, 3, 5, 2), torch.full((5,), 0.2), "ReLU")
    inputs = torch.rand(6, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = network(inputs).double()
    outputs.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
    torch.testing.assert_close(outputs, network(inputs), rtol=0.05, atol=0.02)


def test_a_scheme_of_ones_own_needs_no_class() -> None:
    def backwards(fields, tau, y):  # type: ignore[no-untyped-def]
        lift, *rest = fields
        y = tau[0] * lift(y)
        for field, step in zip(reversed(rest), tau[1:].flip(0), strict=True):
            y = y - step * field(y)
        return y

    network = perceptron([3], 2, 4, 3, scheme=backwards)
    outputs = network(torch.randn(2, 3))
    assert outputs.shape == (2, 2)
    assert not network.identity_at_zero_tau
    assert list(network.observables()) == ["tau"]
