"""Runs as a data frame, and groups of them."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.runs.table.made_up import write
from tvl_lightning.limits import InputError
from tvl_lightning.runs.table import read_rows, table_of
from tvl_lightning.runs.table.frame import Table


def table(folder: Path, *over: str, **options: Any) -> Table:
    return table_of(read_rows([folder]), over, **options)


def test_only_settings_that_differ_are_columns(tmp_path: Path) -> None:
    for i, lr in enumerate([0.1, 0.01]):
        write(tmp_path / str(i), lr=lr)
    found = table(tmp_path)
    assert found.settings == ["optimizer.lr"]
    assert found.frame["optimizer.lr"].to_list() == [0.1, 0.01]
    assert found.frame["run"].to_list() == ["0", "1"]
    assert found.counts == "2 runs: 2 finished"


def test_a_setting_that_some_runs_lack_is_null_there(tmp_path: Path) -> None:
    for i, reg in enumerate(["none", "l1", "l1"]):
        write(tmp_path / str(i), reg=reg)
    path = tmp_path / "2" / "summary.json"
    content = json.loads(path.read_text())
    content["settings"]["reg"]["l1"]["weight"] = 0.25
    path.write_text(json.dumps(content))
    found = table(tmp_path)
    assert found.frame["reg"].to_list() == ["none", "l1", "l1"]
    assert found.frame["reg.l1.weight"].to_list() == [None, 0.5, 0.25]


def test_over_seeds_there_are_mean_and_deviation_of_the_finished_runs(tmp_path: Path) -> None:
    for seed, acc in enumerate([0.5, 0.75, 1.0]):
        write(tmp_path / f"a{seed}", seed=seed, test={"test/acc": acc}, layers=[0] * (seed + 1))
    write(tmp_path / "b0", seed=0, lr=0.2, test={"test/acc": 0.25})
    write(tmp_path / "b1", seed=1, lr=0.2, test={"test/acc": 0.0}, status="diverged")
    frame = table(tmp_path, "seed").frame
    names = ["optimizer.lr", "runs", "finished", "test_acc_mean", "test_acc_std", "test_acc_n"]
    assert frame.select(names).rows() == [(0.1, 3, 3, 0.75, 0.25, 3), (0.2, 2, 1, 0.25, None, 1)]
    assert frame["layers_mean"].to_list() == [2.0, 3.0]
    assert frame["layers_std"].to_list() == [1.0, None]
    assert "seed" not in frame.columns


def test_groups_may_be_over_several_settings_and_over_all(tmp_path: Path) -> None:
    accuracies = iter([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9])
    for lr in (0.1, 0.2):
        for reg in ("none", "l1"):
            for seed in (0, 1):
                tested = {"test/acc": next(accuracies)}
                write(tmp_path / f"{lr}{reg}{seed}", lr=lr, reg=reg, seed=seed, test=tested)
    by_rate = table(tmp_path, "seed", "reg").frame
    assert by_rate["optimizer.lr"].to_list() == [0.1, 0.2]
    assert by_rate["test_acc_n"].to_list() == [4, 4]
    everything = table(tmp_path, "seed", "reg", "optimizer").frame
    assert everything["runs"].to_list() == [8]
    mean = sum([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9]) / 8
    assert everything["test_acc_mean"].item() == pytest.approx(mean)


def test_a_group_goes_with_what_is_in_it(tmp_path: Path) -> None:
    for i, reg in enumerate(["none", "l1", "l2"]):
        write(tmp_path / str(i), reg=reg)
    assert table(tmp_path, "reg").frame["runs"].to_list() == [3]


def test_over_a_setting_that_does_not_differ_each_run_is_a_group(tmp_path: Path) -> None:
    for i, lr in enumerate([0.1, 0.2]):
        write(tmp_path / str(i), lr=lr)
    assert table(tmp_path, "seed").frame["runs"].to_list() == [1, 1]


def test_over_what_is_no_setting_is_refused(tmp_path: Path) -> None:
    for i, lr in enumerate([0.1, 0.2]):
        write(tmp_path / str(i), lr=lr)
    with pytest.raises(InputError, match=r"--over sede: no such setting; .* optimizer.lr$"):
        table(tmp_path, "sede")


def test_what_cannot_be_read_is_in_no_group_but_counted(tmp_path: Path) -> None:
    write(tmp_path / "a")
    (write(tmp_path / "b") / "summary.json").write_text("{")
    found = table(tmp_path, "seed")
    assert found.frame["runs"].to_list() == [1]
    assert found.counts == "2 runs: 1 finished, 1 unreadable"


def test_a_run_that_failed_early_says_what_it_was_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "0", lr=0.1)
    asked = {"overrides": ["optimizer.lr=-1", "seed=4"], "choices": {"model": "resnet"}}
    (tmp_path / "1").mkdir()
    content = {"status": "failed", "reason": "optimizer.lr=-1: must be at least 0", **asked}
    (tmp_path / "1" / "summary.json").write_text(json.dumps(content))
    found = table(tmp_path)
    assert found.frame["optimizer.lr"].to_list() == [0.1, -1]
    assert found.frame["seed"].to_list() == [0, 4]
    assert set(found.settings) == {"optimizer.lr", "seed"}


@pytest.mark.parametrize(
    ("sort", "order"),
    [("test_acc", "bca"), ("-test_acc", "acb"), ("optimizer.lr", "abc"), ("-run", "dcba")],
)
def test_rows_are_sorted_by_a_column_unknown_ones_last(
    tmp_path: Path, sort: str, order: str
) -> None:
    for name, lr, acc in [("a", 0.1, 0.9), ("b", 0.2, 0.7), ("c", 0.3, 0.8)]:
        write(tmp_path / name, lr=lr, test={"test/acc": acc})
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "summary.json").write_text("")
    assert "".join(table(tmp_path, sort=sort).frame["run"]) == order + "d" * (sort != "-run")


def test_groups_are_sorted_by_a_mean(tmp_path: Path) -> None:
    for i, acc in enumerate([0.7, 0.9]):
        write(tmp_path / str(i), lr=i / 10, test={"test/acc": acc})
    frame = table(tmp_path, "seed", sort="-test_acc").frame
    assert frame["test_acc_mean"].to_list() == [0.9, 0.7]


def test_an_unknown_column_is_refused_with_those_there_are(tmp_path: Path) -> None:
    write(tmp_path / "a")
    with pytest.raises(InputError, match=r"--sort -best: no such column; .*best_val_acc"):
        table(tmp_path, sort="-best")


def test_text_of_a_run_steers_no_terminal_and_breaks_no_file(tmp_path: Path) -> None:
    write(tmp_path / "a\x1b[31m", reg="none", status="failed", reason="one\ntwo\x07\u202e \ud800")
    write(tmp_path / "b", reg="l1\x1b]0;title\x07")
    frame = table(tmp_path).frame
    assert frame["run"].to_list() == ["a[31m", "b"]
    assert frame["reason"].to_list() == ["one two ", None]
    assert frame["reg"].to_list() == ["none", "l1]0;title"]


def test_a_setting_with_the_name_of_a_result_has_a_column_of_its_own(tmp_path: Path) -> None:
    for i, lr in enumerate([0.1, 0.2]):
        path = write(tmp_path / str(i), lr=lr) / "summary.json"
        content = json.loads(path.read_text())
        content["overrides"] = [f"status={i}", f"layers_mean={i}"]
        content["settings"] |= {"status": i, "layers_mean": [i]}
        path.write_text(json.dumps(content))
    found = table(tmp_path)
    assert found.frame["setting status"].to_list() == [0, 1]
    assert found.frame["status"].to_list() == ["finished"] * 2
    assert table(tmp_path, "seed").frame["layers_mean"].to_list() == [3, 3]


def test_numbers_that_are_none_stay_out_of_means(tmp_path: Path) -> None:
    for seed, seconds in enumerate([2.0, math.nan, None, 4.0]):
        write(tmp_path / str(seed), seed=seed, seconds=seconds)
    frame = table(tmp_path, "seed").frame
    assert frame.select("seconds_mean", "seconds_n", "finished").rows() == [(3.0, 2, 4)]


@pytest.mark.slow
def test_ten_thousand_runs_are_one_table(tmp_path: Path) -> None:
    for i in range(10_000):
        lr, seed = (i // 10) / 1000, i % 10
        write(tmp_path / "sweep" / str(i), lr=lr, seed=seed, test={"test/acc": seed / 10})
    found = table(tmp_path)
    assert found.frame["run"].to_list() == [f"sweep/{i}" for i in range(10_000)]
    assert found.settings == ["optimizer.lr", "seed"]
    assert found.counts == "10000 runs: 10000 finished"
    groups = table(tmp_path, "seed").frame
    assert groups["optimizer.lr"].to_list() == [i / 1000 for i in range(1000)]
    assert set(groups["runs"]) == {10}
    assert groups["test_acc_mean"].to_list() == pytest.approx([0.45] * 1000)
    assert groups["test_acc_std"].to_list() == pytest.approx([math.sqrt(0.825 / 9)] * 1000)
