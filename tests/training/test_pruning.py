"""Layers whose τ vanishes leave while the network trains, in whichever loop."""

import inspect
import logging
import re
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch.callbacks as lightnings
import pytest
import torch
from lightning import Callback, Trainer
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor, nn

from tests.training.runs import (
    ITERATIONS,
    LIGHTNING,
    SLOW_SGD,
    Blobs,
    Both,
    Fit,
    Run,
    assert_same,
    conv,
    fractional,
    resnet,
    with_small_taus,
)
from tvl_lightning.limits import InputError
from tvl_lightning.networks import Final, Fixed, Learned, Simplex, TimeVariableResNet
from tvl_lightning.training import AdaptivePruning, LastCheckpoint, TimeVariableClassifier
from tvl_lightning.training.callbacks.pruning import redundant_layers

LOOPS = (LIGHTNING, "eager")
SLOW_ADAM = partial(torch.optim.Adam, lr=1e-6)
SLOW = {"network": with_small_taus, "optimizer": SLOW_SGD}
LEFT = [0, 2, 4]  # of `with_small_taus`

conv_with_small_taus = partial(conv, tau=partial(Learned, initial=[0.5, 1e-4, 0.3, 0.2, 0.1, 1e-4]))


def test_all_layers_under_the_threshold_go_at_once_smallest_first_and_lifts_never() -> None:
    tau = torch.tensor([0.0, 0.005, -0.004, 1.0, 0.02])
    assert redundant_layers(tau, [5], 0.01) == [2, 1]
    assert redundant_layers(tau, [5], 0.0) == []
    assert redundant_layers(tau, [2, 3], 0.01) == []  # the second is a lift, and large
    assert redundant_layers(torch.zeros(4), [4], 0.5) == []
    assert redundant_layers(torch.tensor([1.0, float("nan"), 0.0]), [3], 0.5) == []


def test_a_share_is_one_of_the_layers_own_stage() -> None:
    tau = torch.tensor([10.0, 10.0, 0.15, 0.01, -0.01, 0.0001])
    assert redundant_layers(tau, [3, 3], 0.01) == [5, 2]
    assert redundant_layers(tau, [6], 0.01) == [5, 3, 4, 2]
    assert redundant_layers(tau.flip(0), [3, 3], 0.01) == []  # small, but a lift


def test_the_smallest_go_first_where_some_must_stay() -> None:
    tau = torch.tensor([1.0, 0.003, -0.001, 0.002])
    assert redundant_layers(tau, [4], 0.01, min_hidden_layers=2) == [2, 3]
    assert redundant_layers(tau, [4], 0.01, min_hidden_layers=4) == []
    assert redundant_layers(tau, [4], 0.01, min_hidden_layers=9) == []


def old_name(name: str, left: list[list[int]]) -> str:
    """What a parameter or buffer was called before the layers `left` were the only ones."""
    return re.sub(
        r"^stages\.(\d+)\.(\d+)",
        lambda found: f"stages.{found[1]}.{left[int(found[1])][int(found[2])]}",
        name,
    )


def optimizer_state(run: Run) -> dict[str, dict[str, Tensor]]:
    [optimizer] = run.trainer.optimizers
    return {name: optimizer.state[p] for name, p in run.module.network.named_parameters()}


