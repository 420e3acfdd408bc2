from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Callback, Trainer

from tests.callbacks.conftest import Fit
from tests.callbacks.test_pruning import SGD, with_small_taus
from tvl_lightning.callbacks import AdaptivePruning, TauTrajectory
from tvl_lightning.regularizers import L1


class Copy(Callback):
    def __init__(self) -> None:
        self.rows: list[tuple[int, torch.Tensor, float]] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, *args: Any
    ) -> None:
        tau = pl_module.tau.detach().clone()
        self.rows.append((trainer.global_step, tau, float(outputs["loss"])))


def test_every_iteration_is_written_with_its_tau_and_losses(fit: Fit, tmp_path: Path) -> None:
    copy = Copy()
    penalty = L1(0.1)
    fit(TauTrajectory(tmp_path / "tau.npz"), copy, epochs=2, penalties={"l1": penalty})
    with np.load(tmp_path / "tau.npz") as file:
        record = dict(file)
    iterations, taus, losses = zip(*copy.rows, strict=True)
    assert record["iteration"].tolist() == list(iterations) == list(range(1, 37))
    np.testing.assert_array_equal(record["tau"], torch.stack(taus).numpy())
    np.testing.assert_allclose(record["loss"], losses)
    # the loss is that of the τ before the step
    penalties = [float(penalty(tau)) for tau in taus]
    np.testing.assert_allclose(
        (record["loss"] - record["task_loss"])[1:], penalties[:-1], atol=1e-6
    )


def test_tau_of_a_removed_layer_is_nan_from_its_removal_on(fit: Fit, tmp_path: Path) -> None:
    record = TauTrajectory(tmp_path / "tau.npz")
    fit(AdaptivePruning(interval=7), record, network=with_small_taus(), optimizer=SGD)
    with np.load(tmp_path / "tau.npz") as file:
        tau = file["tau"]
    gone = np.isnan(tau)
    assert gone[:, [1, 3]].sum(0).tolist() == [12, 12]
    assert not gone[:6].any()
    assert not gone[:, [0, 2, 4]].any()


def test_a_resumed_run_has_all_iterations(fit: Fit, tmp_path: Path) -> None:
    trainer, _ = fit(TauTrajectory(tmp_path / "first.npz"))
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    fit(TauTrajectory(tmp_path / "second.npz"), epochs=2, resume=tmp_path / "one.ckpt")
    with np.load(tmp_path / "first.npz") as first, np.load(tmp_path / "second.npz") as second:
        assert second["iteration"].tolist() == list(range(1, 37))
        np.testing.assert_array_equal(second["tau"][:18], first["tau"])


def test_records_beyond_one_block_are_kept_in_order(
    fit: Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tvl_lightning.callbacks.trajectory._WAITING", 7)
    fit(TauTrajectory(tmp_path / "tau.npz"), epochs=2)
    with np.load(tmp_path / "tau.npz") as file:
        assert file["iteration"].tolist() == list(range(1, 37))
