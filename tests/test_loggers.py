"""The table of metrics."""

import csv
from pathlib import Path

import pytest
from lightning.pytorch.loggers import Logger

from tvl_lightning.loggers import MetricsTable


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "metrics.csv"


def test_training_and_validation_metrics_of_an_epoch_are_one_row(path: Path) -> None:
    table = MetricsTable(path)
    table.log_metrics({"epoch": 0, "val/acc": 0.5, "val/task_loss": 2.0}, step=39)
    table.log_metrics({"epoch": 0, "train/acc": 0.25}, step=39)
    assert rows(path) == [
        {
            "epoch": "0",
            "step": "39",
            "train/acc": "0.25",
            "val/acc": "0.5",
            "val/task_loss": "2.0",
        }
    ]


def test_each_epoch_has_its_row_in_order(path: Path) -> None:
    table = MetricsTable(path)
    for epoch in (0, 2, 1):
        table.log_metrics({"epoch": epoch, "val/acc": epoch / 10}, step=epoch * 40)
    assert [row["epoch"] for row in rows(path)] == ["0", "1", "2"]
    assert [row["val/acc"] for row in rows(path)] == ["0.0", "0.1", "0.2"]


def test_epoch_and_step_are_the_first_columns(path: Path) -> None:
    MetricsTable(path).log_metrics({"a/first": 1.0, "epoch": 0}, step=1)
    assert path.read_text().splitlines()[0] == "epoch,step,a/first"


def test_metric_that_comes_later_is_blank_in_earlier_rows(path: Path) -> None:
    table = MetricsTable(path)
    table.log_metrics({"epoch": 0, "val/acc": 0.5}, step=1)
    table.log_metrics({"epoch": 1, "val/acc": 0.6, "penalty/l1": 0.01}, step=2)
    assert [row["penalty/l1"] for row in rows(path)] == ["", "0.01"]


def test_epoch_that_arrives_as_a_float_is_a_whole_number_in_the_file(path: Path) -> None:
    MetricsTable(path).log_metrics({"epoch": 3.0, "val/acc": 0.5}, step=1)
    assert rows(path)[0]["epoch"] == "3"


def test_metrics_of_no_epoch_are_left_out(path: Path) -> None:
    table = MetricsTable(path)
    table.log_metrics({"test/acc": 0.5}, step=1)
    assert not path.exists()


def test_rows_of_an_existing_file_stay_until_their_epoch_is_logged_again(path: Path) -> None:
    first = MetricsTable(path)
    for epoch in range(3):
        first.log_metrics({"epoch": epoch, "val/acc": 0.1 * epoch}, step=epoch)

    resumed = MetricsTable(path)
    assert [row["val/acc"] for row in rows(path)] == ["0.0", "0.1", "0.2"]
    resumed.log_metrics({"epoch": 1, "val/acc": 0.9}, step=10)
    assert [row["val/acc"] for row in rows(path)] == ["0.0", "0.9", "0.2"]
    resumed.log_metrics({"epoch": 3, "val/acc": 0.4}, step=30)
    assert [row["val/acc"] for row in rows(path)] == ["0.0", "0.9", "0.2", "0.4"]
    assert [row["step"] for row in rows(path)] == ["0", "10", "2", "30"]


def test_resumed_table_keeps_blanks_and_all_columns(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("epoch,step,train/acc,val/acc\n0,39,0.5,\n1,79,,0.75\n")
    MetricsTable(path).log_metrics({"epoch": 2, "penalty/l1": 1.0}, step=119)
    assert path.read_text().splitlines() == [
        "epoch,step,penalty/l1,train/acc,val/acc",
        "0,39,,0.5,",
        "1,79,,,0.75",
        "2,119,1.0,,",
    ]


def test_file_is_whole_after_each_metric(path: Path) -> None:
    table = MetricsTable(path)
    for epoch in range(5):
        for stage in ("val", "train"):
            table.log_metrics({"epoch": epoch, f"{stage}/acc": 0.5}, step=epoch)
            assert len(rows(path)) == epoch + 1
            assert rows(path)[-1][f"{stage}/acc"] == "0.5"
    assert list(path.parent.iterdir()) == [path]


def test_file_stays_as_it_was_where_writing_fails(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = MetricsTable(path)
    table.log_metrics({"epoch": 0, "val/acc": 0.5}, step=1)
    before = path.read_text()

    def disk_full(self: object, rows: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(csv.DictWriter, "writerows", disk_full)
    with pytest.raises(OSError, match="No space"):
        table.log_metrics({"epoch": 1, "val/acc": 0.6}, step=2)
    assert path.read_text() == before
    assert list(path.parent.iterdir()) == [path]


def test_table_serves_as_a_logger_of_lightning(path: Path) -> None:
    table = MetricsTable(str(path))
    assert isinstance(table, Logger)
    assert table.name == "metrics"
    table.log_hyperparams({"lr": 0.1})
    assert not path.exists()
