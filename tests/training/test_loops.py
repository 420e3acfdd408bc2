"""Lightning's loop and the chunks of ours: the same numbers, bit for bit."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts, ExponentialLR, OneCycleLR, StepLR

from tests.training.runs import (
    ITERATIONS,
    LIGHTNING,
    Blobs,
    Both,
    Fit,
    Run,
    assert_same,
    assert_same_record,
    assert_same_weights,
    conv,
    fit,
    fractional,
    quiet_trainer,
    resnet,
    with_small_taus,
)
from tvl_lightning.constraints import Positive, ScaledSimplex
from tvl_lightning.limits import InputError
from tvl_lightning.networks import (
    Final,
    Fixed,
    Heun,
    Learned,
    Simplex,
    TimeVariableNetwork,
    perceptron,
)
from tvl_lightning.penalties import L1, L2, Horizon
from tvl_lightning.training import (
    AdaptivePruning,
    ChunkedClassifier,
    TauProjection,
    TimeVariableClassifier,
)


def drawing(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Dropout(0.5))


def heun() -> TimeVariableNetwork:
    return perceptron((1, 6, 6), 4, 10, 5, scheme=Heun())


def adam(**options: Any) -> Any:
    return partial(torch.optim.Adam, lr=0.01, **options)


WAYS: dict[str, dict[str, Any]] = {
    "resnet": {},
    "fractional": {"network": fractional},
    "fractional, authors": {
        "network": partial(fractional, history_start=0, constant_coefficients=True)
    },
    "learned order": {"network": partial(fractional, learn_gamma=True)},
    "heun": {"network": heun},
    "convolution and batch normalisation": {"network": conv},
    "convolution with heun": {"network": partial(conv, scheme=Heun())},
    "dropout": {"network": partial(resnet, field=drawing)},
    "penalties": {"penalties": {"l1": L1(0.1), "l2": L2(0.1), "horizon": Horizon(1.0, 1.0)}},
    "final": {"network": partial(resnet, tau=Final)},
    "simplex": {"network": partial(resnet, tau=Simplex)},
    "fixed": {"network": partial(resnet, tau=Fixed)},
    "first only fixed": {"network": partial(resnet, tau=partial(Fixed, first_only=True))},
    "64 bits": {"precision": "64-true"},
    "adam": {"optimizer": adam()},
    "foreach adam": {"optimizer": adam(foreach=True)},
    "fused adam": {"optimizer": adam(fused=True)},
    "exponential decay": {"scheduler": partial(ExponentialLR, gamma=0.5), "epochs": 3},
    "one cycle": {"scheduler": partial(OneCycleLR, max_lr=0.05, total_steps=4), "epochs": 3},
    "restarts": {"scheduler": partial(CosineAnnealingWarmRestarts, T_0=2), "epochs": 3},
    "every second epoch": {
        "scheduler": {"scheduler": partial(ExponentialLR, gamma=0.5), "frequency": 2},
        "epochs": 5,
    },
    "an evaluation before training": {"num_sanity_val_steps": -1},
}


@pytest.mark.parametrize("way", WAYS)
def test_iterations_in_chunks_are_those_of_lightnings_loop(both: Both, way: str) -> None:
    singly, chunked = both(chunk=7, **WAYS[way])
    iterations = ITERATIONS * WAYS[way].get("epochs", 2)
    assert chunked.record["iteration"].tolist() == list(range(1, iterations + 1))
    assert chunked.trainer.global_step == iterations
    assert singly.trainer.num_training_batches == ITERATIONS
    assert chunked.trainer.num_training_batches == 4  # 7, 7, 3, and 1 with fewer inputs
    assert (singly.record["tau"][0] != singly.record["tau"][-1]).any() or way == "fixed"
    assert_same(singly, chunked)


@pytest.mark.parametrize("chunk", [1, 17, 18, 50])
def test_no_length_of_a_chunk_changes_a_number(both: Both, chunk: int) -> None:
    assert_same(*both(chunk=chunk, network=fractional))


@pytest.mark.parametrize("onto", [Positive(0.19), ScaledSimplex(0.01)])
def test_every_iteration_of_a_chunk_projects(both: Both, fit: Fit, onto: Any) -> None:
    strong = {"l1": L1(0.5)}
    singly, chunked = both(lambda: [TauProjection(onto)], penalties=strong)
    free = fit(loop="eager", penalties=strong)
    assert_same(singly, chunked)
    assert (chunked.record["tau"][:10] != free.record["tau"][:10]).any()


# L1 takes τ to 0 and keeps it there, one after the other
SHRINKING: dict[str, Any] = {
    "penalties": {"l1": L1(0.05)},
    "optimizer": partial(torch.optim.SGD, lr=0.1),
    "epochs": 4,
}
PRUNED = {
    "resnet": partial(resnet, tau=partial(Learned, initial=[0.5, 0.05, 0.4, 0.1, 0.3])),
    "conv": partial(conv, tau=partial(Learned, initial=[0.5, 0.05, 0.4, 0.5, 0.1, 0.3])),
}


@pytest.mark.parametrize(
    ("name", "interval", "longest"),
    [
        ("resnet", None, 50),
        ("resnet", 1, 1),
        ("resnet", 6, 6),
        ("resnet", 7, 1),
        ("resnet", 18, 18),
        ("conv", 6, 6),
    ],
)
def test_pruning_looks_as_often_as_it_should(
    both: Both, interval: int | None, longest: int, name: str
) -> None:
    singly, chunked = both(
        lambda: [AdaptivePruning(epsilon=0.05, interval=interval), TauProjection()],
        network=PRUNED[name],
        **SHRINKING,
    )
    assert isinstance(chunked.module, ChunkedClassifier)
    assert chunked.module.chunk == longest
    assert 1 not in singly.layers
    assert_same(singly, chunked)


@pytest.mark.parametrize("way", ["resnet", "dropout", "adam", "exponential decay", "pruned"])
@pytest.mark.parametrize("first", [LIGHTNING, "eager"])
def test_a_run_goes_on_in_the_other_loop(tmp_path: Path, way: str, first: str) -> None:
    second = {LIGHTNING: "eager", "eager": LIGHTNING}[first]
    pruned = {**SHRINKING, "network": PRUNED["resnet"]}
    options = {**(pruned if way == "pruned" else WAYS[way]), "chunk": 7}

    def train(folder: str, **more: Any) -> Run:
        pruning = [AdaptivePruning(0.05, interval=6)] if way == "pruned" else []
        return fit(tmp_path / folder, *pruning, **{**options, **more})

    whole = train("whole", epochs=4)
    begun = train("run", epochs=2, loop=first)
    resumed = train("run", epochs=4, loop=second, resume=begun.last_checkpoint)
    assert resumed.trainer.global_step == 4 * ITERATIONS
    assert_same_record(whole.record, resumed.record)
    assert_same_weights(whole.module, resumed.module)
    later = [p for p in whole.points.points if p[0] and p[0] > 2 * ITERATIONS]
    assert sorted(later) == sorted(resumed.points.points)
    if way == "pruned":
        assert len(begun.layers) < 5
        assert len(resumed.layers) < len(begun.layers)


def test_a_resumed_run_goes_on_in_the_other_loop_twice(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole", epochs=3)
    run = fit(tmp_path / "run", epochs=1)
    for epochs, loop in ((2, "eager"), (3, LIGHTNING)):
        run = fit(tmp_path / "run", epochs=epochs, loop=loop, resume=run.last_checkpoint)
        assert run.trainer.global_step == epochs * ITERATIONS
    assert_same_record(whole.record, run.record)


def test_a_module_can_be_trained_again(both: Both, fit: Fit) -> None:
    for run in both():
        trainer = quiet_trainer(Path(run.trainer.default_root_dir))
        trainer.fit(run.module, Blobs(batch_size=10))
        assert trainer.global_step == ITERATIONS
        assert (run.module.tau != torch.from_numpy(run.record["tau"][-1])).all()


class Smoothed(ChunkedClassifier):
    def losses(self, images: Any, labels: Any) -> Any:
        logits = self(images)
        task = nn.functional.cross_entropy(logits, labels, label_smoothing=0.5)
        return sum(self.penalty_values().values(), task), task, logits


class SmoothedSingly(TimeVariableClassifier):
    losses = Smoothed.losses


def test_a_loss_of_ones_own_trains_in_both_loops(fit: Fit, tmp_path: Path) -> None:
    one = fit(module_class=SmoothedSingly)
    other = fit(module_class=Smoothed, loop="eager")
    assert_same(one, other)
    assert (one.record["loss"] != fit().record["loss"]).any()


def test_engines_refuse_what_they_cannot_do(fit: Fit) -> None:
    with pytest.raises(InputError, match=r"engine=fast: must be one of eager, compiled, cuda_grap"):
        fit(loop="fast")
    with pytest.raises(InputError, match=r"chunk=0: must be a whole number of at least 1"):
        fit(loop="eager", chunk=0)
    with pytest.raises(
        InputError, match=r"engine=cuda_graph: needs an NVIDIA GPU, .* runs on cpu; engine=comp"
    ):
        fit(loop="cuda_graph")


def test_pruned_and_small_networks_count_their_iterations(both: Both) -> None:
    for run in both(lambda: [AdaptivePruning(interval=6)], network=with_small_taus):
        assert run.trainer.global_step == 2 * ITERATIONS
        assert run.layers == [0, 2, 4]


def test_a_scheduler_is_stepped_at_the_end_of_its_epochs(both: Both) -> None:
    for run in both(scheduler=partial(StepLR, step_size=2, gamma=0.1), epochs=5):
        [optimizer] = run.trainer.optimizers
        assert optimizer.param_groups[0]["lr"] == pytest.approx(2e-4)
