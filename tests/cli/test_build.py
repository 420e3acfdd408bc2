"""Whatever stands in `conf` composes and builds, and sizes come from the data."""

import logging
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, TensorDataset

from tests.conftest import SMALL, Command, settings_in
from tvl_lightning.cli.build import Parts, build_parts, fill_sizes
from tvl_lightning.cli.commands import CONFIG_PATH, one_line_refusals
from tvl_lightning.limits import InputError
from tvl_lightning.training import TauProjection

TRAIN = "tvl_lightning.train"


@cache
def options(group: str) -> list[str]:
    return sorted(path.stem for path in (Path(CONFIG_PATH) / group).glob("*.yaml"))


@cache
def _chosen(group: str, option: str) -> dict[str, Any]:
    return settings_in(Path(), f"{group}={option}")


def chosen(group: str, option: str) -> dict[str, Any]:
    """The settings with one option of one group, composed once."""
    return deepcopy(_chosen(group, option))


def built(folder: Path, *overrides: str) -> Parts:
    return build_parts(settings_in(folder, *overrides), folder)


def answers(parts: Parts) -> bool:
    """Whether the network takes what its data's class says, and has an output for each class."""
    sizes: Any = getattr(type(parts.data), "sizes", None)
    network = parts.module.network.eval()
    return network(torch.zeros(2, *sizes.in_shape)).shape == (2, sizes.classes)


@pytest.mark.parametrize("scheme", options("scheme"))
@pytest.mark.parametrize("model", options("model"))
def test_every_model_goes_with_every_scheme_and_every_rule_of_tau(
    tmp_path: Path, model: str, scheme: str
) -> None:
    settings = settings_in(tmp_path, f"model={model}", f"scheme={scheme}")
    assert settings["model"]["tau"] == chosen("tau", "learned")["tau"]
    for name in options("tau"):
        settings["model"]["tau"] = settings["tau"] = chosen("tau", name)["tau"]
        parts = build_parts(deepcopy(settings), tmp_path)
        assert answers(parts)
        assert type(parts.module.network.scheme).__name__.lower() == scheme
        assert type(parts.module.network.time_steps).__name__.lower() == name


@pytest.mark.parametrize("data", options("data"))
@pytest.mark.parametrize("model", options("model"))
def test_every_model_takes_its_sizes_from_every_data_set(
    tmp_path: Path, model: str, data: str
) -> None:
    settings = {**chosen("model", model), "data": chosen("data", data)["data"]}
    if model == "transformer":
        settings["model"]["patch"] = 4  # divides 8 and 28
    assert answers(build_parts(settings, tmp_path))


@pytest.mark.parametrize(
    ("group", "option"),
    [
        (group, option)
        for group in ("experiment", "setup", "variant", "reg", "optimizer", "projection")
        for option in options(group)
    ]
    + [("logger", option) for option in ("none", "tensorboard", "csv")],
)
def test_every_option_of_the_other_groups_builds(tmp_path: Path, group: str, option: str) -> None:
    parts = built(tmp_path, f"{group}={option}")
    assert answers(parts)
    assert parts.engine.name == "eager"


@pytest.mark.parametrize("option", options("pruning"))
@pytest.mark.parametrize("model", ["resnet", "conv"])
def test_pruning_builds(tmp_path: Path, model: str, option: str) -> None:
    assert answers(built(tmp_path, f"model={model}", f"pruning={option}"))


def test_the_groups_of_conf_are_all_built_by_some_test() -> None:
    groups = {path.name for path in Path(CONFIG_PATH).iterdir() if path.is_dir()}
    crossed = {"model", "scheme", "tau", "data", "pruning"}
    one_by_one = {"experiment", "setup", "variant", "reg", "optimizer", "projection"}
    # scheduler: test_learning.py; callbacks, debug, logger: test_watching.py and, with the real
    # packages, tests/runs/test_loggers.py; engine and trainer: test_engine.py; hparams_search:
    # tests/test_train.py
    elsewhere = {"scheduler", "callbacks", "debug", "logger", "engine", "trainer", "hparams_search"}
    assert groups - {"hydra"} == crossed | one_by_one | elsewhere


