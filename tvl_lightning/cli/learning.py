"""What updates the weights: optimizer and scheduler, from the configuration."""

import inspect
import logging
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from hydra.utils import instantiate
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from tvl_lightning.cli.hints import blaming
from tvl_lightning.limits import COUNT, InputError
from tvl_lightning.networks import TimeVariableNetwork
from tvl_lightning.training import with_time_steps
from tvl_lightning.training.classifier import Scheduler

log = logging.getLogger(__name__)

_LIGHTNINGS = ("interval", "frequency", "monitor", "strict", "name")
_INTERVALS = ("epoch", "step")
_MOST_EPOCHS = 10_000  # of a schedule that are tried


class Learning(NamedTuple):
    """What makes the optimizer and the scheduler of a module, and what is τ's own in them."""

    optimizer: Callable[..., Optimizer]
    scheduler: Scheduler | None
    tau_lr: float | None
    tau_weight_decay: float


def learning(settings: Mapping[str, Any]) -> Learning:
    """What `optimizer` and `scheduler` of a configuration describe.

    Raises:
        InputError: for a configuration of neither.
    """
    config = settings.get("optimizer")
    if not isinstance(config, Mapping) or "_target_" not in config:
        raise InputError(f"optimizer={config}: must be sgd, adam, adamw or one with a _target_")
    arguments = {name: value for name, value in config.items() if name != "tau"}
    own = config.get("tau") or {}
    if not isinstance(own, Mapping) or own.keys() - {"lr", "weight_decay"}:
        raise InputError(f"optimizer.tau={own}: takes lr and weight_decay")
    return Learning(
        _maker(arguments),
        _scheduler(settings.get("scheduler")),
        own.get("lr"),
        own.get("weight_decay", 0.0),
    )


def _maker(config: Mapping[str, Any]) -> Any:
    return instantiate({**config, "_partial_": True}, _convert_="all")


def _scheduler(config: Any) -> Scheduler | None:
    """What makes the scheduler, with Lightning's arguments beside it where there are any."""
    if not config:
        return None
    if not isinstance(config, Mapping) or "_target_" not in config:
        raise InputError(
            f"scheduler={config}: must name a class of torch.optim.lr_scheduler as _target_"
        )
    own = {name: config[name] for name in _LIGHTNINGS if config.get(name) is not None}
    if own.get("interval", "epoch") not in _INTERVALS:
        raise InputError(f"scheduler.interval={own['interval']}: must be epoch or step")
    admits, allowed = COUNT
    if not admits(own.get("frequency", 1)):
        raise InputError(f"scheduler.frequency={own['frequency']}: must be {allowed}")
    maker = _maker({name: value for name, value in config.items() if name not in _LIGHTNINGS})
    if maker.func is ReduceLROnPlateau and "monitor" not in own:
        raise InputError("scheduler.monitor: ReduceLROnPlateau needs a metric, as val/acc")
    return {"scheduler": maker, **own} if own else maker


def check_learning(learns: Learning, network: TimeVariableNetwork, epochs: Any) -> None:
    """Refuse arguments that PyTorch's own optimizers and schedulers do not take, by trying them.

    No weight is changed. A schedule by epochs is gone through as often as there are `epochs`.

    Raises:
        InputError: with what PyTorch said.
    """
    with blaming("optimizer", learns.optimizer):
        optimizer = learns.optimizer(network.parameters())
    if not isinstance(optimizer, Optimizer):
        raise InputError(f"optimizer: {type(optimizer).__name__} is no optimizer of PyTorch")
    steps = list(network.time_steps.parameters())
    with_time_steps(optimizer, steps, learns.tau_lr, learns.tau_weight_decay)
    if learns.tau_lr is not None and not steps:
        log.warning("optimizer.tau.lr=%s moves nothing: no τ is learned", learns.tau_lr)
    scheduler, interval, frequency = learns.scheduler, "epoch", 1
    if isinstance(scheduler, Mapping):
        interval, frequency = scheduler.get("interval", interval), scheduler.get("frequency", 1)
        scheduler = scheduler["scheduler"]
    if scheduler is None:
        return
    with blaming("scheduler", scheduler), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schedule = scheduler(optimizer)
        if not _of_torch(scheduler):
            return
        known = isinstance(epochs, int) and interval == "epoch"
        for _ in range(min(epochs, _MOST_EPOCHS) // frequency if known else 1):
            if isinstance(schedule, ReduceLROnPlateau):
                schedule.step(0.0)
            else:
                schedule.step()


def _of_torch(maker: Any) -> bool:
    """Whether what a partial calls is a class of PyTorch, or of this package."""
    kind = getattr(maker, "func", maker)
    return inspect.isclass(kind) and kind.__module__.partition(".")[0] in ("torch", "tvl_lightning")
