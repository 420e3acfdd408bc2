"""The L1 scheme of the Caputo derivative, with steps of learned size."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from tvl_lightning.limits import InputError, check
from tvl_lightning.networks.history import FusedHistory, PlainHistory
from tvl_lightning.networks.schemes import Field


class Fractional(nn.Module):
    """The L1 scheme for the Caputo derivative of order γ, equation (2.2).

    The scheme needs τ > 0, so a τ below `tau_floor` enters it as `tau_floor`. With γ = 1 it is
    Euler's method. A layer whose τ vanishes is not the identity, because the history goes on
    through it. The history starts anew in each stage.

    Args:
        gamma: the fractional order γ in (0, 1].
        learn_gamma: learn γ, which then starts at `gamma` and stays in (0, 1).
        history_start: where the sum in (2.2) starts. 1 is the paper's choice; 0 is the authors'
            code, where y[0] counts as 0, so that the first difference is y[1] itself.
        constant_coefficients: treat a(l, j) as constants in the backward pass, as the authors'
            code does. Otherwise the gradient is that of the problem (P).
        tau_floor: the smallest step size that enters the scheme.
        fused: take the history as one operation a layer, with a derivative of its own. The plain
            form is slower and equal to rounding; `torch.func`, `torch.compile` and a second
            derivative need it.

    Raises:
        InputError: for γ outside (0, 1], or γ = 1 where it is learned.

    References:
        Lin, Xu: Finite difference/spectral approximations for the time-fractional diffusion
        equation. Journal of Computational Physics 225 (2007), 1533-1552.
    """

    identity_at_zero_tau = False

    def __init__(
        self,
        gamma: float = 0.5,
        learn_gamma: bool = False,
        history_start: int = 1,
        constant_coefficients: bool = False,
        tau_floor: float = 1e-4,
        fused: bool = True,
    ) -> None:
        super().__init__()
        check(
            "Fractional",
            gamma=gamma,
            learn_gamma=learn_gamma,
            history_start=history_start,
            constant_coefficients=constant_coefficients,
            tau_floor=tau_floor,
            fused=fused,
        )
        if learn_gamma and gamma == 1:
            raise InputError("gamma=1: must be below 1 where it is learned, learn_gamma=true")
        self._gamma = gamma
        self.gamma_logit = (
            nn.Parameter(torch.tensor(math.log(gamma / (1 - gamma)))) if learn_gamma else None
        )
        self.history_start = history_start
        self.constant_coefficients = constant_coefficients
        self.tau_floor = tau_floor
        self.fused = fused

    @property
    def gamma(self) -> float | Tensor:
        """The fractional order; a tensor of shape () where it is learned."""
        return self._gamma if self.gamma_logit is None else self.gamma_logit.sigmoid()

    def observables(self) -> dict[str, Tensor]:
        """What is worth recording in every iteration: γ, where it is learned."""
        return {} if self.gamma_logit is None else {"gamma": self.gamma_logit.sigmoid()}

    def history_coefficients(self, tau: Tensor) -> Tensor:
        """The coefficients a(l, j) of (2.2) for the step sizes of a stage, see the function."""
        return history_coefficients(floored(tau, self.tau_floor), self.gamma)

    def forward(self, fields: Iterable[Field], tau: Tensor, y: Tensor) -> Tensor:
        lift, *rest = fields
        tau, gamma, start = floored(tau, self.tau_floor), self.gamma, self.history_start
        # τ(l)^γ Γ(2-γ), the factor of F
        gains = (tau**gamma * _gamma_function(2 - gamma)).unbind()
        with torch.autocast(tau.device.type, enabled=False):
            a = history_coefficients(tau, gamma)
        if self.constant_coefficients:
            a = a.detach()
        y = gains[0] * lift(y)
        history = (
            FusedHistory(1 + len(rest) - start, y.numel(), like=a) if self.fused else PlainHistory()
        )
        if start == 0:
            y = history.add(y, a[0, :0])
        for l, field in enumerate(rest, start=1):
            # (2.2), with l for l-1: y[l+1] - y[l] = τ(l)^γ Γ(2-γ) F(l)(y[l])
            #                                        - Σ_{j<l} a(l, j) (y[j+1] - y[j])
            y = y + history.add(gains[l] * field(y), a[l, start:l])
        return y


def floored(tau: Tensor, eps: float) -> Tensor:
    """τ, and `eps` where it is below; a τ that a projection put onto `eps` keeps its gradient.

    `eps` is rounded to τ's type first: float32(1e-4) is less than the double 1e-4, so that
    `tau.clamp(min=1e-4)` would cut the gradient of every τ on the floor, for good.
    """
    floor = tau.new_full((), eps)
    return torch.where(tau < floor, floor, tau)


def history_coefficients(tau: Tensor, gamma: float | Tensor) -> Tensor:
    """All coefficients of the L1 scheme, the a(l, j) below (2.2).

    a(l, j) = τ(l)^γ / τ(j) ((Σ_{i=j..l} τ(i))^(1-γ) - (Σ_{i=j+1..l} τ(i))^(1-γ)). The difference
    of powers s = (x + h)^p - x^p is taken as x^p expm1(p log1p(h / x)), which keeps its digits
    where h is much smaller than x.

    Args:
        tau: step sizes above 0, shape (n,).
        gamma: the fractional order in (0, 1].

    Returns:
        Shape (n, n): a(l, j) in row l and column j < l, and 0 elsewhere.
    """
    n = tau.numel()
    ones = tau.new_ones(n, n)
    # Σ_{i=j+1..l} τ(i) in row l and column j < l; 1 elsewhere, where it is not used
    later = tau.expand(n, n).tril() @ ones.tril(-1) + ones.triu()
    power = 1 - gamma
    difference = later**power * torch.expm1(power * torch.log1p(tau / later))
    return (tau[:, None] ** gamma * difference / tau).tril(-1)


def _gamma_function(x: float | Tensor) -> float | Tensor:
    return x.lgamma().exp() if isinstance(x, Tensor) else math.gamma(x)
