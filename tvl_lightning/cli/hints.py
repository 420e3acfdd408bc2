"""What went wrong, in the user's words, and whose mistake it is.

What a setting can mend is one line. A mistake in somebody's code, the user's own or ours, keeps its
traceback.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tvl_lightning.cli.choices import (
    CONFIG_PATH,
    CommandLine,
    command_line,
    groups_in,
    keys_of,
    nearest,
    parsed,
    suggestion,
    to_install,
)
from tvl_lightning.limits import InputError

_LIGHTNINGS = ("MisconfigurationException",)  # by name: importing Lightning takes seconds
# whose code judges the arguments it is given: what it raises is about a setting
_LIBRARIES = {
    *("hydra", "omegaconf", "yaml", "antlr4"),
    *("torch", "lightning", "lightning_fabric", "lightning_utilities", "torchmetrics"),
    *("tensorboard", "wandb", "mlflow", "comet_ml", "neptune"),
    *sys.stdlib_module_names,
}
_COMPOSITION = {"hydra", "omegaconf", "yaml", "antlr4", *sys.stdlib_module_names}


def explained(
    error: BaseException, arguments: Sequence[str] = (), config: str = "train"
) -> str | None:
    """What the user has to mend, in one line; None for an error that keeps its traceback.

    Args:
        error: what was raised.
        arguments: those of the command, `sys.argv[1:]`, for hints at what was meant.
        config: the name of its configuration.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, InputError):
            return _one_line(cause)
        cause = cause.__cause__
    if isinstance(error, InstantiationException):
        return _of_instantiation(error)
    if isinstance(error, MissingConfigException):
        return _of_missing_config(error)
    if isinstance(error, HydraException):
        return _of_composition(error, command_line(arguments, config))
    if isinstance(error, OmegaConfBaseException):
        return _of_omegaconf(error)
    if type(error).__name__ in _LIGHTNINGS:
        return (
            None
            if _foreign(error.__traceback__, {*_LIBRARIES, "tvl_lightning", "__main__"})
            else _one_line(error)
        )
    if _in_composition(error.__traceback__):
        return f"the configuration cannot be read: {_named(error)}"
    return None


