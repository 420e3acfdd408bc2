"""Lightning's counts of optimizer steps, and its schedulers, where it does not take the steps."""

from typing import Any


def take_over_step_count(trainer: Any) -> None:
    """Let both of Lightning's counts of optimizer steps be the larger one.

    It counts the steps of its own loop and those of manual optimization apart, and a run may be
    resumed in the other way.
    """
    loop = trainer.fit_loop.epoch_loop
    own = loop.automatic_optimization.optim_progress.optimizer.step.total
    manual = loop.manual_optimization.optim_step_progress.total
    for count in ("ready", "completed"):
        larger = max(getattr(own, count), getattr(manual, count))
        setattr(own, count, larger)
        setattr(manual, count, larger)


def after_steps(trainer: Any, k: int) -> None:
    """Do what Lightning leaves to manual optimization: count steps, move the learning rate."""
    total = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress.total
    total.ready += k
    total.completed += k
    if trainer.is_last_batch:
        for config in trainer.lr_scheduler_configs:
            config.scheduler.step()
