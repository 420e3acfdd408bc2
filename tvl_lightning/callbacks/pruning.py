"""Adaptive pruning: layers whose τ vanishes leave while the network trains (Section 3)."""

import logging
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

from tvl_lightning.limits import InputError, check

log = logging.getLogger(__name__)


def redundant_layers(tau: Tensor, epsilon: float, min_hidden_layers: int = 1) -> list[int]:
    """Positions l ≥ 1 with |τ(l)| < ε Σ|τ|, smallest |τ| first, at most so many that
    `min_hidden_layers` are left."""
    size = tau.detach().abs().cpu()
    small = (size < epsilon * size.sum()).tolist()
    candidates = [position for position in size.argsort().tolist() if position and small[position]]
    return candidates[: max(0, len(size) - min_hidden_layers)]


class AdaptivePruning(Callback):
    """Deletes every hidden layer with |τ(l)| < ε Σ|τ|, except the input layer.

    What survives keeps its optimizer state and its learning rate schedule. The structure is part
    of the network's state, so a checkpoint of a pruned network loads like any other.

    Args:
        epsilon: the threshold ε in [0, 1).
        interval: iterations between two checks, which read τ on the host; one epoch's where None.
        warmup: iterations before the first check.
        min_hidden_layers: how many hidden layers, the input layer among them, always stay.
        smallest_only: remove at most the layer with the smallest signed τ at a check, if any
            layer is under the threshold, as the authors' code does.
        force: also prune a network in which a layer with τ = 0 is not the identity.

    Raises:
        InputError: for values out of range, a fractional network, several processes, or averaged
            weights.
    """

    def __init__(
        self,
        epsilon: float = 0.01,
        interval: int | None = None,
        warmup: int = 0,
        min_hidden_layers: int = 1,
        smallest_only: bool = False,
        force: bool = False,
    ) -> None:
        check("epsilon", epsilon)
        check("interval", interval)
        check("warmup", warmup)
        check("min_hidden_layers", min_hidden_layers)
        self.epsilon, self.interval, self.warmup = epsilon, interval, warmup
        self.min_hidden_layers = min_hidden_layers
        self.smallest_only, self.force = smallest_only, force

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse networks and trainers that cannot lose layers."""
        if not pl_module.network.identity_at_zero_tau and not self.force:
            raise InputError(
                "pruning=adaptive: in a fractional network a layer with τ near 0 is not redundant, "
                "because the history goes through it; pruning.force=true prunes all the same"
            )
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        if any(isinstance(callback, WeightAveraging) for callback in callbacks):
            raise InputError(
                "pruning=adaptive: does not go with WeightAveraging, which would average the "
                "parameters of different layers"
            )
        if trainer.world_size > 1:
            raise InputError(
                "pruning=adaptive: needs a single process, trainer.devices=1, because the others "
                "would keep the removed layers"
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Check, and remove what is redundant."""
        iteration = trainer.global_step
        due = iteration % self.interval == 0 if self.interval else trainer.is_last_batch
        if not due or iteration <= self.warmup:
            return
        positions = self._choose(pl_module.tau)
        if not positions:
            return
        network = pl_module.network
        names = [network.layers[position] for position in sorted(positions)]
        removal = network.remove_layers(positions)
        for optimizer in trainer.optimizers:
            removal.apply_to(optimizer)
        log.info(
            "iteration %d: removed %s; %d hidden layers and %d parameters are left",
            iteration,
            ", ".join(f"layer {name}" for name in names),
            len(network.layers),
            sum(parameter.numel() for parameter in network.parameters()),
        )

    @torch.no_grad()
    def _choose(self, tau: Tensor) -> list[int]:
        positions = redundant_layers(tau, self.epsilon, self.min_hidden_layers)
        if self.smallest_only and positions:
            return [int(tau[1:].argmin()) + 1]
        return positions
