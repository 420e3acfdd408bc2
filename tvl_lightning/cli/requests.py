"""What a command line asks for, together with the settings of the run that it goes on with."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from tvl_lightning.cli.recipes import key_of
from tvl_lightning.files import replacing
from tvl_lightning.limits import InputError


class Request(NamedTuple):
    """What is to be run.

    Attributes:
        cfg: the configuration, and `settings` the same, resolved.
        overrides: of the command line, and of the run to go on with.
        choices: what was chosen in each config group.
    """

    cfg: DictConfig
    settings: dict[str, Any]
    overrides: list[str]
    choices: dict[str, Any]


def with_settings_of_the_run(arguments: Sequence[str]) -> list[str]:
    """A command line with `resume=FOLDER`, and what was said when the run in FOLDER was started.

    Of two overrides with one key that of the command line counts; `~key` takes back an earlier
    `+key`. The run's own folder of configurations is named again. `resume` may also be a checkpoint
    in a run folder. Other command lines stay as they are.

    Raises:
        InputError: where the overrides of the run cannot be read.
    """
    at = next((i for i, text in enumerate(arguments) if text.startswith("resume=")), None)
    if at is None:
        return list(arguments)
    path = Path(arguments[at].partition("=")[2].strip("'\""))
    folder = (path if path.is_dir() else path.parent.parent) / ".hydra"
    if not (folder / "overrides.yaml").is_file():
        return list(arguments)
    earlier = [str(override) for override in _loaded(folder / "overrides.yaml")]
    keys = {key_of(override) for override in arguments}
    added = {key_of(override) for override in earlier if override.startswith("+")}
    kept = [override for override in earlier if key_of(override) not in keys]
    now = [
        # what was added must be added again, with its new value
        f"+{text}" if key_of(text) in added and text[0] not in "+~-" else text
        for text in arguments
        if not (text.startswith("~") and key_of(text) in added)
    ]
    at = now.index(arguments[at])
    named = any(text.startswith(("--config-dir", "-cd")) for text in arguments)
    where = [] if named else _config_dir(folder / "hydra.yaml")
    return [*where, *now[:at], *kept, *now[at:]]


def _config_dir(file: Path) -> list[str]:
    """`--config-dir`, as the command line of the run had it."""
    if not file.is_file():
        return []
    sources = OmegaConf.select(_loaded(file), "hydra.runtime.config_sources") or []
    own = [source.path for source in sources if source.get("provider") == "command-line"]
    return ["--config-dir", str(own[0])] if own else []


def _loaded(file: Path) -> Any:
    try:
        return OmegaConf.load(file)
    except Exception as error:  # a stranger's file can be anything
        raise InputError(f"{file}: cannot be read: {' '.join(str(error).split())}") from error


def read_request(cfg: DictConfig, folder: Path) -> Request:
    """The request of the job that Hydra runs.

    Args:
        cfg: its configuration.
        folder: the run directory, which `resume` becomes where it names a folder.

    Raises:
        InputError: for a `resume` that can be no run.
    """
    resume = cfg.get("resume")
    if resume is not None and not (isinstance(resume, str) and resume.strip()):
        raise InputError(f"resume={resume}: must be auto, the folder of a run, or a checkpoint")
    if resume not in (None, "auto") and Path(resume).is_dir():
        if Path(resume).resolve() != folder.resolve():
            raise InputError(f"hydra.run.dir={folder}: resume={resume} goes on in its own folder")
        if not (folder / ".hydra" / "overrides.yaml").is_file():
            raise InputError(f"resume={resume}: holds no run (.hydra/overrides.yaml is missing)")
        with open_dict(cfg):
            cfg.resume = str(folder)
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    hydra_config = HydraConfig.get()
    overrides = [text for text in hydra_config.overrides.task if key_of(text) != "resume"]
    choices: Any = OmegaConf.to_container(hydra_config.runtime.choices)
    groups = {name: choice for name, choice in choices.items() if not name.startswith("hydra/")}
    return Request(cfg, settings, overrides, groups)


def write_settings(request: Request, folder: Path) -> None:
    """Write `.hydra`, as Hydra does, once nothing speaks against the run."""
    if "LOCAL_RANK" in os.environ:  # the first process of the run has done it
        return
    contents = {
        "overrides.yaml": OmegaConf.create(request.overrides),
        "hydra.yaml": OmegaConf.create({"hydra": HydraConfig.get()}),
        "config.yaml": request.cfg,
    }
    for name, content in contents.items():
        with replacing(folder / ".hydra" / name) as part:
            part.write_text(OmegaConf.to_yaml(content))
