"""Penalties on the step sizes τ (Section 3 of the paper): functions of τ that give a scalar."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from torch import Tensor

from tvl_lightning.limits import InputError, check


class Penalty(Protocol):
    """A term of the loss that depends on τ alone."""

    def __call__(self, tau: Tensor) -> Tensor:
        """The penalty, a scalar, of step sizes of shape (L-1,)."""
        ...


@dataclass(frozen=True)
class L1:
    """α ‖τ‖₁, the sum norm in L_1(θ). It drives step sizes to zero."""

    weight: float

    def __post_init__(self) -> None:
        check("weight", self.weight)

    def __call__(self, tau: Tensor) -> Tensor:
        return self.weight * tau.abs().sum()


@dataclass(frozen=True)
class L2:
    """α Σ τ²."""

    weight: float

    def __post_init__(self) -> None:
        check("weight", self.weight)

    def __call__(self, tau: Tensor) -> Tensor:
        return self.weight * tau.square().sum()


@dataclass(frozen=True)
class Horizon:
    """weight (T - Σ τ)², the penalty in L_T(θ), where the weight is 1/2."""

    weight: float
    horizon: float

    def __post_init__(self) -> None:
        check("weight", self.weight)
        check("horizon", self.horizon)

    def __call__(self, tau: Tensor) -> Tensor:
        return self.weight * (self.horizon - tau.sum()).square()


_PENALTIES: dict[str, Any] = {"L1": L1, "L2": L2, "Horizon": Horizon}


def describe_penalties(penalties: Mapping[str, Penalty]) -> dict[str, Any]:
    """Plain data from which `build_penalties` makes the same penalties again."""
    return {
        name: {"penalty": type(p).__name__, **asdict(p)}  # type: ignore[call-overload]
        if type(p) in _PENALTIES.values()
        else None
        for name, p in penalties.items()
    }


def build_penalties(description: Mapping[str, Any]) -> dict[str, Penalty]:
    """The penalties that `describe_penalties` wrote down.

    Raises:
        InputError: for one that this package does not have.
    """
    penalties = {}
    for name, entry in description.items():
        try:
            arguments = dict(entry)
            penalties[name] = _PENALTIES[arguments.pop("penalty")](**arguments)
        except (TypeError, ValueError, KeyError):
            raise InputError(
                f"penalty {name} is the user's own, or not a penalty: {entry}; build it and pass "
                "`penalties`"
            ) from None
    return penalties
