"""`python -m tvl_lightning.report`, as a user calls it."""

import sys
from pathlib import Path

import pytest

from tests.conftest import Command
from tests.runs.report.made_up import write_run
from tvl_lightning.report import main


def test_report_of_a_run_is_written_into_it(call: Command, tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    done = call("tvl_lightning.report", "run")
    assert (done.returncode, done.stdout, done.stderr) == (0, "1 runs: run/report.html\n", "")
    assert (tmp_path / "run" / "report.html").is_file()


def test_damaged_run_is_left_out_and_named(call: Command, tmp_path: Path) -> None:
    for name in "ab":
        write_run(tmp_path / "runs" / name)
    (tmp_path / "runs" / "a" / "tau.npz").write_bytes(b"")
    done = call("tvl_lightning.report", "runs")
    assert (done.returncode, done.stdout) == (0, "1 runs: runs/report.html\n")
    assert done.stderr.startswith("left out: a: tau.npz: cannot be read")


def test_several_folders_need_a_place(call: Command, tmp_path: Path) -> None:
    for name in "ab":
        write_run(tmp_path / name)
    done = call("tvl_lightning.report", "a", "b")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: several folders: their one page needs a place; add --out FILE\n"
    done = call("tvl_lightning.report", "a", "b", "--out", "both.html")
    assert (done.returncode, done.stdout) == (0, "2 runs: both.html\n")


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_folder_without_runs_is_refused_in_one_line(
    call: Command, tmp_path: Path, name: str
) -> None:
    (tmp_path / "empty").mkdir()
    done = call("tvl_lightning.report", name)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {name}: no ")
    assert len(done.stderr.splitlines()) == 1


def test_figures_are_drawn_into_each_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "a", status="stopped")
    monkeypatch.setattr(sys, "argv", ["report", str(tmp_path), "--figures"])
    main()
    assert {"tau.png", "curves.png"} <= {p.name for p in (tmp_path / "a" / "figures").iterdir()}
    assert str(tmp_path / "a" / "figures") in capsys.readouterr().out
