"""Checkpoints: written whole or not at all, read as plain data so that no code in them is run."""

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from torch import Tensor

from tvl_lightning.files import replacing
from tvl_lightning.limits import InputError
from tvl_lightning.networks import TimeVariableNetwork
from tvl_lightning.networks.restructure import checked_structure
from tvl_lightning.penalties import Penalty
from tvl_lightning.training.classifier import TimeVariableClassifier
from tvl_lightning.training.format import check_format, check_plain, read_plain, refused
from tvl_lightning.training.rebuild import MOST, OURS, build, without_memory

_NETWORKS, _PENALTIES, _DATA = ([package] for package in OURS)
_SETTINGS = {"format", "network", "penalties", "data", "settings"}


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints so that a killed process leaves the previous one, and reads plain data.

    Lightning's own writer moves a file over from the folder for temporary files, which is a copy
    where that folder is another file system.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Save `checkpoint` to `path`, or leave `path` as it is.

        Raises:
            OSError: where the disk is full.
        """
        try:
            with replacing(Path(path)) as part, part.open("wb") as file:
                torch.save(checkpoint, file)
        except RuntimeError as error:  # of PyTorch, whose archive a full disk cut off
            full = error.__context__
            if not isinstance(full, OSError):
                raise
            raise OSError(full.errno, full.strerror, str(path)) from error

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """The content of a file, see `read_plain`; code in it is run for `weights_only=False`."""
        if weights_only is False:
            return super().load_checkpoint(path, map_location, weights_only)
        content: dict[str, Any] = read_plain(path)
        return content

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Delete a checkpoint that is no longer needed.

        A stranger's checkpoint tells Lightning which one that is, so nothing else is deleted.
        """
        if Path(path).suffix == ".ckpt" and ".." not in Path(path).parts and Path(path).is_file():
            Path(path).unlink()


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The content of a checkpoint that a run of this package wrote, on the CPU.

    Raises:
        InputError: as `read_plain` does, and for a file of another program or version.
    """
    content = read_plain(path)
    settings = content.get("hyper_parameters") if isinstance(content, dict) else None
    weights = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(settings, dict) or not isinstance(weights, dict):
        raise refused(path, "was not written by a run of tvl_lightning")
    check_format(settings, f"checkpoint {path}")
    try:
        check_plain(settings)
    except InputError as error:
        raise refused(path, error) from None
    if set(settings) - _SETTINGS:
        unknown = ", ".join(sorted(set(settings) - _SETTINGS))
        raise refused(path, f"has settings that no run of ours writes ({unknown})")
    if not all(isinstance(name, str) for name in weights):
        raise refused(path, "has tensors without a name")
    checkpoint: dict[str, Any] = content
    return checkpoint


def load_classifier(
    path: str | Path,
    trust: Sequence[str] = (),
    network: TimeVariableNetwork | None = None,
    penalties: Mapping[str, Penalty] | None = None,
    cls: type[TimeVariableClassifier] = TimeVariableClassifier,
    **options: Any,
) -> TimeVariableClassifier:
    """The module of a checkpoint, built from the plain data in it, on the CPU.

    Args:
        path: the file.
        trust: packages of your own whose fields and penalties the file may name.
        network: what was trained, where it was built in Python; its numbers are replaced.
        penalties: those it was trained with, likewise.
        cls: the class of the module.
        options: further arguments of `cls`.

    Raises:
        InputError: as `read_checkpoint` does, and for a network that cannot be built or does not
            fit the tensors in the file.
    """
    return classifier_from(read_checkpoint(path), path, trust, network, penalties, cls, **options)


def classifier_from(
    checkpoint: Mapping[str, Any],
    path: str | Path,
    trust: Sequence[str] = (),
    network: TimeVariableNetwork | None = None,
    penalties: Mapping[str, Penalty] | None = None,
    cls: type[TimeVariableClassifier] = TimeVariableClassifier,
    **options: Any,
) -> TimeVariableClassifier:
    """As `load_classifier`, of the content that `read_checkpoint` found at `path`."""
    settings, state = checkpoint["hyper_parameters"], checkpoint["state_dict"]
    name = str(path)
    if penalties is None:
        if not isinstance(settings.get("penalties"), dict):
            raise refused(path, "its penalties were built in Python; pass penalties=...")
        penalties = built(settings["penalties"], trust, name, _PENALTIES)
        if not isinstance(penalties, dict) or not all(map(callable, penalties.values())):
            raise refused(path, "its penalties are none")
    if network is None and not isinstance(settings.get("network"), dict):
        raise refused(path, "its network was built in Python; pass network=...")
    weights = {
        key.removeprefix("network."): _own(value)
        for key, value in state.items()
        if key.startswith("network.")
    }
    network = _restored(settings["network"], network, weights, trust, name)
    kept = {key: settings.get(key) for key in ("network", "penalties", "data")}
    module = cls(network, penalties, config=kept, **options)
    others = {key: value for key, value in state.items() if not key.startswith("network.")}
    _compare(
        {k: v for k, v in module.state_dict().items() if not k.startswith("network.")}, others, name
    )
    module.load_state_dict(others, strict=False)
    return module


def _own(value: Any) -> Any:
    """A tensor with memory and nothing else of its own."""
    return value.detach().clone().contiguous() if isinstance(value, Tensor) else value


def built(config: Any, trust: Sequence[str], name: str, ours: Sequence[str] = _DATA) -> Any:
    """What a checkpoint describes, see `build`.

    Raises:
        InputError: where it cannot be built, naming the file.
    """
    try:
        return build(config, trust, ours)
    except InputError as error:
        raise refused(name, error) from None
    except Exception as error:  # a stranger's arguments can raise anything
        reason = f"what it describes cannot be built ({type(error).__name__}: {error})"
        raise refused(name, reason) from error


def _restored(
    config: Any,
    given: TimeVariableNetwork | None,
    weights: dict[str, Any],
    trust: Sequence[str],
    name: str,
) -> TimeVariableNetwork:
    """The given or the described network with the tensors, for which no other memory is taken."""
    with without_memory():
        plan = copy.deepcopy(given).to("meta") if given else built(config, trust, name, _NETWORKS)
        if not isinstance(plan, TimeVariableNetwork):
            raise refused(name, "describes no network")
        record = weights.get("_extra_state")
        try:
            if not given:
                _check_size(plan, record)
            plan.set_extra_state(record)
        except InputError as error:
            raise refused(name, error) from None
    steps = next((w for n, w in weights.items() if n.startswith("time_steps.")), None)
    if isinstance(steps, Tensor) and steps.is_floating_point():
        plan.to(steps.dtype)
    _compare(plan.state_dict(), weights, name)
    if given:
        given.to(plan.tau.dtype).load_state_dict(weights)
        return given
    shared = _shared(plan)
    plan.load_state_dict(weights, assign=True)
    for twin, first in shared.items():
        path, _, last = twin.rpartition(".")
        setattr(plan.get_submodule(path), last, plan.get_parameter(first))
    if any(_without_memory(part) for part in plan.modules()):
        raise refused(name, "its network keeps tensors that no checkpoint holds; pass network=...")
    return plan


def _check_size(network: TimeVariableNetwork, record: Any) -> None:
    """Refuse a structure whose layers, built like the largest one, are too many modules."""
    ids, _ = checked_structure(record, network.ids)
    fields = [field for stage in network.stages for field in stage.children()]
    largest = max(len([*field.modules(), *field.parameters()]) for field in fields)
    if sum(map(len, ids)) * largest > MOST:
        raise InputError(f"its structure asks for more than {MOST} parameters and modules")


def _shared(network: TimeVariableNetwork) -> dict[str, str]:
    """Of each further name of a parameter the first one, for `assign=True` parts them."""
    first: dict[int, str] = {}
    named = network.named_parameters(remove_duplicate=False)
    pairs = [(name, first.setdefault(id(parameter), name)) for name, parameter in named]
    return {name: earlier for name, earlier in pairs if name != earlier}


def _without_memory(module: torch.nn.Module) -> bool:
    own = [*vars(module).values(), *module._parameters.values(), *module._buffers.values()]
    return any(isinstance(value, Tensor) and value.is_meta for value in own)


def _compare(wanted: Mapping[str, Any], found: Mapping[str, Any], name: str) -> None:
    def shape(value: Any) -> str:
        if not isinstance(value, Tensor):
            return "missing" if value is None else "no tensor"
        return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"

    for key in sorted({**wanted, **found}):
        if key == "_extra_state":
            continue
        if shape(wanted.get(key)) != shape(found.get(key)):
            raise refused(
                name,
                f"{key[:100]} is {shape(found.get(key))} in the file and {shape(wanted.get(key))} "
                "in the network that the file describes",
            )