@pytest.mark.parametrize("loop", LOOPS)
def test_what_is_removed_is_logged_and_what_survives_still_moves(
    fit: Fit, caplog: pytest.LogCaptureFixture, loop: str
) -> None:
    caplog.set_level(logging.INFO)
    run = fit(AdaptivePruning(interval=ITERATIONS), loop=loop, epochs=1, **SLOW)
    assert run.layers == LEFT
    [line] = [r.getMessage() for r in caplog.records if "removed" in r.getMessage()]
    left = 36 * 10 + 10 + 2 * 110 + 40 + 3
    assert re.fullmatch(
        r"iteration 18: removed layer 1 \(τ = 0\.00\d+, share 0\.0011\d*\), layer 3 \(τ = "
        rf"-0\.00\d+, share 0\.0011\d*\); 3 hidden layers and {left} parameters are left",
        line,
    )
    longer = fit(AdaptivePruning(interval=ITERATIONS), loop=loop, epochs=2, **SLOW)
    now = dict(longer.module.named_parameters())
    assert now.keys() == dict(run.module.named_parameters()).keys()
    for name, before in run.module.named_parameters():
        assert not torch.equal(before, now[name]), f"{name} no longer trains"
    layers = longer.record["tau"]
    assert (~torch.from_numpy(layers).isnan()).sum(1).tolist() == [5] * 18 + [3] * 18


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("optimizer", [SLOW_SGD, SLOW_ADAM], ids=["momentum", "adam"])
@pytest.mark.parametrize(
    ("network", "kept", "left"),
    [
        (with_small_taus, LEFT, [LEFT]),
        (conv_with_small_taus, [0, 2, 3, 4], [[0, 2], [0, 1]]),
    ],
    ids=["resnet", "conv"],
)
def test_survivors_keep_their_numbers_and_their_optimizer_state(
    fit: Fit, loop: str, optimizer: Any, network: Any, kept: list[int], left: list[list[int]]
) -> None:
    options = {"network": network, "optimizer": optimizer, "loop": loop, "epochs": 1}
    plain, pruned = fit(**options), fit(AdaptivePruning(), **options)
    assert pruned.layers == kept

    old, new = (run.module.network.state_dict() for run in (plain, pruned))
    assert len(new) < len(old)
    for name, value in new.items():
        if isinstance(value, Tensor):
            before = old[old_name(name, left)]
            assert torch.equal(value, before[kept] if name == "time_steps.free" else before), name

    states = optimizer_state(plain)
    for name, state in optimizer_state(pruned).items():
        before = states[old_name(name, left)]
        assert state.keys() == before.keys()
        assert any(value.abs().sum() > 0 for value in state.values())
        for key, value in state.items():
            entries = kept if name == "time_steps.free" and value.dim() else ...
            assert torch.equal(value, before[key][entries]), (name, key)

    known = {id(p) for group in pruned.trainer.optimizers[0].param_groups for p in group["params"]}
    assert known == {id(parameter) for parameter in pruned.module.parameters()}
    assert pruned.trainer.optimizers[0].state.keys() == set(pruned.module.parameters())


@pytest.mark.parametrize("loop", LOOPS)
def test_statistics_of_batch_normalisations_go_on(fit: Fit, loop: str) -> None:
    def survivors(*callbacks: Callback) -> Run:
        return fit(*callbacks, loop=loop, network=conv_with_small_taus, optimizer=SLOW_SGD)

    plain, pruned = survivors(), survivors(AdaptivePruning())
    old = dict(plain.module.network.named_buffers())
    buffers = dict(pruned.module.network.named_buffers())
    assert len(old) == 6 * 3
    assert len(buffers) == 4 * 3
    for name, value in buffers.items():
        before = old[old_name(name, [[0, 2], [0, 1]])]
        if name.endswith("num_batches_tracked"):
            assert value == before == 2 * ITERATIONS
        else:  # a layer with a share of 0.0001 changes little
            torch.testing.assert_close(value, before, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("loop", LOOPS)
def test_the_learning_rate_schedule_goes_on(fit: Fit, loop: str) -> None:
    run = fit(
        AdaptivePruning(interval=9),
        **SLOW,
        loop=loop,
        epochs=3,
        scheduler=partial(torch.optim.lr_scheduler.StepLR, step_size=1),
    )
    [optimizer] = run.trainer.optimizers
    assert run.layers == LEFT
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-9)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("options", "iteration"),
    [
        ({"interval": 4, "warmup": 9}, 12),
        ({"interval": 4, "warmup": 12}, 16),
        ({}, ITERATIONS),
        ({"warmup": ITERATIONS}, 2 * ITERATIONS),
    ],
)
def test_warmup_and_interval_say_when(
    fit: Fit, caplog: pytest.LogCaptureFixture, loop: str, options: Any, iteration: int
) -> None:
    caplog.set_level(logging.INFO)
    fit(AdaptivePruning(**options), loop=loop, **SLOW)
    assert re.findall(r"iteration (\d+): removed", caplog.text) == [str(iteration)]


@pytest.mark.parametrize("loop", LOOPS)
def test_smallest_only_removes_one_layer_at_a_check(
    fit: Fit, caplog: pytest.LogCaptureFixture, loop: str
) -> None:
    caplog.set_level(logging.INFO)
    run = fit(AdaptivePruning(interval=6, smallest_only=True), loop=loop, **SLOW)
    # the smallest signed τ first
    assert re.findall(r"iteration (\d+): removed layer (\d)", caplog.text) == [
        ("6", "3"),
        ("12", "1"),
    ]
    assert run.layers == LEFT
    assert run.trainer.global_step == 2 * ITERATIONS


def test_layers_leave_one_by_one_in_both_loops(both: Both) -> None:
    taus = [1.0, *[1e-4 * l for l in range(1, 11)], 0.5]
    small = partial(TimeVariableResNet, 36, 10, 12, 4, tau=partial(Learned, initial=taus))
    singly, chunked = both(
        lambda: [AdaptivePruning(interval=3, smallest_only=True)], network=small, optimizer=SLOW_SGD
    )
    assert chunked.layers == [0, 11]
    assert_same(singly, chunked)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("rule", [Final, Simplex])
