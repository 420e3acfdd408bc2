"""What a setting may be, said once: for constructors and for the configuration.

Nothing here imports torch, so a refused command answers at once.
"""

import math
from collections.abc import Callable
from typing import Any


class InputError(ValueError):
    """What the user gave cannot be used; the message is one line that says what can."""


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_COUNT: tuple[Callable[[Any], bool], str] = (
    lambda v: _whole(v) and v >= 1,
    "a whole number of at least 1",
)
_POSITIVE: tuple[Callable[[Any], bool], str] = (lambda v: _number(v) and v > 0, "a number above 0")

LIMITS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "in_features": _COUNT,
    "width": _COUNT,
    "hidden_layers": _COUNT,
    "out_features": _COUNT,
    "horizon": _POSITIVE,
    "gamma": (lambda v: _number(v) and 0 < v <= 1, "a number in (0, 1]"),
    "history_start": (lambda v: _whole(v) and v in (0, 1), "0 or 1"),
    "tau_floor": _POSITIVE,
    "weight": (lambda v: _number(v) and v >= 0, "a number of at least 0"),
    "epsilon": (lambda v: _number(v) and 0 <= v < 1, "a number in [0, 1)"),
    "eps": _POSITIVE,
    "interval": (lambda v: v is None or _COUNT[0](v), "a whole number of at least 1, or null"),
    "warmup": (lambda v: _whole(v) and v >= 0, "a whole number of at least 0"),
    "min_hidden_layers": _COUNT,
    "batch_size": _COUNT,
    "steps_per_call": _COUNT,
    "val_size": (lambda v: _number(v) and 0 <= v < 1, "a fraction in [0, 1)"),
    "seed": (lambda v: _whole(v) and 0 <= v < 2**32, "a whole number in [0, 2^32)"),
    "lr": _POSITIVE,
    "max_epochs": (lambda v: _whole(v) and v >= 0, "a whole number of at least 0"),
}


def check(name: str, value: Any, key: str | None = None) -> None:
    """Refuse `value` where `LIMITS[name]` does not admit it.

    Args:
        name: the setting's own name, as in `LIMITS`.
        value: what was given.
        key: how the user spelled it, say `model.gamma`; the name where it is None.

    Raises:
        InputError: in one line, with the key, the value and what is allowed.
    """
    admits, allowed = LIMITS[name]
    if not admits(value):
        raise InputError(f"{key or name}={value}: must be {allowed}")
