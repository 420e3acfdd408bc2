"""What a training leaves as it was, and what Lightning has beside a training."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import BatchSizeFinder, StochasticWeightAveraging
from lightning.pytorch.plugins import MixedPrecision

from tests.training.runs import ITERATIONS, LIGHTNING, Blobs, Both, Fit
from tvl_lightning.training.counting import align_counts, count_iterations


def state_of_torch() -> dict[str, Any]:
    """What is set for the whole process."""
    return {
        "type": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "matrix products": torch.get_float32_matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "benchmark": torch.backends.cudnn.benchmark,
        "anomalies": torch.is_anomaly_enabled(),
        "compiler": torch._dynamo.config.shallow_copy_dict(),
        "modules": len(torch.nn.modules.module._global_forward_hooks),
    }


@pytest.mark.parametrize("loop", [LIGHTNING, "eager"])
@pytest.mark.parametrize("precision", ["32-true", "64-true"])
def test_training_leaves_the_settings_of_torch_as_they_were(
    fit: Fit, loop: str, precision: str
) -> None:
    before = state_of_torch()
    fit(loop=loop, epochs=1, precision=precision)
    assert state_of_torch() == before


def test_the_search_for_a_batch_size_leads_to_a_training(fit: Fit) -> None:
    data = Blobs(batch_size=10)
    finder = BatchSizeFinder(init_val=4, max_trials=3, steps_per_trial=1)
    run = fit(finder, data=data, epochs=1)
    assert data.batch_size >= 16
    iterations = -(-177 // data.batch_size)
    assert run.trainer.global_step == iterations
    assert run.record["iteration"].tolist() == list(range(1, iterations + 1))


def test_averaged_weights_train_without_pruning(fit: Fit) -> None:
    run = fit(StochasticWeightAveraging(swa_lrs=0.01, swa_epoch_start=1), epochs=3)
    assert run.trainer.global_step == 3 * ITERATIONS
    assert run.record["iteration"].tolist() == list(range(1, 55))


@pytest.mark.parametrize("scale", [2.0**10, 2.0**26])
def test_steps_with_scaled_gradients_are_recorded_once_and_skipped_ones_are_not(
    fit: Fit, scale: float
) -> None:
    scaler = torch.amp.GradScaler("cpu", scale, growth_interval=1000)  # type: ignore[attr-defined]
    run = fit(plugins=[MixedPrecision("16-mixed", "cpu", scaler)])
    iterations, tau = run.record["iteration"], run.record["tau"]
    assert run.trainer.global_step == 2 * ITERATIONS  # Lightning counts skipped steps too
    assert (np.diff(iterations) > 0).all()
    assert (np.diff(tau, axis=0) != 0).any(1).all()
    assert (len(iterations) == 36) == (scale == 2.0**10)
    assert len(iterations) > 20


def test_replayed_iterations_are_counted_where_lightning_counts(fit: Fit) -> None:
    trainer = fit(loop="eager").trainer
    count_iterations(trainer, 5)
    assert trainer.global_step == 2 * ITERATIONS + 5


@pytest.mark.parametrize("loop", [LIGHTNING, "eager"])
def test_both_loops_begin_at_the_count_of_a_checkpoint(fit: Fit, loop: str) -> None:
    checkpoint = torch.load(fit(loop=loop).last_checkpoint, weights_only=True)
    align_counts(checkpoint)
    loops = checkpoint["loops"]["fit_loop"]
    manual = loops["epoch_loop.manual_optimization.optim_step_progress"]["total"]
    own = loops["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"]
    assert manual["completed"] == own["completed"] == checkpoint["global_step"] == 36


@pytest.mark.parametrize("optimizer", ["Adam", "SGD"])
def test_a_fused_optimizer_is_projected_and_recorded_too(both: Both, optimizer: str) -> None:
    kind = partial(getattr(torch.optim, optimizer), lr=0.01, fused=True)
    singly, chunked = both(optimizer=kind, epochs=1)
    assert (singly.record["tau"] == chunked.record["tau"]).all()
