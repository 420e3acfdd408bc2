"""The two modules in Lightning's hands: losses, means, points on one x axis, schedules."""

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Callback, Trainer
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import ExponentialLR, LambdaLR, ReduceLROnPlateau

from tests.training.runs import (
    ITERATIONS,
    LIGHTNING,
    Blobs,
    Fit,
    Loaders,
    Run,
    assert_same_record,
    assert_same_weights,
    fit,
    fractional,
    quiet_trainer,
    resnet,
    with_small_taus,
)
from tvl_lightning.penalties import L1, L2, Horizon
from tvl_lightning.training import (
    AdaptivePruning,
    ChunkedClassifier,
    LastCheckpoint,
    MetricsTable,
    TauProjection,
    TimeVariableClassifier,
)

LOOPS = [LIGHTNING, "eager"]
in_both_loops = pytest.mark.parametrize("loop", LOOPS)


# Losses and means


def test_the_loss_is_the_task_loss_plus_all_penalties() -> None:
    penalties: dict[str, Any] = {"l1": L1(0.1), "l2": L2(0.2), "horizon": Horizon(0.5, 3.0)}
    module = TimeVariableClassifier(resnet(), penalties)
    images, labels = torch.rand(20, 1, 6, 6), torch.randint(0, 4, (20,))
    result = module.training_step((images, labels), 0)
    task = cross_entropy(module(images), labels)
    torch.testing.assert_close(result["task_loss"], task.detach())
    # τ = (1/5, ..., 1/5)
    torch.testing.assert_close(result["loss"], task + 0.1 * 1 + 0.2 / 5 + 0.5 * (3 - 1) ** 2)


class Literal(Callback):
    """Sums up the epoch by hand."""

    def __init__(self) -> None:
        self.losses, self.correct, self.n = 0.0, 0, 0

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        images, labels = batch
        with torch.no_grad():
            logits = pl_module(images)
        self.losses += float(cross_entropy(logits, labels, reduction="sum"))
        self.correct += int((logits.argmax(1) == labels).sum())
        self.n += len(labels)


def test_metrics_are_means_over_all_images_of_the_epoch(fit: Fit) -> None:
    literal = Literal()
    run = fit(literal, epochs=1, penalties={"l1": L1(0.1)})
    metrics, tau = run.trainer.callback_metrics, run.module.tau
    assert literal.n == 177
    assert float(metrics["train/task_loss"]) == pytest.approx(literal.losses / 177, rel=1e-5)
    assert float(metrics["train/acc"]) == pytest.approx(literal.correct / 177)
    assert float(metrics["penalty/l1"]) == pytest.approx(0.1 * tau.abs().sum().item())
    val = run.trainer.datamodule.val  # type: ignore[attr-defined]
    logits = run.module(val.inputs)
    expected = cross_entropy(logits, val.labels).item()
    assert float(metrics["val/task_loss"]) == pytest.approx(expected, rel=1e-5)
    accuracy = float((logits.argmax(1) == val.labels).float().mean())
    assert float(metrics["val/acc"]) == pytest.approx(accuracy)


@in_both_loops
def test_a_loss_that_is_not_finite_shows_in_the_mean_of_the_epoch(fit: Fit, loop: str) -> None:
    run = fit(loop=loop, penalties={"overflow": lambda tau: tau.sum() * torch.inf})
    assert not run.trainer.callback_metrics["train/loss"].isfinite()


@pytest.mark.parametrize("precision", ["64-true", "bf16-true", "bf16-mixed"])
def test_means_are_not_rounded_to_16_bits(fit: Fit, precision: str) -> None:
    run = fit(precision=precision)
    right = float(run.trainer.callback_metrics["train/acc"]) * 177
    assert right == pytest.approx(round(right), abs=1e-4)
    assert right > 20


def test_any_datamodule_can_stand_in(fit: Fit) -> None:
    run = fit(data=Loaders(), epochs=1)
    assert {"train/acc", "val/acc"} <= run.trainer.callback_metrics.keys()
    [metrics] = run.trainer.test(run.module, Loaders(), verbose=False)
    assert "test/acc" in metrics


# One x axis

