"""The runs in a folder."""

from pathlib import Path

import numpy as np
import pytest

from tests.runs.report.made_up import write_run
from tvl_lightning.limits import InputError
from tvl_lightning.runs.reading import read_run
from tvl_lightning.runs.report.gather import gather, read_record, run_folders, trajectory_of


def test_runs_are_found_at_any_depth_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for name in ("b/1", "a", "b/0", "c/d/e"):
        write_run(tmp_path / name)
    (tmp_path / "empty").mkdir()
    assert [r.path for r in gather([tmp_path]).records] == ["a", "b/0", "b/1", "c/d/e"]


def test_what_a_run_keeps_is_no_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for name in (".hydra", "checkpoints", "tensorboard"):
        write_run(run / name)
    assert list(run_folders(tmp_path)) == [run]


def test_links_are_not_followed(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    assert len(gather([tmp_path]).records) == 1


def test_run_that_has_written_its_settings_only_is_a_run(tmp_path: Path) -> None:
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    hydra = tmp_path / "run" / ".hydra"
    (hydra / "config.yaml").write_text("seed: 3\nmodel: {horizon: 2.5, tau: '${tau}'}\n")
    (hydra / "overrides.yaml").write_text("- seed=3\n- reg=l1\n")
    (hydra / "hydra.yaml").write_text("hydra: {runtime: {choices: {reg: l1}}}\n")
    [record] = gather([tmp_path]).records
    assert (record.status, record.seed, record.horizon) == ("unfinished", "3", 2.5)
    assert (record.overrides, record.choices) == (["seed=3", "reg=l1"], {"reg": "l1"})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tau.npz", b""),
        ("summary.json", b'{"status": '),
        ("metrics.csv", b"epoch,val/acc\n0,high\n"),
        ("tau.npz", b"PK\x03\x04 cut"),
    ],
)
def test_a_damaged_file_is_named_and_stops_nothing(
    tmp_path: Path, name: str, content: bytes
) -> None:
    for run in ("a", "b", "c"):
        write_run(tmp_path / run)
    (tmp_path / "b" / name).write_bytes(content)
    found = gather([tmp_path])
    assert [r.path for r in found.records] == ["a", "c"]
    [(path, reason)] = found.unreadable
    assert path == "b"
    assert reason.startswith(f"{name}: cannot be read: ")


@pytest.mark.parametrize(
    "text",
    [
        "a: &x [1]\nb: *x\n",
        "a: [\n",
        "!!python/object/apply:os.getcwd []",
        "a: " + "[" * 60_000,
        "a" * 2**17,
    ],
)
def test_settings_that_cannot_be_read_are_a_damaged_file(tmp_path: Path, text: str) -> None:
    write_run(tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    (tmp_path / "run" / ".hydra").mkdir()
    (tmp_path / "run" / ".hydra" / "config.yaml").write_text(text)
    write_run(tmp_path / "good")
    [(path, reason)] = gather([tmp_path]).unreadable
    assert path == "run"
    assert "config.yaml: cannot be read" in reason


def test_iterations_must_increase(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    for iteration in ([0, 2, 1], [-1, 0, 1], [0, 1, np.nan], [0, 0, 1], [1, 2, 2.0**60]):
        np.savez(run / "tau.npz", iteration=np.array(iteration), tau=np.ones((3, 2)))
        with pytest.raises(InputError, match="its iterations must increase"):
            read_record(run, "run")


def test_one_run_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "tau.npz").write_bytes(b"")
    with pytest.raises(InputError, match=r"run: tau\.npz: cannot be read"):
        gather([run])


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_folder_without_a_run_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=f"{name}: no "):
        gather([tmp_path / name])


def test_several_folders_are_told_apart_by_their_names(tmp_path: Path) -> None:
    write_run(tmp_path / "a" / "0")
    write_run(tmp_path / "b")
    found = gather([tmp_path / "a", tmp_path / "b"])
    assert [r.path for r in found.records] == ["a/0", "b"]


def test_what_a_diverged_run_wrote_last_removes_no_layer(tmp_path: Path) -> None:
    tau = np.full((5, 3), 0.5)
    tau[3:] = np.nan
    run = write_run(tmp_path / "run", tau=tau, status="diverged")
    trajectory = trajectory_of(read_run(run))
    assert len(trajectory["tau"]) == len(trajectory["loss"]) == 3


@pytest.mark.parametrize("tau", [np.empty((0, 6)), np.empty((3, 0)), np.full((3, 2), np.nan)])
def test_trajectory_without_a_value_is_none(tmp_path: Path, tau: np.ndarray) -> None:
    run = write_run(tmp_path / "run")
    np.savez(run / "tau.npz", iteration=np.arange(len(tau)), tau=tau)
    assert trajectory_of(read_run(run)) == {}