@pytest.mark.parametrize(
    ("taus", "left"),
    [([0.5, 0.001, 0.298, 0.001, 0.2], LEFT), ([0.5, 0.3, 0.198, 0.001, 0.001], [0, 1, 2])],
    ids=["within", "the last"],
)
def test_the_sum_of_tau_stays_the_horizon_where_the_rule_says_so(
    fit: Fit, loop: str, rule: Any, taus: list[float], left: list[int]
) -> None:
    run = fit(
        AdaptivePruning(interval=6),
        loop=loop,
        network=partial(resnet, tau=partial(rule, initial=taus)),
        optimizer=SLOW_SGD,
    )
    assert run.layers == left
    torch.testing.assert_close(run.module.tau.sum(), torch.tensor(1.0))


@pytest.mark.parametrize("first_only", [False, True])
def test_fixed_steps_can_leave_too(both: Both, first_only: bool) -> None:
    rule = partial(Fixed, initial=[0.4, 0.001, 0.3, -0.001, 0.2], first_only=first_only)
    singly, chunked = both(
        lambda: [AdaptivePruning(interval=6)],
        network=partial(resnet, tau=rule),
        optimizer=SLOW_SGD,
    )
    assert chunked.layers == LEFT
    assert_same(singly, chunked)


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(width), nn.Linear(width, width)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, y: Tensor) -> Tensor:
        self.calls += 1
        return self.linear(self.norm(y))  # type: ignore[no-any-return]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_field_of_the_users_own_is_removed_with_all_its_variables(fit: Fit, loop: str) -> None:
    network = partial(with_small_taus, field=Residual)
    run = fit(AdaptivePruning(interval=6), loop=loop, network=network, optimizer=SLOW_SGD)
    assert run.layers == LEFT
    fields = [name for name, _ in run.module.network.named_parameters() if "stages" in name]
    assert len(fields) == 2 + 2 * 4
    [optimizer] = run.trainer.optimizers
    known = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert known == {id(parameter) for parameter in run.module.parameters()}
    assert len(optimizer.state) == len(known)
    calls = [v for name, v in run.module.network.named_buffers() if name.endswith("calls")]
    assert [float(value) for value in calls] == [2 * ITERATIONS + 2] * 2  # and 2 to validate


def test_a_fractional_network_is_refused_unless_forced(fit: Fit, both: Both) -> None:
    tau = partial(Learned, initial=[0.4, 0.001, 0.3, 0.1, 0.2])
    network = partial(fractional, tau=tau)
    for loop in LOOPS:
        with pytest.raises(InputError, match=r"the history goes through it.*pruning\.force=true"):
            fit(AdaptivePruning(), loop=loop, network=network)
    singly, chunked = both(
        lambda: [AdaptivePruning(interval=6, force=True)], network=network, optimizer=SLOW_SGD
    )
    assert chunked.layers == [0, 2, 3, 4]
    assert_same(singly, chunked)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("network", "left"), [(with_small_taus, LEFT), (conv_with_small_taus, [0, 2, 3, 4])]
)
def test_a_checkpoint_of_a_pruned_network_loads_everywhere(
    fit: Fit, loop: str, network: Any, left: list[int]
) -> None:
    options = {"network": network, "optimizer": SLOW_SGD, "loop": loop}
    run = fit(AdaptivePruning(interval=6), epochs=1, **options)
    path = run.last_checkpoint
    run.module.eval()
    inputs = Blobs().load().test.inputs
    loaded = TimeVariableClassifier.load_from_checkpoint(path, network=network())
    assert loaded.network.layers == left
    assert torch.equal(loaded.eval()(inputs), run.module(inputs))

    fresh = network().eval()
    fresh.load_state_dict(run.module.network.state_dict())
    assert torch.equal(fresh(inputs), run.module(inputs))

    resumed = fit(AdaptivePruning(interval=6), resume=path, **options)
    assert resumed.layers == left
    assert resumed.trainer.global_step == 2 * ITERATIONS


@pytest.mark.parametrize("loop", LOOPS)
def test_a_deeper_checkpoint_loads_into_a_pruned_network(fit: Fit, loop: str) -> None:
    deep = fit(epochs=1, loop=loop, **SLOW)
    path = deep.last_checkpoint
    pruned = fit(AdaptivePruning(interval=6), epochs=1, loop=loop, **SLOW)
    assert pruned.layers == LEFT
    pruned.trainer.test(pruned.module, Blobs(), ckpt_path=path, weights_only=True, verbose=False)
    assert pruned.layers == [0, 1, 2, 3, 4]
    for name, value in deep.module.named_parameters():
        assert torch.equal(value, dict(pruned.module.named_parameters())[name])