PENALTIES = {"l1": L1(0.1), "horizon": Horizon(1.0, 1.0)}
BY_EPOCH = {"train/loss", "train/task_loss", "train/acc", "lr", "penalty/l1", "penalty/horizon"}


def assert_no_name_twice_at_a_step(run: Run) -> None:
    at = [(step, name) for step, name, _ in run.points.points]
    assert len(set(at)) == len(at)


@in_both_loops
def test_everything_is_logged_over_iterations(fit: Fit, loop: str) -> None:
    run = fit(loop=loop, chunk=7, penalties=PENALTIES)
    steps: dict[str, list[int | None]] = {}
    for step, name, _ in sorted(run.points.points):
        steps.setdefault(name, []).append(step)
    by_epoch = {name: [18, 36] for name in BY_EPOCH | {"val/acc", "val/task_loss"}}
    after, at_zero = {"iteration/loss", "iteration/task_loss"}, steps["tau/00"]
    assert {0, *range(5, 36, 5)} < set(at_zero) <= {*range(37)}
    of_tau = {f"tau/{i:02d}" for i in range(5)}
    of_tau |= {f"Time steps/{name}" for name in ("sum of tau", "least share", "hidden layers")}
    assert steps == {
        **by_epoch,
        **dict.fromkeys(of_tau, at_zero),
        **dict.fromkeys(after, at_zero[1:]),
    }
    assert_no_name_twice_at_a_step(run)


@in_both_loops
def test_a_test_returns_what_it_logs_at_the_number_of_iterations(fit: Fit, loop: str) -> None:
    run = fit(loop=loop)
    before = len(run.points.points)
    for evaluate, stage in ((run.trainer.test, "test"), (run.trainer.validate, "val")):
        [metrics] = evaluate(run.module, Blobs(batch_size=10), verbose=False)
        assert {f"{stage}/acc", f"{stage}/task_loss"} <= metrics.keys()
        new = run.points.points[before:]
        before += 2
        assert sorted(new) == [(36, name, metrics[name]) for name in sorted(metrics) if "/" in name]


@in_both_loops
@pytest.mark.parametrize("sanity", [0, 2])
def test_a_part_of_the_validation_before_training_is_not_logged(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, loop: str, sanity: int
) -> None:
    monkeypatch.setattr("tvl_lightning.data.tensor_data._EVALUATION_BATCH", 6)  # 4 of them
    run = fit(loop=loop, epochs=1, num_sanity_val_steps=sanity)
    assert run.points.of("val/acc").keys() == {ITERATIONS}


@in_both_loops
def test_the_state_before_training_is_logged_at_step_0(fit: Fit, loop: str) -> None:
    run = fit(loop=loop, epochs=1, num_sanity_val_steps=-1, penalties=PENALTIES)
    first = {
        name: value
        for step, name, value in run.points.points
        if step == 0 and not name.startswith(("tau/", "Time steps/"))
    }
    assert first.keys() == {"val/acc", "val/task_loss", "penalty/l1", "penalty/horizon"}
    assert first["penalty/l1"] == pytest.approx(0.1)
    untrained = fit(epochs=0).module
    val = run.trainer.datamodule.val  # type: ignore[attr-defined]
    expected = cross_entropy(untrained(val.inputs), val.labels).item()
    assert first["val/task_loss"] == pytest.approx(expected, rel=1e-5)
    assert_no_name_twice_at_a_step(run)


def test_every_validation_within_an_epoch_is_logged_at_its_iteration(fit: Fit) -> None:
    run = fit(val_check_interval=0.5, penalties=PENALTIES)
    assert list(run.points.of("val/acc")) == [9, 18, 27, 36]
    assert list(run.points.of("train/acc")) == [18, 36]
    assert_no_name_twice_at_a_step(run)


@in_both_loops
def test_a_validation_now_and_then_is_logged_once(fit: Fit, loop: str) -> None:
    run = fit(loop=loop, epochs=4, check_val_every_n_epoch=2)
    assert list(run.points.of("val/acc")) == [36, 72]
    assert list(run.points.of("train/acc")) == [18, 36, 54, 72]


