"""Projection of τ onto a set, after every optimizer step (Section 3 of the paper)."""

from typing import Any

import torch
from lightning import Callback, Trainer

from tvl_lightning.constraints import Constraint, Positive
from tvl_lightning.limits import InputError
from tvl_lightning.networks import TimeSteps
from tvl_lightning.training.protocols import TimeVariableModule


class TauProjection(Callback):
    """Puts the learned τ back into a set at the end of every optimizer step, in place.

    It runs on τ's device, in whichever loop. A τ that the network computes is left alone: the last
    one of `tau=final`, as in the paper, and all of `tau=simplex`, which are positive by themselves.

    Args:
        onto: gives the nearest τ in the set from τ and the network's horizon T.

    Raises:
        InputError: before training, where the set needs every τ and some are not learned, or where
            it is empty.
    """

    def __init__(self, onto: Constraint = Positive()) -> None:  # noqa: B008
        self.onto = onto

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse what cannot be projected."""
        module: TimeVariableModule = pl_module
        steps = module.network.time_steps
        entrywise = getattr(self.onto, "entrywise", False)
        whole = steps.free is not None and steps.free.shape == module.network.tau.shape
        if not entrywise and not (steps.free_is_tau and whole):
            name = getattr(self.onto, "__name__", type(self.onto).__name__)
            raise InputError(
                f"the projection onto {name} needs tau=learned, all of whose steps are free, and "
                f"this network's time steps are {type(steps).__name__}"
            )
        if steps.free is not None and steps.free_is_tau:
            self.onto(steps.free.detach(), steps.horizon)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Let every optimizer project as the end of its step."""
        network = pl_module.network

        def project(*_: Any) -> None:
            self.project(network.time_steps)

        for optimizer in trainer.optimizers:
            optimizer.register_step_post_hook(project)

    @torch.no_grad()
    def project(self, steps: TimeSteps) -> None:
        """Put the learned entries of `steps` into the set, in place."""
        if steps.free is not None and steps.free_is_tau:
            steps.free.copy_(self.onto(steps.free, steps.horizon))
