"""With what a checkpoint is evaluated, where a stranger may have written it."""

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.utils import get_class, instantiate
from lightning import LightningDataModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden

from tvl_lightning.cli.build import check_fit
from tvl_lightning.data import MNIST
from tvl_lightning.limits import InputError
from tvl_lightning.training import TimeVariableClassifier, read_checkpoint
from tvl_lightning.training.callbacks.answers import Answers
from tvl_lightning.training.checkpoints import built, classifier_from

_PRECISIONS = ("16-mixed", "bf16-mixed", "16-true", "bf16-true", "32-true", "64-true")


class EvaluationParts(NamedTuple):
    """What is evaluated, on what, by whom, what keeps the answers, and the epoch if it is known."""

    data: LightningDataModule
    module: TimeVariableClassifier
    trainer: Trainer
    answers: Answers
    epoch: int | None


def evaluation_parts(settings: Mapping[str, Any], path: Path, folder: Path) -> EvaluationParts:
    """The parts that `conf/evaluate.yaml` and a checkpoint describe; the file is read once.

    Penalties are not among them: no result depends on them.

    Args:
        settings: the resolved configuration.
        path: the checkpoint.
        folder: where results go.

    Raises:
        InputError: for parts that cannot be had, or do not fit together.
    """
    trust, other, run = settings["trust"], settings.get("data"), settings["run"]
    checkpoint = read_checkpoint(path)
    parts = checkpoint["hyper_parameters"]
    request = f"checkpoint={path}" if run is None or settings["checkpoint"] else f"run={run}"
    check_trust([parts.get("network"), None if other else parts.get("data")], trust, request)
    module = classifier_from(checkpoint, path, trust, penalties={})
    data = evaluation_data(path, parts, other, settings["root"], trust)
    check_loader(data, settings["split"])
    network = parts["network"]
    in_shape, classes = network.get("in_shape"), network.get("classes")
    answers = Answers(
        in_shape if isinstance(in_shape, list) else None,
        classes if isinstance(classes, int) else None,
    )
    trainer = evaluation_trainer(settings["trainer"], parts, module, folder, answers)
    epoch = checkpoint.get("epoch")
    return EvaluationParts(data, module, trainer, answers, epoch if type(epoch) is int else None)


def check_trust(parts: Sequence[Any], trust: Sequence[str], request: str) -> None:
    """Refuse parts from packages that are neither ours nor trusted, all of them in one line.

    Args:
        parts: descriptions out of a checkpoint.
        trust: packages that the user trusts.
        request: what names the checkpoint, say `run=FOLDER`.

    Raises:
        InputError: with the command that trusts them. A name that no package of a user's has is
            left to `build`, which calls nothing else either.
    """
    known = ("tvl_lightning", "torch", *trust)
    names = sorted({name for part in parts for name in _targets(part)})
    names = [name for name in names if not any(name.startswith(f"{p}.") for p in known)]
    packages = sorted({name.partition(".")[0] for name in names})
    plain = [p for p in packages if p.isascii() and p.isidentifier()]
    if not packages or len(packages) > len(plain) or set(plain) & sys.stdlib_module_names:
        return
    trusting = f"trust=[{','.join([*trust, *packages])}]"
    command = shlex.join(["python", "-m", "tvl_lightning.evaluate", request, trusting])
    raise InputError(
        f"{request}: has parts that are not of this package ({', '.join(names)[:300]}); if they "
        f"are your own, or you trust who wrote them: {command}"
    )


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping) and "_target_" in node:
        yield str(node["_target_"])
    inner = node.values() if isinstance(node, Mapping) else node
    if isinstance(node, (Mapping, list, tuple)):
        for value in inner:
            yield from _targets(value)


