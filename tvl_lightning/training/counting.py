"""Lightning's counts of optimizer steps: the only place that writes them."""

from typing import Any

from lightning import Trainer


def count_iterations(trainer: Trainer, k: int) -> None:
    """Count k optimizer steps that bypassed Lightning's wrapper, as a replayed graph does.

    Without it `global_step` would stand still, and checkpoints would silently not be saved.
    """
    total = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress.total
    total.ready += k
    total.completed += k


def align_counts(checkpoint: dict[str, Any]) -> None:
    """Let both of Lightning's loops, its own and manual optimization, begin at the same count.

    A run may be resumed in the other loop than the one that took its iterations so far.
    """
    done = {"ready": checkpoint["global_step"], "completed": checkpoint["global_step"]}
    loops = checkpoint["loops"]["fit_loop"]
    loops["epoch_loop.manual_optimization.optim_step_progress"]["total"].update(done)
    own = loops["epoch_loop.automatic_optimization.optim_progress"]
    own["optimizer"]["step"]["total"].update(done)
