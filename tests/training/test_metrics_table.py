"""The table of metrics: one row an epoch, over all legs of a run."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, Trainer

from tests.training.runs import LIGHTNING, Fit, Loaders, with_small_taus
from tvl_lightning.penalties import L1
from tvl_lightning.training import AdaptivePruning, MetricsTable, TimeVariableClassifier

in_both_loops = pytest.mark.parametrize("loop", [LIGHTNING, "eager"])
PENALTIES = {"l1": L1(0.1)}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def column(path: Path, name: str) -> list[str]:
    return [row[name] for row in rows(path)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table" / "metrics.csv"


@in_both_loops
def test_each_epoch_has_one_row_with_all_that_callbacks_see(
    fit: Fit, path: Path, loop: str
) -> None:
    run = fit(MetricsTable(path), loop=loop, penalties=PENALTIES, epochs=3)
    assert column(path, "epoch") == ["0", "1", "2"]
    assert column(path, "step") == ["18", "36", "54"]
    last = rows(path)[-1]
    metrics = run.trainer.callback_metrics
    assert {"train/acc", "train/loss", "train/task_loss", "val/acc", "val/task_loss"} < set(last)
    for name, value in metrics.items():
        assert torch.tensor(float(last[name])) == value
        assert list(run.points.of(name).values()) == pytest.approx(
            [float(cell) for cell in column(path, name)], rel=1e-6
        )


def test_epoch_and_step_are_the_first_columns_and_the_others_are_sorted(
    fit: Fit, path: Path
) -> None:
    fit(MetricsTable(path), penalties=PENALTIES, epochs=1)
    header = path.read_text().splitlines()[0]
    assert header == (
        "epoch,step,layers,lr,parameters,penalty/l1,seconds,sum_of_tau,"
        "train/acc,train/loss,train/task_loss,val/acc,val/task_loss"
    )


@in_both_loops
def test_row_minus_1_is_the_state_before_training(fit: Fit, path: Path, loop: str) -> None:
    fit(MetricsTable(path), loop=loop, penalties=PENALTIES, num_sanity_val_steps=-1)
    assert column(path, "epoch") == ["-1", "0", "1"]
    assert column(path, "step") == ["0", "18", "36"]
    first = rows(path)[0]
    assert {name for name, cell in first.items() if not cell} == {
        "lr",
        "train/acc",
        "train/loss",
        "train/task_loss",
    }
    assert (first["sum_of_tau"], first["penalty/l1"], first["layers"]) == ("1.0", "0.1", "5")


@pytest.mark.parametrize("sanity", [0, 2])
def test_no_row_is_written_from_a_part_of_the_validation(fit: Fit, path: Path, sanity: int) -> None:
    fit(MetricsTable(path), data=Loaders(), epochs=1, num_sanity_val_steps=sanity)
    assert column(path, "epoch") == ["0"]


def test_numbers_are_the_shortest_that_mean_the_same(fit: Fit, path: Path) -> None:
    fit(MetricsTable(path), penalties=PENALTIES, epochs=1)
    [row] = rows(path)
    assert row["lr"] == "0.02"
    assert all(len(cell) <= 13 for cell in row.values())


@pytest.mark.parametrize("precision", ["64-true", "bf16-true", "bf16-mixed"])
def test_every_precision_is_written(fit: Fit, path: Path, precision: str) -> None:
    fit(MetricsTable(path), precision=precision, epochs=1, penalties=PENALTIES)
    assert float(rows(path)[0]["sum_of_tau"]) > 0.1


def test_an_epoch_without_a_validation_has_no_metrics_of_one(fit: Fit, path: Path) -> None:
    fit(MetricsTable(path), epochs=5, check_val_every_n_epoch=2)
    assert [bool(cell) for cell in column(path, "val/acc")] == [False, True, False, True, False]
    assert all(column(path, "train/acc"))


@in_both_loops
def test_layers_and_parameters_are_those_that_are_left(fit: Fit, path: Path, loop: str) -> None:
    run = fit(
        AdaptivePruning(interval=20),
        MetricsTable(path),
        loop=loop,
        network=with_small_taus,
        epochs=3,
        num_sanity_val_steps=-1,
    )
    left = sum(parameter.numel() for parameter in run.module.parameters())
    assert column(path, "layers") == ["5", "5", "3", "3"]
    assert column(path, "parameters") == ["855", "855", str(left), str(left)]
    assert left < 855
    assert torch.tensor(float(rows(path)[-1]["sum_of_tau"])) == run.module.tau.sum()


class Late(TimeVariableClassifier):
    """Has a metric more from the second epoch on."""

    def on_train_epoch_end(self) -> None:
        if self.current_epoch:
            self.log("a/late", torch.tensor(0.5))
        super().on_train_epoch_end()


def test_a_metric_that_comes_later_is_blank_in_earlier_rows(fit: Fit, path: Path) -> None:
    fit(MetricsTable(path), module_class=Late, epochs=3)
    assert column(path, "a/late")[0] == ""
    assert column(path, "a/late")[-1] == "0.5"


class Whole(Callback):
    """Reads the file while training goes on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counts: list[int] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.counts.append(len(rows(self.path)) if self.path.exists() else 0)
        assert {p.name for p in self.path.parent.glob("*")} <= {"metrics.csv"}


