"""A whole training beside the package's, written down literally: what no formula alone can show.

The literal one is float64, takes one sample at a time, and knows nothing of Lightning. τ and the
loss are compared after every iteration.
"""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from lightning import seed_everything
from torch import Tensor

from tests.conftest import quiet_trainer
from tests.networks import literal
from tests.training.runs import read_record
from tvl_lightning.constraints import Positive, ScaledSimplex
from tvl_lightning.data import MNIST5k
from tvl_lightning.networks import (
    Euler,
    Final,
    Fixed,
    Fractional,
    Heun,
    Learned,
    Simplex,
    TimeVariableNetwork,
    perceptron,
)
from tvl_lightning.penalties import L1, L2, Horizon
from tvl_lightning.training import (
    ChunkedClassifier,
    TauProjection,
    TauRecorder,
    TimeVariableClassifier,
)

BATCH, LR = 12, 0.01  # 300 iterations an epoch
EPS = 1e-4
EPS_64 = torch.tensor(EPS, dtype=torch.float64)
RISING = [0.1, 0.2, 0.3, 0.4]
FLOOR = [0.7, EPS, EPS, 0.2998]
PAPERS = {"history_start": 1, "tau_floor": EPS}
AUTHORS = {"history_start": 0, "constant_coefficients": True, "tau_floor": EPS}


NONE: dict[str, Any] = {}


class Case(NamedTuple):
    scheme: type[Any] = Euler
    options: dict[str, Any] = NONE
    rule: str = "learned"
    detach: bool = False
    initial: list[float] = RISING
    penalties: dict[str, Any] = NONE
    onto: str | None = None


def penalty(name: str, p: Any, tau: Tensor) -> Tensor:
    """As printed in Section 3."""
    if name == "l1":
        return p.weight * sum(tau[l].abs() for l in range(len(tau)))
    if name == "l2":
        return p.weight * sum(tau[l] ** 2 for l in range(len(tau)))
    return p.weight * (p.horizon - sum(tau[l] for l in range(len(tau)))) ** 2


def steps_of(case: Case, free: Tensor) -> Tensor:
    """τ from what is learned of it."""
    if case.rule == "fixed":
        return torch.tensor(case.initial, dtype=torch.float64)
    if case.rule == "first_only":
        return torch.cat((torch.tensor(case.initial[:1], dtype=torch.float64), free))
    if case.rule == "final":
        last = 1 - free.sum()
        return torch.cat((free, (last.detach() if case.detach else last)[None]))
    if case.rule == "simplex":
        return free.exp() / free.exp().sum()
    return free


def first_free(case: Case) -> Tensor:
    initial = torch.tensor(case.initial, dtype=torch.float64)
    free = {
        "fixed": initial[:0],
        "first_only": initial[1:],
        "final": initial[:-1],
        "simplex": initial.log(),
    }
    return free.get(case.rule, initial)


def nearest_on_simplex(tau: Tensor) -> Tensor:
    """The nearest point of {τ ≥ eps, Σ τ = 1} by bisection of the shift."""
    low, high = tau.min() - 2, tau.max() + 2
    for _ in range(60):
        middle = (low + high) / 2
        if torch.maximum(tau - middle, EPS_64).sum() > 1:
            low = middle
        else:
            high = middle
    return torch.maximum(tau - low, EPS_64)


