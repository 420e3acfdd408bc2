"""τ is put back into its set at the end of every optimizer step."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from tests.training.runs import (
    LIGHTNING,
    Fit,
    assert_same_record,
    fractional,
    resnet,
    with_small_taus,
)
from tvl_lightning.constraints import Positive, ScaledSimplex
from tvl_lightning.limits import InputError
from tvl_lightning.networks import Final, Fixed, Learned, Simplex, TimeSteps
from tvl_lightning.penalties import L1
from tvl_lightning.training import AdaptivePruning, TauProjection

in_both_loops = pytest.mark.parametrize("loop", [LIGHTNING, "eager"])
STRONG = {"l1": L1(5.0)}


@in_both_loops
@pytest.mark.parametrize("network", [resnet, fractional])
def test_positive_holds_after_every_iteration(fit: Fit, loop: str, network: Any) -> None:
    run = fit(TauProjection(Positive(0.01)), loop=loop, network=network, penalties=STRONG)
    tau = run.record["tau"]
    assert len(tau) == 36
    assert tau.min() == np.float32(0.01)


def test_without_a_projection_the_same_run_leaves_the_set(fit: Fit) -> None:
    assert (fit(network=fractional, penalties=STRONG).record["tau"] < 0.01).any()


@in_both_loops
def test_the_simplex_keeps_the_sum_at_the_horizon(fit: Fit, loop: str) -> None:
    network = partial(resnet, horizon=2.0)
    run = fit(TauProjection(ScaledSimplex(1e-3)), loop=loop, network=network, penalties=STRONG)
    tau = run.record["tau"]
    np.testing.assert_allclose(tau.sum(1), 2.0, rtol=1e-6)
    assert tau.min() >= np.float32(1e-3)
    assert (tau[-1] != tau[0]).any()


def test_the_simplex_keeps_the_sum_where_layers_leave(fit: Fit) -> None:
    callbacks = [AdaptivePruning(0.02, interval=7), TauProjection(ScaledSimplex(1e-3))]
    run = fit(*callbacks, network=with_small_taus)
    assert len(run.layers) < 5
    np.testing.assert_allclose(np.nansum(run.record["tau"], 1), 1.0, rtol=1e-6)


def test_the_last_step_of_final_is_left_alone(fit: Fit) -> None:
    initial = [0.4, 0.4, 0.2, 0.2, -0.2]
    network = partial(resnet, tau=partial(Final, initial=initial))
    tau = fit(TauProjection(Positive(0.3)), network=network).record["tau"]
    assert (tau[:, :-1] >= np.float32(0.3)).all()
    assert (tau[:, -1] < 0).any()
    np.testing.assert_allclose(tau.sum(1), 1.0, rtol=1e-5)


def test_a_fixed_first_step_is_left_alone_and_the_others_are_not(fit: Fit) -> None:
    initial = [-0.5, 0.4, 0.3, 0.2, 0.1]
    network = partial(resnet, tau=partial(Fixed, initial=initial, first_only=True))
    tau = fit(TauProjection(Positive(0.05)), network=network, penalties=STRONG).record["tau"]
    assert (tau[:, 0] == -0.5).all()
    assert tau[:, 1:].min() == np.float32(0.05)


class Softplus(TimeSteps):
    """Positive by itself: τ = log(1 + exp(free))."""

    def __init__(self, n: int, horizon: float) -> None:
        super().__init__(n, horizon)
        self.free = nn.Parameter(torch.linspace(-3, -1, n))

    def forward(self) -> Tensor:
        assert self.free is not None
        return softplus(self.free)


@in_both_loops
@pytest.mark.parametrize("rule", [Softplus, Simplex, Fixed])
def test_a_step_that_is_computed_from_something_else_is_left_alone(
    fit: Fit, loop: str, rule: Any
) -> None:
    network = partial(resnet, tau=rule)
    projected = fit(TauProjection(Positive(0.9)), loop=loop, network=network)
    assert projected.record["tau"].max() < 0.9
    assert_same_record(projected.record, fit(loop=loop, network=network).record)


def box(tau: Tensor, horizon: float) -> Tensor:
    return tau.clamp(0.1 * horizon, 0.2 * horizon)


class Box:
    """As `box`, for each entry alone."""

    entrywise = True
    __call__ = staticmethod(box)


@in_both_loops
@pytest.mark.parametrize("onto", [box, Box(), lambda tau, t: tau.abs()])
def test_any_function_may_be_a_constraint(fit: Fit, loop: str, onto: Any) -> None:
    network = partial(resnet, horizon=2.0)
    tau = fit(TauProjection(onto), loop=loop, network=network).record["tau"]
    if onto is box or isinstance(onto, Box):
        assert tau.min() >= np.float32(0.2)
        assert tau.max() <= np.float32(0.4)
    else:
        assert tau.min() >= 0


@in_both_loops
@pytest.mark.parametrize(
    "rule", [Final, Simplex, Fixed, partial(Fixed, first_only=True), Softplus], ids=str
)
@pytest.mark.parametrize(("onto", "name"), [(ScaledSimplex(), "ScaledSimplex"), (box, "box")])
def test_what_needs_every_step_is_refused_where_some_are_not_learned(
    fit: Fit, loop: str, rule: Any, onto: Any, name: str
) -> None:
    with pytest.raises(InputError, match=rf"{name}.* needs tau=learned, all of whose steps are"):
        fit(TauProjection(onto), loop=loop, network=partial(resnet, tau=rule), epochs=1)


@in_both_loops
def test_an_empty_simplex_is_refused_before_training(fit: Fit, loop: str) -> None:
    network = resnet()
    before = network.tau.detach().clone()
    with pytest.raises(InputError, match=r"eps=0\.5: must be at most 0\.2"):
        fit(TauProjection(ScaledSimplex(0.5)), loop=loop, network=lambda: network)
    assert torch.equal(network.tau, before)


def test_only_entries_of_tau_are_projected_by_hand() -> None:
    steps = Learned(3, 1.0, [0.5, -0.1, 0.2])
    TauProjection(Positive(0.1)).project(steps)
    torch.testing.assert_close(steps(), torch.tensor([0.5, 0.1, 0.2]))
    assert steps.free is not None
    assert steps.free.requires_grad
    fixed = Fixed(3, 1.0, [0.5, -0.1, 0.2])
    TauProjection(Positive(0.1)).project(fixed)
    torch.testing.assert_close(fixed(), torch.tensor([0.5, -0.1, 0.2]))
