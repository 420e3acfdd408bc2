"""Objects from plain data that may be a stranger's: what can be named is limited."""

import importlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from tvl_lightning.limits import InputError
from tvl_lightning.networks import TimeSteps, TimeVariableNetwork

OURS = ("tvl_lightning.networks", "tvl_lightning.penalties", "tvl_lightning.data")
MOST = 20_000  # parameters and modules that a description may ask for

# Others take memory by arguments alone, which no tensor in the file bounds: a padding of any size,
# a transformer of any number of layers. trust=[torch.nn] allows them.
_KINDS = ("activation", "batchnorm", "dropout", "instancenorm", "linear", "normalization")
_TORCHS = [f"torch.nn.modules.{kind}" for kind in _KINDS]
_MAX_LIST = 16  # numbers in a list for a module of torch.nn


def build(config: Any, trust: Sequence[str] = (), ours: Sequence[str] = OURS) -> Any:
    """What Hydra's `instantiate` makes of plain data, from the packages that are allowed.

    Allowed are this package's networks, penalties and data by their public names; for networks also
    layers and activations of `torch.nn`; and all in the packages that the user trusts. Nothing else
    is imported or called.

    Args:
        config: nested mappings, lists and values; a mapping with `_target_` is called with its
            other entries, or bound to them where `_partial_` is true.
        trust: names of packages.
        ours: which of `OURS` are meant.

    Raises:
        InputError: for a target that is not allowed, or keys that mean something to others.
    """
    return _build(config, [trust] if isinstance(trust, str) else list(trust or ()), ours, "")


def _build(config: Any, trust: Sequence[str], ours: Sequence[str], role: str) -> Any:
    if isinstance(config, (list, tuple)):
        return [_build(value, trust, ours, "") for value in config]
    if not isinstance(config, Mapping):
        return config
    if not all(isinstance(key, str) for key in config):
        raise InputError(f"settings {list(config)}: must be named by strings")
    unknown = [k for k in config if k.startswith("_") and k not in ("_target_", "_partial_")]
    if unknown:
        raise InputError(f"settings {', '.join(unknown)}: only _target_ and _partial_ may begin so")
    arguments = {
        key: _build(value, trust, ours, key)
        for key, value in config.items()
        if not key.startswith("_")
    }
    if "_target_" not in config:
        return arguments
    target, bound = _target(config["_target_"], trust, ours), config.get("_partial_", False)
    if not isinstance(bound, bool):
        raise InputError(f"_partial_={bound}: must be true or false")
    _check_arguments(target, arguments, bound, role)
    return partial(_Limited(target), **arguments) if bound else target(**arguments)


def _target(name: Any, trust: Sequence[str], ours: Sequence[str]) -> Any:
    """The class or function that a dotted name means: one import, one attribute."""
    module, _, attribute = str(name).rpartition(".")
    mine, torchs = module in ours, module == "torch.nn" and OURS[0] in ours
    hidden = any(part.startswith("_") for part in str(name).split("."))
    if (mine or torchs or _inside(module, trust)) and not hidden:
        try:
            found = getattr(importlib.import_module(module), attribute, None)
        except ImportError as error:
            raise InputError(
                f"_target_={name}: cannot be imported ({error}); start the command in the folder "
                "that holds it, or install it"
            ) from None
        home = str(getattr(found, "__module__", ""))
        if inspect.isclass(found) or inspect.isfunction(found):
            if (mine and _inside(home, OURS)) or _inside(home, trust):
                return found
            if torchs and home in _TORCHS and _is_module(found):
                return found
    torch_too = ", a layer or activation of torch.nn," if OURS[0] in ours else ""
    raise InputError(
        f"_target_={name}: must be of {' or '.join(ours)}{torch_too} or of a package that you "
        "trust; if it is your own, name its package: trust=[PACKAGE]"
    )


def _is_module(found: Any) -> bool:
    return inspect.isclass(found) and issubclass(found, nn.Module)


def _check_arguments(target: Any, arguments: dict[str, Any], bound: bool, role: str) -> None:
    """Refuse what takes memory, and leave out a folder that would have to be made."""
    home = target.__module__
    if _inside(home, ["torch.nn"]):
        if "device" in arguments:
            raise InputError("device: where a network lives is not for a file to say")
        if any(isinstance(v, list) and len(v) > _MAX_LIST for v in arguments.values()):
            raise InputError(f"{target.__name__}: takes no list of more than {_MAX_LIST}")
    elif _inside(home, OURS):
        rule = inspect.isclass(target) and issubclass(target, TimeSteps)
        if rule and not (role == "tau" and bound):
            raise InputError(f"{target.__name__}: is a rule for tau, with _partial_: true")
        if "root" in arguments and not Path(str(arguments["root"])).expanduser().is_dir():
            del arguments["root"]  # the files were elsewhere, and a download goes to no such place


class _Limited:
    """Calls a target as often as a network has layers, and not for ever."""

    def __init__(self, target: Any) -> None:
        self.target, self.calls = target, 0
        self.__name__ = getattr(target, "__name__", "")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.calls > MOST:
            raise InputError(f"it asks for more than {MOST} layers")
        return self.target(*args, **kwargs)


def _inside(module: str, packages: Sequence[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@contextmanager
def without_memory() -> Iterator[None]:
    """Build modules whose tensors have shapes but no memory, and not more than `MOST` of them.

    Raises:
        InputError: where more are built, or a network in a network, which doubles its copies.
    """
    count = 0

    def counted(_: nn.Module, name: str, part: Any) -> None:
        nonlocal count
        count += 1
        if count > MOST:
            raise InputError(f"it asks for more than {MOST} parameters and modules")
        if isinstance(part, TimeVariableNetwork):
            raise InputError(f"{name}: is a network in a network")

    hooks = [
        register_module_parameter_registration_hook(counted),
        register_module_module_registration_hook(counted),
    ]
    try:
        with torch.device("meta"):
            yield
    finally:
        for hook in hooks:
            hook.remove()
