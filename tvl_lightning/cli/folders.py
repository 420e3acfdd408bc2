"""Run folders, and the resolvers that name them in the configuration."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf


def unique_folder(wanted: str) -> str:
    """Create the folder `wanted`, or `wanted-1`, `-2` ... where others have it, and name it."""
    number = 0
    while True:
        folder = Path(f"{wanted}-{number}" if number else wanted)
        try:
            folder.mkdir(parents=True)
            return str(folder)
        except FileExistsError:
            number += 1


def run_folder(resume: Any, wanted: str) -> str:
    """The folder of a run: that which `resume` goes on with, or a new one.

    Args:
        resume: a run folder, the last checkpoint in one, another checkpoint, `auto` or None.
        wanted: the new folder.
    """
    if isinstance(resume, str) and resume not in ("", "auto"):
        path = Path(resume)
        run = path.parent.parent if path.name == "last.ckpt" else path
        if run.is_dir() and ((run / ".hydra").is_dir() or run == path):
            return str(run)
    return unique_folder(wanted)


def register_resolvers() -> None:
    """Make `${run_dir:...}`, `${sweep_dir:...}` and `${equal:...}` known to configurations."""
    OmegaConf.register_new_resolver("run_dir", run_folder, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("sweep_dir", unique_folder, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("equal", lambda a, b: a == b, replace=True)
