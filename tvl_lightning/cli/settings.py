"""Judges a configuration before torch is imported, so that a refused command answers at once."""

import logging
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from tvl_lightning.cli.choices import CONFIG_PATH, SEVERAL, keys_of, nearest, suggestion, typed
from tvl_lightning.limits import InputError, refusal, takes

log = logging.getLogger(__name__)

# what a run is made of: each is a part, with a _target_, or several parts by name
PARTS = ("tau", "scheme", "model", "data", "optimizer", "trainer")
_MAYBE = ("projection", "pruning", "scheduler", "reg", "callbacks", "logger")
_PLACES = ("variant", "engine")
_ELSEWHERE = ("setup", "experiment", "hparams_search", "debug")  # choices of settings elsewhere
_PLACES_OF = {
    "variant.": "variant",
    "engine.": "ChunkedClassifier",
    "optimizer.tau.": "optimizer.tau",
}
NEEDED = (*PARTS, *_MAYBE, *_PLACES, "seed", "threads", "resume")

_LATER = {"tau": True, "optimizer": None, "scheduler": None}  # _partial_; None: whatever it says
_IN_CHECKPOINTS = ("model", "scheme", "tau", "reg", "data")  # which know no other key with _
_BYTES = 12  # a parameter in training: itself, its gradient, its momentum


class _Setting(NamedTuple):
    key: str
    owner: str
    name: str
    value: Any
    borrowed: bool  # an interpolation: it is judged where it comes from, and only then here


def check_config(cfg: DictConfig, needed: Collection[str] = NEEDED) -> None:
    """Refuse what no part of this package takes, with the key that the user would type.

    Args:
        cfg: the configuration.
        needed: what must stand at its top.

    Raises:
        InputError: for the first setting found.
        OmegaConfBaseException: for an interpolation that leads nowhere.
    """
    for name in needed:
        if name not in cfg:
            raise InputError(f"{name}: is needed{_instead(name)}")
    settings: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    _check_top(settings, needed)
    known = keys_of(cfg)
    for setting in sorted(_settings(cfg, settings), key=lambda s: s.borrowed):
        if not takes(setting.owner, setting.name):
            _refuse_unknown(setting, known)
        complaint = refusal(setting.owner, setting.name, setting.value)
        if complaint:
            raise InputError(f"{setting.key}={typed(setting.value)}: {complaint}")
    _check_size(settings.get("model"), settings.get("tau"))
    _warn(settings)


def _instead(group: str) -> str:
    folder = Path(CONFIG_PATH) / group
    options = sorted(file.stem for file in folder.glob("*.yaml"))
    if "none" in options:
        return f"; {group}=none is none"
    return f": one of {', '.join(options)}" if options else ""


def _check_top(settings: Mapping[str, Any], needed: Collection[str]) -> None:
    """Refuse a misspelt name at the top, and a part that is none."""
    for name, content in settings.items():
        near = None if name in needed else nearest(name, needed)
        if name in _ELSEWHERE:
            raise InputError(f"{name}: nothing takes it; {name}=NAME chooses")
        if near:
            raise InputError(f"{name}: there is no such setting; did you mean {near}?")
        if name in SEVERAL and isinstance(content, dict):
            for entry, part in content.items():
                if part is not None or name == "reg":
                    _check_part(f"{name}.{entry}", part, name)
        elif name in PARTS or (name in _MAYBE and content):
            _check_part(name, content, name)
        elif name in (*_PLACES, *SEVERAL) and not isinstance(content, dict):
            raise InputError(
                f"{name}={typed(content)}: must be a choice of its group{_instead(name)}"
            )


def _check_part(key: str, part: Any, group: str) -> None:
    if not isinstance(part, dict):
        raise InputError(f"{key}={typed(part)}: must be a mapping with a _target_; ~{key} is none")
    target = part.get("_target_")
    if target is None:
        inner = next((f"{key}.{name}" for name in part), key)
        way = suggestion(inner, set()) if group in (*SEVERAL, *_MAYBE) else ""
        raise InputError(f"{inner}: nothing takes it; {way or f'{key} has no _target_'}")
    if not isinstance(target, str) or not _dotted(target):
        raise InputError(f"{key}._target_={typed(target)}: must be the dotted name of a class")
    later, partial = _LATER.get(group, False), part.get("_partial_", False)
    if not isinstance(partial, bool) or (later is not None and partial is not later):
        must = "left out" if later is False else "true"
        raise InputError(f"{key}._partial_={typed(partial)}: must be {must}")
    hidden = [n for n in part if n.startswith("_") and n not in ("_target_", "_partial_")]
    if hidden and group in _IN_CHECKPOINTS:
        raise InputError(f"{key}.{hidden[0]}: a checkpoint takes _target_ and _partial_ only")