def train_literally(
    case: Case, network: TimeVariableNetwork, batches: list[tuple[Tensor, Tensor]]
) -> tuple[np.ndarray, np.ndarray]:
    """τ after, and the loss before, each iteration of (projected) stochastic gradient descent."""
    w, b = literal.weights_and_biases(network)
    w, b = [x.detach().double() for x in w], [x.detach().double() for x in b]
    free = first_free(case)
    taus, losses = [], []
    for images, labels in batches:
        parameters = [x.requires_grad_() for x in (*w, *b, free)]
        tau = steps_of(case, free)
        forward: Callable[[Tensor], Tensor]
        if case.scheme is Fractional:
            # the derivative at the floor is that of the formula; below, the floor is a constant
            used = torch.stack([EPS_64 if t < EPS else t for t in tau])
            forward = partial(
                literal.fractional,
                w=w,
                b=b,
                tau=used,
                sigma=torch.relu,
                gamma=0.5,
                start=case.options["history_start"],
                constant_coefficients=case.options.get("constant_coefficients", False),
            )
        else:
            formula = literal.heun if case.scheme is Heun else literal.resnet
            forward = partial(formula, w=w, b=b, tau=tau, sigma=torch.relu)
        logits = torch.vmap(forward)(images.flatten(1).double())
        probabilities = logits.exp() / logits.exp().sum(1, keepdim=True)
        loss = -probabilities[torch.arange(len(labels)), labels].log().mean()
        for name, p in case.penalties.items():
            loss = loss + penalty(name, p, tau)
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        with torch.no_grad():
            moved = [
                x if g is None else x - LR * g for x, g in zip(parameters, gradients, strict=True)
            ]
            w, b, free = moved[: len(w)], moved[len(w) : -1], moved[-1]
            if case.onto == "positive":
                free = torch.where(free < EPS, EPS_64, free)
            elif case.onto == "simplex":
                free = nearest_on_simplex(free)
            taus.append(steps_of(case, free).numpy())
            losses.append(loss.item())
        w, b, free = [x.detach() for x in w], [x.detach() for x in b], free.detach()
    return np.stack(taus), np.array(losses)


L1_PENALTY, L2_PENALTY = {"l1": L1(0.01)}, {"l2": L2(0.01)}
STRONG_L1, HORIZON = {"l1": L1(0.3)}, {"horizon": Horizon(0.5, 1.0)}

RESNETS = {
    "learned": Case(),
    "l1": Case(penalties=STRONG_L1),
    "l2": Case(penalties=L2_PENALTY),
    "horizon": Case(penalties=HORIZON),
    "l1 and horizon": Case(penalties={**L1_PENALTY, **HORIZON}),
    "fixed": Case(rule="fixed"),
    "first only fixed": Case(rule="first_only"),
    "final": Case(rule="final"),
    "final, authors": Case(rule="final", detach=True),
    "simplex": Case(rule="simplex", penalties=L2_PENALTY),
    "from negative and zero": Case(initial=[0.9, -0.3, 0.0, 0.4], penalties=HORIZON),
    "positive": Case(initial=FLOOR, penalties=HORIZON, onto="positive"),
    "onto the simplex": Case(initial=FLOOR, onto="simplex"),
    "heun": Case(scheme=Heun, initial=[0.9, -0.3, 0.0, 0.4], penalties=HORIZON),
    "heun on the floor": Case(scheme=Heun, initial=FLOOR, penalties=STRONG_L1, onto="positive"),
}
FRACTIONALS = {
    f"{name}, {variant}": case._replace(scheme=Fractional, options=options)
    for variant, options in (("paper", PAPERS), ("authors", AUTHORS))
    for name, case in {
        "floor and horizon": Case(initial=FLOOR, penalties=HORIZON, onto="positive"),
        "floor and l1": Case(initial=FLOOR, penalties=STRONG_L1, onto="positive"),
        "floor and the simplex": Case(initial=FLOOR, onto="simplex"),
        "below the floor": Case(initial=[0.9, -0.3, 0.0, 0.4], onto="positive"),
        "l2": Case(penalties=L2_PENALTY, onto="positive"),
        "fixed": Case(rule="fixed"),
        "final": Case(
            rule="final",
            detach=variant == "authors",
            initial=[0.6, 0.3, 0.2, -0.1],
            onto="positive",
        ),
        "simplex rule": Case(rule="simplex", penalties={"l2": L2(0.3)}),
    }.items()
}


RULES = {
    "learned": Learned,
    "fixed": Fixed,
    "first_only": partial(Fixed, first_only=True),
    "final": Final,
    "simplex": Simplex,
}
SETS = {"positive": Positive(EPS), "simplex": ScaledSimplex(EPS)}


