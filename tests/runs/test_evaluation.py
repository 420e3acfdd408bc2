"""Answers as tables and a picture."""

import csv
from pathlib import Path

import numpy as np

from tvl_lightning.runs.evaluation import confusion, report, write_confusion, write_predictions

LABELS = np.array([0, 0, 0, 2, 2, 1])
PREDICTED = np.array([0, 0, 2, 2, 1, 1])


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_a_row_is_a_class_and_a_column_what_it_was_taken_for() -> None:
    counts = confusion(LABELS, PREDICTED, 4)
    assert counts.tolist() == [[2, 0, 1, 0], [0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert confusion(LABELS[:0], PREDICTED[:0], 2).tolist() == [[0, 0], [0, 0]]


def test_tables_and_picture_are_written_and_a_class_without_samples_has_no_accuracy(
    tmp_path: Path,
) -> None:
    write_confusion(tmp_path, confusion(LABELS, PREDICTED, 4))
    assert rows(tmp_path / "confusion.csv")[:2] == [
        ["class", "0", "1", "2", "3"],
        ["0", "2", "0", "1", "0"],
    ]
    assert rows(tmp_path / "classes.csv") == [
        ["class", "samples", "correct", "accuracy"],
        ["0", "3", "2", "0.666667"],
        ["1", "1", "1", "1"],
        ["2", "2", "1", "0.5"],
        ["3", "0", "0", ""],
    ]
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(tmp_path.iterdir())) == 3


def test_predictions_hold_label_class_and_probabilities(tmp_path: Path) -> None:
    logits = np.array([[0.0, np.log(3)], [1000.0, -1000.0]])
    write_predictions(tmp_path / "p.csv", logits, np.array([0, 0]))
    assert rows(tmp_path / "p.csv") == [
        ["index", "label", "predicted", "p_0", "p_1"],
        ["0", "0", "1", "0.25", "0.75"],
        ["1", "0", "0", "1", "0"],
    ]
    write_predictions(tmp_path / "p.csv", logits, None)
    assert [row[1] for row in rows(tmp_path / "p.csv")] == ["label", "", ""]


def test_the_report_names_the_weakest_classes_and_has_four_digits(tmp_path: Path) -> None:
    evaluation = {
        "checkpoint": "x.ckpt",
        "epoch": None,
        "split": "val",
        "samples": 6,
        "data": "Noise",
        "layers": [0, 2],
        "parameters": 12345,
        "val": {"val/acc": 4 / 6, "val/task_loss": 1.23456},
    }
    lines = list(report(evaluation, confusion(LABELS, PREDICTED, 4), tmp_path))
    assert lines == [
        "x.ckpt: 2 layers, 12,345 parameters",
        "val set of Noise: 6 samples",
        "accuracy 0.6667, cross entropy 1.235",
        "least accurate: class 2 0.5, class 0 0.6667, class 1 1",
        f"results: {tmp_path}",
    ]
