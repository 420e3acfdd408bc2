"""A row for each run."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.runs.table.made_up import summary, write, write_curves
from tvl_lightning.limits import InputError
from tvl_lightning.runs.table import read_rows


def paths(*folders: Path) -> list[str]:
    return [row.record.path for row in read_rows(folders)]


def results(folder: Path, accuracy: float | None = None) -> dict[str, Any]:
    [row] = read_rows([folder], accuracy)
    return dict(row.results)


def test_runs_are_found_at_any_depth_in_natural_order(tmp_path: Path) -> None:
    for name in ("sweep/10", "sweep/2", "a", "deep/er/0"):
        write(tmp_path / name)
    (tmp_path / "empty").mkdir()
    assert paths(tmp_path) == ["a", "deep/er/0", "sweep/2", "sweep/10"]


def test_a_run_may_be_named_itself(tmp_path: Path) -> None:
    assert paths(write(tmp_path / "run")) == ["run"]


def test_of_several_folders_the_paths_begin_with_theirs(tmp_path: Path) -> None:
    for name in ("a/sweep/0", "b/sweep/0"):
        write(tmp_path / name)
    a, b = tmp_path / "a" / "sweep", tmp_path / "b" / "sweep"
    assert paths(a, b) == [f"{a}/0", f"{b}/0"]


def test_what_lies_in_a_run_is_no_run_and_links_are_not_followed(tmp_path: Path) -> None:
    write(write(tmp_path / "run") / "evaluation")
    write(tmp_path / ".hidden")
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    assert paths(tmp_path) == ["run"]


def test_an_evaluation_is_no_run(tmp_path: Path) -> None:
    write(tmp_path / "run")
    folder = tmp_path / "evaluation"
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text("split: test\n")
    (folder / "evaluation.json").write_text("{}")
    assert paths(tmp_path) == ["run"]


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_where_there_is_no_run_it_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=f"{name}: no "):
        read_rows([tmp_path / name])


def test_what_the_summary_says_is_the_row(tmp_path: Path) -> None:
    write_curves(write(tmp_path / "run"), val_acc=[1, 1, 1, 1])  # not looked at
    assert results(tmp_path) == {
        "best_val_acc": 0.9,
        "last_val_acc": 0.8,
        "best_test_acc": None,
        "last_test_acc": None,
        "test_acc": 0.875,
        "layers": 3,
        "parameters": 89_602,
        "sum_of_tau": 1.25,
        "epochs": 3,
        "seconds": 12.0,
        "iterations_per_second": 9.0,
    }


def test_a_run_that_is_tested_every_epoch_has_a_best_epoch_of_that(tmp_path: Path) -> None:
    run = write(tmp_path / "run", metrics={"test/acc": 0.75}, best=None)
    write_curves(run, val_acc=[None] * 4, test_acc=[0.99, 0.5, 0.85, 0.75])
    found = results(tmp_path)
    assert (found["best_test_acc"], found["last_test_acc"]) == (0.85, 0.75)
    assert found["best_val_acc"] is None


def test_the_best_of_an_older_run_is_that_of_its_curves_after_training_began(
    tmp_path: Path,
) -> None:
    run = write(tmp_path / "run", best=None)
    old = json.loads((run / "summary.json").read_text())
    del old["status"], old["reason"], old["best"], old["sum_of_tau"]
    (run / "summary.json").write_text(json.dumps({**old, "tau": [0.5, 0.25]}))
    write_curves(run)
    [row] = read_rows([tmp_path])
    assert row.record.status == "finished"
    assert row.results["best_val_acc"] == 0.9
    assert row.results["sum_of_tau"] == 0.75


@pytest.mark.parametrize(
    ("accuracy", "epochs"), [(0.4, 0), (0.5, 1), (0.85, 2), (0.9, 2), (0.91, None)]
)
def test_epochs_to_an_accuracy_are_those_it_took(
    tmp_path: Path, accuracy: float, epochs: int | None
) -> None:
    write_curves(write(tmp_path / "run"), val_acc=[0.45, 0.5, 0.9, 0.8])
    assert results(tmp_path, accuracy)[f"epochs_to_{accuracy:g}"] == epochs


def test_without_validation_the_test_set_says_when_an_accuracy_was_reached(tmp_path: Path) -> None:
    run = write(tmp_path / "run", metrics={"test/acc": 0.75}, best=None)
    write_curves(run, val_acc=[None] * 4, test_acc=[0.1, 0.5, 0.85, 0.75])
    assert results(tmp_path, 0.8)["epochs_to_0.8"] == 2


def test_a_run_without_a_summary_is_running_or_killed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_curves(run, layers=[6, 6, 5, 5], parameters=[90, 90, 80, 80], seconds=[0, 1, 2, 4])
    (run / ".hydra").mkdir()
    (run / ".hydra" / "config.yaml").write_text("seed: 3\n")
    [row] = read_rows([tmp_path])
    assert (row.record.status, row.record.seed) == ("running or killed", "3")
    found = {name: value for name, value in row.results.items() if value is not None}
    assert found == {
        "best_val_acc": 0.9,
        "last_val_acc": 0.8,
        "layers": 5,
        "parameters": 80,
        "epochs": 3,
        "seconds": 4,
        "iterations_per_second": 27,
    }


@pytest.mark.parametrize("status", ["stopped", "diverged", "failed"])
def test_how_a_run_ended_is_said_with_the_reason(tmp_path: Path, status: str) -> None:
    write(tmp_path / "run", status=status, reason="why it did")
    [row] = read_rows([tmp_path])
    assert (row.record.status, row.record.reason) == (status, "why it did")


DEEP = '{"settings": ' + '{"a": ' * 200 + "1" + "}" * 201


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("summary.json", b'{"status": ', "summary.json: cannot be read: "),
        ("summary.json", b"[1]", "summary.json: cannot be read: must be a JSON object"),
        ("summary.json", b"\xff\xfe", "summary.json: cannot be read: "),
        ("summary.json", DEEP.encode(), "summary.json: cannot be read: nested too deeply"),
        ("summary.json", b"[" * 100_000, "summary.json: cannot be read: "),
        ("metrics.csv", b"epoch,val/acc\n0,high\n", "metrics.csv: cannot be read: "),
        ("metrics.csv", b"epoch,val/acc\n0\n", "metrics.csv: cannot be read: "),
        ("metrics.csv", b"\x00\xff", "metrics.csv: cannot be read: "),
    ],
)
def test_a_damaged_file_is_named_and_stops_nothing(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    for run in "abc":
        write_curves(write(tmp_path / run))
    (tmp_path / "b" / name).write_bytes(content)
    rows = read_rows([tmp_path], 0.9)
    assert [row.record.status for row in rows] == ["finished", "unreadable", "finished"]
    assert rows[1].record.reason.startswith(reason)


@pytest.mark.parametrize("value", [[], {}, "text", 1e400, 10**400, True, {"a": [None]}])
def test_a_summary_of_anything_is_a_row(tmp_path: Path, value: Any) -> None:
    (tmp_path / "run").mkdir()
    content = dict.fromkeys([*summary(), "tau", "choices"], value)
    (tmp_path / "run" / "summary.json").write_text(json.dumps(content))
    assert set(results(tmp_path).values()) <= {None, 0}


def test_an_empty_table_is_that_of_a_run_that_has_just_begun(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.csv").write_text("")
    assert set(results(tmp_path, 0.9).values()) == {None}
