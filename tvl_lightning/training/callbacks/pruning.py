"""Adaptive pruning: layers whose τ vanishes leave while the network trains (Section 3)."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import (
    DeviceStatsMonitor,
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    ModelSummary,
    ProgressBar,
    RichModelSummary,
    RichProgressBar,
    Timer,
    TQDMProgressBar,
)
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from torch import Tensor
from torch.optim import LBFGS

from tvl_lightning.limits import InputError, check
from tvl_lightning.networks import count_parameters
from tvl_lightning.training.protocols import TimeVariableModule

log = logging.getLogger(__name__)

# Lightning's callbacks that do not hold on to parameters, which may leave
_HARMLESS = {
    Callback,
    DeviceStatsMonitor,
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    ModelSummary,
    ProgressBar,
    RichModelSummary,
    RichProgressBar,
    TQDMProgressBar,
    Timer,
}


def redundant_layers(
    tau: Tensor, stage_sizes: Sequence[int], epsilon: float, min_hidden_layers: int = 1
) -> list[int]:
    """Positions of fields with |τ(l)| < ε Σ|τ|, the sum over the layer's own stage.

    With one stage this is the paper's rule. (What follows a stage may normalise its state, and so
    undo a common factor of its τ; so a share is one of its own stage.)

    Args:
        tau: the step sizes, shape (n,).
        stage_sizes: the number of layers of each stage; the first of each is a lift and stays.
        epsilon: the threshold ε.
        min_hidden_layers: how many layers, lifts among them, always stay.

    Returns:
        Smallest |τ| first, at most so many that `min_hidden_layers` are left.
    """
    size = tau.detach().abs().cpu()
    sums = torch.cat([part.sum().expand_as(part) for part in torch.split(size, list(stage_sizes))])
    small = (size < epsilon * sums).tolist()
    for lift in _lifts(stage_sizes):
        small[lift] = False
    candidates = [position for position in size.argsort().tolist() if small[position]]
    return candidates[: max(0, len(size) - min_hidden_layers)]


def _lifts(stage_sizes: Sequence[int]) -> list[int]:
    return [sum(stage_sizes[:i]) for i in range(len(stage_sizes))]


class AdaptivePruning(Callback):
    """Deletes every field with |τ(l)| < ε Σ|τ| over its stage; lifts stay.

    What survives keeps its optimizer state and its learning rate schedule. The structure is part
    of the network's state, so a checkpoint of a pruned network loads like any other. Of several
    processes the first decides for all.

    Args:
        epsilon: the threshold ε in [0, 1).
        interval: iterations between two checks, which read τ on the host; one epoch's where None.
        warmup: iterations before the first check.
        min_hidden_layers: how many layers, lifts among them, always stay.
        smallest_only: remove at most the field with the smallest signed τ at a check, if any
            is under the threshold, as the authors' code does.
        force: also prune a network in which a layer with τ = 0 is not the identity.

    Raises:
        InputError: for values out of range, and before training for a scheme in which a layer with
            τ = 0 is no identity, and for what holds on to parameters: LBFGS, callbacks that average
            or count them, and strategies other than a single device and DDP.
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
        check(
            "AdaptivePruning",
            epsilon=epsilon,
            interval=interval,
            warmup=warmup,
            min_hidden_layers=min_hidden_layers,
            smallest_only=smallest_only,
            force=force,
        )
        self.epsilon, self.interval, self.warmup = epsilon, interval, warmup
        self.min_hidden_layers = min_hidden_layers
        self.smallest_only, self.force = smallest_only, force

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse networks and trainers that cannot lose layers."""
        module: TimeVariableModule = pl_module
        if not module.network.identity_at_zero_tau and not self.force:
            raise InputError(
                "pruning=adaptive: with this scheme a layer with τ near 0 is not redundant (in a "
                "fractional network the history goes through it); pruning.force=true prunes all "
                "the same"
            )
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            kinds = type(callback).__mro__
            kind = next((k for k in kinds if k.__module__.startswith("lightning.")), kinds[0])
            if kind not in _HARMLESS:
                raise InputError(
                    f"pruning=adaptive: does not go with {kind.__name__}, which may hold on to the "
                    "parameters of layers that leave; use one of the two"
                )
        if type(trainer.strategy) not in (SingleDeviceStrategy, DDPStrategy):
            raise InputError(
                f"pruning=adaptive: does not go with {type(trainer.strategy).__name__}; "
                "trainer.devices=1 and trainer.strategy=ddp do"
            )

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Refuse an optimizer that cannot follow."""
        if any(isinstance(optimizer, LBFGS) for optimizer in trainer.optimizers):
            raise InputError(
                "pruning=adaptive: does not go with LBFGS, whose state is one vector over all "
                "parameters; use another optimizer"
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Check, and remove what is redundant."""
        iteration = trainer.global_step
        due = iteration % self.interval == 0 if self.interval else trainer.is_last_batch
        if due and iteration > self.warmup:
            positions = trainer.strategy.broadcast(self._choose(pl_module))
            if positions:
                self._remove(trainer, pl_module, sorted(positions))

    @torch.no_grad()
    def _choose(self, module: TimeVariableModule) -> list[int]:
        tau, sizes = module.network.tau, module.network.stage_sizes
        positions = redundant_layers(tau, sizes, self.epsilon, self.min_hidden_layers)
        if self.smallest_only and positions:
            lifts = _lifts(sizes)
            fields = [position for position in range(len(tau)) if position not in lifts]
            return [min(fields, key=tau.tolist().__getitem__)]
        return positions

    def _remove(self, trainer: Trainer, module: TimeVariableModule, positions: list[int]) -> None:
        network = module.network
        removed = ", ".join(
            _described(network.tau.detach(), network.stage_sizes, network.layers, positions)
        )
        removal = network.remove_layers(positions)
        for optimizer in trainer.optimizers:
            removal.apply_to(optimizer)
        if isinstance(trainer.strategy, DDPStrategy):
            # it holds on to the parameters that it was built with
            trainer.strategy.model = trainer.strategy.lightning_module
            trainer.strategy.configure_ddp()
        log.log(
            logging.INFO if trainer.is_global_zero else logging.DEBUG,
            "iteration %d: removed %s; %d hidden layers and %d parameters are left",
            trainer.global_step,
            removed,
            len(network.layers),
            count_parameters(network),
        )


def _described(
    tau: Tensor, stage_sizes: Sequence[int], layers: Sequence[int], positions: Sequence[int]
) -> list[str]:
    stages = torch.split(tau.abs().cpu(), list(stage_sizes))
    shares = torch.cat([part / part.sum() for part in stages])
    return [
        f"layer {layers[p]} (τ = {float(tau[p]):.4g}, share {float(shares[p]):.4g})"
        for p in positions
    ]
