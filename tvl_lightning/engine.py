"""How training steps run: one a call in Lightning's loop, or several a call in the loop below."""

import math
import shutil
import warnings
from collections.abc import Callable
from os import environ
from typing import Any, NamedTuple

import torch
from lightning import Callback, LightningModule
from lightning.pytorch.callbacks import ProgressBar
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value
from torch.optim import LBFGS

from tvl_lightning.callbacks import (
    AdaptivePruning,
    BestCheckpoint,
    LastCheckpoint,
    TauTrajectory,
)
from tvl_lightning.data import Block, ImageData
from tvl_lightning.limits import InputError, check

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


class Steps(NamedTuple):
    """What k training steps leave behind, on the device."""

    loss: Tensor  # (k,)
    task_loss: Tensor  # (k,)
    logits: Tensor  # (k, B, classes)
    labels: Tensor  # (k, B)
    tau: Tensor  # (k, L-1), after each step


# losses and logits of a batch, (), () and (B, classes); the gradient is left in the parameters
Differentiate = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


class Engine:
    """Runs training steps: the loss, its gradient, the optimizer's step with the projection of τ.

    Several steps a call spare most of what a step costs beside the mathematics. The numbers are
    those of single steps. Callbacks see the end of a call, not of each step; where a setting, a
    callback or the module needs single steps, `eager` leaves them to Lightning, in whose loop
    everything works, and the other modes refuse.

    Args:
        mode: `eager`; `compiled`, by `torch.compile`; or `cuda_graph`, compiled and, with the
            optimizer's step, recorded once and replayed, on a GPU.
        steps_per_call: at most so many steps a call; fewer where pruning looks at τ more often.

    Raises:
        InputError: for another mode, or a number of steps below 1.
    """

    def __init__(self, mode: str = "eager", steps_per_call: int = 50) -> None:
        if mode not in ("eager", "compiled", "cuda_graph"):
            raise InputError(f"engine.mode={mode}: must be eager, compiled or cuda_graph")
        check("steps_per_call", steps_per_call)
        self.mode, self.steps_per_call = mode, steps_per_call
        self._layers: list[int] = []

    def block_size(self, trainer: Any, single_steps: str | None) -> int | None:
        """Steps a call in this training; None where Lightning takes them one by one.

        Args:
            trainer: the trainer.
            single_steps: what `needs_single_steps` says.

        Raises:
            InputError: where this engine cannot serve the trainer, with the one that can.
        """
        if single_steps and self.mode == "eager":
            return None
        if single_steps:
            raise InputError(
                f"engine={self.mode}: does not go with {single_steps}; engine=eager does"
            )
        if self.mode != "eager":
            for layer in trainer.lightning_module.network.hidden:
                if [*layer.buffers()]:
                    raise InputError(
                        f"engine={self.mode}: does not go with {type(layer).__name__}, whose "
                        "buffers change in a step; engine=eager does"
                    )
        device = trainer.strategy.root_device
        if self.mode == "cuda_graph" and device.type != "cuda":
            raise InputError(
                f"engine=cuda_graph: needs an NVIDIA GPU, and the trainer runs on {device.type}; "
                "engine=compiled runs there"
            )
        compiler = environ.get("CXX", "g++")
        if self.mode == "compiled" and device.type == "cpu" and not shutil.which(compiler):
            raise InputError(
                f"engine=compiled: needs a C++ compiler, and there is no {compiler}; "
                "engine=eager needs none"
            )
        # that warning is about checkpoints within an epoch, which need single steps
        warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before")
        intervals = [
            callback.interval
            for callback in trainer.callbacks
            if isinstance(callback, AdaptivePruning) and callback.interval
        ]
        if not intervals:
            return self.steps_per_call
        # a call ends wherever pruning looks at τ
        common = math.gcd(_steps_per_epoch(trainer.datamodule), *intervals)
        return max(k for k in range(1, self.steps_per_call + 1) if common % k == 0)

    def run(self, module: Any, block: Block) -> Steps:
        """Take the steps of a block, in order."""
        [optimizer] = module.trainer.optimizers
        if module.network.layers != self._layers:
            self._layers = list(module.network.layers)
            self._differentiate = (plain if self.mode == "eager" else compiled)(module)
        steps = []
        for order in block.order.unbind():
            images = block.images.index_select(0, order)
            labels = block.labels.index_select(0, order)
            losses_and_logits = self._differentiate(images, labels)
            optimizer.step()  # the projection of τ is a hook of it
            steps.append((*losses_and_logits, labels, module.tau.detach().clone()))
        _after_steps(module.trainer, len(steps))
        return Steps(*map(torch.stack, zip(*steps, strict=True)))


def plain(module: Any) -> Differentiate:
    """`module.losses` by PyTorch's autograd, which leaves the gradient in the parameters."""

    def differentiate(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        module.zero_grad()
        loss, task_loss, logits = module.losses(images, labels)
        loss.backward()
        return loss.detach(), task_loss.detach(), logits.detach()

    return differentiate


def compiled(module: Any) -> Differentiate:
    """As `plain`, with losses and gradient as one compiled function of the parameters.

    It holds for the network as it is now; what was compiled before is forgotten.
    """
    torch.compiler.reset()
    learned = {name: p for name, p in module.named_parameters() if p.requires_grad}
    values = {name: parameter.detach() for name, parameter in learned.items()}
    losses = Losses(module)

    def loss(
        parameters: dict[str, Tensor], images: Tensor, labels: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        named = {f"module.{name}": parameter for name, parameter in parameters.items()}
        value, task_loss, logits = functional_call(losses, named, (images, labels))
        return value, (task_loss, logits)

    gradient = torch.compile(grad_and_value(loss, has_aux=True), dynamic=False, fullgraph=True)

    def differentiate(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gradients, (value, (task_loss, logits)) = gradient(values, images, labels)
        for name, parameter in learned.items():
            parameter.grad = gradients[name]
        return value, task_loss, logits

    return differentiate


class Losses(nn.Module):
    """`module.losses` as a module, whose parameters `functional_call` can replace."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: Tensor, labels: Tensor) -> Any:
        """What `module.losses` gives."""
        return self.module.losses(images, labels)


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


def _after_steps(trainer: Any, k: int) -> None:
    """Do what Lightning leaves to manual optimization: count steps, move the learning rate."""
    total = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress.total
    total.ready += k
    total.completed += k
    if trainer.is_last_batch:
        for config in trainer.lr_scheduler_configs:
            config.scheduler.step()


def _steps_per_epoch(data: ImageData) -> int:
    return -(-len(data.train.labels) // data.batch_size)
