"""Sets of step sizes, and the projection onto each (Section 3 of the paper).

A constraint is called with τ and the horizon T, and gives the nearest τ in its set.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from tvl_lightning.limits import InputError, check


class Constraint(Protocol):
    """Any callable of this shape.

    With an attribute `entrywise = True` it treats each entry alone, so that it may be given some
    of the step sizes; without, it is given all of them or none.
    """

    def __call__(self, tau: Tensor, horizon: float) -> Tensor:
        """The point of the set that is nearest to `tau`, shape (n,)."""
        ...


@dataclass(frozen=True)
class Positive:
    """{τ ≥ eps}."""

    eps: float = 1e-4
    entrywise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check("Positive", eps=self.eps)

    def __call__(self, tau: Tensor, horizon: float) -> Tensor:
        """The nearest point, for τ of shape (n,)."""
        return tau.clamp(min=self.eps)


@dataclass(frozen=True)
class ScaledSimplex:
    """{τ ≥ eps, Σ τ = T}."""

    eps: float = 1e-4

    def __post_init__(self) -> None:
        check("ScaledSimplex", eps=self.eps)

    def __call__(self, tau: Tensor, horizon: float) -> Tensor:
        """The nearest point, in the Euclidean norm, for τ of shape (n,).

        With x = τ - eps it is eps + max(x - θ, 0), where θ makes the sum right: among the
        descending x, θ is the mean excess of the k largest for the largest k that keeps x(k)
        above it.

        Raises:
            InputError: where n eps > T, so that the set is empty.
        """
        n = tau.numel()
        if self.eps > horizon / n:
            raise InputError(
                f"eps={self.eps}: must be at most {horizon / n}, the horizon shared equally"
            )
        x = tau - self.eps
        descending = x.sort(descending=True).values
        k = torch.arange(1, n + 1, device=tau.device)
        theta = (descending.cumsum(0) - (horizon - n * self.eps)) / k
        # x(k) > θ(k) holds up to some k and not beyond; θ is largest there
        return (x - theta.max()).clamp(min=0) + self.eps
