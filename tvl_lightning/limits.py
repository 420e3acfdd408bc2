"""What an argument of a class may be, said once: for its constructor and for the configuration.

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


Limit = tuple[Callable[[Any], bool], str]

COUNT: Limit = (lambda v: _whole(v) and v >= 1, "a whole number of at least 1")
INDEX: Limit = (lambda v: _whole(v) and v >= 0, "a whole number of at least 0")
POSITIVE: Limit = (lambda v: _number(v) and v > 0, "a number above 0")
NOT_NEGATIVE: Limit = (lambda v: _number(v) and v >= 0, "a number of at least 0")
FRACTION: Limit = (lambda v: _number(v) and 0 <= v < 1, "a number in [0, 1)")
FLAG: Limit = (lambda v: isinstance(v, bool), "true or false")
SEED: Limit = (lambda v: _whole(v) and 0 <= v < 2**32, "a whole number in [0, 2^32)")
COUNTS: Limit = (
    lambda v: isinstance(v, (list, tuple)) and len(v) > 0 and all(map(COUNT[0], v)),
    "a list of whole numbers of at least 1",
)


def optional(limit: Limit) -> Limit:
    """`limit`, or None."""
    admits, allowed = limit
    return lambda v: v is None or admits(v), f"{allowed}, or null"


_SIZES = {"in_shape": optional(COUNTS), "classes": optional(COUNT)}  # null: the data's
_FEATURES = {"in_features": COUNT, "out_features": COUNT}
_DATA = {"batch_size": COUNT, "val_size": FRACTION, "seed": SEED}

LIMITS: dict[str, dict[str, Limit]] = {
    "sizes": {"in_shape": COUNTS, "classes": COUNT},  # of a network that is built
    "perceptron": {**_SIZES, "width": COUNT, "hidden_layers": COUNT, "horizon": POSITIVE},
    "convolutional": {**_SIZES, "widths": COUNTS, "fields": INDEX, "horizon": POSITIVE},
    "transformer": {
        **_SIZES,
        "patch": COUNT,
        "width": COUNT,
        "heads": COUNT,
        "blocks": COUNT,
        "horizon": POSITIVE,
    },
    "TimeVariableResNet": _FEATURES,
    "FractionalDNN": _FEATURES,
    "TimeSteps": {"horizon": POSITIVE},
    "Fixed": {"first_only": FLAG},
    "Final": {"detach": FLAG},
    "Fractional": {
        "gamma": (lambda v: _number(v) and 0 < v <= 1, "a number in (0, 1]"),
        "learn_gamma": FLAG,
        "history_start": (lambda v: _whole(v) and v in (0, 1), "0 or 1"),
        "constant_coefficients": FLAG,
        "tau_floor": POSITIVE,
        "fused": FLAG,
    },
    "L1": {"weight": NOT_NEGATIVE},
    "L2": {"weight": NOT_NEGATIVE},
    "Horizon": {"weight": NOT_NEGATIVE, "horizon": POSITIVE},
    "Positive": {"eps": POSITIVE},
    "ScaledSimplex": {"eps": POSITIVE},
    "AdaptivePruning": {
        "epsilon": FRACTION,
        "interval": optional(COUNT),
        "warmup": INDEX,
        "min_hidden_layers": COUNT,
        "smallest_only": FLAG,
        "force": FLAG,
    },
    "TauRecorder": {"interval": COUNT},
    "ChunkedClassifier": {"chunk": COUNT},
    **dict.fromkeys(("TensorData", "MNIST", "FashionMNIST", "MNIST5k", "Digits"), _DATA),
    "Trainer": {"max_epochs": INDEX},
}


def check(owner: str, /, **arguments: Any) -> None:
    """Refuse the first of `arguments` that `LIMITS[owner]` does not admit.

    Args:
        owner: the name of the class or function whose arguments these are.
        arguments: by name; those without a limit pass.

    Raises:
        InputError: in one line, with the name, the value and what is allowed.
    """
    for name, value in arguments.items():
        complaint = refusal(owner, name, value)
        if complaint:
            raise InputError(f"{name}={value}: {complaint}")


def refusal(owner: str, name: str, value: Any) -> str | None:
    """What is wrong with an argument, None where nothing is known to be."""
    admits, allowed = LIMITS.get(owner, {}).get(name, (lambda v: True, ""))
    return None if admits(value) else f"must be {allowed}"
