import logging
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch import nn

from tests.callbacks.conftest import Fit, fractional
from tvl_lightning.callbacks import AdaptivePruning
from tvl_lightning.callbacks.pruning import redundant_layers
from tvl_lightning.data import ImageData
from tvl_lightning.limits import InputError
from tvl_lightning.module import TimeVariableClassifier
from tvl_lightning.networks import TimeVariableResNet

SMALL_TAUS = [0.4, 0.001, 0.3, -0.001, 0.2]
ADAM = partial(torch.optim.Adam, lr=1e-6)
SGD = partial(torch.optim.SGD, lr=1e-6, momentum=0.9)


def with_small_taus() -> TimeVariableResNet:
    return TimeVariableResNet(784, 10, 5, 10, tau={"rule": "learned", "initial": SMALL_TAUS})


class Snapshot(Callback):
    """Copies parameters and optimizer state by name, before each iteration."""

    def __init__(self) -> None:
        self.states: list[dict[str, Any]] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        [optimizer] = trainer.optimizers
        self.states.append(
            {
                name: (
                    parameter.detach().clone(),
                    {k: v.clone() for k, v in optimizer.state[parameter].items() if v is not None},
                )
                for name, parameter in pl_module.network.named_parameters()
            }
        )


def test_all_layers_under_the_threshold_go_at_once_and_the_input_layer_never() -> None:
    tau = torch.tensor([0.0, 0.005, -0.004, 1.0, 0.02])
    assert sorted(redundant_layers(tau, 0.01)) == [1, 2]
    assert redundant_layers(tau, 0.0) == []


def test_the_smallest_go_first_where_some_must_stay() -> None:
    tau = torch.tensor([1.0, 0.003, -0.001, 0.002])
    assert redundant_layers(tau, 0.01, min_hidden_layers=2) == [2, 3]
    assert redundant_layers(tau, 0.01, min_hidden_layers=4) == []
    assert redundant_layers(tau, 0.01, min_hidden_layers=9) == []


def test_training_goes_on_with_the_layers_that_are_left(
    fit: Fit, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    snapshot = Snapshot()
    _, module = fit(
        AdaptivePruning(0.01, interval=7), snapshot, network=with_small_taus(), optimizer=SGD
    )
    assert module.network.layers == [0, 2, 4]
    left = 784 * 10 + 10 + 2 * 110 + 100 + 3
    assert (
        f"iteration 7: removed layer 1, layer 3; 3 hidden layers and {left} parameters are left"
        in (caplog.text)
    )
    before, after = snapshot.states[7], snapshot.states[-1]
    for name, (value, _) in before.items():
        assert not torch.equal(value, after[name][0]), f"{name} no longer trains"


@pytest.mark.parametrize("optimizer", [SGD, ADAM])
def test_pruning_keeps_the_optimizer_state_of_surviving_layers(fit: Fit, optimizer: Any) -> None:
    plain, pruned = Snapshot(), Snapshot()
    fit(plain, network=with_small_taus(), optimizer=optimizer)
    fit(AdaptivePruning(interval=7), pruned, network=with_small_taus(), optimizer=optimizer)
    survivors = {
        "time_steps.free": ("time_steps.free", [0, 2, 4]),
        "hidden.0.weight": ("hidden.1.weight", slice(None)),
        "hidden.1.bias": ("hidden.3.bias", slice(None)),
        "input.weight": ("input.weight", slice(None)),
        "output.weight": ("output.weight", slice(None)),
    }
    assert plain.states[7].keys() > pruned.states[7].keys()
    for name, (old_name, index) in survivors.items():
        state, old_state = pruned.states[7][name][1], plain.states[7][old_name][1]
        assert state.keys() == old_state.keys()
        assert any(value.abs().sum() > 0 for value in state.values())
        for key, value in state.items():
            old = old_state[key]
            assert torch.equal(value, old[index] if old.dim() else old), (name, key)


def test_the_learning_rate_schedule_goes_on(fit: Fit) -> None:
    trainer, _ = fit(
        AdaptivePruning(interval=7),
        network=with_small_taus(),
        epochs=3,
        scheduler=partial(torch.optim.lr_scheduler.StepLR, step_size=1),
    )
    [optimizer] = trainer.optimizers
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-5)


