"""How a network changes its structure, and what an optimizer has to know once it has."""

import copy
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tvl_lightning.limits import InputError

MAX_LAYERS = 10_000
MAX_ID = 1_000_000
Stages = list[list[int]]


@dataclass(frozen=True)
class Removal:
    """The parameters that `remove_layers` took out of a network, and what became of τ.

    Attributes:
        parameters: those of the removed layers.
        old_tau: the parameter that held τ before (None where τ is not learned).
        new_tau: the shorter one that took its place.
        kept: the entries of `old_tau` that live on in `new_tau`, in order.
    """

    parameters: Sequence[nn.Parameter]
    old_tau: nn.Parameter | None
    new_tau: nn.Parameter | None
    kept: Sequence[int]

    def apply_to(self, optimizer: Optimizer) -> None:
        """Make `optimizer` forget the removed parameters and follow τ, in place.

        Its groups stay, even an empty one, so schedulers go on undisturbed; every other
        parameter keeps its state, and τ keeps the entries of its momentum or moments that
        belong to the surviving layers.
        """
        gone = {id(parameter) for parameter in self.parameters}
        for group in optimizer.param_groups:
            group["params"][:] = [
                self.new_tau if p is self.old_tau else p
                for p in group["params"]
                if id(p) not in gone
            ]
        for parameter in self.parameters:
            optimizer.state.pop(parameter, None)
        if self.old_tau is None or self.new_tau is None:
            return
        state = optimizer.state.pop(self.old_tau, None)
        if state is not None:
            kept = list(self.kept)
            optimizer.state[self.new_tau] = {
                name: value[kept]
                if isinstance(value, Tensor) and value.shape == self.old_tau.shape
                else value
                for name, value in state.items()
            }


def blueprint(field: nn.Module) -> nn.Module:
    """A copy of a field whose parameters and saved buffers are on the device `meta`.

    A buffer that a state dict leaves out keeps its numbers, for nothing else would bring them back.
    """
    kept = _unsaved(field)
    return _with_buffers(copy.deepcopy(field).to("meta"), kept)


def built_from(plan: nn.Module, device: torch.device) -> nn.Module:
    """A field like its `blueprint`, on `device`; a state dict has yet to bring its numbers."""
    kept = {name: buffer.to(device) for name, buffer in _unsaved(plan).items()}
    return _with_buffers(copy.deepcopy(plan).to_empty(device=device), kept)


def _unsaved(module: nn.Module) -> dict[str, Tensor]:
    saved = module.state_dict().keys()
    return {name: buffer.clone() for name, buffer in module.named_buffers() if name not in saved}


def _with_buffers(module: nn.Module, buffers: dict[str, Tensor]) -> nn.Module:
    for name, buffer in buffers.items():
        path, _, last = name.rpartition(".")
        module.get_submodule(path).register_buffer(last, buffer, persistent=False)
    return module


def checked_structure(record: Any, initial: Stages) -> tuple[Stages, dict[int, int]]:
    """The ids a stage, and what born layers are built like, of a saved structure.

    Args:
        record: `{"ids": [[0, 2], [3, 4, 6]], "like": {6: 4}}`; anything, if it is a stranger's.
        initial: the ids that each stage of the network began with.

    Raises:
        InputError: for a record that no network which began so can have.
    """
    try:
        stages = record["ids"] if isinstance(record, dict) else None
        if type(stages) is not list or not all(type(stage) is list for stage in stages):
            raise TypeError
        if sum(map(len, stages)) > MAX_LAYERS or len(record["like"]) > MAX_LAYERS:
            raise ValueError
        ids: Stages = [list(stage) for stage in stages]
        like: dict[int, int] = dict(record["like"])
        flat = [id for stage in ids for id in stage]
        numbers = [*flat, *like, *like.values()]
        possible = (
            all(type(number) is int and 0 <= number <= MAX_ID for number in numbers)
            and len(set(flat)) == len(flat)
            and len(ids) == len(initial)
            and all(map(_grown_from, ids, initial, [like] * len(ids)))
            and not {id for stage in initial for id in stage} & like.keys()
        )
    except (TypeError, KeyError, ValueError, IndexError):
        possible = False
    if not possible:
        raise InputError(
            f"structure={_shown(record)}: not one of a network that began with the layers "
            f"{_shown(initial)}"
        )
    return ids, {id: like[id] for id in flat if id in like}


def _grown_from(stage: list[int], first: list[int], like: dict[int, int]) -> bool:
    """Whether the lift and the order of a stage's first layers are kept, and the others known."""
    fields, left = set(first[1:]), set(stage)
    return (
        stage[0] == first[0]
        and all(like.get(id, id) in fields for id in stage[1:])
        and [id for id in stage[1:] if id in fields] == [id for id in first[1:] if id in left]
    )


def _shown(record: Any) -> str:
    try:
        return reprlib.repr(record)
    except ValueError:  # a number of more than 4,300 digits
        return "..."