def _dotted(target: str) -> bool:
    return "." in target and all(name.isidentifier() for name in target.split("."))


def _settings(cfg: DictConfig, values: Mapping[str, Any], prefix: str = "") -> Iterator[_Setting]:
    """Each setting, with its owner: a class, or a place at the top; empty where it is a stranger's.

    Others, as most of torch's classes and a stranger's, judge their own arguments.
    """
    owner = _owner(values, prefix)
    for name, value in values.items():
        if name.startswith("_"):
            continue
        borrowed = OmegaConf.is_interpolation(cfg, name)
        node = None if borrowed else cfg[name]
        inside = isinstance(value, dict) and isinstance(node, DictConfig)
        if not inside or (owner and prefix) or refusal(owner, name, value):
            yield _Setting(f"{prefix}{name}", owner, name, value, borrowed)
        if inside:
            assert isinstance(node, DictConfig)
            yield from _settings(node, value, f"{prefix}{name}.")


def _owner(values: Mapping[str, Any], prefix: str) -> str:
    package, _, owner = str(values.get("_target_") or "").rpartition(".")
    if package.startswith(("tvl_lightning", "lightning", "torch.optim")):
        return owner
    return _PLACES_OF.get(prefix, "")


def _refuse_unknown(setting: _Setting, known: set[str]) -> None:
    nobody = setting.owner in _PLACES_OF.values()
    takes_none = "nothing takes it" if nobody else f"{setting.owner} takes no {setting.name}"
    way = suggestion(setting.key, known - {setting.key})
    raise InputError(f"{setting.key}={typed(setting.value)}: {takes_none}{way and f'; {way}'}")


def _check_size(model: Mapping[str, Any] | None, tau: Mapping[str, Any] | None) -> None:
    """Refuse a network that this machine's memory cannot hold, or a wrong number of τ."""
    if not model:
        return
    owner = str(model["_target_"]).rpartition(".")[2]
    sizes = {"width": 1, "hidden_layers": 1, "widths": [1], "fields": 1, "blocks": 1, **model}
    width, rest = sizes["width"], sizes["hidden_layers"] - 1
    n, parameters = {
        "perceptron": (rest + 1, width * (width * rest + (model.get("classes") or 1))),
        "convolutional": (
            len(sizes["widths"]) * (sizes["fields"] + 1),
            9 * sizes["fields"] * sum(w * w for w in sizes["widths"]),
        ),
        "transformer": (1 + 2 * sizes["blocks"], 12 * sizes["blocks"] * width * width),
    }.get(owner, (None, 0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if parameters * _BYTES > memory:
        raise InputError(
            f"model: {parameters:.2g} parameters are more than the {memory / 2**30:.0f} GiB of "
            "this machine can train; make it narrower or shallower"
        )
    initial = (tau or {}).get("initial")
    if n and initial is not None and len(initial) != n:
        raise InputError(
            f"tau.initial={typed(initial)}: must be {n} finite numbers, one for each hidden layer"
        )


def _warn(settings: Mapping[str, Any]) -> None:
    """Say where a penalty cannot change anything."""
    penalties = {
        name: str(part["_target_"]).rpartition(".")[2]
        for name, part in (settings.get("reg") or {}).items()
        if str(part["_target_"]).startswith("tvl_lightning.")
    }
    tau = settings.get("tau") or {}
    rule = str(tau.get("_target_")).rpartition(".")[2]
    projection = str((settings.get("projection") or {}).get("_target_")).rpartition(".")[2]
    for name, kind in penalties.items():
        why = ""
        if rule == "Fixed" and not tau.get("first_only"):
            why = "with tau=fixed no τ is learned"
        elif kind == "Horizon" and rule == "Final":
            why = "with tau=final the sum of τ is T"
        elif kind in ("Horizon", "L1") and rule == "Simplex":
            why = "with tau=simplex τ > 0 and the sum of τ is T"
        elif kind in ("Horizon", "L1") and projection == "ScaledSimplex":
            why = "with projection=simplex τ > 0 and the sum of τ is T"
        if why:
            log.warning("reg=%s has nothing to penalise: %s", name, why)
