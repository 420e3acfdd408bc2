import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tvl_lightning.constraints import Positive, ScaledSimplex
from tvl_lightning.limits import InputError

STEPS = st.lists(st.floats(-10, 10), min_size=1, max_size=8)


def _double(steps: list[float]) -> Tensor:
    return torch.tensor(steps, dtype=torch.float64)


def _project(tau: Tensor, horizon: float, eps: float) -> Tensor:
    return ScaledSimplex(eps)(tau, horizon)


@st.composite
def _simplex_problems(draw: st.DrawFn) -> tuple[Tensor, float, float]:
    """τ, a horizon and an eps with n eps <= horizon."""
    tau = _double(draw(STEPS))
    horizon = draw(st.floats(0.1, 10))
    return tau, horizon, horizon / len(tau) * draw(st.floats(1e-4, 1))


def _by_bisection(tau: Tensor, horizon: float, eps: float) -> Tensor:
    """max(τ - θ, eps), with the θ that makes the sum right found by halving an interval."""
    low, high = tau.min().item() - horizon, tau.max().item()
    for _ in range(200):
        theta = (low + high) / 2
        if (tau - theta).clamp(min=eps).sum() > horizon:
            low = theta
        else:
            high = theta
    return (tau - high).clamp(min=eps)


def _feasible(n: int, horizon: float, eps: float, seed: int) -> Tensor:
    """Points of the simplex, its corners among them, shape (n + 20, n)."""
    generator = torch.Generator().manual_seed(seed)
    shares = torch.rand(20, n, generator=generator, dtype=torch.float64).log()
    shares = torch.cat((shares / shares.sum(1, keepdim=True), torch.eye(n, dtype=torch.float64)))
    return eps + (horizon - n * eps) * shares


@settings(max_examples=40, deadline=None)
@given(problem=_simplex_problems())
def test_simplex_projection_is_the_one_found_by_bisection(
    problem: tuple[Tensor, float, float],
) -> None:
    expected = _by_bisection(*problem)
    torch.testing.assert_close(_project(*problem), expected, rtol=0, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(problem=_simplex_problems())
def test_simplex_projection_sums_to_the_horizon_and_stays_above_eps(
    problem: tuple[Tensor, float, float],
) -> None:
    _, horizon, eps = problem
    projected = _project(*problem)
    assert abs(projected.sum().item() - horizon) < 1e-12
    assert (projected >= eps).all()


@settings(max_examples=40, deadline=None)
@given(problem=_simplex_problems())
def test_simplex_projection_leaves_a_projected_point_where_it_is(
    problem: tuple[Tensor, float, float],
) -> None:
    _, horizon, eps = problem
    once = _project(*problem)
    torch.testing.assert_close(_project(once, horizon, eps), once, rtol=0, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(problem=_simplex_problems(), seed=st.integers(0, 2**31))
def test_no_point_of_the_simplex_is_nearer_than_the_projection(
    problem: tuple[Tensor, float, float], seed: int
) -> None:
    tau, horizon, eps = problem
    projected = _project(*problem)
    others = _feasible(len(tau), horizon, eps, seed)
    assert ((tau - projected).norm() <= (tau - others).norm(dim=1) + 1e-12).all()
    # the projection onto a convex set: no other point lies on the side of τ
    assert ((others - projected) @ (tau - projected) <= 1e-10).all()


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 8), horizon=st.floats(0.1, 10), seed=st.integers(0, 2**31))
def test_simplex_projection_leaves_a_point_of_the_simplex_where_it_is(
    n: int, horizon: float, seed: int
) -> None:
    point = _feasible(n, horizon, 1e-4 * horizon, seed)[0]
    projected = _project(point, horizon, 1e-4 * horizon)
    torch.testing.assert_close(projected, point, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([3.0], [1.0]),
        ([0.6, 0.6], [0.5, 0.5]),
        ([2.0, 0.0, 0.0], [0.8, 0.1, 0.1]),
        ([-5.0, -5.0], [0.5, 0.5]),
        ([0.1, 0.9, -1.0], [0.1, 0.8, 0.1]),
    ],
)
def test_simplex_projections_known_by_hand(steps: list[float], expected: list[float]) -> None:
    projected = _project(_double(steps), 1.0, 0.1)
    torch.testing.assert_close(projected, _double(expected), rtol=0, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, eps=st.floats(1e-6, 1))
def test_positive_projection_raises_what_is_below_eps_and_nothing_else(
    steps: list[float], eps: float
) -> None:
    projected = Positive(eps)(_double(steps), 1.0)
    assert projected.tolist() == [t if t > eps else eps for t in steps]


def test_what_a_projection_raised_is_eps_in_the_type_of_tau() -> None:
    for dtype in (torch.float32, torch.float64):
        eps = torch.tensor(1e-4, dtype=dtype)
        projected = Positive(1e-4)(torch.tensor([-1.0, 1e-4, 0.5], dtype=dtype), 1.0)
        assert projected.dtype == dtype
        assert projected.tolist() == [eps.item(), eps.item(), 0.5]


def test_only_a_constraint_that_treats_each_entry_alone_says_so() -> None:
    assert Positive().entrywise
    assert not hasattr(ScaledSimplex(), "entrywise")


@pytest.mark.parametrize("n", range(1, 50))
def test_the_simplex_of_one_point_is_that_point(n: int) -> None:
    projected = ScaledSimplex(0.7 / n)(torch.linspace(-1, 1, n, dtype=torch.float64), 0.7)
    torch.testing.assert_close(projected, torch.full_like(projected, 0.7 / n), rtol=1e-12, atol=0)


def test_an_empty_simplex_is_refused() -> None:
    with pytest.raises(InputError, match=r"^eps=0\.3: must be at most 0\.25, the horizon shared"):
        ScaledSimplex(0.3)(torch.ones(4), 1.0)


@pytest.mark.parametrize("kind", [Positive, ScaledSimplex])
@pytest.mark.parametrize("eps", [0, -1e-4, float("nan"), float("inf"), "1e-4", None, True])
def test_an_eps_that_is_not_above_zero_is_refused(
    kind: type[Positive] | type[ScaledSimplex], eps: object
) -> None:
    with pytest.raises(InputError, match=f"^eps={eps}: must be a number above 0"):
        kind(eps)  # type: ignore[arg-type]
