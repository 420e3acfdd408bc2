"""Projection of τ onto a set, after every optimizer step (Section 3 of the paper)."""

from typing import Any

import torch
from lightning import Callback, Trainer
from torch import Tensor

from tvl_lightning.limits import InputError, check
from tvl_lightning.networks.time_steps import Learned, Simplex, TimeSteps


def project_positive(tau: Tensor, eps: float) -> Tensor:
    """The nearest point of {τ ≥ eps}, for τ of shape (n,)."""
    return tau.clamp(min=eps)


def project_simplex(tau: Tensor, horizon: float, eps: float) -> Tensor:
    """The nearest point, in the Euclidean norm, of {τ ≥ eps, Σ τ = horizon}; needs n eps ≤ horizon.

    With x = τ - eps it is eps + max(x - θ, 0), where θ makes the sum right: among the descending
    x, θ is the mean excess of the k largest for the largest k that keeps x(k) above it.
    """
    x = tau - eps
    descending = x.sort(descending=True).values
    k = torch.arange(1, tau.numel() + 1, device=tau.device)
    theta = (descending.cumsum(0) - (horizon - tau.numel() * eps)) / k
    # x(k) > θ(k) holds up to some k and not beyond; θ is largest there
    return (x - theta.max()).clamp(min=0) + eps


class TauProjection(Callback):
    """Puts the learned τ back into a set after every optimizer step, in place, on its device.

    A τ that the network computes is left alone: the last one of `tau=final`, as in the paper, and
    all of `tau=simplex`, which are positive by themselves.

    Args:
        onto: `positive`, {τ ≥ eps}, or `simplex`, {τ ≥ eps, Σ τ = horizon}.
        eps: the smallest step size.
        horizon: T, needed for the simplex.

    Raises:
        InputError: for another set, and where the simplex does not fit the network.
    """

    def __init__(self, onto: str = "positive", eps: float = 1e-4, horizon: float = 1.0) -> None:
        if onto not in ("positive", "simplex"):
            raise InputError(f"projection.onto={onto}: must be positive or simplex")
        check("eps", eps)
        check("horizon", horizon)
        self.onto, self.eps, self.horizon = onto, eps, horizon

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse what cannot be projected."""
        steps = pl_module.network.time_steps
        if self.onto == "simplex" and not isinstance(steps, Learned):
            raise InputError("projection=simplex: needs tau=learned, all of whose steps are free")
        if self.onto == "simplex" and len(pl_module.tau) * self.eps > self.horizon:
            raise InputError(
                f"projection.eps={self.eps}: must be at most {self.horizon / len(pl_module.tau)}, "
                "the horizon shared equally"
            )

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Let every optimizer project as the end of its step."""
        network = pl_module.network

        def project(*_: Any) -> None:
            self.project(network.time_steps)

        for optimizer in trainer.optimizers:
            optimizer.register_step_post_hook(project)

    @torch.no_grad()
    def project(self, steps: TimeSteps) -> None:
        """Put the free entries of `steps` into the set, in place."""
        if steps.free is None or isinstance(steps, Simplex):
            return
        if self.onto == "positive":
            steps.free.clamp_(min=self.eps)
        else:
            steps.free.copy_(project_simplex(steps.free, self.horizon, self.eps))