def evaluation_data(
    path: str | Path,
    parts: Mapping[str, Any],
    other: Mapping[str, Any] | None,
    root: str | None,
    trust: Sequence[str],
) -> LightningDataModule:
    """The data to evaluate a checkpoint on.

    A file's word makes no folder and downloads nothing: only what the user says does.

    Args:
        path: the checkpoint, for messages.
        parts: the hyperparameters in it.
        other: the configuration of other data than those it was trained on, or None.
        root: the folder of their files, where it is another one.
        trust: packages of your own whose data the checkpoint may name.

    Raises:
        InputError: for a checkpoint that does not name its data, or data that do not fit it.
    """
    config = other or parts.get("data")
    if not isinstance(config, Mapping):
        raise InputError("data: the checkpoint does not name its data; say data=NAME")
    if root is not None:
        if "root" not in config:
            raise InputError(f"root={root}: {config.get('_target_')} has no folder; leave it out")
        config = {**config, "root": str(root)}
    data: Any = instantiate(config, _convert_="all") if other else built(config, trust, str(path))
    if not isinstance(data, LightningDataModule):
        whose = "data: they" if other else f"checkpoint {path}: its data"
        raise InputError(f"{whose} are no LightningDataModule")
    if isinstance(data, MNIST) and root is not None:
        data.root = Path(str(root)).expanduser()  # from a file `built` takes none that is not there
    elif isinstance(data, MNIST) and other is None:
        _refuse_download(data, path)
    check_fit(parts["network"], data)
    checked: LightningDataModule = data
    return checked


def _refuse_download(data: MNIST, path: str | Path) -> None:
    if data.found() is None:
        raise InputError(
            f"checkpoint {path}: the files of its data, {type(data).__name__}, are neither in "
            f"{data.root} nor where systems install them; say root=FOLDER: they are there, or are "
            "downloaded to it"
        )


def evaluation_trainer(
    settings: Mapping[str, Any],
    parts: Mapping[str, Any],
    module: TimeVariableClassifier,
    folder: Path,
    answers: Answers,
) -> Trainer:
    """The trainer that evaluates as the run did, on one device.

    Args:
        settings: its arguments, with `_target_`.
        parts: the hyperparameters in the checkpoint, whose precision is taken where `settings` has
            none.
        module: what is evaluated.
        folder: where to.
        answers: what keeps the answers.

    Raises:
        InputError: for several devices, which would share the samples.
    """
    own: Any = parts.get("settings")
    own = own.get("trainer") if isinstance(own, Mapping) else None
    precision = own.get("precision") if isinstance(own, Mapping) else None
    if precision not in _PRECISIONS:
        precision = "64-true" if module.tau.dtype.itemsize == 8 else None
    arguments = {
        "precision": precision,
        "enable_progress_bar": sys.stderr.isatty(),
        **instantiate({k: v for k, v in settings.items() if k != "_target_"}),
        "default_root_dir": str(folder),
        "enable_checkpointing": False,
        "logger": False,
        "callbacks": [answers],
    }
    trainer: Trainer = get_class(settings["_target_"])(**arguments)
    if trainer.world_size > 1:
        raise InputError(f"trainer.devices={trainer.world_size}: one device evaluates; say 1")
    return trainer


def check_loader(data: LightningDataModule, split: str) -> None:
    """Refuse data that have nothing to evaluate on.

    Args:
        data: the data.
        split: `test` or `val`.

    Raises:
        InputError: saying what can be done.
    """
    name = type(data).__name__
    has_val = is_overridden("val_dataloader", data) and _validates_on(data) == "val"
    if split == "val" and not has_val:
        raise InputError(f"split=val: {name} keeps no samples to validate; say split=test")
    if split == "test" and not is_overridden("test_dataloader", data):
        remedy = "split=val evaluates on those that validate, " if has_val else ""
        raise InputError(
            f"data: {name} has no test_dataloader, so there is nothing to test; {remedy}data=NAME "
            "on other data"
        )


def _validates_on(data: LightningDataModule) -> str:
    return str(getattr(data, "validates_on", "val"))


def predicts_itself(data: LightningDataModule) -> bool:
    """Whether the data name samples of their own to predict."""
    return is_overridden("predict_dataloader", data)
