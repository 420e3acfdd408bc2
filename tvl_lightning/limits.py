"""What an argument of a class may be, said once: for its constructor and for the configuration.

Nothing here imports torch, so a refused command answers at once.
"""

from collections.abc import Callable
from typing import Any


class InputError(ValueError):
    """What the user gave cannot be used; the message is one line that says what can."""


_LARGEST = 3.4e38  # in single precision


def _number(value: Any) -> bool:
    return _whole(value) or (isinstance(value, float) and abs(value) <= _LARGEST)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


Limit = tuple[Callable[[Any], bool], str]

ANYTHING: Limit = (lambda v: True, "anything")
COUNT: Limit = (lambda v: _whole(v) and v >= 1, "a whole number of at least 1")
INDEX: Limit = (lambda v: _whole(v) and v >= 0, "a whole number of at least 0")
POSITIVE: Limit = (lambda v: _number(v) and v > 0, "a number above 0")
NOT_NEGATIVE: Limit = (lambda v: _number(v) and v >= 0, "a number of at least 0")
FRACTION: Limit = (lambda v: _number(v) and 0 <= v < 1, "a number in [0, 1)")
FLAG: Limit = (lambda v: isinstance(v, bool), "true or false")
SEED: Limit = (lambda v: _whole(v) and 0 <= v < 2**32, "a whole number in [0, 2^32)")
TEXT: Limit = (lambda v: isinstance(v, str) and bool(v.strip()), "a text that is not empty")
COUNTS: Limit = (
    lambda v: isinstance(v, (list, tuple)) and len(v) > 0 and all(map(COUNT[0], v)),
    "a list of whole numbers of at least 1",
)
NUMBERS: Limit = (
    lambda v: isinstance(v, (list, tuple)) and len(v) > 0 and all(map(_number, v)),
    "a list of finite numbers",
)
PART: Limit = (lambda v: isinstance(v, dict) and "_target_" in v, "a mapping with a _target_")


def _devices(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) > 0 and all(map(INDEX[0], value))


def layers(most: int) -> Limit:
    """How many layers; a checkpoint of many more would not be read back, see `rebuild.MOST`."""
    return lambda v: _whole(v) and 1 <= v <= most, f"a whole number in 1 ... {most}"


def optional(limit: Limit) -> Limit:
    """`limit`, or None."""
    admits, allowed = limit
    return lambda v: v is None or admits(v), f"{allowed}, or null"


def nothing(way: str) -> Limit:
    """For an argument that is not for the user to give."""
    return lambda v: False, f"left out: {way}"


_SIZES = {"in_shape": optional(COUNTS), "classes": optional(COUNT)}  # null: the data's
_PARTS = {"field": optional(PART), "scheme": optional(PART), "tau": PART}
_ACTIVATION: Limit = (
    lambda v: TEXT[0](v) or PART[0](v),
    "the name of an activation in torch.nn, or a mapping with a _target_",
)
_PYTHONS = dict.fromkeys(
    ("width", "hidden_layers", "horizon", "tau", "activation", "field"), ANYTHING
)
_FEATURES = {"in_features": COUNT, "out_features": COUNT, **_PYTHONS}
_INITIAL = {"initial": optional(NUMBERS)}
_DATA = {"batch_size": COUNT, "val_size": FRACTION, "seed": SEED}
_FILES = {**_DATA, "root": TEXT}
_START: Limit = (lambda v: _whole(v) and v in (0, 1), "0 or 1")
_PRUNING = {"interval": optional(COUNT), "smallest_only": FLAG}
_BETAS: Limit = (
    lambda v: isinstance(v, (list, tuple)) and len(v) == 2 and all(map(FRACTION[0], v)),
    "two numbers in [0, 1)",
)
_MODE: Limit = (lambda v: v in ("min", "max"), "min or max")
_EVERY: dict[str, Limit] = {  # beside the arguments of a scheduler
    "interval": (lambda v: v in ("epoch", "step"), "epoch or step"),
    "frequency": COUNT,
    "monitor": optional(TEXT),
    "strict": FLAG,
    "name": optional(TEXT),
}
_BETWEEN: Limit = (lambda v: _number(v) and 0 < v < 1, "a number in (0, 1)")
_PART_OF_ONE: Limit = (lambda v: _number(v) and 0 <= v <= 1, "a number in [0, 1]")
_START_OF_AVERAGE: Limit = (
    lambda v: INDEX[0](v) or FRACTION[0](v),
    "an epoch, or a fraction of max_epochs in [0, 1)",
)
_OWN_OF_TAU: Limit = (lambda v: v is None or isinstance(v, dict), "a mapping of lr, weight_decay")
_FROM_MINUS_1: Limit = (lambda v: _whole(v) and v >= -1, "a whole number of at least -1")
_LOGGED: Limit = (lambda v: v in (None, "step", "epoch"), "step, epoch, or null")
_NAME: Limit = (lambda v: v is None or isinstance(v, str), "a text, or null")
_ADAM = {
    "tau": _OWN_OF_TAU,
    "lr": NOT_NEGATIVE,
    "betas": _BETAS,
    "eps": NOT_NEGATIVE,
    "weight_decay": NOT_NEGATIVE,
}