class Rows(Callback):
    """What the logger has when the checkpoint of an epoch may be saved."""

    def __init__(self) -> None:
        self.seen: list[set[str]] = []

    def on_save_checkpoint(self, trainer: Trainer, pl_module: Any, checkpoint: Any) -> None:
        points: Any = trainer.loggers[0]
        at = trainer.global_step
        self.seen.append({name for step, name, _ in points.points if step == at})


def test_points_are_written_before_the_checkpoint_of_their_epoch(fit: Fit, tmp_path: Path) -> None:
    rows = Rows()
    fit(LastCheckpoint(tmp_path), rows, enable_checkpointing=True)
    assert rows.seen
    assert all({"train/acc", "val/acc", "lr"} <= names for names in rows.seen)


# Schedules, as Lightning has them


def rate(run: Run) -> float:
    return float(run.trainer.optimizers[0].param_groups[0]["lr"]) / 0.02


@in_both_loops
@pytest.mark.parametrize(
    ("scheduler", "expected"),
    [
        (partial(ExponentialLR, gamma=0.9), 0.9**5),
        ({"scheduler": partial(ExponentialLR, gamma=0.9)}, 0.9**5),
        ({"scheduler": partial(ExponentialLR, gamma=0.9), "interval": "epoch"}, 0.9**5),
        ({"scheduler": partial(ExponentialLR, gamma=0.9), "frequency": 2}, 0.9**2),
        ({"scheduler": partial(LambdaLR, lr_lambda=lambda epoch: 1 / (1 + epoch))}, 1 / 6),
    ],
)
def test_a_schedule_goes_by_epochs(fit: Fit, loop: str, scheduler: Any, expected: float) -> None:
    run = fit(loop=loop, scheduler=scheduler, epochs=5)
    assert rate(run) == pytest.approx(expected)
    logged = run.points.of("lr")
    assert list(logged) == [18, 36, 54, 72, 90]
    assert logged[18] == pytest.approx(0.02)  # the rate of an epoch, not of the next
    assert logged[90] > 0.0199 * expected


def test_a_schedule_may_go_by_iterations(fit: Fit) -> None:
    decay = partial(ExponentialLR, gamma=0.9)
    run = fit(scheduler={"scheduler": decay, "interval": "step"}, epochs=1)
    assert rate(run) == pytest.approx(0.1501, abs=1e-4)
    run = fit(scheduler={"scheduler": decay, "interval": "step", "frequency": 5}, epochs=1)
    assert rate(run) == pytest.approx(0.9**3)


@pytest.mark.parametrize("monitor", ["val/task_loss", "train/loss", "penalty/l1"])
def test_a_plateau_is_seen_in_what_it_monitors(fit: Fit, monitor: str) -> None:
    never_better: dict[str, Any] = {"threshold": 1e9, "threshold_mode": "abs"}  # than the first
    plateau = partial(ReduceLROnPlateau, patience=0, factor=0.5, **never_better)
    settings = {"scheduler": plateau, "monitor": monitor}
    run = fit(scheduler=settings, epochs=3, penalties={"l1": L1(0.1)})
    assert rate(run) == pytest.approx(0.25)


def counting_calls(base: type[TimeVariableClassifier]) -> Any:
    class Own(base):  # type: ignore[misc, valid-type]
        calls = 0

        def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
            self.calls += 1
            scheduler.step()
            scheduler.step()

    return Own


@pytest.mark.parametrize(
    ("base", "loop"), [(TimeVariableClassifier, LIGHTNING), (ChunkedClassifier, "eager")]
)
def test_an_own_way_to_step_a_schedule_is_taken(fit: Fit, base: Any, loop: str) -> None:
    decay = partial(ExponentialLR, gamma=0.9)
    run = fit(loop=loop, scheduler=decay, module_class=counting_calls(base), epochs=3)
    assert run.module.calls == 3
    assert rate(run) == pytest.approx(0.9**6)


# Subclasses


