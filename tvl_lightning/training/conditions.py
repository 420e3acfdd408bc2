"""What needs training to go iteration by iteration, in Lightning's own loop.

All that is not known to be harmless counts: a list of what is harmful would forget something.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    EarlyStopping,
    ModelCheckpoint,
    ModelSummary,
    RichModelSummary,
    RichProgressBar,
    TQDMProgressBar,
)
from lightning.pytorch.plugins.precision import DoublePrecision, Precision
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch.optim import LBFGS, SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from tvl_lightning.data import TensorData
from tvl_lightning.training.callbacks import (
    AdaptivePruning,
    BestCheckpoint,
    EpochAverage,
    IterationRate,
    LastCheckpoint,
    MetricsTable,
    OwnSignals,
    RunProgress,
    StopHopeless,
    TauProjection,
    TauRecorder,
    TensorBoardCards,
)
from tvl_lightning.training.checkpoints import AtomicCheckpointIO

# arguments of Trainer that change nothing within an epoch's iterations, whatever they are
_HARMLESS_ARGUMENTS = {
    "accelerator",
    "benchmark",
    "callbacks",  # looked at one by one
    "check_val_every_n_epoch",
    "default_root_dir",
    "deterministic",
    "enable_autolog_hparams",
    "enable_checkpointing",
    "enable_model_summary",
    "enable_progress_bar",
    "inference_mode",
    "limit_predict_batches",
    "limit_test_batches",
    "limit_val_batches",
    "log_every_n_steps",
    "logger",
    "max_epochs",
    "min_epochs",
    "num_sanity_val_steps",
    "use_distributed_sampler",
}
_FULL_PRECISION = (32, "32", "32-true", 64, "64", "64-true", None)

# callbacks, of exactly these types, that act before or after a chunk, or in the optimizer's step
_HARMLESS_CALLBACKS = {
    AdaptivePruning,
    BestCheckpoint,
    EpochAverage,
    IterationRate,
    LastCheckpoint,
    MetricsTable,
    OwnSignals,
    RunProgress,
    StopHopeless,
    TauProjection,
    TauRecorder,
    TensorBoardCards,
    EarlyStopping,
    ModelSummary,
    RichModelSummary,
    RichProgressBar,
    TQDMProgressBar,
}

# of the trainer's own attributes, those that show an argument, and what they are by default
_ORDINARY = {
    "fast_dev_run": False,  # first, for it sets others
    "max_steps": -1,
    "limit_train_batches": 1.0,
    "val_check_interval": 1.0,
    "overfit_batches": 0.0,
    "accumulate_grad_batches": 1,
    "gradient_clip_val": None,
    "reload_dataloaders_every_n_epochs": 0,
    "barebones": False,
    "world_size": 1,
}

_DUNDERS = {
    "__annotations__",
    "__dict__",
    "__doc__",
    "__firstlineno__",
    "__init__",
    "__module__",
    "__static_attributes__",
    "__weakref__",
}
# what a subclass of the fast loop's module may define anew
_FREE_OF_MODULES = _DUNDERS | {
    "configure_optimizers",
    "forward",
    "losses",
    "lr_scheduler_step",
    "test_step",
    "validation_step",
}
# what a data set of one's own may: its training batches are named by their indices
_FREE_OF_DATA = _DUNDERS | {
    "describe",
    "load",
    "prepare_data",
    "setup",
    "sizes",
    "teardown",
    "test_dataloader",
    "val_dataloader",
}


def argument_obstacle(arguments: Mapping[str, Any]) -> str | None:
    """The argument of `Trainer` that needs single iterations, None for none."""
    parameters = inspect.signature(Trainer).parameters
    for name, value in arguments.items():
        parameter = parameters.get(name)
        if parameter is None:
            return f"trainer.{name}={value}"
        ordinary = (
            name in _HARMLESS_ARGUMENTS
            or (value is None if parameter.default is None else value == parameter.default)
            or (name == "devices" and value in (1, "1"))
            or (name == "precision" and value in _FULL_PRECISION)
            or (name == "plugins" and all(type(p) is AtomicCheckpointIO for p in value))
        )
        if not ordinary or (name == "devices" and value not in (1, "1")):
            return f"trainer.{name}={value}"
    return next(filter(None, map(callback_obstacle, arguments.get("callbacks") or [])), None)


def trainer_obstacle(trainer: Any) -> str | None:
    """What of a trainer that already exists needs single iterations, None for none."""
    for name, ordinary in _ORDINARY.items():
        value = getattr(trainer, name)
        if value != ordinary:
            return "several processes" if name == "world_size" else f"trainer.{name}={value}"
    if trainer.precision not in _FULL_PRECISION:
        return f"trainer.precision={trainer.precision}"
    if type(trainer.strategy) is not SingleDeviceStrategy:
        return f"the strategy {type(trainer.strategy).__name__}"
    if type(trainer.precision_plugin) not in (Precision, DoublePrecision):
        return f"the plugin {type(trainer.precision_plugin).__name__}"
    return data_obstacle(trainer.datamodule) or next(
        filter(None, map(callback_obstacle, trainer.callbacks)), None
    )


def callback_obstacle(callback: Callback) -> str | None:
    """A callback that may act in every iteration, None for one that is known not to."""
    name = f"the callback {type(callback).__name__}"
    if type(callback) is ModelCheckpoint:
        key = callback.state_key
        if "'every_n_train_steps': 0" in key and "'train_time_interval': None" in key:
            return None
        return f"{name} with every_n_train_steps or train_time_interval"
    return None if type(callback) in _HARMLESS_CALLBACKS else f"{name}, which may act in any step"


def data_obstacle(data: Any) -> str | None:
    """Data that cannot name the batches of a chunk, None for data that can."""
    if isinstance(data, TensorData):
        return _redefined(type(data), TensorData, _FREE_OF_DATA)
    return f"data other than a TensorData ({type(data).__name__})"


def module_obstacle(module: type[LightningModule]) -> str | None:
    """A method of a subclass of ours that the fast loop may not call, None for none."""
    return _redefined(module, LightningModule, _FREE_OF_MODULES)


def _redefined(kind: type, base: type, free: set[str]) -> str | None:
    """A name of `base` that a class from outside this package defines anew, but for `free` ones."""
    for part in kind.__mro__:
        if part.__module__.startswith("tvl_lightning."):
            return None
        foreign = (vars(part).keys() & dir(base)) - free
        if foreign:
            return f"{part.__name__}.{min(foreign)}, which may act in any step"
    return f"{kind.__name__}, which is not of this package"


def optimizer_obstacle(optimizer: type[Optimizer]) -> str | None:
    """An optimizer that may need more than a gradient, None for PyTorch's own but LBFGS."""
    if f"{optimizer.__module__}.".startswith("torch.optim.") and optimizer is not LBFGS:
        return None
    return f"the optimizer {optimizer.__name__}, which may need the loss in its step"


def capture_obstacle(optimizer: Optimizer) -> str | None:
    """An optimizer whose step cannot be replayed, None for one that keeps its counts on the device.

    A count on the host would stand still in all that is replayed, without a word.
    """
    if type(optimizer) is SGD or all("capturable" in group for group in optimizer.param_groups):
        return None
    return f"the optimizer {type(optimizer).__name__}, which counts its steps on the host"


def scheduler_obstacle(scheduler: type[LRScheduler], interval: str) -> str | None:
    """A learning rate schedule that does not go by epochs alone, None for one that does."""
    if interval != "epoch":
        return f"a scheduler with interval={interval}"
    if issubclass(scheduler, ReduceLROnPlateau):
        return f"{scheduler.__name__}, which needs a metric"
    return None
