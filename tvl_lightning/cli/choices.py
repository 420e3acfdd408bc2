"""What may be chosen on the command line, and which choices speak of the same thing.

Read from the files of the configuration, before Hydra composes it: a choice that Hydra would drop
without a word, or answer with a traceback, is refused before anything exists.
"""

import difflib
from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString, ValueType
from omegaconf import DictConfig, OmegaConf

from tvl_lightning.limits import InputError

_PACKAGE = Path(__file__).parents[1]
CONFIG_PATH = str(next(p for p in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if p.is_dir()))

SEVERAL = {"callbacks", "debug", "logger", "reg"}  # groups whose choices go beside each other
# what these groups set is a proposal, for the command line to change
_PROPOSALS = {"debug", "experiment", "hparams_search", "scheme"}
_EXTRAS = {  # that bring a launcher
    "joblib": "parallel",
    "ray": "ray",
    "submitit_local": "slurm",
    "submitit_slurm": "slurm",
}
_HYDRAS_OPTIONS = (  # those that are followed by a value
    *("--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd"),
    *("--package", "-p", "--cfg", "-c", "--experimental-rerun"),
)

Groups = dict[str, dict[str, Path]]


class CommandLine(NamedTuple):
    """The overrides of a command, the folders of its configuration, nearest first, its name."""

    overrides: list[str]
    folders: list[Path]
    config: str = "train"


def command_line(arguments: Sequence[str], config: str = "train") -> CommandLine:
    """What of `sys.argv[1:]` is Hydra's to compose, of the configuration `config`."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    for name in _HYDRAS_OPTIONS:
        parser.add_argument(name, nargs="?")
    known, rest = parser.parse_known_args(list(arguments))
    own = [Path(folder) for folder in (known.config_dir, known.cd) if folder]
    overrides = [argument for argument in rest if not argument.startswith("-")]
    return CommandLine(
        overrides, [*own, Path(CONFIG_PATH)], known.config_name or known.cn or config
    )


def to_install(launcher: str) -> str:
    """The command that installs one of Hydra's launchers, "" for one that is not known."""
    return f"pip install 'tvl-lightning[{_EXTRAS[launcher]}]'" if launcher in _EXTRAS else ""


def groups_in(folders: Iterable[Path]) -> Groups:
    """The choices of each config group, and their files."""
    groups: Groups = {}
    for folder in folders:
        for file in sorted(folder.glob("*/*.yaml")):
            if file.parent.name != "hydra":
                groups.setdefault(file.parent.name, {}).setdefault(file.stem, file)
    return groups


def parsed(overrides: Sequence[str]) -> list[Override]:
    """The overrides as Hydra reads them.

    Raises:
        HydraException: for what cannot be read.
    """
    return OverridesParser.create().parse_overrides(list(overrides))


def check_choices(line: CommandLine) -> None:
    """Refuse choices that do not exist, or of which one would silently drop another.

    Args:
        line: the command line; a sweep is judged by all its values.

    Raises:
        InputError: for the first choice found.
        HydraException: for overrides that cannot be read.
    """
    groups = groups_in(line.folders)
    chosen: dict[str, list[list[str]]] = {}  # of each group, of each of its values, the names
    for override in parsed(line.overrides):
        group = override.key_or_group
        if group not in groups or override.package or override.is_delete():
            continue
        values = [_checked(group, value, groups[group]) for value in _values(override)]
        if values and chosen.setdefault(group, values) != values:
            both = f"{group}={_listed(chosen[group][0])} {group}={_listed(values[0])}"
            names = [name for value in (*chosen[group], *values) for name in value]
            way = f"{group}=[{','.join(names)}] is both" if group in SEVERAL else "leave one out"
            raise InputError(f"{both}: the second would drop the first; {way}")
    _check_agreement(chosen, groups)


def _values(override: Override) -> list[Any]:
    if override.value_type in (ValueType.CHOICE_SWEEP, ValueType.SIMPLE_CHOICE_SWEEP):
        return [_plain(value) for value in override.sweep_iterator()]
    if override.is_sweep_override() or isinstance(override.value(), dict):
        return []
    return [override.value()]


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return value.text if isinstance(value, QuotedString) else value


def _checked(group: str, value: Any, options: dict[str, Path]) -> list[str]:
    """The names in one choice of a group."""
    given = f"{group}={typed(value)}"
    several = isinstance(value, list)
    if several and group not in SEVERAL:
        each = ",".join(map(typed, value))
        raise InputError(f"{given}: takes one choice; -m {group}={each} runs each")
    names = value if several else [value]
    wrong = [name for name in names if not isinstance(name, str) or not _exists(name, options)]
    if wrong or not names:
        raise InputError(f"{given}: {_instead(group, wrong[0] if wrong else None, options)}")
    if len(set(names)) < len(names) or ("none" in names and len(names) > 1):
        raise InputError(f"{given}: must name each choice once, and none alone")
    return names


def _exists(name: str, options: dict[str, Path]) -> bool:
    if name in options or "${" in name:
        return True
    folders = {file.parent for file in options.values()}
    return ".." not in name and any((folder / f"{name}.yaml").is_file() for folder in folders)


def _instead(group: str, name: Any, options: dict[str, Path]) -> str:
    allowed = f"must be one of {', '.join(options)}"
    if not isinstance(name, str) or not name:
        return allowed + ("" if "none" in options else f"; or leave {group} out")
    near = nearest(name, options)
    return allowed + (f"; did you mean {group}={near}?" if near else "")


