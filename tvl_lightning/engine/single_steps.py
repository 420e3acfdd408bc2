"""What only Lightning's own loop can do, which takes training steps one by one."""

from typing import Any

from lightning import Callback, LightningModule
from lightning.pytorch.callbacks import ProgressBar
from torch.optim import LBFGS

from tvl_lightning.callbacks import (
    AdaptivePruning,
    BestCheckpoint,
    LastCheckpoint,
    TauTrajectory,
)
from tvl_lightning.data import ImageData

_HOOKS = (
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
)
_METHODS = (
    *_HOOKS,
    "training_step",
    "backward",
    "optimizer_step",
    "optimizer_zero_grad",
    "configure_gradient_clipping",
    "on_before_batch_transfer",
    "on_after_batch_transfer",
    "transfer_batch_to_device",
)
# these act after a call, however many steps it takes
_AFTER_A_CALL = (AdaptivePruning, BestCheckpoint, LastCheckpoint, ProgressBar, TauTrajectory)
_SETTINGS = {
    "gradient_clip_val": None,
    "accumulate_grad_batches": 1,
    "max_steps": -1,
    "limit_train_batches": 1.0,
    "val_check_interval": 1.0,
    "overfit_batches": 0.0,
}


def needs_single_steps(
    trainer: Any, module: LightningModule, base: type[LightningModule]
) -> str | None:
    """The setting, callback or method that needs training to go step by step, None for none.

    Args:
        trainer: the trainer, with its optimizers.
        module: the module that it trains.
        base: the class whose own methods are no reason.
    """
    for name, default in _SETTINGS.items():
        if getattr(trainer, name) != default:
            return f"trainer.{name}={getattr(trainer, name)}"
    if trainer.world_size > 1:
        return "several processes"
    if trainer.precision not in ("32-true", "64-true"):
        return f"trainer.precision={trainer.precision}"
    if not isinstance(trainer.datamodule, ImageData):
        return "a datamodule other than ImageData"
    if any(isinstance(optimizer, LBFGS) for optimizer in trainer.optimizers):
        return "LBFGS, which needs the loss several times a step"
    strangers = [c for c in trainer.callbacks if not isinstance(c, _AFTER_A_CALL)]
    for part, own, methods in [
        *((c, Callback, _HOOKS) for c in strangers),
        (module, base, _METHODS),
    ]:
        for name in methods:
            if getattr(type(part), name) is not getattr(own, name):
                return f"{type(part).__name__}.{name}, which acts in every step"
    return None
