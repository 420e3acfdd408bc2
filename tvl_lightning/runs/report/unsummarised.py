"""What the files in `.hydra` say of a run that has not written its summary yet."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tvl_lightning.limits import InputError

_MOST = 2**16  # bytes; a configuration has some thousands
_DEEPEST = 50
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def settings_so_far(folder: Path) -> dict[str, Any]:
    """As in a summary: `settings`, not resolved, `overrides` and `choices`; empty without files.

    Raises:
        InputError: for a file that is damaged.
    """
    files = {"settings": "config.yaml", "overrides": "overrides.yaml", "choices": "hydra.yaml"}
    found = {n: _content(folder / ".hydra" / f) for n, f in files.items()}
    for name in ("hydra", "runtime", "choices"):
        within = found["choices"]
        found["choices"] = within.get(name) if isinstance(within, Mapping) else None
    return {name: content for name, content in found.items() if content is not None}


def _content(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > _MOST:
            raise ValueError("too large for a configuration")
        text = path.read_text(encoding="utf-8")
        _check(text)
        return yaml.load(text, _LOADER)
    except Exception as error:  # the parser raises a dozen kinds, and each means the same
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: cannot be read: {reason}") from error


def _check(text: str) -> None:
    """Refuse what unfolds to more than it is."""
    depth = 0
    for event in yaml.parse(text, _LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("aliases are not allowed")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise ValueError("nested too deeply")
