"""Checkpoints after every epoch, and the end of a run whose loss is no longer finite."""

import logging
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from tvl_lightning.networks import count_parameters

log = logging.getLogger(__name__)

_ITERATIONS_BETWEEN_LOOKS = 50  # a look waits for the device


class _MovableCheckpoint(ModelCheckpoint):
    """A `ModelCheckpoint` that finds its files again where their folder was moved.

    A stranger's checkpoint names none but its own files, which Lightning may delete.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the state of an earlier leg, with every path in this folder."""
        stem = str(self.filename).partition("{")[0]

        def here(path: Any) -> str:
            known = Path(path or "")
            ours = known.name.startswith(stem) and ".." not in known.parts
            return str(Path(str(self.dirpath)) / known.name) if path and ours else ""

        paths = {name: here(path) for name, path in state_dict.items() if name.endswith("_path")}
        kept = {here(path): score for path, score in state_dict.get("best_k_models", {}).items()}
        moved = {"dirpath": self.dirpath, "best_k_models": kept}
        super().load_state_dict({**state_dict, **paths, **moved})


class LastCheckpoint(_MovableCheckpoint):
    """Keeps the newest epoch in `last.ckpt`, and stops training once the loss is not finite.

    `last.ckpt` is always the end of an epoch. A run that ends within one, by `max_steps` or
    `max_time`, has its end in `end.ckpt`, too. What is not finite is not saved, so `last.ckpt`
    stays at the last good epoch, and `diverged_at` holds the iteration at which that was seen.

    Attributes:
        kept: what `last.ckpt` holds: epochs, iterations, layers, τ, parameters.
        end: the path of `end.ckpt`, None where the run ended with an epoch.
    """

    def __init__(self, dirpath: str | Path) -> None:
        super().__init__(
            dirpath, "last", save_on_train_epoch_end=True, enable_version_counter=False
        )
        self.diverged_at: int | None = None
        self.kept: dict[str, Any] | None = None
        self.end: str | None = None
        self._looked_at = 0

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Stop where the loss is not finite any more."""
        super().on_train_batch_end(trainer, *args, **kwargs)
        outputs = args[1] if len(args) > 1 else kwargs["outputs"]
        due = trainer.global_step - self._looked_at >= _ITERATIONS_BETWEEN_LOOKS
        if due and isinstance(outputs, dict) and "loss" in outputs:
            self._looked_at = trainer.global_step
            good = bool(torch.as_tensor(outputs["loss"]).isfinite().all())
            if not trainer.strategy.reduce_boolean_decision(good):
                self._stop(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, or stop."""
        if self.diverged_at is None and not _finite(trainer, pl_module):
            self._stop(trainer)
        if self.diverged_at is not None:
            return
        if not trainer.is_last_batch:
            self.end = str(Path(str(self.dirpath)) / "end.ckpt")
            trainer.save_checkpoint(self.end)
            return
        self.kept = {
            "epochs": trainer.current_epoch + 1,
            "iterations": trainer.global_step,
            **network_state(pl_module),
        }
        super().on_train_epoch_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """That of `ModelCheckpoint`, and what is kept."""
        return {**super().state_dict(), "kept": self.kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.kept = state_dict.get("kept")
        super().load_state_dict(state_dict)

    def _stop(self, trainer: Trainer) -> None:
        self.diverged_at = trainer.global_step
        trainer.should_stop = True
        trainer.fit_loop.min_epochs, trainer.fit_loop.epoch_loop.min_steps = 0, None
        log.error(
            "the loss is not finite in epoch %d: training stops at iteration %d, and %s. "
            "A smaller optimizer.lr may help",
            trainer.current_epoch,
            trainer.global_step,
            f"{self.best_model_path} is the last good checkpoint"
            if self.best_model_path
            else "there is no good checkpoint",
        )


class BestCheckpoint(_MovableCheckpoint):
    """Keeps the epoch with the best validation accuracy in `best.ckpt`.

    Nothing is saved without validation images: the test set chooses no checkpoint.

    Args:
        dirpath: the folder.
        filename: `best`, or with `save_top_k` above 1 a name with the epoch in it, where None.
        monitor: the metric that says which is best.
        mode: `max` or `min`.
        save_top_k: how many to keep.
        **options: further arguments of `ModelCheckpoint`.
    """

    def __init__(
        self,
        dirpath: str | Path,
        filename: str | None = None,
        monitor: str = "val/acc",
        mode: str = "max",
        save_top_k: int = 1,
        **options: Any,
    ) -> None:
        several = "best-epoch{epoch:03d}"
        super().__init__(
            dirpath,
            filename or ("best" if save_top_k == 1 else several),
            monitor=monitor,
            mode=mode,
            save_top_k=save_top_k,
            **{
                "auto_insert_metric_name": False,
                "save_on_train_epoch_end": True,
                "enable_version_counter": False,
                **options,
            },
        )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save where this epoch is the best."""
        whole = trainer.is_last_batch and _finite(trainer, pl_module)
        if whole and self.monitor in trainer.callback_metrics:
            super().on_train_epoch_end(trainer, pl_module)


def network_state(module: Any) -> dict[str, Any]:
    """The layers, the step sizes and the number of parameters of a module's network."""
    network = module.network
    return {
        "layers": list(network.layers),
        "tau": network.tau.tolist(),
        "parameters": count_parameters(network),
    }


def _finite(trainer: Trainer, pl_module: LightningModule) -> bool:
    losses = [v for name, v in trainer.callback_metrics.items() if name == "train/loss"]
    values: list[Any] = [*losses, *pl_module.parameters()]
    good = bool(torch.stack([value.detach().isfinite().all() for value in values]).all())
    return trainer.strategy.reduce_boolean_decision(good)