@contextmanager
def blaming(key: str, target: Callable[..., Any]) -> Iterator[None]:
    """Say in one line which setting it is, where a library refuses what it is called with.

    Only the call of `target` with settings stands inside. What the user's own code raises goes on.

    Args:
        key: of the settings.
        target: what is called.

    Raises:
        InputError: where the settings are to blame.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        # two frames lie around the call: this one, and that of the `with`
        inside = list(_walk(error.__traceback__))[2:]
        line = explained(error) or _blame(error, inside[0] if inside else None, key, target)
        if line is None:
            raise
        raise InputError(line) from error


def _blame(error: BaseException, inside: TracebackType | None, key: str, target: Any) -> str | None:
    """What is wrong with the arguments, None where the fault is in the code that was called.

    Args:
        error: what came of the call.
        inside: the frames within the call; none where the arguments did not fit its signature.
        key: of the settings that are the arguments.
        target: what was called, or its name.
    """
    misfit = isinstance(error, TypeError) and _last(inside) == "hydra"  # of a part's part
    if not misfit and _foreign(inside, _LIBRARIES):
        return None
    kind = getattr(target, "func", target)
    name = getattr(kind, "__name__", str(kind).rpartition(".")[2])
    text = _one_line(error)
    unknown = re.search(r"unexpected keyword argument '(\w+)'", text)
    if unknown:
        near = nearest(unknown[1], _parameters(kind))
        hint = f"; did you mean {key}.{near}?" if near else ""
        return f"{key}.{unknown[1]}: {name} takes no {unknown[1]}{hint}"
    missing = re.search(r"missing \d+ required (?:positional|keyword-only) arguments?: (.*)", text)
    if missing:
        return f"{key}: {name} needs {missing[1].replace(chr(39), '')}"
    if type(error).__name__ in _LIGHTNINGS:
        return f"{key}: {text}"
    return f"{key}: {_named(error)}"


def _parameters(target: Any) -> list[str]:
    if isinstance(target, str):
        module, _, name = target.rpartition(".")
        target = getattr(sys.modules.get(module), name, None)
    try:
        return list(inspect.signature(target).parameters)
    except (TypeError, ValueError):
        return []


def _of_instantiation(error: InstantiationException) -> str | None:
    text = str(error)
    key = (re.search(r"full_key: (\S+)", text) or ["", ""])[1]
    cause = error.__cause__
    called = re.search(r"Error in call to target '(.*)'", text)
    if called and cause is not None:
        frames = cause.__traceback__
        # Hydra's own frames come first
        while frames is not None and _library(frames) == "hydra":
            frames = frames.tb_next
        return _blame(cause, frames, key or called[1].rpartition(".")[2], called[1])
    located = re.search(r"Error locating target '(.*?)'", text)
    if located:
        link: BaseException | None = cause
        while link is not None:
            own = not isinstance(link, (ImportError, AttributeError))
            if own or _foreign(link.__traceback__, {*_LIBRARIES, "tvl_lightning"}):
                return None  # the module is there, and has a mistake
            last, link = link, link.__cause__ or link.__context__
        return f"{key and f'{key}.'}_target_={located[1]}: cannot be found ({_named(last)})"
    return f"{_one_line(error.args[0]).partition(' full_key')[0]}" + (f" ({key})" if key else "")


def _of_omegaconf(error: OmegaConfBaseException) -> str:
    line = _one_line(error)
    lost = re.match(r"Interpolation key '(.*?)' not found full_key: (\S+)", line)
    return f"{lost[2]}: refers to {lost[1]}, which is not there" if lost else line


def _of_missing_config(error: MissingConfigException) -> str:
    text, _, _ = str(error).partition("Config search path")
    line = _one_line(text)
    wanted = re.search(r"Could not find '(.*?)'", text)
    launcher = wanted[1].removeprefix("hydra/launcher/") if wanted else ""
    if way := to_install(launcher):
        return f"hydra/launcher={launcher}: is not installed; {way}"
    options = re.findall(r"^\t(\S+)$", text, re.MULTILINE)
    near = nearest(wanted[1].rpartition("/")[2], options) if wanted else None
    return line + (f"; did you mean {near}?" if near else "")


def _of_composition(error: HydraException, line: CommandLine) -> str:
    text, _, _ = str(error).partition("Config search path")
    if isinstance(error, OverrideParseException):
        return _of_override(str(error.override), _one_line(text.partition("See https")[0]))
    several = re.match(r"Ambiguous value for argument '(.*?)=(.*)'", text)
    if several:
        key, values = several[1], several[2]
        return f"{key}={values}: is a sweep, for -m; for a list, {key}=[{values}]"
    if not text.strip() and error.__cause__ is not None:
        text = str(error.__cause__)
    unknown = re.match(
        r"Could not (?:override|append to config|delete from config)\W+'(.*?)'", text
    )
    if not unknown or "already at" in text:
        return _one_line(text)
    key, cfg = unknown[1], _composed(line)
    if key in keys_of(cfg):
        return f"{key}: has no such keys; + before it adds them"
    hint = suggestion(key, keys_of(cfg), line.folders) if "._" not in key else ""
    parent = key.rpartition(".")[0]
    target = str(OmegaConf.select(cfg, f"{parent}._target_")) if parent else "None"
    added = re.search(rf"\+{re.escape(key)}=.*", text)
    if added and not hint and target != "None" and not target.startswith("tvl_lightning."):
        hint = f"{added[0]} hands it to {target}"
    return f"{key}: there is no such setting" + (f"; {hint}" if hint else "")


def _of_override(override: str, text: str) -> str:
    key, _, value = override.partition("=")
    if value and not value.isascii():
        return f"{override}: what is not ASCII stands in quotes: {key}=\\'{value}\\' in a shell"
    return f"{override}: cannot be read: {text}"


def _composed(line: CommandLine) -> DictConfig:
    """The configuration with the choices of the command line, and nothing else of it."""
    groups = groups_in(line.folders)
    choices = [
        str(o.input_line)
        for o in parsed(line.overrides)
        if o.key_or_group in groups and not o.is_sweep_override()
    ]
    own = [f"hydra.searchpath=[{','.join(f'file://{f.absolute()}' for f in line.folders[:-1])}]"]
    for overrides in ([*choices, *(own if len(line.folders) > 1 else [])], []):
        try:
            with initialize_config_dir(CONFIG_PATH, version_base="1.3"):
                return compose(line.config, overrides)
        except Exception:  # what is wrong there is not what this is about
            continue
    return OmegaConf.create()


def _in_composition(frames: TracebackType | None) -> bool:
    """Whether Hydra was reading the configuration, and no job was running."""
    modules = [str(frame.tb_frame.f_globals.get("__name__")) for frame in _walk(frames)]
    functions = [frame.tb_frame.f_code.co_name for frame in _walk(frames)]
    if "hydra.main" not in modules or "run_job" in functions:
        return False
    below = modules[modules.index("hydra.main") :]
    return {module.partition(".")[0] for module in below} <= _COMPOSITION


def _foreign(frames: TracebackType | None, known: set[str]) -> bool:
    """Whether some code that is not known took part."""
    return any(_library(frame) not in known for frame in _walk(frames))


def _last(frames: TracebackType | None) -> str:
    return [_library(frame) for frame in _walk(frames)][-1] if frames else ""


def _walk(frames: TracebackType | None) -> Iterator[TracebackType]:
    while frames is not None:
        yield frames
        frames = frames.tb_next


def _library(frame: TracebackType) -> str:
    return str(frame.tb_frame.f_globals.get("__name__", "")).partition(".")[0]


def _named(error: BaseException) -> str:
    text = _one_line(error)
    if isinstance(error, (ValueError, TypeError)) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
