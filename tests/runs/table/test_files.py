"""The table as a file."""

import csv
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.runs.table.made_up import write
from tvl_lightning.limits import InputError
from tvl_lightning.runs.table import read_rows, table_of, write_table


def test_parquet_holds_the_whole_frame(tmp_path: Path) -> None:
    for seed in range(3):
        write(tmp_path / "runs" / str(seed), seed=seed, lr=seed / 7)
    for over in ([], ["seed"]):
        table = table_of(read_rows([tmp_path / "runs"]), over)
        write_table(table, tmp_path / "table.parquet")
        assert_frame_equal(pl.read_parquet(tmp_path / "table.parquet"), table.frame)


def test_csv_has_all_digits(tmp_path: Path) -> None:
    for seed in range(3):
        write(tmp_path / "runs" / str(seed), seed=seed, test={"test/acc": (seed + 1) / 7})
    table = table_of(read_rows([tmp_path / "runs"]))
    write_table(table, tmp_path / "table.csv")
    read = pl.read_csv(tmp_path / "table.csv")
    assert read.columns == table.frame.columns
    assert read["test_acc"].to_list() == [1 / 7, 2 / 7, 3 / 7]
    assert read["seed"].to_list() == [0, 1, 2]


def test_csv_has_no_formula(tmp_path: Path) -> None:
    for reason in ("=1+1", "+1+1", "-1+1", "@sum(1)", "-0.5", "a=1, b"):
        write(tmp_path / "runs" / reason, status="failed", reason=reason)
    write_table(table_of(read_rows([tmp_path / "runs"])), tmp_path / "table.csv")
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    reasons = sorted(row["reason"] for row in rows)
    assert reasons == ["'+1+1", "'-1+1", "'=1+1", "'@sum(1)", "-0.5", "a=1, b"]
    assert [row["run"] for row in rows] == [row["reason"] for row in rows]


def test_markdown_shows_texts_as_they_are(tmp_path: Path) -> None:
    bad = "|<b>[x](javascript:0)</b>`*\n# more"
    write(tmp_path / "runs" / "a_b", status="failed", reason=bad)
    write_table(table_of(read_rows([tmp_path / "runs"])), tmp_path / "table.md")
    head, rule, row, _, counts = (tmp_path / "table.md").read_text().splitlines()
    assert head.startswith("| run | status | best\\_val\\_acc | ")
    assert rule.count("---") == head.count(" | ") + 1
    assert row.startswith("| a\\_b | failed | 0.9000 | ")
    assert row.endswith(r"| \|\<b\>\[x\]\(javascript:0\)\</b\>\`\* \# more |")
    assert counts == "1 run: 1 failed"


@pytest.mark.parametrize("name", ["table.txt", "table", "table.CSV"])
def test_another_kind_of_file_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path / "a")
    with pytest.raises(InputError, match=r"must end in \.csv, \.parquet, \.md"):
        write_table(table_of(read_rows([tmp_path])), tmp_path / name)
    assert not (tmp_path / name).exists()