def network_of(case: Case) -> TimeVariableNetwork:
    rule = partial(RULES[case.rule], initial=case.initial)
    if case.detach:
        rule = partial(rule, detach=True)
    scheme = case.scheme(**case.options)
    return perceptron([784], 10, width=7, hidden_layers=4, scheme=scheme, tau=rule)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "dtype"),
    [(ChunkedClassifier, torch.float32), (TimeVariableClassifier, torch.float64)],
    ids=["chunks", "lightning"],
)
@pytest.mark.parametrize("name", [*RESNETS, *FRACTIONALS])
def test_a_training_is_the_literal_training(
    tmp_path: Path, name: str, module: type[TimeVariableClassifier], dtype: torch.dtype
) -> None:
    case = {**RESNETS, **FRACTIONALS}[name]
    seed_everything(1, verbose=False)
    torch.set_default_dtype(dtype)
    network = network_of(case)
    torch.set_default_dtype(torch.float32)
    start = copy.deepcopy(network)
    classifier = module(network, case.penalties, optimizer=partial(torch.optim.SGD, lr=LR))
    projections = [TauProjection(SETS[case.onto])] if case.onto else []
    data = MNIST5k(batch_size=BATCH)
    precision = "32-true" if dtype == torch.float32 else "64-true"
    trainer = quiet_trainer(
        tmp_path, *projections, TauRecorder(tmp_path / "tau.npz"), precision=precision
    )
    trainer.fit(classifier, data)
    record = read_record(tmp_path)

    data.trainer = None
    order = data.train_dataloader().sampler.order().split(BATCH)
    batches = [(data.train.inputs[i], data.train.labels[i]) for i in order]
    taus, losses = train_literally(case, start, batches)
    assert len(taus) == 300
    tolerance = 1e-5 if dtype == torch.float32 else 1e-9
    np.testing.assert_allclose(record["tau"], taus, rtol=0, atol=tolerance)
    np.testing.assert_allclose(record["loss"], losses, rtol=0, atol=10 * tolerance)
    if case.rule != "fixed":
        assert np.ptp(taus, axis=0).max() > 1e-3, "nothing moved, so nothing was tested"


@pytest.mark.parametrize("options", [PAPERS, AUTHORS])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("onto", ["positive", "simplex"])
@pytest.mark.parametrize("factor", [1 - 1e-3, 1, 1 + 1e-3, 2])
def test_the_gradient_of_a_tau_on_the_floor_is_that_of_the_formula(
    options: dict[str, Any], dtype: torch.dtype, onto: str, factor: float
) -> None:
    torch.manual_seed(0)
    scheme = Fractional(**options)
    network = perceptron([5], 3, width=4, hidden_layers=4, scheme=scheme).to(dtype)
    free = network.time_steps.free
    with torch.no_grad():
        free.copy_(torch.tensor([0.7, -0.1, 0.0, 0.3998]))
    TauProjection(SETS[onto]).project(network.time_steps)
    with torch.no_grad():
        assert free[1].item() == torch.tensor(EPS, dtype=dtype).item()
        free[1] *= factor
    inputs = torch.rand(6, 5, dtype=dtype)
    (gradient,) = torch.autograd.grad(network(inputs).square().sum(), free)

    # the literal formula, at the τ that enters it
    w, b = literal.weights_and_biases(network.double())
    used = free.detach().double().clamp(min=EPS).requires_grad_()
    constant = options.get("constant_coefficients", False)
    outputs = [
        literal.fractional(u, w, b, used, torch.relu, 0.5, options["history_start"], constant)
        for u in inputs.double()
    ]
    (expected,) = torch.autograd.grad(torch.stack(outputs).square().sum(), used)
    if factor < 1:
        expected[1] = 0  # below the floor τ does not enter
    assert expected[2].abs() > 1e-3  # a τ on the floor
    rtol = 1e-3 if dtype == torch.float32 else 1e-7
    torch.testing.assert_close(gradient.double(), expected, rtol=rtol, atol=1e-6)