def test_sizes_that_are_given_stay(tmp_path: Path) -> None:
    parts = built(tmp_path, "model.in_shape=[784]", "model.classes=12")
    assert parts.module.network(torch.zeros(4, 1, 28, 28)).shape == (4, 12)


@pytest.mark.parametrize("change", ["model.in_shape=[2,3]", "model.classes=9"])
def test_sizes_that_do_not_fit_the_data_are_refused(tmp_path: Path, change: str) -> None:
    with pytest.raises(InputError, match=r"^data: MNIST5k has samples of shape \(1, 28, 28\)"):
        built(tmp_path, change)


class Own(LightningDataModule):
    """Says no `sizes`; only the second batch has the last class."""

    def train_dataloader(self) -> DataLoader[Any]:
        labels = torch.tensor([0, 1, 1, 0, 0, 2])
        return DataLoader(TensorDataset(torch.rand(6, 2, 9, 9), labels), batch_size=3)


def test_sizes_of_data_that_say_none_are_found_in_their_batches(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = {"in_shape": None, "classes": None, "width": 3}
    with caplog.at_level(logging.INFO):
        fill_sizes(model, Own())
    assert model == {"in_shape": [2, 9, 9], "classes": 3, "width": 3}
    assert "in the training data: in_shape [2, 9, 9], classes 3" in caplog.text


def test_a_network_of_ones_own_that_has_no_sizes_gets_none() -> None:
    model = {"_target_": "mine.network"}
    fill_sizes(model, Own())
    assert model == {"_target_": "mine.network"}


def test_the_sizes_of_the_data_are_in_the_checkpoints_description(tmp_path: Path) -> None:
    parts = built(tmp_path, "model=conv", "data=digits", "reg=l1")
    described = parts.module.hparams
    assert described["network"]["in_shape"] == [1, 8, 8]
    assert described["network"]["classes"] == 10
    assert described["data"]["_target_"] == "tvl_lightning.data.Digits"
    assert described["penalties"]["l1"]["weight"] == 0.01


def test_the_projection_acts_before_pruning_looks(tmp_path: Path) -> None:
    parts = built(tmp_path, "projection=positive", "pruning=adaptive")
    kinds = [type(callback).__name__ for callback in parts.trainer.callbacks]  # type: ignore[attr-defined]
    assert kinds.index(TauProjection.__name__) < kinds.index("AdaptivePruning")


UNFIT = [
    (["model=transformer", "data=digits"], "patch=7: must divide the images' 8 x 8"),
    (["model=transformer", "model.heads=5"], "heads=5: must divide the width, 64"),
    (["model=conv", "model.in_shape=[784]"], "must be (channels, height, width)"),
    (["model.activation=Nonsense"], "activation=Nonsense: must be one of torch.nn's"),
    (["tau=final", "tau.initial=[1,2]"], "initial"),
    (["optimizer.lr=-1"], "optimizer: Invalid learning rate: -1"),
    (["+optimizer.nonsense=1"], "optimizer.nonsense: SGD takes no nonsense"),
]


@pytest.mark.parametrize(("arguments", "message"), UNFIT)
def test_parts_that_do_not_fit_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as end, one_line_refusals():
        built(tmp_path, *arguments)
    [line] = capsys.readouterr().err.splitlines()
    assert end.value.code == 2
    assert line.startswith("error: ")
    assert message in line


LATE = [
    (["data.batch_size=3601"], "data.batch_size=3601: must be at most 3600"),
    (["model=fractional", "pruning=adaptive"], "the history goes through it"),
    (["tau=final", "projection=simplex"], "needs tau=learned"),
]


@pytest.mark.parametrize(("arguments", "message"), LATE)
def test_what_the_start_of_training_refuses_is_one_line_too(
    call: Command, arguments: list[str], message: str
) -> None:
    done = call(TRAIN, *SMALL, *arguments)
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert done.returncode == 2
    assert message in line
    assert "Traceback" not in done.stderr
