"""Which loop takes the iterations of a run, chosen once."""

import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from tvl_lightning.limits import InputError
from tvl_lightning.training import ENGINES
from tvl_lightning.training.conditions import (
    argument_obstacle,
    data_obstacle,
    optimizer_obstacle,
    scheduler_obstacle,
)

log = logging.getLogger(__name__)

LIGHTNING = "lightning"
NAMES = ("auto", *ENGINES, LIGHTNING)


class Choice(NamedTuple):
    """The engine of a run: one of `ENGINES`, or Lightning's own loop, and why."""

    name: str
    reason: str


def choose_engine(
    wanted: str,
    trainer: Mapping[str, Any],
    data: Any,
    optimizer: Callable[..., Any],
    scheduler: Any,
) -> Choice:
    """The fast loop where everything is known to allow it, or what was asked for by name.

    Args:
        wanted: `auto`, or a name.
        trainer: the arguments of `Trainer`, with `_target_`.
        data: the data module.
        optimizer: makes the optimizer.
        scheduler: makes the scheduler, or a mapping with what does; None for none.

    Raises:
        InputError: for an unknown name, or an engine that cannot serve what is given.
    """
    if wanted not in NAMES:
        raise InputError(f"engine.name={wanted}: must be one of {', '.join(NAMES)}")
    if wanted == LIGHTNING:
        return Choice(LIGHTNING, "asked for by name")
    arguments = {name: value for name, value in trainer.items() if name != "_target_"}
    obstacle = (
        None if trainer["_target_"] == "lightning.Trainer" else f"trainer={trainer['_target_']}"
    )
    obstacle = (
        obstacle
        or argument_obstacle(arguments)
        or data_obstacle(data)
        or _of_optimizer(optimizer)
        or _of_scheduler(scheduler)
    )
    if obstacle and wanted != "auto":
        raise InputError(f"engine={wanted}: does not go with {obstacle}; engine=auto takes it")
    if obstacle:
        return Choice(LIGHTNING, f"because of {obstacle}")
    if wanted == "auto":
        return Choice("eager", "every setting is known to allow chunks")
    return Choice(wanted, "asked for by name")


def _made(maker: Any) -> Any:
    """The class that a partial calls, or the maker itself."""
    return getattr(maker, "func", maker)


def _of_optimizer(optimizer: Any) -> str | None:
    kind = _made(optimizer)
    if inspect.isclass(kind) and issubclass(kind, Optimizer):
        return optimizer_obstacle(kind)
    return f"the optimizer that {getattr(kind, '__name__', kind)} makes"


def _of_scheduler(scheduler: Any) -> str | None:
    if scheduler is None:
        return None
    if isinstance(scheduler, Mapping):
        unknown = scheduler.keys() - {"scheduler", "interval", "frequency", "name"}
        if unknown:
            return f"a scheduler with {min(unknown)}"
        kind, interval = _made(scheduler.get("scheduler")), scheduler.get("interval", "epoch")
    else:
        kind, interval = _made(scheduler), "epoch"
    if inspect.isclass(kind) and issubclass(kind, LRScheduler):
        return scheduler_obstacle(kind, interval)
    return f"the scheduler that {getattr(kind, '__name__', kind)} makes"
