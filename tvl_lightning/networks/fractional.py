"""The Fractional DNN: the L1 scheme of the Caputo derivative with steps of learned size."""

import math
from typing import Any

import torch
from torch import Tensor

from tvl_lightning.limits import check
from tvl_lightning.networks.history import History
from tvl_lightning.networks.time_variable import TimeVariableNetwork


class FractionalDNN(TimeVariableNetwork):
    """The L1 scheme for the Caputo derivative of order γ with step sizes τ, equation (2.2).

    The scheme needs τ > 0, so a τ below `tau_floor` enters it as `tau_floor`; `tau` shows the
    step sizes as they are. With γ = 1 the network is the ResNet (2.1). A layer whose τ vanishes
    is not the identity, because the history goes on through it.

    Args:
        gamma: the fractional order γ in (0, 1].
        history_start: where the sum in (2.2) starts. 1 is the paper's choice; 0 is the authors'
            code, where y[0] counts as 0, so that the first difference is y[1] itself.
        constant_coefficients: treat a(l, j) as constants in the backward pass, as the authors'
            code does. Otherwise the gradient is that of the problem (P).
        tau_floor: the smallest step size that enters the scheme.
        **network: the arguments of `TimeVariableNetwork`.

    Raises:
        InputError: for γ outside (0, 1], and as `TimeVariableNetwork` does.

    References:
        Lin, Xu: Finite difference/spectral approximations for the time-fractional diffusion
        equation. Journal of Computational Physics 225 (2007), 1533-1552.
    """

    identity_at_zero_tau = False

    def __init__(
        self,
        in_features: int,
        width: int,
        hidden_layers: int,
        out_features: int,
        horizon: float = 1.0,
        gamma: float = 0.5,
        history_start: int = 1,
        constant_coefficients: bool = False,
        tau_floor: float = 1e-4,
        **network: Any,
    ) -> None:
        check("gamma", gamma)
        check("history_start", history_start)
        check("tau_floor", tau_floor)
        super().__init__(in_features, width, hidden_layers, out_features, horizon, **network)
        self.spec |= {
            "gamma": gamma,
            "history_start": history_start,
            "constant_coefficients": constant_coefficients,
            "tau_floor": tau_floor,
        }
        self.gamma = gamma
        self.history_start = history_start
        self.constant_coefficients = constant_coefficients
        self.tau_floor = tau_floor

    def history_coefficients(self) -> Tensor:
        """The coefficients a(l, j) of (2.2) for the τ in use, shape (L-1, L-1), 0 where j >= l."""
        return history_coefficients(floored(self.tau, self.tau_floor), self.gamma)

    def propagate(self, inputs: Tensor, tau: Tensor) -> Tensor:
        """The state y[L-1], shape (B, width), from y[0], shape (B, in_features)."""
        tau = floored(tau, self.tau_floor)
        # τ(l)^γ Γ(2-γ), the factor of σ
        gains = (tau**self.gamma * math.gamma(2 - self.gamma)).unbind()
        with torch.autocast(tau.device.type, enabled=False):
            a = history_coefficients(tau, self.gamma)
        if self.constant_coefficients:
            a = a.detach()
        start = self.history_start
        y = gains[0] * self.activation(self.input(inputs))
        history = History(len(self.layers) - start, y.numel(), like=a)
        if start == 0:
            y = history.add(y, a[0, :0])
        for l, layer in enumerate(self.hidden, start=1):
            # (2.2), with l for l-1: y[l+1] - y[l] = τ(l)^γ Γ(2-γ) σ(W(l) y[l] + b(l))
            #                                        - Σ_{j<l} a(l, j) (y[j+1] - y[j])
            y = y + history.add(gains[l] * self.activation(layer(y)), a[l, start:l])
        return y


def floored(tau: Tensor, eps: float) -> Tensor:
    """τ, and `eps` where it is below; a τ that a projection put onto `eps` keeps its gradient.

    `eps` is rounded to τ's type first: float32(1e-4) is less than the double 1e-4, so that
    `tau.clamp(min=1e-4)` would cut the gradient of every τ on the floor, for good.
    """
    floor = tau.new_full((), eps)
    return torch.where(tau < floor, floor, tau)


def history_coefficients(tau: Tensor, gamma: float) -> Tensor:
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
