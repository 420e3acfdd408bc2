"""What a recorder keeps of every iteration."""

from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Callback, LightningModule, Trainer

from tests.training.runs import (
    ITERATIONS,
    LIGHTNING,
    SLOW_SGD,
    Blobs,
    Fit,
    Points,
    Run,
    assert_same_record,
    conv,
    fit,
    fractional,
    quiet_trainer,
    read_record,
    with_small_taus,
)
from tvl_lightning.constraints import Positive
from tvl_lightning.limits import InputError
from tvl_lightning.networks import convolutional
from tvl_lightning.penalties import L1
from tvl_lightning.training import (
    AdaptivePruning,
    LastCheckpoint,
    TauProjection,
    TauRecorder,
    TimeVariableClassifier,
)

in_both_loops = pytest.mark.parametrize("loop", [LIGHTNING, "eager"])


class Copy(Callback):
    """Writes down by hand what there is after each optimizer step."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple[torch.Tensor, float]] = {}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, *args: Any
    ) -> None:
        tau = pl_module.tau.detach().clone()
        self.rows.setdefault(trainer.global_step, (tau, float(outputs["loss"])))


def test_every_iteration_is_written_with_its_tau_and_losses(fit: Fit) -> None:
    copy, penalty = Copy(), L1(0.1)
    record = fit(copy, penalties={"l1": penalty}).record
    taus, losses = zip(*copy.rows.values(), strict=True)
    assert record["iteration"].tolist() == list(copy.rows) == list(range(1, 37))
    np.testing.assert_array_equal(record["tau"], torch.stack(taus).numpy())
    np.testing.assert_allclose(record["loss"], losses)
    # the loss is that of the τ before the step
    penalties = [float(penalty(tau)) for tau in taus]
    np.testing.assert_allclose(
        (record["loss"] - record["task_loss"])[1:], penalties[:-1], atol=1e-6
    )


@in_both_loops
def test_every_row_is_after_the_projection(fit: Fit, loop: str) -> None:
    projection = TauProjection(Positive(0.1))
    run = fit(projection, loop=loop, penalties={"l1": L1(5.0)})
    assert run.record["tau"].min() == np.float32(0.1)
    last = run.module.tau.detach().numpy()
    np.testing.assert_array_equal(run.record["tau"][-1], last)


@pytest.mark.parametrize(("batches", "steps"), [(2, 9), (4, 5), (5, 4)])
def test_each_step_over_several_batches_is_recorded_once(
    fit: Fit, batches: int, steps: int
) -> None:
    copy = Copy()
    record = fit(copy, accumulate_grad_batches=batches).record
    assert record["iteration"].tolist() == list(range(1, 2 * steps + 1))
    assert (np.diff(record["tau"], axis=0) != 0).any(1).all()
    for i, tau in enumerate(record["tau"]):
        np.testing.assert_array_equal(tau, copy.rows[i + 1][0].numpy())
    # the losses of the batch that completed the step; Lightning divides those that it hands out
    losses = [batches * copy.rows[i + 1][1] for i in range(2 * steps)]
    np.testing.assert_allclose(record["loss"], losses, rtol=1e-6)


# Layers that leave: two are under the threshold from the beginning

PRUNED: dict[str, Any] = {"network": with_small_taus, "optimizer": SLOW_SGD, "epochs": 1}


@in_both_loops
def test_tau_of_a_removed_layer_ends_with_the_one_that_led_to_its_removal(
    fit: Fit, loop: str
) -> None:
    tau = fit(AdaptivePruning(interval=6), loop=loop, **PRUNED).record["tau"]
    gone = np.isnan(tau)
    assert gone[:, [1, 3]].sum(0).tolist() == [12, 12]
    assert not gone[:6].any()
    assert not gone[:, [0, 2, 4]].any()
    np.testing.assert_allclose(tau[5, [1, 3]], [0.001, -0.001], atol=1e-4)


@in_both_loops
@pytest.mark.parametrize("interval", [3, 13, 17, 30])
def test_the_iterations_beside_a_removal_are_logged(fit: Fit, loop: str, interval: int) -> None:
    run = fit(AdaptivePruning(interval=interval), loop=loop, **{**PRUNED, "epochs": 2})
    for layer in (1, 3):
        points = run.points.of(f"tau/{layer:02d}")
        assert max(points) == interval
        assert points[interval] == run.record["tau"][interval - 1, layer]
    left = run.points.of("Time steps/hidden layers")
    assert [left[interval], left[interval + 1]] == [5, 3]
    assert left.keys() == run.points.of("tau/00").keys()
    assert_each_is_logged_once(run)


def test_a_removal_at_the_end_of_a_run_is_logged(fit: Fit) -> None:
    run = fit(AdaptivePruning(interval=34), max_steps=34, **{**PRUNED, "epochs": 2})
    assert max(run.points.of("tau/01")) == 34


def test_callbacks_in_any_order_record_the_same(tmp_path: Path) -> None:
    def train(order: Any, loop: str) -> tuple[dict[str, np.ndarray], list[Any], Any]:
        folder = tmp_path / f"{order}{loop}"
        made = {
            "recorder": TauRecorder(folder / "tau.npz", interval=5),
            "pruning": AdaptivePruning(interval=6),
            "projection": TauProjection(Positive(1e-4)),
        }
        callbacks = [made[name] for name in order]
        run = fit(folder, *callbacks, loop=loop, recorder=False, **{**PRUNED, "epochs": 2})
        return (
            run.record,
            sorted(run.points.points),
            run.module.state_dict()["network.decoder.weight"],
        )

    orders = list(permutations(("recorder", "pruning", "projection")))
    record, points, weights = train(orders[0], LIGHTNING)
    assert np.isnan(record["tau"]).any()
    for order in orders:
        for loop in (LIGHTNING, "eager"):
            other = train(order, loop)
            assert_same_record(record, other[0])
            assert points == other[1]
            assert torch.equal(weights, other[2])


# Loggers


def assert_each_is_logged_once(run: Run) -> None:
    at = [(step, name) for step, name, _ in run.points.points]
    assert len(set(at)) == len(at)


@in_both_loops
def test_first_iterations_are_logged_evenly_in_their_logarithm(fit: Fit, loop: str) -> None:
    run = fit(loop=loop, epochs=40, chunk=7)
    steps: list[Any] = sorted(run.points.of("Time steps/sum of tau"))
    assert steps[:8] == list(range(8))
    assert set(range(0, 721, 5)) <= set(steps)
    beside = [step for step in steps if step % 5]
    assert max(beside) > 300
    for decade in ((10, 100), (70, 700)):
        assert 10 <= sum(decade[0] <= step < decade[1] for step in beside) <= 20
    assert_each_is_logged_once(run)


@in_both_loops
def test_what_is_logged_is_what_is_recorded(fit: Fit, loop: str) -> None:
    run = fit(loop=loop, network=conv, penalties={"l1": L1(0.1)})
    for step in (1, 10, 35):
        row, tau = step - 1, run.record["tau"][step - 1]
        for layer, value in enumerate(tau):
            assert run.points.of(f"tau/{layer:02d}")[step] == value
        for name in ("loss", "task_loss"):
            assert run.points.of(f"iteration/{name}")[step] == run.record[name][row]
        assert run.points.of("Time steps/sum of tau")[step] == pytest.approx(tau.sum())


def test_the_least_share_is_what_pruning_looks_at(fit: Fit) -> None:
    def shares(tau: np.ndarray) -> list[float]:
        stages = [np.abs(tau[:3]), np.abs(tau[3:])]
        return [float(s) for stage in stages for s in (stage / stage.sum())[1:]]  # but the lift's

    run = fit(network=conv)
    assert run.layers == list(range(6))
    points = run.points.of("Time steps/least share")
    for step in (1, 10, 35):
        assert points[step] == pytest.approx(min(shares(run.record["tau"][step - 1])), rel=1e-5)
    least = min(points.values())
    for factor, removes in ((0.99, False), (1.01, True)):
        pruned = fit(AdaptivePruning(epsilon=factor * least, interval=1), network=conv)
        assert (len(pruned.layers) < 6) == removes


def test_a_network_of_lifts_has_no_least_share(fit: Fit) -> None:
    run = fit(network=partial(convolutional, (1, 6, 6), 4, (3, 4), 0))
    assert not run.points.of("Time steps/least share")
    assert run.points.of("Time steps/hidden layers")[5] == 2


class Saved(Points):
    """Counts what it has when it is told to save."""

    def __init__(self) -> None:
        super().__init__()
        self.saved = 0

    def save(self) -> None:
        self.saved = len(self.points)


def test_loggers_save_before_a_checkpoint_does(fit: Fit, tmp_path: Path) -> None:
    class Look(Callback):
        def on_save_checkpoint(self, trainer: Trainer, *args: Any) -> None:
            [logger] = trainer.loggers
            assert isinstance(logger, Saved)
            seen.append((logger.saved, len(logger.points)))

    seen: list[tuple[int, int]] = []
    callbacks = [LastCheckpoint(tmp_path), TauRecorder(tmp_path / "tau.npz"), Look()]
    fit(*callbacks, recorder=False, logger=Saved(), enable_checkpointing=True)
    assert seen
    assert all(saved == there > 0 for saved, there in seen)


# Files and checkpoints


def test_the_first_row_is_before_training(fit: Fit, tmp_path: Path) -> None:
    run = fit(network=partial(fractional, learn_gamma=True, gamma=0.4))
    with np.load(tmp_path / "run" / "tau.npz") as file:
        iteration, tau, gamma, loss = (file[n] for n in ("iteration", "tau", "gamma", "loss"))
    assert iteration.tolist() == list(range(37))
    np.testing.assert_array_equal(tau[0], fit(epochs=0, network=fractional).module.tau.detach())
    assert gamma[0] == pytest.approx(0.4)
    assert np.isnan(loss[0])
    np.testing.assert_array_equal(tau[1:], run.record["tau"])


@in_both_loops
def test_a_learned_gamma_is_recorded(fit: Fit, loop: str) -> None:
    run = fit(loop=loop, network=partial(fractional, learn_gamma=True, gamma=0.4))
    gamma = run.record["gamma"]
    assert gamma.shape == (36,)
    assert gamma[0] == pytest.approx(0.4, abs=0.05)
    assert (np.diff(gamma) != 0).any()
    assert gamma[-1] == run.module.network.observables()["gamma"].item()
    assert run.points.of("Time steps/gamma").keys() == run.points.of("tau/00").keys()


@in_both_loops
@pytest.mark.parametrize("pruned", [False, True])
def test_a_resumed_run_has_all_iterations(tmp_path: Path, loop: str, pruned: bool) -> None:
    def train(folder: str, epochs: int, resume: Path | None = None) -> Any:
        callbacks = [AdaptivePruning(interval=18)] if pruned else []
        options = {**PRUNED, "epochs": epochs, "resume": resume, "loop": loop}
        return fit(tmp_path / folder, *callbacks, **options)

    whole = train("whole", 3)
    begun = train("run", 1)
    resumed = train("other folder", 3, begun.last_checkpoint)
    assert resumed.record["iteration"].tolist() == list(range(1, 55))
    assert_same_record(whole.record, resumed.record)
    assert np.isnan(resumed.record["tau"]).any() == pruned
    assert sorted(begun.points.points + resumed.points.points) == sorted(whole.points.points)


class Stop(Callback):
    """Ends the process within an epoch, as a signal would."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == 25:
            raise RuntimeError("killed")


