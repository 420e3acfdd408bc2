"""Run folders: one for each run, and that of the run that goes on."""

from pathlib import Path

from tvl_lightning.cli.folders import run_folder, unique_folder


def test_runs_that_start_in_the_same_second_have_their_own_folders(tmp_path: Path) -> None:
    folders = {unique_folder(str(tmp_path / "2026-01-31" / "12-00-00")) for _ in range(3)}
    assert len(folders) == 3
    assert all(Path(folder).is_dir() for folder in folders)


def test_a_run_goes_on_in_its_own_folder(tmp_path: Path) -> None:
    wanted = str(tmp_path / "new")
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert run_folder(str(last), wanted) == str(tmp_path / "run")
    assert not Path(wanted).exists()


def test_all_others_get_a_new_one(tmp_path: Path) -> None:
    wanted = str(tmp_path / "new")
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    best, stray = tmp_path / "run" / "checkpoints" / "best.ckpt", tmp_path / "x" / "y" / "last.ckpt"
    for resume in (None, "auto", str(best), str(stray)):
        folder = run_folder(resume, wanted)
        assert Path(folder).is_dir()
        assert folder.startswith(wanted)
