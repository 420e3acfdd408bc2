"""Runs found under a folder."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.paper.made_up import all_setups, write_run
from tvl_lightning.paper.setups import setup
from tvl_lightning.paper.study import (
    accuracy,
    accuracy_at_the_end,
    epochs,
    loss,
    over_seeds,
    read_study,
)

SHOWN = setup("mnist", "resnet", "horizon")


def test_every_run_is_found_under_its_setup(world: Path) -> None:
    study = read_study(world)
    assert sorted(study.runs) == all_setups()
    for shown, runs in study.runs.items():
        assert [run.folder.name for run in runs.values()] == [f"{shown}-seed0"]


def test_folders_may_have_any_name_and_depth(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", SHOWN, seed=3)
    (tmp_path / "b").mkdir()
    run.rename(tmp_path / "b" / "mine")
    assert read_study(tmp_path).find(SHOWN)[3].folder == tmp_path / "b" / "mine"


def test_a_run_that_has_not_ended_is_missing(tmp_path: Path) -> None:
    write_run(tmp_path, setup("mnist", "resnet", "l1"))
    (write_run(tmp_path, SHOWN) / "summary.json").unlink()
    study = read_study(tmp_path)
    assert study.find(SHOWN) == {}
    assert study.missing == {SHOWN}


def test_a_run_with_other_settings_is_left_out_with_its_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_run(tmp_path, setup("mnist", "resnet", "l1"))
    path = write_run(tmp_path, SHOWN) / "summary.json"
    summary = json.loads(path.read_text())
    summary["settings"]["optimizer"]["lr"] = 0.1
    path.write_text(json.dumps(summary))
    assert SHOWN not in read_study(tmp_path).runs
    assert f"left out {path.parent}" in caplog.text
    assert "optimizer.lr=0.1: the paper's runs have 0.01" in caplog.text


def test_of_two_runs_of_one_setup_and_seed_the_first_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = write_run(tmp_path / "a", SHOWN)
    second = write_run(tmp_path / "b", SHOWN)
    assert read_study(tmp_path).find(SHOWN)[0].folder == first
    [said] = caplog.messages
    assert said == (
        f"{first} and {second} are both runs of mnist-resnet-horizon with seed 0: "
        "the first is taken"
    )


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("tau.npz", "not an archive", "tau.npz: cannot be read"),
        ("summary.json", "{", "summary.json: cannot be read"),
        ("summary.json", '{"settings": [], "seed": 0}', "not of this package's training"),
        ("metrics.csv", "epoch,test/acc\n0,0.5\n", "test/task_loss is missing in its metrics"),
    ],
)
def test_a_damaged_run_is_left_out_with_its_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, content: str, said: str
) -> None:
    sound = setup("mnist", "resnet", "l1")
    write_run(tmp_path, sound)
    damaged = write_run(tmp_path, SHOWN)
    (damaged / name).write_text(content)
    assert list(read_study(tmp_path).runs) == [sound]
    [line] = caplog.messages
    assert line.startswith(f"left out {damaged}: ")
    assert said in line


@pytest.mark.parametrize("status", ["stopped", "failed"])
def test_a_run_that_was_cut_off_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, status: str
) -> None:
    write_run(tmp_path, SHOWN, seed=0, status="finished")
    write_run(tmp_path, SHOWN, seed=1, status=status)
    write_run(tmp_path, SHOWN, seed=2, status="diverged")
    assert sorted(read_study(tmp_path).find(SHOWN)) == [0, 2]
    assert f"summary.json: the run has {status}" in caplog.text


def test_seeds_are_those_with_a_run_of_every_setup(tmp_path: Path) -> None:
    other = setup("mnist", "resnet", "l1")
    for seed in (0, 1, 2):
        write_run(tmp_path, SHOWN, seed)
    for seed in (3, 2, 0):
        write_run(tmp_path, other, seed)
    study = read_study(tmp_path)
    assert study.together([SHOWN, other]) == [0, 2]
    assert study.together([SHOWN, setup("mnist", "resnet", "final")]) == []


@pytest.mark.parametrize(("epochs", "mean"), [(20, 0.85), (9, 0.9)])
def test_accuracy_at_the_end_is_the_mean_of_the_last_tenth(
    tmp_path: Path, epochs: int, mean: float
) -> None:
    write_run(tmp_path, SHOWN, accuracy=[0.1] * (epochs - 1) + [0.8, 0.9])
    run = read_study(tmp_path).find(SHOWN)[0]
    assert accuracy_at_the_end(run) == pytest.approx(mean)


def test_the_loss_has_the_penalty_in_it(tmp_path: Path) -> None:
    write_run(tmp_path, SHOWN, accuracy=[0.1, 0.8], loss=0.5)
    run = read_study(tmp_path).find(SHOWN)[0]
    assert loss(run).tolist() == [0.8, 0.8]
    assert accuracy(run).tolist() == [0.1, 0.8]
    assert epochs(run).tolist() == [0, 1]


def test_mean_and_range_are_over_the_runs_that_have_a_value(tmp_path: Path) -> None:
    taus = np.array([[1.0, 0.5], [1.0, 0.4]]), np.array([[2.0, 0.7], [3.0, np.nan]])
    for seed, tau in enumerate(taus):
        write_run(tmp_path, SHOWN, seed, tau=tau, layers=[0, 1])
    mean, least, greatest = over_seeds(
        read_study(tmp_path).find(SHOWN), lambda run: run.trajectory["tau"]
    )
    np.testing.assert_allclose(mean, [[1.5, 0.6], [2.0, 0.4]])
    np.testing.assert_allclose(least, [[1.0, 0.5], [1.0, 0.4]])
    np.testing.assert_allclose(greatest, [[2.0, 0.7], [3.0, 0.4]])


def test_what_no_run_has_is_nan(tmp_path: Path) -> None:
    write_run(tmp_path, SHOWN, tau=np.array([[1.0, np.nan]]))
    for values in over_seeds(read_study(tmp_path).find(SHOWN), lambda run: run.trajectory["tau"]):
        np.testing.assert_array_equal(values, [[1.0, np.nan]])