def test_a_run_that_was_killed_goes_on_from_its_epoch(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole", epochs=3)
    saving: dict[str, Any] = {"enable_checkpointing": True}
    folder = tmp_path / "run"
    with pytest.raises(RuntimeError, match="killed"):
        fit(folder, LastCheckpoint(folder), Stop(), epochs=3, **saving)
    assert read_record(folder)["iteration"].tolist() == list(range(1, ITERATIONS + 1))
    [saved] = folder.glob("*.ckpt")
    resumed = fit(folder, LastCheckpoint(folder), epochs=3, resume=saved, **saving)
    assert_same_record(whole.record, resumed.record)


@pytest.mark.parametrize("precision", ["64-true", "bf16-true"])
def test_the_file_has_types_that_numpy_has(fit: Fit, precision: str) -> None:
    tau = fit(precision=precision, epochs=1).record["tau"]
    assert tau.dtype == (np.float64 if precision == "64-true" else np.float32)


@in_both_loops
@pytest.mark.parametrize("waiting", [1, 7])
def test_records_beyond_one_block_are_kept_in_order(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, loop: str, waiting: int
) -> None:
    expected = fit(loop=loop, chunk=3)
    monkeypatch.setattr("tvl_lightning.training.callbacks.recorder._WAITING", waiting)
    run = fit(loop=loop, chunk=3)
    assert_same_record(expected.record, run.record)
    assert sorted(expected.points.points) == sorted(run.points.points)


def test_the_file_is_written_when_that_takes_little_of_the_time_and_at_the_end(
    fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, written, savez = [0.0], [], np.savez

    class Epoch(Callback):
        def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
            now[0] += 30.0

    def save(file: Any, **arrays: Any) -> None:
        written.append(len(arrays["iteration"]) // ITERATIONS)
        now[0] += 1.0
        savez(file, **arrays)

    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(np, "savez", save)
    fit(Epoch(), epochs=10)
    assert written == [1, 5, 9, 10]


def test_the_file_stays_as_it_was_where_writing_fails(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = fit(epochs=1).last_checkpoint
    path = tmp_path / "run" / "tau.npz"
    before = path.read_bytes()

    def disk_full(file: Any, **arrays: Any) -> None:
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", disk_full)
    with pytest.raises(OSError, match="No space"):
        fit(epochs=2, resume=saved)
    assert path.read_bytes() == before


# Modules


class Unobserved(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.network: torch.nn.Module = with_small_taus()

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self.network(batch[0]).sum()  # type: ignore[no-any-return]

    def configure_optimizers(self) -> Any:
        return SLOW_SGD(self.parameters())


def test_a_module_that_cannot_be_observed_is_refused(tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, TauRecorder(tmp_path / "tau.npz"))
    with pytest.raises(
        InputError, match=r"needs a module with `network` and `observables\(\)`.*Un"
    ):
        trainer.fit(Unobserved(), Blobs())


class Foreign(Unobserved):
    """Its network is one of somebody else, without time steps."""

    def __init__(self) -> None:
        super().__init__()
        self.network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 4))

    def observables(self) -> None:
        pass


def test_a_network_without_time_steps_is_refused(tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, TauRecorder(tmp_path / "tau.npz"))
    with pytest.raises(InputError, match=r"^TauRecorder: needs a module .*; Foreign has none$"):
        trainer.fit(Foreign(), Blobs())


class Norms(TimeVariableClassifier):
    """Observes something more."""

    def observables(self) -> Any:
        observed = super().observables()
        if observed is None:
            return None
        norm = self.network.decoder.weight.detach().norm()  # type: ignore[operator]
        return observed._replace(values={**observed.values, "norm": norm[None]})


def test_whatever_a_module_observes_is_recorded(fit: Fit) -> None:
    run = fit(module_class=Norms)
    assert run.record["norm"].shape == (36,)
    norm = run.module.network.decoder.weight.detach().norm().item()  # type: ignore[operator]
    assert run.record["norm"][-1] == pytest.approx(norm)


def test_a_run_that_goes_on_observes_more_or_less(fit: Fit) -> None:
    less = fit(epochs=1)
    more = fit(epochs=2, resume=less.last_checkpoint, module_class=Norms)
    assert np.isnan(more.record["norm"]).tolist() == [True] * 18 + [False] * 18
    less = fit(epochs=3, resume=more.last_checkpoint)
    assert np.isnan(less.record["norm"]).tolist() == [True] * 18 + [False] * 18 + [True] * 18
    assert np.isfinite(less.record["loss"]).all()
    assert less.record["iteration"].tolist() == list(range(1, 55))


@pytest.mark.parametrize("interval", [0, -1, 1.5, "5"])
def test_an_interval_below_one_is_refused(interval: Any) -> None:
    with pytest.raises(InputError, match="interval"):
        TauRecorder("tau.npz", interval=interval)