def test_warmup_and_interval_say_when(fit: Fit, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    fit(AdaptivePruning(interval=4, warmup=9), network=with_small_taus(), optimizer=SGD)
    assert "iteration 12: removed" in caplog.text


def test_an_epoch_is_the_default_interval(fit: Fit, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    fit(AdaptivePruning(), network=with_small_taus(), optimizer=SGD)
    assert "iteration 18: removed" in caplog.text


def test_smallest_only_removes_one_layer_at_a_check(fit: Fit) -> None:
    pruning = AdaptivePruning(interval=18, smallest_only=True)
    _, module = fit(pruning, network=with_small_taus(), optimizer=SGD)
    assert module.network.layers == [0, 1, 2, 4]


@pytest.mark.parametrize("rule", ["final", "simplex"])
def test_the_sum_of_tau_stays_the_horizon_where_the_rule_says_so(fit: Fit, rule: str) -> None:
    taus = [0.5, 0.001, 0.298, 0.001, 0.2]
    network = TimeVariableResNet(784, 10, 5, 10, tau={"rule": rule, "initial": taus})
    _, module = fit(AdaptivePruning(interval=7), network=network, optimizer=SGD)
    assert module.network.layers == [0, 2, 4]
    torch.testing.assert_close(module.tau.sum(), torch.tensor(1.0))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(10), nn.Linear(10, 10)

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        return self.linear(self.norm(y))  # type: ignore[no-any-return]


def test_a_block_of_the_users_own_is_removed_with_all_its_variables(fit: Fit) -> None:
    tau = {"rule": "learned", "initial": SMALL_TAUS}
    network = TimeVariableResNet(784, 10, 5, 10, tau=tau, block=Residual)
    trainer, module = fit(AdaptivePruning(interval=7), network=network, optimizer=SGD)
    assert sum(name.startswith("hidden") for name, _ in module.network.named_parameters()) == 8
    [optimizer] = trainer.optimizers
    known = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert known == {id(parameter) for parameter in module.parameters()}


def test_a_fractional_network_is_refused_unless_forced(fit: Fit) -> None:
    taus = {"rule": "learned", "initial": [0.4, 0.001, 0.3, 0.1, 0.2]}
    with pytest.raises(InputError, match="the history goes through it"):
        fit(AdaptivePruning(), network=fractional(tau=taus))
    pruning = AdaptivePruning(interval=7, force=True)
    _, module = fit(pruning, network=fractional(tau=taus), optimizer=SGD)
    assert module.network.layers == [0, 2, 3, 4]


def test_a_checkpoint_of_a_pruned_network_loads_everywhere(
    fit: Fit, tmp_path: Path, images: ImageData
) -> None:
    trainer, module = fit(AdaptivePruning(interval=7), network=with_small_taus(), optimizer=SGD)
    path = tmp_path / "pruned.ckpt"
    trainer.save_checkpoint(path)
    loaded = TimeVariableClassifier.load_from_checkpoint(path, weights_only=True)
    assert loaded.network.layers == [0, 2, 4]
    images = images.test.pixels[:7]
    torch.testing.assert_close(loaded(images), module(images), rtol=0, atol=0)

    resumed_trainer, resumed = fit(
        AdaptivePruning(interval=7), network=with_small_taus(), epochs=2, resume=path, optimizer=SGD
    )
    assert resumed.network.layers == [0, 2, 4]
    assert resumed_trainer.global_step == 36


def test_a_deeper_checkpoint_loads_into_a_pruned_network(
    fit: Fit, tmp_path: Path, images: ImageData
) -> None:
    trainer, _ = fit(network=with_small_taus(), optimizer=SGD)
    trainer.save_checkpoint(tmp_path / "deep.ckpt")
    trainer, module = fit(AdaptivePruning(interval=7), network=with_small_taus(), optimizer=SGD)
    assert len(module.network.layers) == 3
    trainer.test(module, images, ckpt_path=tmp_path / "deep.ckpt", weights_only=True, verbose=False)
    assert module.network.layers == [0, 1, 2, 3, 4]


def test_averaged_weights_are_refused(fit: Fit) -> None:
    with pytest.raises(InputError, match="does not go with WeightAveraging"):
        fit(AdaptivePruning(), EMAWeightAveraging())