# of ours: all arguments that a configuration may give
LIMITS: dict[str, dict[str, Limit]] = {
    "sizes": {"in_shape": COUNTS, "classes": COUNT},  # of a network that is built
    "perceptron": {
        **_SIZES,
        "width": COUNT,
        "hidden_layers": layers(1000),
        "horizon": POSITIVE,
        "activation": _ACTIVATION,
        **_PARTS,
    },
    "convolutional": {
        **_SIZES,
        "widths": COUNTS,
        "fields": (lambda v: _whole(v) and 0 <= v <= 500, "a whole number in 0 ... 500"),
        "horizon": POSITIVE,
        "activation": _ACTIVATION,
        **_PARTS,
    },
    "transformer": {
        **_SIZES,
        "patch": COUNT,
        "width": COUNT,
        "heads": COUNT,
        "blocks": layers(500),
        "horizon": POSITIVE,
        **_PARTS,
    },
    "TimeVariableResNet": _FEATURES,
    "TimeSteps": {"horizon": POSITIVE},
    "Learned": _INITIAL,
    "Fixed": {**_INITIAL, "first_only": FLAG},
    "Final": {**_INITIAL, "detach": FLAG},
    "Simplex": _INITIAL,
    "Euler": {},
    "Heun": {},
    "Fractional": {
        "gamma": (lambda v: _number(v) and 0 < v <= 1, "a number in (0, 1]"),
        "learn_gamma": FLAG,
        "history_start": _START,
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
        **_PRUNING,
        "epsilon": FRACTION,
        "warmup": INDEX,
        "min_hidden_layers": COUNT,
        "force": FLAG,
    },
    "TauRecorder": {"path": TEXT, "interval": COUNT},
    "MetricsTable": {"path": TEXT},
    "StopHopeless": {"path": TEXT},
    "LastCheckpoint": {"dirpath": TEXT},
    "RunProgress": {},
    "IterationRate": {},
    "TensorBoardCards": {},
    "SameBatches": {},
    "ExponentialAverage": {"decay": FRACTION},
    "EpochAverage": {"start": _START_OF_AVERAGE},
    "WarmupCosine": {
        "warmup": INDEX,
        "total": COUNT,
        "end": _PART_OF_ONE,
        "last_epoch": _FROM_MINUS_1,
        **_EVERY,
    },
    "ChunkedClassifier": {"name": TEXT, "chunk": COUNT},
    **dict.fromkeys(("MNIST", "FashionMNIST"), _FILES),
    **dict.fromkeys(("TensorData", "MNIST5k", "Digits"), _DATA),
    # not classes, but places in the configuration
    "variant": {
        "history_start": _START,
        "constant_coefficients": FLAG,
        "detach_final": FLAG,
        "fix_first_only": FLAG,
        "prune_smallest_only": FLAG,
        "prune_interval": optional(COUNT),
    },
    "optimizer.tau": {"lr": optional(NOT_NEGATIVE), "weight_decay": NOT_NEGATIVE},
}
# of others': what is in our configuration, and what is not for the user to give
OTHERS: dict[str, dict[str, Limit]] = {
    "": {"seed": SEED, "threads": optional(layers(1024))},
    "FractionalDNN": _FEATURES,
    "Trainer": {
        "max_epochs": (
            lambda v: v is None or (_whole(v) and (v == -1 or v >= 1)),
            "a whole number of at least 1, or -1 for no end",
        ),
        "num_sanity_val_steps": _FROM_MINUS_1,
        "log_every_n_steps": INDEX,
        "accelerator": TEXT,
        "devices": (
            lambda v: TEXT[0](v) or (_whole(v) and v in (-1, *range(1, 1025))) or _devices(v),
            "auto, their number, or a list of their indices",
        ),
        "enable_model_summary": FLAG,
        "logger": nothing("loggers are the group logger"),
        "callbacks": nothing("callbacks are the group callbacks"),
        "plugins": nothing("the run writes checkpoints its own way"),
        "default_root_dir": nothing("the folder of a run is hydra.run.dir"),
    },
    "SGD": {
        "tau": _OWN_OF_TAU,
        **dict.fromkeys(("lr", "momentum", "weight_decay"), NOT_NEGATIVE),
        **dict.fromkeys(("nesterov", "maximize"), FLAG),
    },
    **dict.fromkeys(("Adam", "AdamW"), _ADAM),
    "StepLR": {"step_size": COUNT, "gamma": POSITIVE, **_EVERY},
    "CosineAnnealingLR": {"T_max": COUNT, "eta_min": NOT_NEGATIVE, **_EVERY},
    "ReduceLROnPlateau": {"factor": _BETWEEN, "patience": INDEX, "mode": _MODE, **_EVERY},
    "BestCheckpoint": {
        "dirpath": TEXT,
        "monitor": TEXT,
        "mode": _MODE,
        "save_top_k": _FROM_MINUS_1,
    },
    "ModelSummary": {"max_depth": _FROM_MINUS_1},
    "RichModelSummary": {"max_depth": _FROM_MINUS_1},
    "LearningRateMonitor": {"logging_interval": _LOGGED},
    "TensorBoardLogger": {"save_dir": TEXT, "name": _NAME, "default_hp_metric": FLAG},
    "CSVLogger": {"save_dir": TEXT, "name": _NAME},
    "EarlyStopping": {
        "monitor": TEXT,
        "mode": _MODE,
        "patience": INDEX,
        "min_delta": NOT_NEGATIVE,
    },
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
    limits = LIMITS.get(owner) or OTHERS.get(owner, {})
    admits, allowed = limits.get(name, ANYTHING)
    return None if admits(value) else f"must be {allowed}"


def takes(owner: str, name: str) -> bool:
    """Whether a class has an argument `name`, as far as is known."""
    return owner not in LIMITS or name in LIMITS[owner]
