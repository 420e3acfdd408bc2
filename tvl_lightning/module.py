"""The LightningModule: task loss plus penalties on τ, metrics, and the optimizer."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import SGD, Optimizer
from torchmetrics import MeanMetric, Metric
from torchmetrics.classification import MulticlassAccuracy

from tvl_lightning.data import Block
from tvl_lightning.engine import Engine, needs_single_steps, take_over_step_count
from tvl_lightning.networks import TimeVariableNetwork, build_network
from tvl_lightning.regularizers import Penalty, build_penalties, describe_penalties

_STEPS_BETWEEN_METRICS = 50  # an update costs as much as a layer, for one batch or for many

_PAPERS_SGD = partial(SGD, lr=0.01)


class TimeVariableClassifier(LightningModule):
    """Minimises cross entropy + Σ penalties(τ), the losses L, L_T and L_1 of the paper.

    A checkpoint holds the network's description and structure as plain data, so
    `TimeVariableClassifier.load_from_checkpoint(path, weights_only=True)` needs no other argument,
    whatever was pruned.

    Args:
        network: what is trained, or its `spec`.
        penalties: by name, functions of τ, or what `describe_penalties` makes of them.
        optimizer: makes an optimizer from parameters; the paper's SGD where none is given.
        scheduler: makes a learning rate scheduler, stepped once an epoch, from an optimizer.
        engine: how training steps are run; `eager` where none is given.
    """

    def __init__(
        self,
        network: TimeVariableNetwork | Mapping[str, Any],
        penalties: Mapping[str, Any] | None = None,
        optimizer: Callable[..., Optimizer] = _PAPERS_SGD,
        scheduler: Callable[[Optimizer], Any] | None = None,
        engine: Engine | None = None,
    ) -> None:
        super().__init__()
        self.network = network if isinstance(network, nn.Module) else build_network(network)
        penalties = penalties or {}
        self.penalties: dict[str, Penalty] = (
            dict(penalties)
            if all(callable(penalty) for penalty in penalties.values())
            else build_penalties(penalties)
        )
        self.optimizer, self.scheduler = optimizer, scheduler
        self.engine = engine or Engine()
        self.block_size: int | None = None
        self.save_hyperparameters(
            {"network": self.network.spec, "penalties": describe_penalties(self.penalties)},
            logger=False,
        )
        classes = self.network.spec["out_features"]
        # "disable": a loss that is not finite has to show in the mean (and weights are ignored)
        self.train_loss = MeanMetric(nan_strategy="disable")
        self.train_task_loss = MeanMetric(nan_strategy="disable")
        self.train_acc = MulticlassAccuracy(classes, average="micro", validate_args=False)
        self.eval_task_loss = MeanMetric(nan_strategy="disable")
        self.eval_acc = MulticlassAccuracy(classes, average="micro", validate_args=False)
        self._unmeasured: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []  # as Steps, without τ

    @property
    def tau(self) -> Tensor:
        """The step sizes of the network, shape (L-1,)."""
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

    def training_step(self, batch: tuple[Tensor, Tensor] | Block, batch_idx: int) -> dict[str, Any]:
        """The loss of one batch; Lightning's optimizer step, then the callbacks on τ follow.

        Where the `engine` takes several steps a call, all of them: `loss` and `task_loss` are of
        shape (k,), and `earlier_tau`, (k-1, L-1), is τ after each step but the last.
        """
        if isinstance(batch, Block):
            steps = self.engine.run(self, batch)
            self._collect(*steps[:4])
            return {
                "loss": steps.loss,
                "task_loss": steps.task_loss,
                "earlier_tau": steps.tau[:-1],
            }
        images, labels = batch
        loss, task_loss, logits = self.losses(images, labels)
        self._collect(
            loss.detach()[None], task_loss.detach()[None], logits.detach()[None], labels[None]
        )
        return {"loss": loss, "task_loss": task_loss.detach()}

    def _collect(self, loss: Tensor, task_loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        self._unmeasured.append((loss, task_loss, logits, labels))
        if len(self._unmeasured) * len(loss) >= _STEPS_BETWEEN_METRICS:
            self._measure()

    def _measure(self) -> None:
        losses, task_losses, logits, labels = zip(*self._unmeasured, strict=True)
        self.train_loss.update(_for_each_image(losses, labels))
        self.train_task_loss.update(_for_each_image(task_losses, labels))
        self.train_acc.update(
            torch.cat([rows.flatten(0, 1) for rows in logits]),
            torch.cat([rows.flatten() for rows in labels]),
        )
        self._unmeasured.clear()

    def on_fit_start(self) -> None:
        """Settle whether Lightning takes the steps one by one, or the engine several a call."""
        reason = needs_single_steps(self.trainer, self, TimeVariableClassifier)
        self.block_size = self.engine.begin(self.trainer, reason)
        self.automatic_optimization = self.block_size is None

    def on_train_start(self) -> None:
        """Go on counting where a run stopped, whichever way its steps were taken."""
        take_over_step_count(self.trainer)

    @torch.no_grad()
    def on_train_epoch_end(self) -> None:
        """Log the epoch's means over all training images."""
        if self._unmeasured:
            self._measure()
        metrics = {
            "train/loss": self.train_loss,
            "train/task_loss": self.train_task_loss,
            "train/acc": self.train_acc,
        }
        values = {name: metric.compute() for name, metric in metrics.items()}
        values |= self._penalty_metrics()
        for metric in metrics.values():
            metric.reset()
        self.log_dict(values, logger=False)
        # Lightning would log after the callbacks have saved the checkpoint, and a run killed in
        # between would miss this epoch for good
        self._write(values, self.current_epoch)

    def _penalty_metrics(self) -> dict[str, Tensor]:
        return {f"penalty/{name}": value for name, value in self.penalty_values().items()}

    def _write(self, values: Mapping[str, Tensor], epoch: int) -> None:
        numbers = {name: float(value) for name, value in values.items()}
        for logger in self.loggers:
            logger.log_metrics({**numbers, "epoch": epoch}, step=self.trainer.global_step - 1)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Evaluate one batch of the validation images, or of the test set where there are none."""
        self._evaluate(batch, self._validates_on())

    @torch.no_grad()
    def on_validation_epoch_end(self) -> None:
        """Log the state before training, as the end of epoch -1; Lightning would not."""
        if self.trainer.sanity_checking and self.trainer.global_step == 0:
            metrics = self._evaluation_metrics(self._validates_on())
            values = {name: metric.compute() for name, metric in metrics.items()}
            self._write({**values, **self._penalty_metrics()}, epoch=-1)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Evaluate one batch of the test set."""
        self._evaluate(batch, "test")

    def _evaluate(self, batch: tuple[Tensor, Tensor], stage: str) -> None:
        images, labels = batch
        logits = self(images)
        self.eval_task_loss.update(cross_entropy(logits, labels, reduction="none"))
        self.eval_acc.update(logits, labels)
        self.log_dict(self._evaluation_metrics(stage), on_step=False, on_epoch=True, prog_bar=True)

    def _evaluation_metrics(self, stage: str) -> dict[str, Metric]:
        return {f"{stage}/task_loss": self.eval_task_loss, f"{stage}/acc": self.eval_acc}

    def _validates_on(self) -> str:
        return getattr(self.trainer.datamodule, "validates_on", "val")  # type: ignore[attr-defined]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimizer over all parameters, and its scheduler where there is one."""
        optimizer = self.optimizer(self.parameters())
        if self.scheduler is None:
            return optimizer
        return [optimizer], [self.scheduler(optimizer)]


def _for_each_image(losses: Sequence[Tensor], labels: Sequence[Tensor]) -> Tensor:
    return torch.cat(
        [loss[:, None].expand_as(rows).flatten() for loss, rows in zip(losses, labels, strict=True)]
    )
