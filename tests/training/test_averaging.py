"""What was averaged is what is validated, kept in checkpoints and tested."""

from pathlib import Path
from typing import Any

import lightning.pytorch.callbacks as lightnings
import pytest
import torch
from lightning import Callback, Trainer
from torch import Tensor

from tests.training.runs import (
    ITERATIONS,
    Blobs,
    Both,
    Fit,
    Run,
    assert_same,
    assert_same_record,
    assert_same_weights,
    conv,
    quiet_trainer,
    resnet,
)
from tvl_lightning.constraints import ScaledSimplex
from tvl_lightning.limits import InputError
from tvl_lightning.training import (
    AdaptivePruning,
    BestCheckpoint,
    EpochAverage,
    ExponentialAverage,
    LastCheckpoint,
    TauProjection,
    TimeVariableClassifier,
)
from tvl_lightning.training.callbacks.averaging import averages


class Snapshots(Callback):
    """The weights that are trained, after each iteration, and what each validation saw."""

    def __init__(self) -> None:
        self.weights: list[dict[str, Tensor]] = []
        self.validated: list[dict[str, Tensor]] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *args: Any, **kw: Any) -> None:
        self.weights.append(numbers(pl_module))

    def on_validation_batch_start(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        self.validated.append(numbers(pl_module))


def numbers(module: Any) -> dict[str, Tensor]:
    """All parameters and running statistics."""
    state = module.network.state_dict()
    return {k: v.detach().clone() for k, v in state.items() if isinstance(v, Tensor)}


def close(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.allclose(one[k], other[k], rtol=1e-5, atol=1e-6) for k in one)


def mean(weights: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    whole = [k for k, v in weights[0].items() if not v.is_floating_point()]
    found = {k: torch.stack([w[k].double() for w in weights]).mean(0) for k in weights[0]}
    return {k: weights[-1][k] if k in whole else v.float() for k, v in found.items()}


def moving_average(weights: list[dict[str, Tensor]], decay: float) -> dict[str, Tensor]:
    average = {k: v.double() for k, v in weights[0].items()}
    for now in weights[1:]:
        average = {k: decay * v + (1 - decay) * now[k].double() for k, v in average.items()}
    return {k: v.float() for k, v in average.items()}


def in_file(path: Path) -> dict[str, Tensor]:
    return numbers(TimeVariableClassifier.load_from_checkpoint(path, network=resnet()))


def kept(folder: Path, average: Callback) -> list[Callback]:
    return [average, BestCheckpoint(folder), LastCheckpoint(folder)]


def accuracy(run: Run, weights: dict[str, Tensor]) -> float:
    """Of a network with these weights, on the test samples, by hand."""
    network = resnet()
    network.load_state_dict({**network.state_dict(), **weights})
    samples = Blobs().load().test
    with torch.no_grad():
        right = network.eval()(samples.inputs).argmax(-1) == samples.labels
    return float(right.float().mean())


KINDS: dict[str, Any] = {
    "swa": (lambda: EpochAverage(start=2), lambda w, e: mean(w[3 * ITERATIONS - 1 :: ITERATIONS])),
    "ema": (lambda: ExponentialAverage(decay=0.9), lambda w, e: moving_average(w, 0.9)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_average_is_validated_saved_loaded_and_tested(
    fit: Fit, tmp_path: Path, kind: str
) -> None:
    make, by_hand = KINDS[kind]
    seen, folder = Snapshots(), tmp_path / "checkpoints"
    run = fit(seen, *kept(folder, make()), epochs=5, enable_checkpointing=True)
    expected = by_hand(seen.weights, 5)
    assert not close(expected, seen.weights[-1])
    assert close(seen.validated[-1], expected)
    assert close(numbers(run.module), expected)
    assert close(in_file(folder / "last.ckpt"), expected)
    for name in ("last", "best"):
        path = folder / f"{name}.ckpt"
        [tested] = run.trainer.test(run.module, Blobs(), str(path), verbose=False)
        assert close(numbers(run.module), in_file(path))
        assert tested["test/acc"] == pytest.approx(accuracy(run, in_file(path)))
    score = run.trainer.checkpoint_callbacks[0].best_model_score  # type: ignore[attr-defined]
    epochs = [float(v) for v in run.points.of("val/acc").values()]
    assert score == pytest.approx(max(epochs))


def test_the_training_itself_is_as_without_an_average(fit: Fit) -> None:
    plain = fit(epochs=4)
    for make, _ in KINDS.values():
        assert_same_record(plain.record, fit(make(), epochs=4).record)


def test_before_its_start_an_epoch_average_is_the_weights_themselves(fit: Fit) -> None:
    seen = Snapshots()
    fit(seen, EpochAverage(start=3), epochs=5)
    ends = seen.weights[ITERATIONS - 1 :: ITERATIONS]
    assert len(seen.validated) == 5
    for epoch in range(4):  # the mean of one is itself
        assert close(seen.validated[epoch], ends[epoch])
    assert close(seen.validated[4], mean(ends[3:]))


def test_a_fraction_is_of_the_epochs(fit: Fit) -> None:
    seen = Snapshots()
    fit(seen, EpochAverage(start=0.5), epochs=4)
    assert close(seen.validated[-1], mean(seen.weights[3 * ITERATIONS - 1 :: ITERATIONS]))


def test_running_statistics_are_averaged_too(fit: Fit) -> None:
    seen = Snapshots()
    run = fit(seen, EpochAverage(start=1), epochs=3, network=conv)
    assert close(numbers(run.module), mean(seen.weights[2 * ITERATIONS - 1 :: ITERATIONS]))


def test_an_epoch_average_goes_in_chunks_with_the_same_bits(both: Both) -> None:
    assert_same(*both(lambda: [EpochAverage(start=1)], epochs=4))


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_run_goes_on_with_both_weights(fit: Fit, tmp_path: Path, kind: str) -> None:
    make, _ = KINDS[kind]
    unbroken = fit(*kept(tmp_path / "a", make()), epochs=5, enable_checkpointing=True)
    fit(*kept(tmp_path / "b", make()), epochs=3, enable_checkpointing=True)
    resumed = fit(
        *kept(tmp_path / "b", make()),
        epochs=5,
        enable_checkpointing=True,
        resume=tmp_path / "b" / "last.ckpt",
    )
    assert_same_weights(unbroken.module, resumed.module)
    a, b = (torch.load(tmp_path / x / "last.ckpt", weights_only=True) for x in "ab")
    for part in ("state_dict", "current_model_state"):
        assert all(torch.equal(v, b[part][k]) for k, v in a[part].items() if torch.is_tensor(v))


def test_a_longer_run_that_would_average_other_epochs_is_refused(fit: Fit, tmp_path: Path) -> None:
    options: dict[str, Any] = {"enable_checkpointing": True}
    fit(*kept(tmp_path / "a", EpochAverage(start=0.5)), epochs=4, **options)
    last = tmp_path / "a" / "last.ckpt"
    with pytest.raises(InputError, match=r"averages from epoch 2 on, .* start=0.5 .* epoch 5"):
        fit(*kept(tmp_path / "a", EpochAverage(start=0.5)), epochs=10, resume=last, **options)
    longer = fit(*kept(tmp_path / "a", EpochAverage(start=2)), epochs=6, resume=last, **options)
    whole = fit(*kept(tmp_path / "b", EpochAverage(start=2)), epochs=6, **options)
    assert_same_weights(longer.module, whole.module)


def test_the_average_stays_in_a_set_onto_which_tau_is_projected(fit: Fit) -> None:
    run = fit(TauProjection(ScaledSimplex(eps=1e-4)), ExponentialAverage(decay=0.9), epochs=3)
    tau = run.module.tau.detach()
    assert float(tau.sum()) == pytest.approx(1.0, abs=1e-5)
    assert float(tau.min()) >= 1e-4 - 1e-7


@pytest.mark.parametrize("make", [make for make, _ in KINDS.values()], ids=list(KINDS))
def test_pruning_does_not_go_with_an_average(fit: Fit, make: Any) -> None:
    with pytest.raises(InputError, match=r"pruning=adaptive: does not go with .*WeightAveraging"):
        fit(make(), AdaptivePruning(), epochs=3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EpochAverage(start=-1), "start=-1: must be an epoch, or a fraction"),
        (lambda: EpochAverage(start=1.5), "start=1.5: must be"),
        (lambda: EpochAverage(start=True), "start=True: must be"),
        (lambda: EpochAverage(start="late"), "start=late: must be"),  # type: ignore[arg-type]
        (lambda: ExponentialAverage(decay=1.0), r"decay=1.0: must be a number in \[0, 1\)"),
        (lambda: ExponentialAverage(decay=True), "decay=True: must be"),
        (lambda: ExponentialAverage(decay="x"), "decay=x: must be"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_average_is_refused(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_an_average_of_no_epoch_is_refused(fit: Fit) -> None:
    with pytest.raises(InputError, match=r"start=2: must be below trainer.max_epochs=2"):
        fit(EpochAverage(start=2), epochs=2)
    with pytest.raises(InputError, match=r"start=0.5: is a fraction of trainer.max_epochs, and th"):
        fit(EpochAverage(start=0.5), epochs=-1, max_steps=20)


def test_lightnings_own_callback_tests_other_weights(fit: Fit, tmp_path: Path) -> None:
    # why there are classes of ours: once Lightning mends this, they can go
    own = lightnings.EMAWeightAveraging(decay=0.9)
    run = fit(own, LastCheckpoint(tmp_path), epochs=3, enable_checkpointing=True)
    average = numbers(run.module)
    run.trainer.test(run.module, Blobs(), str(tmp_path / "last.ckpt"), verbose=False)
    assert close(in_file(tmp_path / "last.ckpt"), average)
    assert not close(numbers(run.module), average)
    assert averages(ExponentialAverage())
    assert not averages(own)


def test_a_checkpoint_of_an_average_is_evaluated_by_others(fit: Fit, tmp_path: Path) -> None:
    run = fit(*kept(tmp_path, ExponentialAverage(decay=0.9)), epochs=3, enable_checkpointing=True)
    path = str(tmp_path / "last.ckpt")
    [here] = run.trainer.test(run.module, Blobs(), path, verbose=False)
    module = TimeVariableClassifier.load_from_checkpoint(path, network=resnet())
    [there] = quiet_trainer(tmp_path).test(module, Blobs(), verbose=False)
    assert {k: v for k, v in here.items() if k != "step"} == there
