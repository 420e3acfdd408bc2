"""Run directories as arrays."""

import io
import json
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tvl_lightning.limits import InputError
from tvl_lightning.runs.reading import read_run


def test_blank_metrics_are_nan(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(
        "epoch,step,train/acc,val/acc\n0,39,0.5,\n1,79,,0.75\n2,119,1e-3,0.875\n"
    )
    metrics = read_run(tmp_path).metrics
    assert list(metrics) == ["epoch", "step", "train/acc", "val/acc"]
    assert metrics["epoch"].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(metrics["train/acc"], [0.5, np.nan, 1e-3])
    np.testing.assert_array_equal(metrics["val/acc"], [np.nan, 0.75, 0.875])


def test_metrics_that_are_not_finite_are_kept(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,train/loss\n0,inf\n1,nan\n")
    np.testing.assert_array_equal(read_run(tmp_path).metrics["train/loss"], [np.inf, np.nan])


def test_row_that_was_cut_short_is_nan_where_it_is_missing(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,step,val/acc\n0,39,0.5\n1,79")
    np.testing.assert_array_equal(read_run(tmp_path).metrics["val/acc"], [0.5, np.nan])


@pytest.mark.parametrize("text", ["", "epoch,step,val/acc\n"])
def test_table_without_rows_is_empty(text: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(text)
    assert read_run(tmp_path).metrics == {}


def test_trajectory_has_a_column_for_every_layer_there_ever_was(tmp_path: Path) -> None:
    # layer 1 is removed by iteration 2, layer 2 is born after it
    tau = np.array([[0.5, 0.5, np.nan], [0.6, 0.1, np.nan], [0.7, np.nan, 0.2]], np.float32)
    np.savez(tmp_path / "tau.npz", iteration=np.arange(1, 4), tau=tau, loss=np.ones(3))
    trajectory = read_run(tmp_path).trajectory
    assert set(trajectory) == {"iteration", "tau", "loss"}
    np.testing.assert_array_equal(trajectory["tau"], tau)
    assert trajectory["iteration"].tolist() == [1, 2, 3]


def test_summary_is_read(tmp_path: Path) -> None:
    summary = {"test": {"test/acc": 0.9}, "layers": [0, 2], "tested_checkpoint": None}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    assert read_run(str(tmp_path)).summary == summary


def test_what_is_missing_is_empty(tmp_path: Path) -> None:
    run = read_run(tmp_path)
    assert (run.folder, run.metrics, run.trajectory, run.summary) == (tmp_path, {}, {}, {})


def test_run_that_has_not_ended_has_all_but_a_summary(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,val/acc\n0,0.5\n")
    np.savez(tmp_path / "tau.npz", iteration=np.arange(1, 3), tau=np.ones((2, 3)))
    run = read_run(tmp_path)
    assert run.summary == {}
    assert run.metrics["val/acc"].tolist() == [0.5]
    assert run.trajectory["tau"].shape == (2, 3)


def header(claimed: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, claimed)
    return file.getvalue()


def plain(values: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def write_members(path: Path, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)


def refusal(folder: Path) -> str:
    """What is said of a folder that is refused, for which little memory may be taken."""
    tracemalloc.start()
    try:
        with pytest.raises(InputError) as error:
            read_run(folder)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20
    said = str(error.value)
    assert len(said.splitlines()) == 1
    return said


def test_compressed_members_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "tau.npz"
    np.savez_compressed(path, iteration=np.arange(10**6), tau=np.zeros((10**6, 1)))
    assert refusal(tmp_path) == (
        f"{path}: cannot be read: its members must be stored, not compressed"
    )


@pytest.mark.parametrize("shape", [(10**12,), (10**9, 10**9), (3,), (-2, -1), (0,)])
def test_a_header_that_does_not_fit_its_values_is_refused(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    claimed = {"descr": "<f8", "fortran_order": False, "shape": shape}
    tau = header(claimed) + np.ones(2).tobytes()
    write_members(tmp_path / "tau.npz", iteration=plain(np.arange(2)), tau=tau)
    assert refusal(tmp_path).endswith("the header of an array does not fit its values")


def test_members_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tau.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("iteration.npy", plain(np.arange(10_000)))
        [once] = archive.filelist
        archive.filelist = [once] * 100
    assert refusal(tmp_path).endswith("its members claim more than the file holds")


@pytest.mark.parametrize(
    "values",
    [np.array([print, None]), np.array(["a", "b"]), np.zeros(2, [("x", "f4")]), np.zeros(2, "V0")],
)
def test_arrays_of_anything_but_numbers_are_refused(tmp_path: Path, values: Any) -> None:
    write_members(
        tmp_path / "tau.npz",
        iteration=plain(np.arange(2)),
        tau=plain(np.ones((2, 3))),
        x=plain(values),
    )
    assert "its arrays must be of numbers" in refusal(tmp_path)


@pytest.mark.parametrize(
    "arrays",
    [
        {"iteration": np.arange(2)},
        {"iteration": np.arange(2), "tau": np.ones(2)},
        {"iteration": np.arange(3), "tau": np.ones((2, 3))},
        {"iteration": np.arange(2), "tau": np.ones((2, 3)), "loss": np.float64(1)},
    ],
)
def test_arrays_that_are_no_trajectory_are_refused(tmp_path: Path, arrays: dict[str, Any]) -> None:
    np.savez(tmp_path / "tau.npz", **arrays)
    assert refusal(tmp_path).startswith(f"{tmp_path / 'tau.npz'}: cannot be read: ")


def test_a_trajectory_that_was_cut_or_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tau.npz"
    np.savez(path, iteration=np.arange(50), tau=np.ones((50, 3)))
    whole = path.read_bytes()
    for damaged in (b"", whole[:100], whole[:-10], whole.replace(b"\xf0\x3f", b"\xf1\x3f", 1)):
        path.write_bytes(damaged)
        assert refusal(tmp_path).startswith(f"{path}: cannot be read: ")


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 10**5])
def test_a_damaged_summary_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "summary.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read") as error:
        read_run(tmp_path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", [b"epoch,acc\n0,high\n", b"epoch\n0,1\xff\n", b'epoch\n"' + b"1" * 200_000]
)
def test_a_damaged_table_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read") as error:
        read_run(tmp_path)
    assert str(error.value).startswith(f"{path}: ")