class OwnLoop(TimeVariableClassifier):
    """Takes its steps by itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        result = super().training_step(batch, batch_idx)
        self.manual_backward(result["loss"])
        optimizer.step()
        return result


class OnlyALoss(TimeVariableClassifier):
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        images, labels = batch
        return self.losses(images, labels)[0]


def our_callbacks(folder: Path) -> list[Callback]:
    return [
        LastCheckpoint(folder),
        MetricsTable(folder / "metrics.csv"),
        AdaptivePruning(interval=7),
        TauProjection(),
    ]


def test_a_loop_of_ones_own_has_all_callbacks(fit: Fit, tmp_path: Path) -> None:
    settings = {"penalties": {"l1": L1(0.5)}, "enable_checkpointing": True}
    ours = fit(*our_callbacks(tmp_path / "ours"), **settings)
    own = fit(*our_callbacks(tmp_path / "own"), module_class=OwnLoop, **settings)
    assert own.trainer.global_step == 36
    assert_same_record(ours.record, own.record)
    assert_same_weights(ours.module, own.module)
    assert sorted(ours.points.points) == sorted(own.points.points)
    assert float(own.record["tau"].min()) == np.float32(1e-4)

    def table(folder: str) -> list[str]:
        lines = (tmp_path / folder / "metrics.csv").read_text().splitlines()
        seconds = lines[0].split(",").index("seconds")
        return [",".join(np.delete(line.split(","), seconds)) for line in lines]

    assert table("own") == table("ours")
    [saved] = (tmp_path / "own").glob("*.ckpt")
    resumed = fit(module_class=OwnLoop, epochs=3, resume=saved, **settings)
    assert resumed.record["iteration"].tolist() == list(range(1, 55))


def test_a_step_that_returns_only_a_loss_will_do(fit: Fit, tmp_path: Path) -> None:
    run = fit(*our_callbacks(tmp_path / "own"), module_class=OnlyALoss, enable_checkpointing=True)
    ours = fit(*our_callbacks(tmp_path / "ours"), enable_checkpointing=True)
    assert run.record.keys() == {"iteration", "tau"}
    np.testing.assert_array_equal(run.record["tau"], ours.record["tau"])
    assert "train/loss" not in run.trainer.callback_metrics
    assert run.points.of("val/acc") == ours.points.of("val/acc")
    assert (tmp_path / "own" / "metrics.csv").read_text().count("\n") == 3


# What a run draws, and what it leaves alone


def drawing(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Dropout(0.5))


@in_both_loops
@pytest.mark.parametrize("seed", [0, 2**40])
def test_a_resumed_run_draws_what_an_unbroken_one_draws(
    tmp_path: Path, loop: str, seed: int
) -> None:
    network = partial(resnet, field=drawing)
    whole = fit(tmp_path / "whole", loop=loop, network=network, epochs=3)
    begun = fit(tmp_path / "run", loop=loop, network=network, epochs=1)

    class Disturbed(Blobs):
        """Another number of numbers is drawn before the run goes on."""

        def prepare_data(self) -> None:
            super().prepare_data()
            torch.manual_seed(seed)
            torch.rand(17)

    resumed = fit(
        tmp_path / "run",
        loop=loop,
        network=network,
        epochs=3,
        resume=begun.last_checkpoint,
        data=Disturbed(batch_size=10),
    )
    assert_same_record(whole.record, resumed.record)
    assert_same_weights(whole.module, resumed.module)


def test_each_epoch_and_seed_draws_anew(fit: Fit) -> None:
    drawn = []

    class Draws(TimeVariableClassifier):
        def on_train_epoch_start(self) -> None:
            super().on_train_epoch_start()
            drawn.append(torch.rand(3).tolist())

    for _ in range(2):
        fit(module_class=Draws, recorder=False)
    assert drawn[:2] == drawn[2:]
    assert drawn[0] != drawn[1]
    other = Draws(resnet(), seed=4)
    quiet_trainer(Path()).fit(other, Blobs(batch_size=10))
    assert drawn[4] not in drawn[:4]


@in_both_loops
def test_training_leaves_the_filters_of_warnings_alone(fit: Fit, loop: str) -> None:
    before = list(warnings.filters)
    fit(loop=loop, network=fractional)
    fit(AdaptivePruning(), loop=loop, network=with_small_taus)
    assert warnings.filters == before
