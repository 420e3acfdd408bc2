"""The LightningModule: task loss plus penalties on τ, metrics, and the optimizer."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import SGD, Optimizer

from tvl_lightning.networks import TimeVariableNetwork
from tvl_lightning.penalties import Penalty
from tvl_lightning.training.counting import align_counts
from tvl_lightning.training.format import FORMAT, check_format
from tvl_lightning.training.means import EpochMeans
from tvl_lightning.training.optimizers import with_time_steps

_PAPERS_SGD = partial(SGD, lr=0.01)

Scheduler = Callable[[Optimizer], Any] | Mapping[str, Any]


class Observables(NamedTuple):
    """What the last k iterations left behind, on the device.

    Attributes:
        layers: the ids of the n layers that τ belongs to.
        values: by name, each of shape (k, ...): `tau` (k, n) after, and losses before, each step.
    """

    layers: list[int]
    values: dict[str, Tensor]


class TimeVariableClassifier(LightningModule):
    """Minimises cross entropy + Σ penalties(τ), the losses L, L_T and L_1 of the paper.

    Args:
        network: what is trained.
        penalties: by name, functions of τ.
        optimizer: makes an optimizer from parameters; the paper's SGD where none is given.
        scheduler: makes a learning rate scheduler, stepped once an epoch, from an optimizer; or a
            mapping with it under `scheduler` and Lightning's `interval`, `frequency`, `monitor`.
        seed: what a field draws in an epoch, as dropout does, is drawn from it and the epoch's
            number; PyTorch's initial seed where it is None.
        config: how `network`, `penalties` and `data` are built, as plain data for the checkpoint,
            which then can be loaded without them.
        tau_lr: the learning rate of τ; the optimizer's where it is None.
        tau_weight_decay: that of τ, whatever the optimizer's is.
    """

    def __init__(
        self,
        network: TimeVariableNetwork,
        penalties: Mapping[str, Penalty] | None = None,
        optimizer: Callable[..., Optimizer] = _PAPERS_SGD,
        scheduler: Scheduler | None = None,
        seed: int | None = None,
        config: Mapping[str, Any] | None = None,
        tau_lr: float | None = None,
        tau_weight_decay: float = 0.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.penalties: dict[str, Penalty] = dict(penalties or {})
        self.optimizer, self.scheduler = optimizer, scheduler
        self.tau_lr, self.tau_weight_decay = tau_lr, tau_weight_decay
        self.seed = torch.initial_seed() if seed is None else seed
        given: dict[str, Any] = {"network": None, "penalties": None, "data": None}
        if not self.penalties:
            given["penalties"] = {}
        given |= config or {}
        self.save_hyperparameters({"format": FORMAT, **given}, logger=False)
        self.train_means, self.evaluation_means = EpochMeans(), EpochMeans()
        self._epoch_rate: dict[str, Tensor] = {}
        self._losses: dict[str, Tensor] = {}
        self._observables: Observables | None = None
        self._unwritten: dict[str, Tensor] = {}
        self._written: tuple[int, set[str]] = (-1, set())

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls, checkpoint_path: str | Path, map_location: Any = None, **options: Any
    ) -> "TimeVariableClassifier":
        """The module of a checkpoint, whatever was pruned; no code in the file is run.

        Args:
            checkpoint_path: a file that a run of this package wrote.
            map_location: the device to load to; the CPU where it is None.
            options: see `checkpoints.load_classifier`: `trust`, `network`, `penalties`.
        """
        from tvl_lightning.training.checkpoints import load_classifier

        options.pop("weights_only", None)  # nothing else is ever loaded
        module = load_classifier(checkpoint_path, cls=cls, **options)
        return module if map_location is None else module.to(map_location)

    @property
    def tau(self) -> Tensor:
        """The step sizes of the network, shape (n,)."""
        return self.network.tau

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, ...)."""
        return self.network(images)  # type: ignore[no-any-return]

    def penalty_values(self) -> dict[str, Tensor]:
        """Each penalty at the present τ."""
        tau = self.tau
        return {name: penalty(tau) for name, penalty in self.penalties.items()}

    def losses(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The loss, the cross entropy in it, and the logits (B, classes) of one batch."""
        logits = self(images)
        task_loss = cross_entropy(logits, labels)
        return sum(self.penalty_values().values(), task_loss), task_loss, logits

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """The loss of one batch."""
        images, labels = batch
        loss, task_loss, logits = self.losses(images, labels)
        one, task = loss.detach()[None], task_loss.detach()[None]
        self._losses = {"loss": self._of_all(one), "task_loss": self._of_all(task)}
        self.train_means.update(one, task, logits.detach()[None], labels[None])
        return {"loss": loss, "task_loss": task_loss.detach()}

    def _of_all(self, loss: Tensor) -> Tensor:
        """The mean over the processes, whose batches are of one size."""
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return loss
        return self.trainer.strategy.reduce(loss, reduce_op="mean")

    def observables(self) -> Observables | None:
        """What the last iterations left behind; None before the first."""
        return self._observables

    def on_train_start(self) -> None:
        """Observe τ at the end of every optimizer step, after the projection."""
        for optimizer in self.trainer.optimizers:
            optimizer.register_step_post_hook(self._observe)

    @torch.no_grad()
    def _observe(self, *_: Any) -> None:
        values = {name: v.detach().clone()[None] for name, v in self.network.observables().items()}
        self._observables = Observables(self.network.layers, {**values, **self._losses})

    def on_train_epoch_start(self) -> None:
        """Seed what fields draw, so that a resumed run draws the same; note the learning rate."""
        self._epoch_rate = self._rate()  # at the epoch's end the scheduler has moved on
        drawn = self.seed * 1_000_003 + self.current_epoch
        torch.manual_seed((drawn * self.trainer.world_size + self.global_rank) % 2**63)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Forget what was observed: not every batch leads to a step that is taken."""
        self._observables = None

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log the epoch's means over all training images, once they are complete."""
        if self.trainer.is_last_batch:
            means = {f"train/{name}": v for name, v in self.train_means.compute().items()}
            self._publish({**means, **self._penalty_metrics(), **self._epoch_rate})
            self.train_means.reset()

    def on_train_epoch_end(self) -> None:
        """Write the epoch's metrics to the loggers."""
        # Lightning would write after the callbacks have saved the checkpoint, and a run killed in
        # between would miss this epoch for good
        self._write()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Logits of one batch of the validation images, or of the test set where there are none."""
        return self._evaluate(batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Logits of one batch of the test set."""
        return self._evaluate(batch)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Logits (B, classes) of one batch, of inputs or of inputs and labels."""
        logits: Tensor = self(batch[0] if isinstance(batch, (list, tuple)) else batch)
        return logits

    def _evaluate(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        images, labels = batch
        logits: Tensor = self(images)
        losses = cross_entropy(logits, labels, reduction="none")
        self.evaluation_means.update(losses, losses, logits[:, None], labels[:, None])
        return logits

    def on_validation_epoch_end(self) -> None:
        """Log the means over all images; before training, as the end of epoch -1."""
        trainer = self.trainer
        stage = getattr(trainer.datamodule, "validates_on", "val")  # type: ignore[attr-defined]
        means = self._evaluated(stage)
        if trainer.state.fn == "validate":
            self._log_result(means)
        elif not trainer.sanity_checking:
            self._publish(means, prog_bar=True)
            self._write()  # now, for within an epoch there may be several validations
        elif trainer.global_step == 0 and trainer.num_sanity_val_batches == trainer.num_val_batches:
            self._publish(means, prog_bar=True)  # as after every epoch, or Lightning refuses
            self._publish(self._penalty_metrics())
            self._write()

    def on_test_epoch_end(self) -> None:
        """Log the means over all images, at the number of iterations."""
        self._log_result(self._evaluated("test"))

    def _log_result(self, means: dict[str, Tensor]) -> None:
        # Lightning takes `step` for the x axis; and what is logged so is what `test` returns
        if self.loggers:
            means["step"] = torch.tensor(float(self.trainer.global_step))
        self.log_dict(means, on_step=False, on_epoch=True, sync_dist=True)

    def _evaluated(self, stage: str) -> dict[str, Tensor]:
        means = self.evaluation_means.compute()
        self.evaluation_means.reset()
        return {f"{stage}/{name}": means[name] for name in ("task_loss", "acc")}

    def _penalty_metrics(self) -> dict[str, Tensor]:
        with torch.no_grad():
            return {f"penalty/{name}": value for name, value in self.penalty_values().items()}

    def _rate(self) -> dict[str, Tensor]:
        """The learning rate, where the optimizer has one, and that of τ where it has its own."""
        groups = self.trainer.optimizers[0].param_groups
        rates = {"lr": groups[0].get("lr")}
        if self.tau_lr is not None:
            rates["lr/tau"] = groups[-1]["lr"]
        return {
            name: torch.as_tensor(rate, dtype=torch.float32, device=self.device)
            for name, rate in rates.items()
            if rate is not None
        }

    def _publish(self, values: dict[str, Tensor], prog_bar: bool = False) -> None:
        """Give values to callbacks now, and to loggers with the next `_write`."""
        # batch_size: Lightning multiplies by it and divides again, which is exact for 1
        self.log_dict(
            values,
            logger=False,
            prog_bar=prog_bar,
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            batch_size=1,
        )
        self._unwritten |= values

    def _write(self) -> None:
        """Write what was published at the number of iterations, once."""
        step = self.trainer.global_step
        known = self._written[1] if self._written[0] == step else set()
        new = {name: float(v) for name, v in self._unwritten.items() if name not in known}
        self._written = (step, known | new.keys())
        self._unwritten = {}
        for logger in self.loggers if new else ():
            logger.log_metrics(new, step=step)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on counting, whichever loop took the iterations so far.

        Raises:
            InputError: for a checkpoint of version 0.1, or of another program.
        """
        check_format(checkpoint.get("hyper_parameters", {}), "this checkpoint")
        align_counts(checkpoint)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimizer over all parameters, and its scheduler where there is one."""
        optimizer = with_time_steps(
            self.optimizer(self.parameters()),
            self.network.time_steps.parameters(),
            self.tau_lr,
            self.tau_weight_decay,
        )
        if self.scheduler is None:
            return optimizer
        if not isinstance(self.scheduler, Mapping):
            return [optimizer], [self.scheduler(optimizer)]
        config: Any = {**self.scheduler, "scheduler": self.scheduler["scheduler"](optimizer)}
        return [optimizer], [config]
