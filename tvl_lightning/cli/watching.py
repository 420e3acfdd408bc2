"""What watches a run, from the configuration: callbacks and loggers."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from lightning import Callback, LightningDataModule
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    BatchSizeFinder,
    EarlyStopping,
    LearningRateFinder,
    ModelCheckpoint,
    ModelPruning,
    ProgressBar,
    StochasticWeightAveraging,
    WeightAveraging,
)
from lightning.pytorch.loggers import Logger

from tvl_lightning.limits import InputError
from tvl_lightning.training import BestCheckpoint
from tvl_lightning.training.callbacks.averaging import averages

_EXTRAS = ("wandb", "mlflow", "comet", "rich")
_WAYS = {"max": "greater it is", "min": "smaller it is"}

# Lightning's callbacks after which a run of this package would not be what it says
_REFUSED: dict[type[Callback], str] = {
    BackboneFinetuning: "thaws a backbone, and a time-variable network has none; leave it out",
    BatchSizeFinder: "would leave a run without iterations; say data.batch_size=N",
    LearningRateFinder: "would change the learning rate behind the settings; say optimizer.lr=X",
    ModelPruning: "keeps masks that no checkpoint of ours holds; pruning=adaptive removes layers",
    StochasticWeightAveraging: "would not have tested what it averages; say callbacks=swa",
    WeightAveraging: "would not have tested what it averages; say callbacks=ema",
}


def callbacks_of(settings: Mapping[str, Any]) -> list[Callback]:
    """The callbacks that `callbacks` describes; null leaves one out.

    Raises:
        InputError: for what is no callback, and for those of Lightning that falsify a run.
    """
    made = _made("callbacks", settings.get("callbacks"), Callback)
    means = [name for name, callback in made.items() if averages(callback)]
    if len(means) > 1:
        raise InputError(f"callbacks={','.join(means)}: each tests its own average; use one")
    if means and settings.get("pruning"):
        raise InputError(
            f"callbacks={means[0]}: averages layer by layer, and pruning=adaptive removes layers; "
            "use one of the two"
        )
    for name, callback in made.items():
        why = next((why for kind, why in _REFUSED.items() if isinstance(callback, kind)), None)
        if why and name not in means:
            raise InputError(f"callbacks.{name}: {type(callback).__name__} {why}")
    if (settings.get("trainer") or {}).get("enable_progress_bar") is False:
        return [callback for callback in made.values() if not isinstance(callback, ProgressBar)]
    return list(made.values())


def loggers_of(settings: Mapping[str, Any]) -> list[Logger]:
    """The loggers that `logger` describes.

    Raises:
        InputError: for what is no logger, or one whose package is not installed.
    """
    return list(_made("logger", settings.get("logger"), Logger).values())


def _made(group: str, config: Any, kind: type[Any]) -> dict[str, Any]:
    if not config:
        return {}
    if not isinstance(config, Mapping):
        raise InputError(f"{group}={config}: must be a mapping, as {group}=NAME gives it")
    made = {}
    for name, part in config.items():
        if part is None:
            continue
        try:
            made[name] = instantiate(part) if isinstance(part, Mapping) else part
        except InstantiationException as error:
            if isinstance(error.__cause__, ModuleNotFoundError):
                way = f"pip install 'tvl-lightning[{name}]'" if name in _EXTRAS else "install it"
                reason = " ".join(str(error.__cause__).split())
                raise InputError(
                    f"{group}.{name}: needs another package; {way} ({reason})"
                ) from error
            raise
        if not isinstance(made[name], kind):
            raise InputError(
                f"{group}.{name}={part}: must be a {kind.__name__}, by its _target_; null is none"
            )
    return made


def check_monitors(
    callbacks: Iterable[Callback],
    scheduler: Any,
    data: LightningDataModule,
    penalties: Iterable[str],
    validates: bool = True,
) -> None:
    """Refuse to wait for a metric that the run will not have, or for its worst value.

    Args:
        callbacks: those of the run.
        scheduler: what makes the scheduler, with Lightning's `monitor` where there is one.
        data: the data module.
        penalties: their names.
        validates: whether the trainer validates at all.

    Raises:
        InputError: naming those that it has.
    """
    stage = getattr(data, "validates_on", "val")
    validates &= type(data).val_dataloader is not LightningDataModule.val_dataloader
    known = [
        *(f"{stage}/{name}" for name in ("acc", "task_loss") if validates),
        *(f"train/{name}" for name in ("acc", "loss", "task_loss")),
        *(f"penalty/{name}" for name in penalties),
    ]
    for name, monitor, mode in _watched(callbacks, scheduler):
        # without validation images no epoch is the best, and nothing waits for one
        absent = ["val/acc", "val/task_loss"] if name == BestCheckpoint.__name__ else []
        if monitor not in (*known, *absent):
            raise InputError(
                f"{name}: monitor={monitor}: the run has no such metric"
                f"{', for no images validate' if stage == 'test' else ''}; it has "
                f"{', '.join(known)}"
            )
        best = "max" if monitor.endswith("/acc") else "min"
        if mode != best:
            raise InputError(f"{name}: mode={mode}: {monitor} is the better the {_WAYS[best]}")


def _watched(callbacks: Iterable[Callback], scheduler: Any) -> Iterator[tuple[str, str, str]]:
    """What waits for which metric, and for its least or its greatest value."""
    for callback in callbacks:
        if isinstance(callback, (EarlyStopping, ModelCheckpoint)) and callback.monitor is not None:
            yield type(callback).__name__, callback.monitor, callback.mode
    if isinstance(scheduler, Mapping) and scheduler.get("monitor") is not None:
        options = getattr(scheduler["scheduler"], "keywords", {})
        yield "scheduler", scheduler["monitor"], options.get("mode", "min")
