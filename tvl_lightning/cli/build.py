"""The parts of a run, from its configuration."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hydra.utils import get_class, instantiate
from lightning import LightningDataModule, Trainer

from tvl_lightning.cli.engine import LIGHTNING, Choice, choose_engine
from tvl_lightning.cli.hints import blaming
from tvl_lightning.cli.learning import check_learning, learning
from tvl_lightning.cli.watching import callbacks_of, check_monitors, loggers_of
from tvl_lightning.data import Sizes, TensorData
from tvl_lightning.limits import InputError
from tvl_lightning.training import (
    AtomicCheckpointIO,
    ChunkedClassifier,
    OwnSignals,
    TauProjection,
    TimeVariableClassifier,
)

log = logging.getLogger(__name__)


class Parts(NamedTuple):
    """What trains, on what, by whom, and in which loop."""

    data: LightningDataModule
    module: TimeVariableClassifier
    trainer: Trainer
    engine: Choice


def build_parts(settings: dict[str, Any], folder: Path) -> Parts:
    """The data, the module and the trainer that `conf/train.yaml` describes.

    Args:
        settings: the resolved configuration; sizes that are null are filled in from the data.
        folder: the run directory.

    Raises:
        InputError: for parts that do not fit together.
    """
    data = instantiate(settings["data"], _convert_="all")
    fill_sizes(settings["model"], data)
    check_fit(settings["model"], data)
    if settings["trainer"].get("overfit_batches") and isinstance(data, TensorData):
        raise InputError(
            "trainer.overfit_batches: needs a DataLoader, and these data have none; debug=overfit "
            "does the same for them"
        )
    network = instantiate(settings["model"], _convert_="all")
    learns = learning(settings)
    check_learning(learns, network, settings["trainer"].get("max_epochs"))
    penalties = instantiate(settings.get("reg") or {}, _convert_="all")

    projection, pruning = settings.get("projection"), settings.get("pruning")
    actors = [TauProjection(instantiate(projection))] if projection else []
    actors += [instantiate(pruning)] if pruning else []
    callbacks = callbacks_of(settings)
    validates = settings["trainer"].get("limit_val_batches") != 0
    check_monitors(callbacks, learns.scheduler, data, penalties, validates)
    arguments = {
        **instantiate({k: v for k, v in settings["trainer"].items() if k != "_target_"}),
        "default_root_dir": str(folder),
        "callbacks": [OwnSignals(), *actors, *callbacks],
        "logger": loggers_of(settings),
        "plugins": [AtomicCheckpointIO()],
    }
    target = settings["trainer"]["_target_"]
    engine = choose_engine(
        settings["engine"]["name"],
        {**arguments, "_target_": target},
        data,
        learns.optimizer,
        learns.scheduler,
    )
    own = {} if engine.name == LIGHTNING else {"engine": engine.name}
    module = (ChunkedClassifier if own else TimeVariableClassifier)(
        network,
        penalties,
        **learns._asdict(),
        seed=settings["seed"],
        config=described(settings),
        **({**own, "chunk": settings["engine"]["chunk"]} if own else {}),
    )
    kind = get_class(target)
    with blaming("trainer", kind):
        trainer = kind(**arguments)
    for actor in actors:  # it refuses now, rather than when something is written
        actor.setup(trainer, module, "fit")
    return Parts(data, module, trainer, engine)


def described(settings: Mapping[str, Any]) -> dict[str, Any]:
    """How network, penalties and data are built, and all other settings, for the checkpoint."""
    return {
        "network": settings["model"],
        "penalties": settings.get("reg") or {},
        "data": settings["data"],
        "settings": settings,
    }


def fill_sizes(model: dict[str, Any], data: Any) -> None:
    """Fill in `in_shape` and `classes` of a model where they are null.

    They are the data's class attribute `sizes`, or else what is found in the training batches.
    """
    missing = [name for name in ("in_shape", "classes") if name in model and model[name] is None]
    if not missing:
        return
    sizes = getattr(type(data), "sizes", None)
    if isinstance(sizes, Sizes):
        model |= {name: getattr(sizes, name) for name in missing}
        model["in_shape"] = list(model["in_shape"])
        return
    data.prepare_data()
    data.setup("fit")
    batches = [(inputs.shape[1:], int(labels.max())) for inputs, labels in data.train_dataloader()]
    found = {"in_shape": list(batches[0][0]), "classes": 1 + max(label for _, label in batches)}
    model |= {name: found[name] for name in missing}
    log.info("in the training data: %s", ", ".join(f"{name} {found[name]}" for name in missing))


def check_fit(model: Mapping[str, Any], data: Any) -> None:
    """Refuse data whose samples do not enter the network, or whose labels do not leave it."""
    sizes = getattr(type(data), "sizes", None)
    in_shape, classes = model.get("in_shape"), model.get("classes")
    if not (isinstance(sizes, Sizes) and isinstance(in_shape, list) and isinstance(classes, int)):
        return
    if math.prod(sizes.in_shape) != math.prod(in_shape) or sizes.classes > classes:
        raise InputError(
            f"data: {type(data).__name__} has samples of shape {tuple(sizes.in_shape)} in "
            f"{sizes.classes} classes, and the network takes in_shape={in_shape} in "
            f"classes={classes}"
        )
