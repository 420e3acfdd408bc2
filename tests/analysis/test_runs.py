"""Run directories as arrays."""

import json
from pathlib import Path

import numpy as np
import pytest

from tvl_lightning.analysis.runs import read_run


def test_blank_metrics_are_nan(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(
        "epoch,step,train/acc,val/acc\n0,39,0.5,\n1,79,,0.75\n2,119,1e-3,0.875\n"
    )
    metrics = read_run(tmp_path).metrics
    assert list(metrics) == ["epoch", "step", "train/acc", "val/acc"]
    assert metrics["epoch"].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(metrics["train/acc"], [0.5, np.nan, 1e-3])
    np.testing.assert_array_equal(metrics["val/acc"], [np.nan, 0.75, 0.875])


def test_metrics_that_are_not_finite_are_kept(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,train/loss\n0,inf\n1,nan\n")
    np.testing.assert_array_equal(read_run(tmp_path).metrics["train/loss"], [np.inf, np.nan])


def test_row_that_was_cut_short_is_nan_where_it_is_missing(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,step,val/acc\n0,39,0.5\n1,79")
    np.testing.assert_array_equal(read_run(tmp_path).metrics["val/acc"], [0.5, np.nan])


@pytest.mark.parametrize("text", ["", "epoch,step,val/acc\n"])
def test_table_without_rows_is_empty(text: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(text)
    assert read_run(tmp_path).metrics == {}


def test_trajectory_keeps_nan_after_a_removal(tmp_path: Path) -> None:
    tau = np.array([[0.5, 0.5], [0.6, 0.1], [0.7, np.nan]], np.float32)
    np.savez(tmp_path / "tau.npz", iteration=np.arange(1, 4), tau=tau, loss=np.ones(3))
    trajectory = read_run(tmp_path).trajectory
    assert set(trajectory) == {"iteration", "tau", "loss"}
    np.testing.assert_array_equal(trajectory["tau"], tau)
    assert trajectory["iteration"].tolist() == [1, 2, 3]


def test_summary_is_read(tmp_path: Path) -> None:
    summary = {"test": {"test/acc": 0.9}, "layers": [0, 2], "tested_checkpoint": None}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    assert read_run(str(tmp_path)).summary == summary


def test_what_is_missing_is_empty(tmp_path: Path) -> None:
    run = read_run(tmp_path)
    assert (run.folder, run.metrics, run.trajectory, run.summary) == (tmp_path, {}, {}, {})


def test_run_that_has_not_ended_has_all_but_a_summary(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,val/acc\n0,0.5\n")
    np.savez(tmp_path / "tau.npz", iteration=np.arange(1, 3), tau=np.ones((2, 3)))
    run = read_run(tmp_path)
    assert run.summary == {}
    assert run.metrics["val/acc"].tolist() == [0.5]
    assert run.trajectory["tau"].shape == (2, 3)
