"""τ has a learning rate and a weight decay of its own where it is told so, and none by default."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from torch import Tensor
from torch.optim import LBFGS, SGD, Adam, AdamW, Optimizer, RMSprop, Rprop
from torch.optim.lr_scheduler import ExponentialLR

from tests.training.runs import (
    MOMENTUM,
    Fit,
    assert_same,
    assert_same_record,
    fractional,
    resnet,
    with_small_taus,
)
from tvl_lightning.limits import InputError
from tvl_lightning.networks import Final, Fixed, Simplex
from tvl_lightning.training import (
    AdaptivePruning,
    ChunkedClassifier,
    TimeVariableClassifier,
    with_time_steps,
)

DECAYING = partial(AdamW, lr=1e-3, weight_decay=0.5)


def settings(loop: str, **own: Any) -> dict[str, Any]:
    base = TimeVariableClassifier if loop == "lightning" else ChunkedClassifier
    return {"loop": loop, "module_class": partial(base, **own)}


def by_hand(optimizer: Optimizer, kept: list[Tensor]) -> list[tuple[int, float, float]]:
    ids = {id(p) for p in kept}
    return [
        (sum(id(p) in ids for p in g["params"]), g["lr"], g["weight_decay"])
        for g in optimizer.param_groups
    ]


def test_sgd_without_a_decay_has_one_group_as_ever() -> None:
    network = resnet()
    parameters = list(network.parameters())
    optimizer = with_time_steps(SGD(parameters, lr=0.01), network.time_steps.parameters())
    [group] = optimizer.param_groups
    assert all(a is b for a, b in zip(group["params"], parameters, strict=True))


@pytest.mark.parametrize("tau", [None, Final, Simplex])
@pytest.mark.parametrize("make", [DECAYING, partial(SGD, lr=1e-3, weight_decay=0.5)])
def test_a_decay_is_not_of_tau_unless_it_is_asked_for(make: Any, tau: Any) -> None:
    network = resnet(tau=tau) if tau else resnet()
    steps = list(network.time_steps.parameters())
    optimizer = with_time_steps(make(network.parameters()), steps)
    assert by_hand(optimizer, steps) == [(0, 1e-3, 0.5), (1, 1e-3, 0.0)]
    optimizer = with_time_steps(make(network.parameters()), steps, weight_decay=0.1, lr=0.2)
    assert by_hand(optimizer, steps) == [(0, 1e-3, 0.5), (1, 0.2, 0.1)]
    optimizer = with_time_steps(make(network.parameters()), steps, weight_decay=0.5)
    assert by_hand(optimizer, steps) == [(1, 1e-3, 0.5)]
    count = sum(len(group["params"]) for group in optimizer.param_groups)
    assert count == len(list(network.parameters()))


def test_a_fixed_tau_has_no_group() -> None:
    network = resnet(tau=Fixed)
    optimizer = with_time_steps(DECAYING(network.parameters()), network.time_steps.parameters())
    assert len(optimizer.param_groups) == 1


class Grouped(SGD):
    """An optimizer that makes its own groups."""

    def __init__(self, parameters: Any) -> None:
        first, *others = parameters
        super().__init__([{"params": [first]}, {"params": others}], lr=0.1, weight_decay=0.1)


class Bare(Optimizer):
    """Has no learning rate."""

    def __init__(self, parameters: Any) -> None:
        super().__init__(parameters, {})


REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    (SGD, {"lr": -1.0}, r"^optimizer.tau.lr=-1.0: must be a number of at least 0, or null"),
    (SGD, {"lr": "fast"}, r"^optimizer.tau.lr=fast: must be"),
    (SGD, {"lr": float("nan")}, r"^optimizer.tau.lr=nan: must be"),
    (SGD, {"weight_decay": -1.0}, r"^optimizer.tau.weight_decay=-1.0: must be"),
    (SGD, {"weight_decay": None}, r"^optimizer.tau.weight_decay=None: must be"),
    (LBFGS, {"lr": 0.1}, r"^optimizer.tau.lr: LBFGS has one for all parameters"),
    (Rprop, {"weight_decay": 0.1}, r"^optimizer.tau.weight_decay: Rprop has one for all"),
    (Bare, {"lr": 0.1}, r"^optimizer.tau.lr: Bare has one for all parameters"),
    (Grouped, {"lr": 0.1}, r"^optimizer.tau: this Grouped has groups of its own; set it there"),
]


@pytest.mark.parametrize(("kind", "own", "message"), REFUSED)
def test_what_an_optimizer_cannot_do_is_refused(kind: Any, own: Any, message: str) -> None:
    network = resnet()
    with pytest.raises(InputError, match=message):
        with_time_steps(kind(network.parameters()), network.time_steps.parameters(), **own)


@pytest.mark.parametrize("kind", [LBFGS, Rprop, Bare, Grouped])
def test_by_default_every_optimizer_stays_as_it_is_made(kind: Any) -> None:
    network = resnet()
    optimizer = kind(network.parameters())
    before = [list(group["params"]) for group in optimizer.param_groups]
    with_time_steps(optimizer, network.time_steps.parameters())
    for group, parameters in zip(optimizer.param_groups, before, strict=True):
        assert all(a is b for a, b in zip(group["params"], parameters, strict=True))


@pytest.mark.parametrize("loop", ["lightning", "eager"])
def test_adamw_leaves_a_tau_without_gradient_alone_and_decays_the_weights(
    fit: Fit, loop: str
) -> None:
    # steps of 1e-6 and a decay of 1 % an iteration
    run = fit(optimizer=partial(AdamW, lr=1e-6, weight_decay=1e4), loop=loop, epochs=2)
    tau = run.record["tau"]
    assert np.allclose(tau[-1], tau[0], atol=1e-4)
    weights = next(p for name, p in run.module.network.named_parameters() if "weight" in name)
    begun = next(p for name, p in resnet().named_parameters() if "weight" in name)
    assert float(weights.detach().norm()) < 0.8 * float(begun.detach().norm())


@pytest.mark.parametrize("loop", ["lightning", "eager"])
def test_a_learning_rate_of_its_own_moves_tau_that_much_faster(fit: Fit, loop: str) -> None:
    tiny = {"optimizer": partial(SGD, lr=1e-9), "epochs": 1, "precision": "64-true"}
    slow = fit(loop=loop, **tiny)
    fast = fit(**settings(loop, tau_lr=1e-6), **tiny)
    moved = [run.record["tau"][-1] - run.record["tau"][0] for run in (slow, fast)]
    assert moved[1] == pytest.approx(1000 * moved[0], rel=1e-3)
    assert list(fast.points.of("lr/tau").values()) == pytest.approx([1e-6])
    assert not slow.points.of("lr/tau")


def test_both_rates_are_logged_and_scheduled(fit: Fit) -> None:
    for loop in ("lightning", "eager"):
        run = fit(
            **settings(loop, tau_lr=0.2),
            optimizer=partial(SGD, lr=0.1),
            scheduler=partial(ExponentialLR, gamma=0.5),
            epochs=3,
        )
        assert list(run.points.of("lr").values()) == pytest.approx([0.1, 0.05, 0.025])
        assert list(run.points.of("lr/tau").values()) == pytest.approx([0.2, 0.1, 0.05])


OWN = {"tau_lr": 0.05, "tau_weight_decay": 0.01}


@pytest.mark.parametrize("make", [MOMENTUM, partial(Adam, lr=0.01), partial(AdamW, lr=0.01)])
def test_two_groups_go_in_chunks_with_the_same_bits(fit: Fit, make: Any) -> None:
    singly = fit(**settings("lightning", **OWN), optimizer=make, epochs=1)
    assert_same(singly, fit(**settings("eager", **OWN), optimizer=make, epochs=1))


@pytest.mark.slow
def test_two_groups_can_be_compiled(fit: Fit) -> None:
    eager = fit(**settings("eager", **OWN), optimizer=MOMENTUM, epochs=1)
    compiled = fit(**settings("compiled", **OWN), optimizer=MOMENTUM, epochs=1)
    np.testing.assert_allclose(compiled.record["tau"], eager.record["tau"], atol=1e-5)


@pytest.mark.parametrize("loop", ["lightning", "eager"])
def test_pruning_follows_into_a_group_of_its_own(fit: Fit, loop: str) -> None:
    run = fit(
        AdaptivePruning(interval=1),
        **settings(loop, **OWN),
        optimizer=partial(AdamW, lr=1e-4),
        network=with_small_taus,
    )
    assert len(run.layers) == 3
    others, own = run.trainer.optimizers[0].param_groups
    [tau] = own["params"]
    assert tau is run.module.network.time_steps.free
    assert run.trainer.optimizers[0].state[tau]["exp_avg"].shape == (3,)
    ids = {id(p) for g in (others, own) for p in g["params"]}
    assert ids == {id(p) for p in run.module.network.parameters()}


@pytest.mark.parametrize("loop", ["lightning", "eager"])
def test_a_run_with_two_groups_goes_on_with_the_same_bits(fit: Fit, loop: str) -> None:
    options = {**settings(loop, **OWN), "optimizer": partial(AdamW, lr=0.01)}
    whole = fit(**options, epochs=4)
    half = fit(**options, epochs=2)
    resumed = fit(**options, epochs=4, resume=half.last_checkpoint)
    assert_same_record(whole.record, resumed.record)


def test_a_simplex_is_trained_by_its_own_group(fit: Fit) -> None:
    run = fit(
        **settings("eager", tau_lr=0.5),
        optimizer=partial(RMSprop, lr=1e-3),
        network=partial(fractional, tau=Simplex),
    )
    assert float(run.module.tau.detach().sum()) == pytest.approx(1.0, abs=1e-5)
    assert run.trainer.optimizers[0].param_groups[1]["lr"] == 0.5
