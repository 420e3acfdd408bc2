"""A network as a time discretisation: stages of fields, a scheme, step sizes τ, a decoder."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor, nn

from tvl_lightning.limits import InputError
from tvl_lightning.networks.restructure import (
    Removal,
    Stages,
    blueprint,
    built_from,
    checked_structure,
)
from tvl_lightning.networks.schemes import Scheme
from tvl_lightning.networks.time_steps import Learned, TimeSteps


class TimeVariableNetwork(nn.Module):
    """What all networks of this package are.

    A stage is a lift, which changes the shape of the state, and fields that keep it; the scheme
    advances the state through each stage with the stage's part of τ. Layers have ids: at first
    0, 1, 2 ... over all stages.

    Args:
        stages: of each stage its lift and then its fields, all different modules.
        decoder: the output layer.
        scheme: how a stage advances its state, see `schemes`.
        tau: makes the time steps from their number and the horizon, say `Learned`.
        horizon: the time horizon T > 0.

    Attributes:
        ids: of each stage the ids of its layers.

    Raises:
        InputError: for a stage without a lift, or a module that stands in two places.
    """

    def __init__(
        self,
        stages: Sequence[Sequence[nn.Module]],
        decoder: nn.Module,
        scheme: Scheme,
        tau: Callable[[int, float], TimeSteps] = Learned,
        horizon: float = 1.0,
    ) -> None:
        super().__init__()
        if not stages or not all(stages):
            raise InputError("stages: there must be one, and each must begin with a lift")
        if not callable(scheme):
            raise InputError(f"scheme={scheme}: must be callable, as Euler() is")
        fields = [field for stage in stages for field in stage]
        if len(set(fields)) < len(fields):
            raise InputError("stages: every field must be a module of its own; one is there twice")
        self.time_steps = tau(len(fields), horizon)
        self.stages = nn.ModuleList(nn.ModuleList(stage) for stage in stages)
        self.decoder = decoder
        self.scheme = scheme
        numbers = iter(range(len(fields)))
        self.ids: Stages = [[next(numbers) for _ in stage] for stage in stages]
        self.like: dict[int, int] = {}
        self._initial = [list(stage) for stage in self.ids]
        self._blueprints = {
            id: blueprint(field)
            for stage, ids in zip(stages, self.ids, strict=True)
            for field, id in list(zip(stage, ids, strict=True))[1:]
        }
        self._dtype = self.tau.dtype

    def forward(self, y: Tensor) -> Tensor:
        """Map inputs (B, ...) to outputs, (B, classes) for the decoders of this package."""
        parts: tuple[Tensor, ...] = self.tau.split(self.stage_sizes)  # type: ignore[no-untyped-call]
        for fields, tau in zip(self.stages, parts, strict=True):
            y = self.scheme(fields, tau, y)  # type: ignore[arg-type]
        return self.decoder(y)  # type: ignore[no-any-return]

    @property
    def tau(self) -> Tensor:
        """The step sizes in use, shape (n,), first to last over all stages, differentiable."""
        return self.time_steps()  # type: ignore[no-any-return]

    @property
    def horizon(self) -> float:
        """The time horizon T."""
        return self.time_steps.horizon

    @property
    def stage_sizes(self) -> list[int]:
        """The number of layers of each stage, its lift counted."""
        return [len(ids) for ids in self.ids]

    @property
    def layers(self) -> list[int]:
        """The ids of all layers, in the order of τ."""
        return [id for ids in self.ids for id in ids]

    @property
    def identity_at_zero_tau(self) -> bool:
        """Whether a field whose τ is 0 changes nothing, so that it can go; a scheme says so."""
        return getattr(self.scheme, "identity_at_zero_tau", False)

    def observables(self) -> dict[str, Tensor]:
        """What is worth recording in every iteration: τ, and what the scheme learns, say γ."""
        of_scheme: Callable[[], dict[str, Tensor]] = getattr(self.scheme, "observables", dict)
        return {"tau": self.tau, **of_scheme()}

    def remove_layers(self, positions: Iterable[int]) -> Removal:
        """Delete fields with all their variables, in place.

        Args:
            positions: indices into τ as it is now. A lift cannot go.

        Returns:
            What an optimizer needs to follow, see `Removal.apply_to`.

        Raises:
            InputError: for a position that is a lift or not there.
        """
        gone, layers = set(positions), self.layers
        lifts = {ids[0] for ids in self.ids}
        removable = [l for l, id in enumerate(layers) if id not in lifts]
        if not gone <= set(removable):
            raise InputError(
                f"remove_layers({sorted(gone)}): positions must be among {removable} "
                "(the others are lifts, which stay)"
            )
        left = {id for l, id in enumerate(layers) if l not in gone}
        fields = self._fields()
        removed = [p for l in sorted(gone) for p in fields[layers[l]].parameters()]
        old_tau = self.time_steps.free
        kept = [l for l in range(len(layers)) if l not in gone]
        entries = [p for p in self.time_steps.free_positions(kept) if p is not None]
        self._become([[id for id in ids if id in left] for ids in self.ids], self.like)
        stay = set(self.parameters())  # fields may share parameters
        removed = [p for p in removed if p not in stay]
        return Removal(removed, old_tau, self.time_steps.free, entries)

    def get_extra_state(self) -> dict[str, Any]:
        """The structure, as plain data: the ids a stage, and what born layers are built like."""
        return {"ids": [list(ids) for ids in self.ids], "like": dict(self.like)}

    def set_extra_state(self, state: Any) -> None:
        """Take on the structure of a saved network before its tensors are loaded.

        PyTorch calls this first, so `load_state_dict` fits a pruned network into one of any
        depth, and the other way round.

        Raises:
            InputError: for a structure that this network cannot have.
        """
        ids, like = checked_structure(state, self._initial)
        if ids != self.ids or like != self.like:
            self._become(ids, like)

    def _fields(self) -> dict[int, nn.Module]:
        fields = [field for stage in self.stages for field in stage.children()]
        return dict(zip(self.layers, fields, strict=True))

    def _become(self, ids: Stages, like: dict[int, int]) -> None:
        """Keep the layers that are there, build the others, and rearrange τ."""
        fields, before = self._fields(), {id: l for l, id in enumerate(self.layers)}
        for stage, numbers in zip(self.stages, ids, strict=True):
            layers = [
                fields[id]
                if id in fields and like.get(id) == self.like.get(id)
                else self._build(like.get(id, id))
                for id in numbers
            ]
            del stage[:]  # type: ignore[operator]
            stage.extend(layers)  # type: ignore[operator]
        self.ids = ids
        self.like = {id: like[id] for id in self.layers if id in like}
        self.time_steps.rearrange([before.get(id) for id in self.layers])

    def _build(self, id: int) -> nn.Module:
        tau = self.tau
        field = built_from(self._blueprints[id], tau.device)
        if tau.dtype != self._dtype:  # the whole network was moved to another type
            field.to(tau.dtype)
        return field.train(self.training)


def count_parameters(module: nn.Module) -> int:
    """How many numbers a module learns; those that two of its parts share count once."""
    return sum(parameter.numel() for parameter in module.parameters())
