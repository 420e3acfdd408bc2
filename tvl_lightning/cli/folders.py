"""Run folders, and the resolvers that name them in the configuration."""

from pathlib import Path

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


def run_folder(resume: str | None, wanted: str) -> str:
    """The folder of a run: that of `resume` where it is a run's last checkpoint, else a new one."""
    if resume and resume != "auto":
        run = Path(resume).parent.parent
        if Path(resume).name == "last.ckpt" and (run / ".hydra").is_dir():
            return str(run)
    return unique_folder(wanted)


def register_resolvers() -> None:
    """Make `${run_dir:...}`, `${sweep_dir:...}` and `${equal:...}` known to configurations."""
    OmegaConf.register_new_resolver("run_dir", run_folder, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("sweep_dir", unique_folder, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("equal", lambda a, b: a == b, replace=True)