def test_the_file_is_whole_after_each_epoch(fit: Fit, path: Path) -> None:
    whole = Whole(path)
    fit(MetricsTable(path), whole, epochs=4)
    assert whole.counts == [0, 1, 2, 3]


@in_both_loops
def test_a_resumed_run_keeps_its_rows_and_goes_on(fit: Fit, path: Path, loop: str) -> None:
    begun = fit(MetricsTable(path), loop=loop, epochs=3, num_sanity_val_steps=-1)
    saved, before = begun.last_checkpoint, path.read_text().splitlines()
    fit(MetricsTable(str(path)), loop=loop, epochs=5, resume=saved, num_sanity_val_steps=-1)
    assert path.read_text().splitlines()[:5] == before
    assert column(path, "epoch") == ["-1", "0", "1", "2", "3", "4"]
    seconds = [float(cell) for cell in column(path, "seconds")]
    assert seconds == sorted(seconds)


def test_the_rows_of_a_resumed_run_are_those_of_its_checkpoint(fit: Fit, path: Path) -> None:
    saved = fit(MetricsTable(path), epochs=1).last_checkpoint
    first = rows(path)[0]
    path.write_text("epoch,step,gone,val/acc\n0,18,7,\n1,36,8,0.75\n9,180,,0.5\n")
    fit(MetricsTable(path), epochs=2, resume=saved)
    assert column(path, "epoch") == ["0", "1"]
    assert rows(path)[0] == first
    assert rows(path)[1]["train/acc"]


def test_seconds_are_those_of_all_legs(
    fit: Fit, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock:
        now = 0.0

        def perf_counter(self) -> float:
            self.now += 1
            return self.now

    monkeypatch.setattr("tvl_lightning.training.callbacks.metrics_table.time", Clock())
    begun = fit(MetricsTable(path))
    assert column(path, "seconds") == ["1.0", "2.0"]
    saved = begun.last_checkpoint  # it asks too: 3 seconds
    Clock.now = 1000.0
    fit(MetricsTable(path), epochs=4, resume=saved)
    assert column(path, "seconds") == ["1.0", "2.0", "4.0", "5.0"]


def test_the_file_stays_as_it_was_where_writing_fails(
    fit: Fit, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = fit(MetricsTable(path), epochs=1).last_checkpoint
    before = path.read_text()

    def disk_full(self: object, rows: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(csv.DictWriter, "writerows", disk_full)
    with pytest.raises(OSError, match="No space"):
        fit(MetricsTable(path), epochs=2, resume=saved)
    assert path.read_text() == before
    assert list(path.parent.iterdir()) == [path]
