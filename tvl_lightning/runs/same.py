"""Whether two runs are the same: when all their settings are, but for what changes no number."""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

# how far a run goes: a longer one is the same run
LENGTH = ("trainer.max_epochs", "trainer.max_steps", "trainer.max_time")

# settings that cannot change a number of a run; all others tell two runs apart
_HARMLESS = (
    *("data.root", "engine.chunk", "logger", "resume", *LENGTH),
    *("trainer.enable_model_summary", "trainer.enable_progress_bar", "trainer.log_every_n_steps"),
    *("callbacks.progress_bar", "callbacks.rich_progress_bar", "callbacks.model_summary"),
    *("callbacks.lr_monitor", "callbacks.board", "callbacks.rate", "callbacks.recorder.interval"),
    "callbacks.hopeless",
    # these lie in the run folder, which may have been moved
    *("callbacks.recorder.path", "callbacks.metrics.path"),
    *("callbacks.best_checkpoint.dirpath", "callbacks.last_checkpoint.dirpath"),
)
_SIZES = ("model.in_shape", "model.classes")
# equal to one another to the last bit; a compiled run equals them to rounding only
_EXACT_ENGINES = ("auto", "eager", "lightning")


def differences(
    earlier: Mapping[str, Any], present: Mapping[str, Any], filled: bool = False
) -> list[str]:
    """Each setting that tells two runs apart, with both values; empty where they are the same run.

    Args:
        earlier: the resolved configuration of a run.
        present: that of another.
        filled: whether the data's sizes were filled in in the earlier one, where it left them out.
    """
    there, here = flat(earlier), flat(present)
    if filled:
        there |= {name: None for name in _SIZES if here.get(name) is None}
    return [
        f"{name} ({_shown(there, name)} there, {_shown(here, name)} here)"
        for name in {**there, **here}
        if there.get(name) != here.get(name) and not _alike(name, there.get(name), here.get(name))
    ]


def _alike(name: str, there: Any, here: Any) -> bool:
    if name == "engine.name":
        return there in _EXACT_ENGINES and here in _EXACT_ENGINES
    if here in (None, {}) and there in (None, {}):
        return True
    return _is_among(name, _HARMLESS)


def fingerprint(settings: Mapping[str, Any], counted: Collection[str] = ()) -> str:
    """A text that is the same for the same run: where `differences` finds none.

    Args:
        settings: the resolved configuration, with no size filled in.
        counted: settings that tell two runs apart here, though they change no number.
    """
    leaves = {
        name: _canonical(leaf)
        for name, leaf in flat(settings).items()
        if leaf not in (None, {}) and (not _is_among(name, _HARMLESS) or _is_among(name, counted))
    }
    if leaves.get("engine.name") in _EXACT_ENGINES and not _is_among("engine.name", counted):
        leaves["engine.name"] = _EXACT_ENGINES[0]
    return hashlib.sha256(json.dumps(leaves, sort_keys=True, default=str).encode()).hexdigest()


def _is_among(name: str, known: Collection[str]) -> bool:
    return any(f"{name}.".startswith(f"{one}.") for one in known)


def _canonical(leaf: Any) -> Any:
    """Equal numbers as one: 1 and 1.0 are the same setting."""
    if isinstance(leaf, list):
        return [_canonical(entry) for entry in leaf]
    return float(leaf) if isinstance(leaf, int) and abs(leaf) < 2**53 else leaf


def _shown(settings: Mapping[str, Any], name: str) -> str:
    return str(settings[name])[:100] if settings.get(name) is not None else "none"


def flat(node: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves of nested settings by their dotted names; an empty group is a leaf."""
    if not isinstance(node, Mapping) or (prefix and not node):
        return {prefix: node}
    return {
        name: leaf
        for key, value in node.items()
        for name, leaf in flat(value, f"{prefix}.{key}" if prefix else str(key)).items()
    }
