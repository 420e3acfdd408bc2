"""How runs differ: the settings that the user varied, and what else it takes to tell runs apart."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tvl_lightning.runs.report.record import Record, text
from tvl_lightning.runs.same import flat

NONE = "–"  # of a setting that a run does not have

# names of settings, and last parts of names, that say where a run lies and not what it is
_PLACES = {"path", "dirpath", "root", "save_dir", "default_root_dir", "resume"}
_FILLED = {"model.in_shape", "model.classes"}  # by the data, where they are null
_NO_SETTINGS = ("callbacks.progress_bar", "logger", "hydra/", "hydra.")


@dataclass(frozen=True)
class Setting:
    """Runs that differ in their seed only.

    Attributes:
        values: of each column of `Differing`.
        records: the runs.
    """

    values: tuple[str, ...]
    records: list[Record]


@dataclass(frozen=True)
class Differing:
    """Runs by setting.

    Attributes:
        columns: names of the settings that tell the runs apart.
        settings: in the order of their values.
        along: what differs along with the columns, and so tells nothing more apart.
        unknown: runs that do not say their settings.
    """

    columns: list[str]
    settings: list[Setting]
    along: list[str]
    unknown: list[Record] = field(default_factory=list)


def differing(records: Sequence[Record]) -> Differing:
    """Sort runs by setting."""
    known = [record for record in records if record.settings]
    unknown = [record for record in records if not record.settings]
    varied, given = _varied(known)
    seeds = varied.pop("seed", None)
    varied = {name: values for name, values in varied.items() if values != seeds}
    columns: list[str] = []
    apart: tuple[tuple[str, ...], ...] = tuple(() for _ in known)
    for name, values in varied.items():
        refined = tuple((*key, value) for key, value in zip(apart, values, strict=True))
        typed = name in given and not _is_part(name, columns)
        if typed or len(set(refined)) > len(set(apart)):
            columns.append(name)
            apart = refined
    groups: dict[tuple[str, ...], list[Record]] = {}
    for key, record in zip(apart, known, strict=True):
        groups.setdefault(key, []).append(record)
    settings = [Setting(key, groups[key]) for key in sorted(groups, key=_natural)]
    return Differing(columns, settings, _along(varied, columns), unknown)


def labels(columns: Sequence[str], settings: Sequence[Setting]) -> list[str]:
    """Each setting in a line, as on a command line; `none` is left out where that is enough."""
    whole = [dict(zip(columns, setting.values, strict=True)) for setting in settings]
    there = [{name: v for name, v in each.items() if v != NONE} for each in whole]
    brief = [{name: v for name, v in each.items() if v != "none"} or each for each in there]
    texts = [
        [" ".join(f"{name}={v}" for name, v in each.items()) for each in shown]
        for shown in (brief, there, whole)
    ]
    return next((t for t in texts if len(set(t)) == len(t)), texts[-1])


def _varied(records: Sequence[Record]) -> tuple[dict[str, tuple[str, ...]], set[str]]:
    """Each setting that differs, with its value in each run, and those in the user's own words."""
    leaves = [_leaves(record) for record in records]
    references = {name for each in leaves for name, value in each.items() if "${" in value}
    given = _names(o.lstrip("+~").partition("=")[0] for r in records for o in r.overrides)
    given.sort(key=_depth)
    choices = _names(name for record in records for name in _words(record))
    rest = sorted(_names(name for each in leaves for name in each), key=_depth)
    varied = {}
    for name in _names([*given, *choices, *rest]):
        if _says_where(name) or any(f"{name}.".startswith(f"{r}.") for r in references):
            continue
        values = tuple(
            _words(record).get(name, each.get(name, NONE))
            for record, each in zip(records, leaves, strict=True)
        )
        if len(set(values) - ({NONE} if name in _FILLED else set())) > 1:
            varied[name] = values
    return varied, set(given or choices)


def _leaves(record: Record) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else json.dumps(value, default=str)
        for name, value in flat(record.settings).items()
        if value is not None
    }


def _words(record: Record) -> Mapping[str, str]:
    """A word for each config group: what was chosen, or else what its settings build."""
    return record.choices or {
        name: ", ".join(_built(group)) or "none"
        for name, group in record.settings.items()
        if isinstance(group, Mapping) or group is None
    }


def _built(group: Mapping[str, Any] | None) -> list[str]:
    if group is None:
        return []
    if "_target_" in group:
        return [text(group["_target_"]).rpartition(".")[2]]
    return [name for name, part in group.items() if isinstance(part, Mapping)]


def _says_where(name: str) -> bool:
    return name.rpartition(".")[2] in _PLACES or name.startswith(_NO_SETTINGS)


def _along(varied: Mapping[str, tuple[str, ...]], columns: list[str]) -> list[str]:
    """What varies and is neither a column, nor part of what one chooses, nor the same in two."""
    shown = {varied[name] for name in columns}
    named: list[str] = []
    for name, values in varied.items():
        if name not in columns and not _is_part(name, columns + named) and values not in shown:
            named.append(name)
        shown.add(values)  # a setting that refers to another has its values, too
    return named


def _depth(name: str) -> int:
    return name.count(".")


def _is_part(name: str, groups: Sequence[str]) -> bool:
    return any(name.startswith(f"{group}.") for group in groups)


def _names(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _natural(values: tuple[str, ...]) -> tuple[tuple[bool, float, str], ...]:
    """Numbers by size, then words."""
    return tuple((not _number(v), float(v) if _number(v) else 0.0, v) for v in values)


def _number(value: str) -> bool:
    try:
        return float(value) == float(value)  # not NaN
    except ValueError:
        return False
