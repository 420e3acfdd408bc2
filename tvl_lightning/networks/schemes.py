"""How a stage advances its state with fields and step sizes: a few lines of mathematics each.

A scheme is called with the fields F(0), F(1), ... of a stage, its step sizes τ, shape (n,), and the
state that enters the stage, (B, ...). F(0), the lift, changes the shape, so y ← τ(0) F(0)(y).
"""

from collections.abc import Callable, Iterable
from typing import Protocol

from torch import Tensor, nn

Field = Callable[[Tensor], Tensor]


class Scheme(Protocol):
    """Any callable of this shape; without the attribute, a layer with τ = 0 is no identity."""

    identity_at_zero_tau: bool

    def __call__(self, fields: Iterable[Field], tau: Tensor, y: Tensor) -> Tensor:
        """The state that leaves the stage."""
        ...


class Euler(nn.Module):
    """Explicit Euler's method, equation (2.1): order 1.

    A layer whose τ is 0 is the identity, so it can be removed without changing the outputs.
    """

    identity_at_zero_tau = True

    def forward(self, fields: Iterable[Field], tau: Tensor, y: Tensor) -> Tensor:
        lift, *rest = fields
        first, *steps = tau.unbind()
        y = first * lift(y)
        for field, step in zip(rest, steps, strict=True):
            # (2.1): y[l] = y[l-1] + τ(l-1) F(l-1)(y[l-1])
            y = y + step * field(y)
        return y


class Heun(nn.Module):
    """Heun's method, the explicit trapezoidal rule: order 2. A field is called twice an iteration.

    A layer whose τ is 0 is the identity. A field that keeps statistics, as batch normalisation
    does, sees both states.

    References:
        Hairer, Nørsett, Wanner: Solving Ordinary Differential Equations I (1993), Section II.1.
    """

    identity_at_zero_tau = True

    def forward(self, fields: Iterable[Field], tau: Tensor, y: Tensor) -> Tensor:
        lift, *rest = fields
        first, *steps = tau.unbind()
        y = first * lift(y)
        for field, step in zip(rest, steps, strict=True):
            # y[l] = y[l-1] + τ/2 (k₁ + k₂), k₁ = F(y[l-1]), k₂ = F(y[l-1] + τ k₁)
            slope = field(y)
            y = y + step / 2 * (slope + field(y + step * slope))
        return y
