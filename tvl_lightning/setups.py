"""The setups that the paper compares, recognised in the settings of a run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tvl_lightning.limits import InputError

# The groups and keys of a configuration that tell a setup and its seed.
DECISIVE = ["model", "tau", "reg", "projection", "pruning", "optimizer", "scheduler", "seed"]

_MODELS = {
    "tvl_lightning.networks.TimeVariableResNet": "resnet",
    "tvl_lightning.networks.FractionalDNN": "fractional",
}

# What the paper, or where it is silent its authors' code, has in every run.
_COMMON = {
    "model": {
        "in_features": 784,
        "width": 100,
        "hidden_layers": 6,
        "out_features": 10,
        "horizon": 1.0,
        "activation": "ReLU",
        "block": None,
        "gamma": 0.5,
        "tau_floor": 1e-4,
    },
    "tau": {"initial": None},
    "optimizer": {"_target_": "torch.optim.SGD", "lr": 0.01, "momentum": 0, "weight_decay": 0},
    "scheduler": None,
    "pruning": {"epsilon": 0.01, "warmup": 0, "min_hidden_layers": 1},
    "data": {"batch_size": 100, "val_size": 0},
}
_PROJECTIONS: dict[str, dict[str, Any]] = {
    "resnet": {},
    "fractional": {
        "_target_": "tvl_lightning.callbacks.TauProjection",
        "onto": "positive",
        "eps": 1e-4,
    },
}
_PENALTIES: dict[str, dict[str, Any]] = {
    "l1": {"l1": {"weight": 0.01}},
    "horizon": {"horizon": {"weight": 0.5, "horizon": 1.0}},
}


@dataclass(frozen=True, order=True)
class Setup:
    """A run of the paper, apart from its seed and its length.

    Attributes:
        data: `mnist`, `fashion_mnist`, `mnist_5k`.
        model: `resnet` or `fractional`.
        tau: `learned`, `fixed`, `l1`, `horizon`, `final`, or `simplex`, which the paper lacks.
        pruned: whether layers may be pruned.
        variant: `paper` or `authors`; empty where the two do not differ.
    """

    data: str
    model: str
    tau: str
    pruned: bool = False
    variant: str = ""

    def __str__(self) -> str:
        parts = [self.data, self.model, self.tau, "pruned" * self.pruned, self.variant]
        return "-".join(part for part in parts if part)


def setup_of(settings: Mapping[str, Any]) -> Setup:
    """The setup that a run's resolved configuration describes.

    Raises:
        InputError: for settings that are none of the paper's, naming the first that differs.
    """
    for key, value, wanted in _compared(settings, _COMMON, ""):
        if value != wanted:
            raise InputError(f"{key}={value}: the paper's runs have {wanted}")
    model = _MODELS.get(settings["model"]["_target_"])
    if model is None:
        raise InputError(
            f"model._target_={settings['model']['_target_']}: not a network of the paper"
        )
    if settings["projection"] != _PROJECTIONS[model]:
        raise InputError(
            f"projection={settings['projection']}: the paper's runs have {_PROJECTIONS[model]}"
        )
    pruned = bool(settings["pruning"])
    return Setup(
        settings["data"]["dataset"],
        model,
        _tau(settings["tau"]["rule"], settings["reg"]),
        pruned,
        _variant(settings, model, pruned),
    )


def _compared(
    settings: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str
) -> Iterator[tuple[str, Any, Any]]:
    for name, value in wanted.items():
        if name not in settings:
            continue
        if isinstance(value, Mapping):
            yield from _compared(settings[name], value, f"{prefix}{name}.")
        else:
            yield prefix + name, settings[name], value


def _tau(rule: str, penalties: Mapping[str, Any]) -> str:
    values = {
        name: {key: value for key, value in penalty.items() if not key.startswith("_")}
        for name, penalty in penalties.items()
    }
    if not values:
        return rule
    for name, wanted in _PENALTIES.items():
        if values == wanted and rule == "learned":
            return name
    raise InputError(f"tau={rule} reg={values}: not a setup of the paper")


def _variant(settings: Mapping[str, Any], model: str, pruned: bool) -> str:
    """Of each option in which the authors' code differs, see conf/variant, the side taken."""
    tau, network, pruning = settings["tau"], settings["model"], settings["pruning"]
    sides = set()
    if model == "fractional":
        sides |= {network["history_start"] == 0, network["constant_coefficients"]}
    if tau["rule"] == "final":
        sides.add(tau["detach"])
    if tau["rule"] == "fixed" and (model == "resnet" or tau["first_only"]):
        sides.add(tau["first_only"])
    if pruned:
        sides |= {pruning["interval"] is None, pruning["smallest_only"]}
    if len(sides) > 1:
        raise InputError("variant: some options are the paper's and some the authors'")
    return {True: "authors", False: "paper"}[sides.pop()] if sides else ""


def setup(data: str, model: str, tau: str, pruned: bool = False, variant: str = "paper") -> Setup:
    """The setup of a variant, which is that of both where they do not differ."""
    differs = model == "fractional" or tau in ("fixed", "final") or pruned
    return Setup(data, model, tau, pruned, variant if differs else "")
