"""Penalties on the step sizes τ (Section 3 of the paper): functions of τ that give a scalar."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from tvl_lightning.limits import check


class Penalty(Protocol):
    """A term of the loss that depends on τ alone."""

    def __call__(self, tau: Tensor) -> Tensor:
        """The penalty, a scalar, of step sizes of shape (n,)."""
        ...


@dataclass(frozen=True)
class L1:
    """α ‖τ‖₁, the sum norm in L_1(θ). It drives step sizes to zero."""

    weight: float

    def __post_init__(self) -> None:
        check("L1", weight=self.weight)

    def __call__(self, tau: Tensor) -> Tensor:
        return self.weight * tau.abs().sum()


@dataclass(frozen=True)
class L2:
    """α Σ τ²."""

    weight: float

    def __post_init__(self) -> None:
        check("L2", weight=self.weight)

    def __call__(self, tau: Tensor) -> Tensor:
        return self.weight * tau.square().sum()


@dataclass(frozen=True)
class Horizon:
    """weight (T - Σ τ)², the penalty in L_T(θ), where the weight is 1/2."""

    weight: float
    horizon: float

    def __post_init__(self) -> None:
        check("Horizon", weight=self.weight, horizon=self.horizon)

    def __call__(self, tau: Tensor) -> Tensor:
        return self.weight * (self.horizon - tau.sum()).square()
