"""The settings that differ between runs, a column each."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tvl_lightning.runs.report.differing import NONE, differing
from tvl_lightning.runs.report.record import Record, text

Column = list[str | None]

_OF_THE_DATA = ("model.in_shape", "model.classes")  # null in a run that has not ended


def setting_columns(records: Sequence[Record]) -> dict[str, Column]:
    """What tells `records` apart: the value of each setting in each of them, None without one.

    A run that failed before its settings were known says what it was asked for.
    """
    found = differing(records)
    values: dict[int, Mapping[str, str]] = {
        id(record): dict(zip(found.columns, setting.values, strict=True))
        for setting in found.settings
        for record in setting.records
    }
    asked = {id(record): _asked(record) for record in found.unknown}
    names = [*found.columns, "seed", *(name for each in asked.values() for name in each)]
    columns = {}
    for name in dict.fromkeys(n for n in names if n not in _OF_THE_DATA):
        column = [_value(r, name, values.get(id(r), {}), asked.get(id(r))) for r in records]
        if name in found.columns or len(set(column) - {None}) > 1:
            columns[name] = column
    return columns


def has_setting(records: Sequence[Record], name: str) -> bool:
    """Whether one of `records` has a setting or a group `name`."""
    return any(
        name in record.choices or name in _asked(record) or _leaf(record.settings, name) is not None
        for record in records
    )


def _value(
    record: Record, name: str, values: Mapping[str, str], asked: Mapping[str, str] | None
) -> str | None:
    if asked is not None:
        return record.choices.get(name, asked.get(name))
    if name == "seed":
        return record.seed or None
    if name in values:
        return None if values[name] == NONE else values[name]
    return record.choices.get(name, _leaf(record.settings, name))


def _asked(record: Record) -> dict[str, str]:
    """The overrides of a command line."""
    pairs = (override.lstrip("+").partition("=") for override in record.overrides)
    return {
        name: value for name, equals, value in pairs if equals and not name.startswith("hydra.")
    }


def _leaf(settings: Mapping[str, Any], name: str) -> str | None:
    node: Any = settings
    for part in name.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    if node is None or isinstance(node, str):
        return node
    return text(json.dumps(node, default=str))
