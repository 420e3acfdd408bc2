"""Which checkpoint of a run is meant."""

from pathlib import Path

from tvl_lightning.files import read_json
from tvl_lightning.limits import InputError


def find_checkpoint(run: str | int | None, choice: str | int | None) -> Path:
    """The file that `run=` and `checkpoint=` mean.

    Args:
        run: a run directory, wherever it lies now.
        choice: `best`, `last` or another file of the run's `checkpoints`, or the path of any. None
            is the one that the run tested, or if it did not come to that, the best, or the last.

    Raises:
        InputError: where there is none, saying what there is.
    """
    name = None if choice is None else str(choice)
    try:
        return _alone(name) if run in (None, "") else _of_run(Path(str(run)), name)
    except OSError as error:
        given = f"checkpoint={choice}" if run is None else f"run={run}"
        raise InputError(f"{given}: cannot be read ({error.strerror})") from None


def _alone(choice: str | None) -> Path:
    if not choice:
        raise InputError("run: say run=FOLDER, the folder of a run, or checkpoint=FILE")
    path = Path(choice)
    if path.is_dir():
        raise InputError(f"checkpoint={choice}: is a folder; of a run, say run={choice}")
    if not path.is_file():
        raise InputError(
            f"checkpoint={choice}: no such file; run=FOLDER finds those of a run, which lie in "
            "FOLDER/checkpoints"
        )
    return path


def _of_run(run: Path, choice: str | None) -> Path:
    if run.is_file():
        raise InputError(f"run={run}: is a file; a checkpoint is named by checkpoint={run}")
    if not run.is_dir():
        raise InputError(f"run={run}: no such folder")
    folder = run / "checkpoints"
    there = sorted(path.stem for path in _inside(folder) if path.suffix == ".ckpt")
    if choice is None:
        places = [*_tested(run), folder / "best.ckpt", folder / "last.ckpt"]
    else:
        places = [folder / f"{choice}.ckpt", folder / choice, Path(choice)]
    for place in places:
        if place.is_file():
            return place
    if there:
        wrong = f"checkpoint={choice}: is none of" if choice else f"run={run}: say which of"
        which = f"; say checkpoint={there[0]}" if not choice else ""
        raise InputError(f"{wrong} the checkpoints of {run} ({', '.join(there)}){which}")
    if any(path.suffix == ".ckpt" for path in _inside(run)):
        raise InputError(f"run={run}: holds checkpoints; say run={run.parent}, or checkpoint=FILE")
    runs = [path for path in sorted(_inside(run)) if (path / "checkpoints").is_dir()]
    raise InputError(
        f"run={run}: has no checkpoint in {folder}"
        + (f"; it holds runs, say run={runs[0]}" if runs else ", so it is no run that began")
    )


def _tested(run: Path) -> list[Path]:
    path = run / "summary.json"
    name = str(read_json(path).get("tested_checkpoint")) if path.is_file() else ""
    return [run / "checkpoints" / Path(name).name] if name.endswith(".ckpt") else []


def _inside(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
