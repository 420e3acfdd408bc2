"""`python -m tvl_lightning.table`, as a user calls it."""

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.conftest import Command
from tests.runs.table.made_up import write, write_curves


def test_runs_are_printed_as_a_table(
    call: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for seed in range(2):
        write(tmp_path / "sweep" / str(seed), seed=seed)
    done = call("tvl_lightning.table", "sweep")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[1].split()[:3] == ["run", "seed", "status"]
    assert lines[3].split()[:4] == ["1", "1", "finished", "0.9000"]
    assert lines[-2].startswith("no room for epochs, ")
    assert max(map(len, lines[:-2])) <= 80
    assert lines[-1] == "2 runs: 2 finished"


def test_seeds_are_put_together_sorted_and_written(call: Command, tmp_path: Path) -> None:
    for seed in range(2):
        for lr in (0.1, 0.2):
            run = write(tmp_path / "sweep" / f"{seed}{lr}", seed=seed, lr=lr, test={"test/acc": lr})
            write_curves(run, val_acc=[0.1, 0.5, 0.9, 0.8])
    options = ["--over", "seed", "--accuracy", "0.85", "--sort=-test_acc", "--out", "x/t.parquet"]
    done = call("tvl_lightning.table", "sweep", *options)
    assert (done.returncode, done.stdout) == (0, "4 runs: 4 finished: x/t.parquet\n")
    frame = pl.read_parquet(tmp_path / "x" / "t.parquet")
    assert frame["optimizer.lr"].to_list() == [0.2, 0.1]
    assert frame["epochs_to_0.85_mean"].to_list() == [2, 2]


@pytest.mark.parametrize(
    "arguments",
    [
        ["missing"],
        ["sweep", "--over", "nonsense"],
        ["sweep", "--sort", "nonsense"],
        ["sweep", "--accuracy", "90"],
        ["sweep", "--accuracy", "nan"],
        ["missing", "--out", "table.xlsx"],
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    call: Command, tmp_path: Path, arguments: list[str]
) -> None:
    write(tmp_path / "sweep" / "0")
    done = call("tvl_lightning.table", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert arguments[-1].split(".")[0] in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    for i in range(600):
        write(tmp_path / "sweep" / str(i), seed=i)
    with subprocess.Popen(
        [sys.executable, "-m", "tvl_lightning.table", str(tmp_path / "sweep")],
        env={name: value for name, value in os.environ.items() if name != "COLUMNS"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline().startswith(b"run ")
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