def _check_agreement(chosen: dict[str, list[list[str]]], groups: Groups) -> None:
    """Refuse two choices that set one group differently."""
    # of each group what it is set to, by which other group, and how that was said
    wanted: dict[str, dict[tuple[str, str], str]] = {
        group: {(_listed(names), group): f"{group}={_listed(names)}" for names in values}
        for group, values in chosen.items()
    }
    for group, values in chosen.items():
        for name in {name: None for names in values for name in names}:
            for other, setting in _settings_of(groups[group].get(name), groups[group]).items():
                if group in _PROPOSALS and other in chosen:
                    continue
                said = f"{group}={name}, which sets {other}={setting}"
                for (before, by), how in wanted.get(other, {}).items():
                    if before != setting and by != group:
                        raise InputError(f"{how}, and {said}: one drops the other; leave one out")
                wanted.setdefault(other, {})[setting, group] = said


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"[{','.join(names)}]"


def _settings_of(file: Path | None, siblings: dict[str, Path]) -> dict[str, str]:
    """The groups that a choice sets, and to what, those of the choices it builds on included."""
    settings: dict[str, str] = {}
    for entry in _defaults(file) if file else []:
        if isinstance(entry, str):
            settings |= _settings_of(siblings.get(entry), siblings)
            continue
        for key, value in entry.items():
            if key.startswith("override /") and not key.startswith("override /hydra"):
                group = key.removeprefix("override /").partition("@")[0]
                settings[group] = _listed(value) if isinstance(value, list) else str(value)
    return settings


def _defaults(file: Path) -> list[Any]:
    content = _content(file)
    defaults = content.get("defaults") if isinstance(content, dict) else None
    if not isinstance(defaults, list):
        return []
    return [entry for entry in defaults if entry != "_self_"]


@cache
def _content(file: Path) -> Any:
    return OmegaConf.to_container(OmegaConf.load(file))


def nearest(word: str, words: Iterable[str], cutoff: float = 0.75) -> str | None:
    """The word that was probably meant, None where nothing is near."""
    return next(iter(difflib.get_close_matches(word, list(words), 1, cutoff)), None)


def keys_of(settings: Any, prefix: str = "") -> set[str]:
    """The dotted names of all settings in a configuration, at every depth."""
    raw = isinstance(settings, DictConfig)
    keys: set[str] = set()
    for name, value in settings.items_ex(resolve=False) if raw else settings.items():
        keys.add(key := f"{prefix}{name!s}")
        if isinstance(value, (dict, DictConfig)):
            keys |= keys_of(value, f"{key}.")
    return keys


def suggestion(key: str, known: set[str], folders: Sequence[Path] = (Path(CONFIG_PATH),)) -> str:
    """How to say what was probably meant by a key that does not exist; empty where nobody knows.

    Args:
        key: the dotted name that was typed.
        known: those that there are.
        folders: of the configuration, for what other choices would have.
    """
    groups = groups_in(folders)
    parent, _, last = key.rpartition(".")
    head = key.partition(".")[0]
    siblings = {k.rpartition(".")[2] for k in known if k.rpartition(".")[0] == parent}
    near = nearest(last, siblings | (set() if parent else set(groups)))
    if near:
        return f"did you mean {parent}.{near}?" if parent else f"did you mean {near}?"
    elsewhere = _elsewhere(groups)
    if key in elsewhere:
        return " or ".join(f"add {c}" for c in elsewhere[key])
    corrected = nearest(head, {k.partition(".")[0] for k in known} | set(groups), 0.7)
    if corrected and head not in groups and parent:
        moved = corrected + key[len(head) :]
        return f"did you mean {moved if moved in known else corrected}?"
    same = sorted(k for k in known if k.rpartition(".")[2] == last)
    if same:
        return f"did you mean {' or '.join(same[:3])}?"
    others = {k: c for k, c in elsewhere.items() if k.rpartition(".")[2] == last}
    if others:
        return "; ".join(
            f"{k} comes with {' or '.join(choices)}" for k, choices in sorted(others.items())[:3]
        )
    every = {k.rpartition(".")[2]: k for k in sorted({*known, *elsewhere})}
    near = nearest(last, every, 0.8)
    return f"did you mean {every[near]}?" if near else ""


def _elsewhere(groups: Groups) -> dict[str, list[str]]:
    """Of each key that some choice has, the choices that have it or bring it along."""
    found: dict[str, list[str]] = {}
    bringers: dict[str, list[str]] = {}
    for group, options in groups.items():
        for option, file in options.items():
            for other, setting in _settings_of(file, options).items():
                if group not in _PROPOSALS and group != "setup":
                    bringers.setdefault(f"{other}={setting}", []).append(f"{group}={option}")
            content = _content(file)
            if not isinstance(content, dict) or file.read_text().startswith("# @package"):
                continue
            own = {k: v for k, v in content.items() if k != "defaults"}
            for key in keys_of(own, f"{group}."):
                if not key.rpartition(".")[2].startswith("_"):
                    found.setdefault(key, []).append(f"{group}={option}")
    return {
        key: [c for choice in choices for c in (choice, *bringers.get(choice, []))]
        for key, choices in found.items()
    }


def typed(value: Any) -> str:
    """A value as one types it on the command line, cut where it is long."""
    if value is None or isinstance(value, bool):
        text = {None: "null", True: "true", False: "false"}[value]
    elif isinstance(value, list):
        text = f"[{','.join(map(typed, value))}]"
    elif isinstance(value, dict):
        text = "{" + ",".join(f"{k}: {typed(v)}" for k, v in value.items()) + "}"
    else:
        text = " ".join(str(value).split()) or "''"
    return text if len(text) <= 80 else f"{text[:77]}..."