class OwnAveraging(lightnings.StochasticWeightAveraging):
    """As Lightning's, a little different."""


HOLDING: dict[str, Any] = {
    "StochasticWeightAveraging": partial(lightnings.StochasticWeightAveraging, 0.1),
    "EMAWeightAveraging": lightnings.EMAWeightAveraging,
    "WeightAveraging": lightnings.WeightAveraging,
    "BatchSizeFinder": lightnings.BatchSizeFinder,
    "ModelPruning": partial(lightnings.ModelPruning, "l1_unstructured", amount=0.5),
    "a subclass": partial(OwnAveraging, 0.1),
}


class Batches(Callback):
    """Counts batches that begin."""

    begun = 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        self.begun += 1


@pytest.mark.parametrize("name", HOLDING)
def test_what_holds_on_to_parameters_is_refused_before_training(fit: Fit, name: str) -> None:
    batches = Batches()
    named = "StochasticWeightAveraging" if name == "a subclass" else name
    with pytest.raises(InputError, match=f"^pruning=adaptive: does not go with {named}, ") as info:
        fit(AdaptivePruning(), HOLDING[name](), batches)
    assert "\n" not in str(info.value)
    assert batches.begun == 0


def test_an_optimizer_that_keeps_its_state_in_one_piece_is_refused(fit: Fit) -> None:
    batches = Batches()
    with pytest.raises(InputError, match=r"^pruning=adaptive: does not go with LBFGS, ") as info:
        fit(AdaptivePruning(), batches, optimizer=partial(torch.optim.LBFGS, lr=0.01))
    assert "\n" not in str(info.value)
    assert batches.begun == 0


OPTIMIZERS = [
    name
    for name, kind in inspect.getmembers(torch.optim, inspect.isclass)
    if issubclass(kind, torch.optim.Optimizer)
    and name not in ("LBFGS", "Muon", "Optimizer", "SparseAdam")
]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_other_optimizer_of_pytorch_goes_on(both: Both, name: str) -> None:
    optimizer = partial(getattr(torch.optim, name), lr=1e-6)
    pruning = partial(AdaptivePruning, interval=6)
    options = {"network": with_small_taus, "optimizer": optimizer, "epochs": 1}
    singly, chunked = both(lambda: [pruning()], **options)
    assert chunked.layers == LEFT
    assert_same(singly, chunked)
    [used] = singly.trainer.optimizers
    shapes = {p: v.shape for p, s in used.state.items() for k, v in s.items() if k == "exp_avg"}
    assert all(parameter.shape == shape for parameter, shape in shapes.items())


class OwnStrategy(SingleDeviceStrategy):
    """May wrap the module."""


def test_strategies_that_may_wrap_the_module_are_refused(fit: Fit) -> None:
    with pytest.raises(InputError, match=r"does not go with OwnStrategy; trainer\.devices=1 and"):
        fit(AdaptivePruning(), strategy=OwnStrategy("cpu"))


def test_callbacks_of_ones_own_see_the_layers_go(fit: Fit) -> None:
    class Watch(Batches):
        def __init__(self) -> None:
            self.depths: list[int] = []

        def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
            self.depths.append(len(pl_module.network.layers))

    watch = Watch()
    fit(AdaptivePruning(interval=6), watch, epochs=1, **SLOW)
    assert watch.depths == [5] * 5 + [3] * 13


@pytest.mark.parametrize("make", [lightnings.LearningRateMonitor, lightnings.Timer])
def test_harmless_callbacks_of_lightning_go_along(fit: Fit, make: Any) -> None:
    assert fit(AdaptivePruning(interval=6), make(), **SLOW).layers == LEFT


@pytest.mark.parametrize("loop", LOOPS)
def test_checkpoints_appear_where_layers_leave(fit: Fit, tmp_path: Path, loop: str) -> None:
    saving = lightnings.ModelCheckpoint(
        tmp_path / "lightnings", save_top_k=-1, monitor="val/acc", save_last=True
    )
    last = LastCheckpoint(tmp_path / "ours")
    pruning = AdaptivePruning(interval=6)
    run = fit(pruning, saving, last, loop=loop, enable_checkpointing=True, **SLOW)
    assert run.trainer.global_step == 2 * ITERATIONS
    saved = {p: torch.load(p, weights_only=True) for p in tmp_path.glob("*s/*.ckpt")}
    steps = sorted((path.parent.name, content["global_step"]) for path, content in saved.items())
    assert steps == [("lightnings", 18), ("lightnings", 36), ("lightnings", 36), ("ours", 36)]
    for content in saved.values():
        assert len(content["state_dict"]["network.time_steps.free"]) == 3
