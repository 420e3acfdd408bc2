"""The parts of a run, from its configuration."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.utils import get_class, instantiate
from lightning import LightningDataModule, Trainer

from tvl_lightning.cli.engine import LIGHTNING, Choice, choose_engine
from tvl_lightning.data import Sizes
from tvl_lightning.limits import InputError
from tvl_lightning.training import (
    AtomicCheckpointIO,
    ChunkedClassifier,
    TauProjection,
    TimeVariableClassifier,
    read_checkpoint,
)
from tvl_lightning.training.checkpoints import built

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
    _check_fit(settings["model"], data)
    network = instantiate(settings["model"], _convert_="all")
    optimizer = instantiate(settings["optimizer"], _convert_="all")
    scheduler = instantiate(settings["scheduler"], _convert_="all")
    try:
        optimizer(network.parameters())
    except (TypeError, ValueError) as error:
        raise InputError(f"optimizer: {error}") from error

    projection, pruning = settings["projection"], settings["pruning"]
    actors = [TauProjection(instantiate(projection))] if projection else []
    actors += [instantiate(pruning)] if pruning else []
    arguments = {
        **instantiate({k: v for k, v in settings["trainer"].items() if k != "_target_"}),
        "default_root_dir": str(folder),
        "callbacks": [*actors, *filter(None, instantiate(settings["callbacks"] or {}).values())],
        "logger": list(instantiate(settings["logger"] or {}).values()),
        "plugins": [AtomicCheckpointIO()],
    }
    target = settings["trainer"]["_target_"]
    engine = choose_engine(
        settings["engine"]["name"], {**arguments, "_target_": target}, data, optimizer, scheduler
    )
    own = {} if engine.name == LIGHTNING else {"engine": engine.name}
    module = (ChunkedClassifier if own else TimeVariableClassifier)(
        network,
        instantiate(settings["reg"] or {}, _convert_="all"),
        optimizer,
        scheduler,
        settings["seed"],
        config=described(settings),
        **({**own, "chunk": settings["engine"]["chunk"]} if own else {}),
    )
    loop = "Lightning's loop" if engine.name == LIGHTNING else f"engine {engine.name}, in chunks"
    log.info("%s: %s", loop, engine.reason)
    return Parts(data, module, get_class(target)(**arguments), engine)


def described(settings: Mapping[str, Any]) -> dict[str, Any]:
    """How network, penalties and data are built, and all other settings, for the checkpoint."""
    return {
        "network": settings["model"],
        "penalties": settings["reg"] or {},
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


def checkpoint_data(
    path: str, other: Mapping[str, Any] | None, root: str | None, trust: Sequence[str]
) -> LightningDataModule:
    """The data to evaluate a checkpoint on.

    Args:
        path: the checkpoint.
        other: the configuration of other data than those it was trained on, or None.
        root: the folder of their files, where it is another one.
        trust: packages of your own whose data the checkpoint may name.

    Raises:
        InputError: for a checkpoint that does not name its data, or other data that do not fit it.
    """
    settings = read_checkpoint(path)["hyper_parameters"]
    config = other or settings.get("data")
    if config is None:
        raise InputError("data: the checkpoint does not name its data; say data=NAME")
    if root is not None:
        config = {**config, "root": root}
    data = instantiate(config, _convert_="all") if other else built(config, trust, path)
    if not isinstance(data, LightningDataModule):
        raise InputError(f"checkpoint {path}: its data are no LightningDataModule")
    _check_fit(settings.get("network") or {}, data)
    return data


def _check_fit(model: Mapping[str, Any], data: Any) -> None:
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
