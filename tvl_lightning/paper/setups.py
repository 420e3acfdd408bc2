"""The setups that the paper compares, recognised in the settings of a run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tvl_lightning.limits import InputError
from tvl_lightning.runs.same import flat

_DATA = {
    "tvl_lightning.data.MNIST": "mnist",
    "tvl_lightning.data.FashionMNIST": "fashion_mnist",
    "tvl_lightning.data.MNIST5k": "mnist_5k",
}
_MODELS = {
    "tvl_lightning.networks.Euler": "resnet",
    "tvl_lightning.networks.Fractional": "fractional",
}
_RULES = {
    "tvl_lightning.networks.Learned": "learned",
    "tvl_lightning.networks.Fixed": "fixed",
    "tvl_lightning.networks.Final": "final",
    "tvl_lightning.networks.Simplex": "simplex",
}

# What the paper, or where it is silent its authors' code, has in every run.
_COMMON: dict[str, dict[str, Any]] = {
    "model": {
        "_target_": "tvl_lightning.networks.perceptron",
        "width": 100,
        "hidden_layers": 6,
        "horizon": 1.0,
        "activation": "ReLU",
        "field": None,
    },
    "scheme": {"gamma": 0.5, "learn_gamma": False, "tau_floor": 1e-4},
    "tau": {"initial": None},
    "optimizer": {"_target_": "torch.optim.SGD", "lr": 0.01},
    "pruning": {"epsilon": 0.01, "warmup": 0, "min_hidden_layers": 1, "force": False},
    "data": {"batch_size": 100, "val_size": 0},
}
# Beside these, what cannot change a number; all else in these groups is no run of the paper.
_HARMLESS = {
    "optimizer": {"_partial_"},
    "scheduler": set[str](),
    "trainer": {
        *("_target_", "accelerator", "devices", "max_epochs", "num_sanity_val_steps"),
        *("enable_model_summary", "enable_progress_bar", "log_every_n_steps"),
    },
    "callbacks": {
        *("recorder", "metrics", "rate", "board", "best_checkpoint", "last_checkpoint"),
        *("progress_bar", "rich_progress_bar", "model_summary", "lr_monitor"),
    },
}
# The data's, which a run may fill in.
_SIZES = {"in_shape": [1, 28, 28], "classes": 10}

_PROJECTIONS: dict[str, dict[str, Any]] = {
    "resnet": {},
    "fractional": {"_target_": "tvl_lightning.constraints.Positive", "eps": 1e-4},
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
        variant: `paper` or `authors`, empty where the two do not differ; `constant` where all but
            the gradient through a(ℓ, j) is the paper's.
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
    # the network's scheme and τ stand in the model, which has them from these two groups
    settings = {**settings, **{name: settings["model"][name] for name in ("scheme", "tau")}}
    for key, value, wanted in _compared(settings, _COMMON, ""):
        if value != wanted:
            raise InputError(f"{key}={value}: the paper's runs have {wanted}")
    for key, value in _strange(settings):
        raise InputError(f"{key}={value}: the paper's runs have none")
    for name, wanted in _SIZES.items():
        value = settings["model"].get(name)
        if value not in (None, wanted):
            raise InputError(f"model.{name}={value}: the paper's runs have {wanted}")
    if settings.get("insertion"):
        raise InputError(f"insertion={settings['insertion']}: the paper's runs insert no layer")
    data = _named(settings, "data", _DATA)
    model = _named(settings, "scheme", _MODELS)
    if settings["projection"] != _PROJECTIONS[model]:
        raise InputError(
            f"projection={settings['projection']}: the paper's runs have {_PROJECTIONS[model]}"
        )
    pruned = bool(settings["pruning"])
    tau = _tau(_named(settings, "tau", _RULES), settings["reg"])
    return Setup(data, model, tau, pruned, _variant(settings, model, tau, pruned))


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


def _strange(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What is said, apart from null, 0 and false, in groups of which all is known."""
    for group, harmless in _HARMLESS.items():
        known = {*harmless, *_COMMON.get(group, {})}
        for name, value in (settings.get(group) or {}).items():
            if name not in known:
                yield from (
                    (f"{group}.{leaf}", inner)
                    for leaf, inner in flat({name: value}).items()
                    if inner not in (None, 0, {})
                )


def _named(settings: Mapping[str, Any], group: str, names: Mapping[str, str]) -> str:
    target = settings[group]["_target_"]
    if target not in names:
        raise InputError(f"{group}._target_={target}: the paper's runs have {' or '.join(names)}")
    return names[target]


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


def _variant(settings: Mapping[str, Any], model: str, tau: str, pruned: bool) -> str:
    """Of each option in which the authors' code differs, see conf/variant, the side taken."""
    scheme, rule, pruning = settings["scheme"], settings["tau"], settings["pruning"]
    sides, constant = set(), False
    if model == "fractional":
        theirs = scheme["history_start"] == 0
        constant = scheme["constant_coefficients"] and not theirs
        sides |= {theirs, scheme["constant_coefficients"] and not constant}
    if tau == "final":
        sides.add(rule["detach"])
    if tau == "fixed" and (model == "resnet" or rule["first_only"]):
        sides.add(rule["first_only"])
    if pruned:
        sides |= {pruning["interval"] is None, pruning["smallest_only"]}
    if len(sides) > 1:
        raise InputError("variant: some options are the paper's and some the authors'")
    if constant:
        return "constant"
    return {True: "authors", False: "paper"}[sides.pop()] if sides else ""


def setup(data: str, model: str, tau: str, pruned: bool = False, variant: str = "paper") -> Setup:
    """The setup of a variant, which is that of both where they do not differ."""
    differs = model == "fractional" or tau in ("fixed", "final") or pruned
    return Setup(data, model, tau, pruned, variant if differs else "")


def study_setups() -> list[Setup]:
    """A run of each for a seed: what the six figures show, in both variants, the simplex, and what
    has constant coefficients beside the paper's."""
    shown = {
        setup(data, model, tau, variant=variant)
        for variant in ("paper", "authors")
        for data in ("mnist", "fashion_mnist")
        for model in ("resnet", "fractional")
        for tau in ("learned", "fixed", "l1", "horizon", "final")
    }
    shown |= {
        setup("fashion_mnist", "resnet", tau, True, variant)
        for variant in ("paper", "authors")
        for tau in ("learned", "l1", "horizon", "final")
    }
    shown |= {
        setup(data, model, "simplex")
        for data in ("mnist", "fashion_mnist")
        for model in ("resnet", "fractional")
    }
    shown |= {
        setup(data, "fractional", tau, variant="constant")
        for data in ("mnist", "fashion_mnist")
        for tau in ("learned", "horizon")
    }
    return sorted(shown | {setup("fashion_mnist", "resnet", "simplex", True)})
