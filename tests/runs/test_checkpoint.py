"""Which checkpoint of a run is meant."""

import json
from pathlib import Path

import pytest

from tvl_lightning.limits import InputError
from tvl_lightning.runs.checkpoint import find_checkpoint


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder that looks like a run that kept three checkpoints."""
    for name in ("best", "last", "epoch=7"):
        path = tmp_path / "run" / "checkpoints" / f"{name}.ckpt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "run"


def test_the_best_is_taken_or_else_the_last(run: Path) -> None:
    kept = run / "checkpoints"
    assert find_checkpoint(str(run), None) == kept / "best.ckpt"
    (kept / "best.ckpt").unlink()
    assert find_checkpoint(str(run), None) == kept / "last.ckpt"


@pytest.mark.parametrize("tested", ["checkpoints/epoch=7.ckpt", "/elsewhere/epoch=7.ckpt"])
def test_the_one_that_the_run_tested_comes_first_wherever_the_run_lies(
    run: Path, tested: str
) -> None:
    (run / "summary.json").write_text(json.dumps({"tested_checkpoint": tested}))
    assert find_checkpoint(str(run), None) == run / "checkpoints" / "epoch=7.ckpt"
    assert find_checkpoint(str(run), "best") == run / "checkpoints" / "best.ckpt"


@pytest.mark.parametrize("tested", [None, "checkpoints/gone.ckpt", "../secret", 7])
def test_a_summary_that_names_none_changes_nothing(run: Path, tested: object) -> None:
    (run / "summary.json").write_text(json.dumps({"tested_checkpoint": tested}))
    assert find_checkpoint(str(run), None) == run / "checkpoints" / "best.ckpt"


def test_a_choice_is_a_name_in_the_run_or_a_path(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.ckpt"
    other.touch()
    for choice in ("epoch=7", "epoch=7.ckpt"):
        assert find_checkpoint(str(run), choice) == run / "checkpoints" / "epoch=7.ckpt"
    assert find_checkpoint(str(run), str(other)) == other
    assert find_checkpoint(None, str(other)) == other


def test_a_run_may_have_a_number_for_a_name(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.rename(tmp_path / "0")
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint(0, None) == Path("0/checkpoints/best.ckpt")


def refusal(run: object, choice: object = None) -> str:
    with pytest.raises(InputError) as caught:
        find_checkpoint(run, choice)  # type: ignore[arg-type]
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_what_is_no_run_is_refused_with_what_it_is(run: Path, tmp_path: Path) -> None:
    file = run / "checkpoints" / "best.ckpt"
    assert "say run=FOLDER, the folder of a run, or checkpoint=FILE" in refusal(None)
    assert "say run=FOLDER" in refusal("")
    assert "no such folder" in refusal(tmp_path / "none")
    assert f"is a file; a checkpoint is named by checkpoint={file}" in refusal(file)
    assert f"is a folder; of a run, say run={run}" in refusal(None, run)
    assert "no such file" in refusal(None, tmp_path / "none.ckpt")
    assert f"it holds runs, say run={run}" in refusal(tmp_path)
    assert "best, epoch=7, last" in refusal(run, "bst")
    assert f"say run={run}, or checkpoint=FILE" in refusal(run / "checkpoints")
    assert "cannot be read (File name too long)" in refusal("x" * 300)
    for path in (run / "checkpoints").iterdir():
        path.unlink()
    assert "has no checkpoint" in refusal(run)
    (run / "checkpoints" / "odd.ckpt").touch()
    assert "say which of the checkpoints" in refusal(run)
    (run / "summary.json").write_text("{")
    assert "summary.json: cannot be read" in refusal(run)
