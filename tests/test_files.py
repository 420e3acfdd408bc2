"""Files that are whole or not there."""

import json
from pathlib import Path

import pytest

from tvl_lightning.files import replacing, write_json


def test_new_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with replacing(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_missing_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.txt"
    with replacing(path) as part:
        part.write_text("new")
    assert path.read_text() == "new"


def test_file_is_written_in_the_same_folder(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    with replacing(path) as part:
        assert part.parent == path.parent
        assert part != path
        part.touch()


def write_half(path: Path, error: type[BaseException]) -> None:
    with replacing(path) as part:
        part.write_text("half of the ne")
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_exception_leaves_the_old_file_and_no_other(
    error: type[BaseException], tmp_path: Path
) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(error):
        write_half(path, error)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_exception_leaves_nothing_where_there_was_no_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        write_half(tmp_path / "file.txt", RuntimeError)
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_place_of_the_unfinished_file_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    (tmp_path / ".file.txt.part").symlink_to(precious)
    with replacing(tmp_path / "file.txt") as part:
        part.write_text("new")
    assert precious.read_text() == "mine"
    assert not (tmp_path / "file.txt").is_symlink()
    assert (tmp_path / "file.txt").read_text() == "new"


def test_what_a_killed_process_left_neither_stays_nor_is_in_the_way(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    (tmp_path / ".file.txt.part").write_text("half of a longer text")
    with replacing(path) as part:
        assert part.read_text() == ""
        part.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    with replacing(tmp_path / "file.txt") as part:
        part.write_text("new")
    assert (tmp_path / "file.txt").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_json(path, {"τ": [1, 2]})
    with pytest.raises(TypeError):
        write_json(path, {"τ": object()})
    assert json.loads(path.read_text()) == {"τ": [1, 2]}
    assert [p.name for p in tmp_path.iterdir()] == ["summary.json"]


def test_json_has_null_for_what_is_not_finite(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_json(path, {"a": [float("nan"), {"b": float("-inf")}], "c": 1.5})
    assert json.loads(path.read_text()) == {"a": [None, {"b": None}], "c": 1.5}
