"""Callbacks and loggers of a configuration: beside what every run has, and none that lies."""

import inspect
from pathlib import Path
from typing import Any

import lightning.pytorch.callbacks as lightnings
import pytest
from lightning import LightningDataModule
from lightning.pytorch.loggers import CometLogger, MLFlowLogger, WandbLogger

from tests.cli.test_build import built, chosen, options
from tests.conftest import settings_in
from tvl_lightning.cli.watching import callbacks_of, check_monitors, loggers_of
from tvl_lightning.data import MNIST5k
from tvl_lightning.limits import InputError
from tvl_lightning.training import (
    BestCheckpoint,
    EpochAverage,
    LastCheckpoint,
    MetricsTable,
    RunProgress,
    TauRecorder,
)

ALWAYS = {TauRecorder, MetricsTable, RunProgress, BestCheckpoint, LastCheckpoint}
LIGHTNINGS = "lightning.pytorch.callbacks"


def kinds(folder: Path, *overrides: str) -> set[type]:
    return set(map(type, callbacks_of(settings_in(folder, *overrides))))


@pytest.mark.parametrize(
    "override",
    [
        "callbacks=early_stopping",
        "callbacks=[early_stopping]",
        "callbacks=[default,early_stopping]",
        "+callbacks=early_stopping",
        "+callbacks=[early_stopping]",
    ],
)
def test_a_callback_comes_beside_what_every_run_has(tmp_path: Path, override: str) -> None:
    assert kinds(tmp_path) >= ALWAYS
    assert kinds(tmp_path, override) == kinds(tmp_path) | {lightnings.EarlyStopping}


def test_several_go_together(tmp_path: Path) -> None:
    found = kinds(tmp_path, "callbacks=[early_stopping,swa,lr_monitor,model_summary]")
    added = {lightnings.LearningRateMonitor, lightnings.ModelSummary, lightnings.EarlyStopping}
    assert found == kinds(tmp_path) | added | {EpochAverage}


def test_the_rich_bar_takes_the_place_of_ours(tmp_path: Path) -> None:
    found = kinds(tmp_path, "callbacks=rich_progress_bar")
    assert lightnings.RichProgressBar in found
    assert RunProgress not in found


LOOPS = {"ema": "lightning", "lr_monitor": "lightning"}


@pytest.mark.parametrize("option", options("callbacks"))
def test_every_callback_builds_in_its_loop(tmp_path: Path, option: str) -> None:
    parts = built(tmp_path, f"callbacks={option}")
    assert parts.engine.name == LOOPS.get(option, "eager")


@pytest.mark.parametrize("option", options("debug"))
def test_every_way_to_look_for_a_mistake_builds(tmp_path: Path, option: str) -> None:
    parts = built(tmp_path, f"debug={option}")
    assert parts.engine.name == "lightning"


def test_several_loggers_go_together(tmp_path: Path) -> None:
    for override in ("logger=[tensorboard,csv]", "+logger=csv", "logger=[csv,tensorboard]"):
        names = {type(x).__name__ for x in loggers_of(settings_in(tmp_path, override))}
        assert names == {"TensorBoardLogger", "CSVLogger"}
    assert loggers_of(settings_in(tmp_path, "logger=none")) == []


@pytest.mark.parametrize(
    ("option", "kind"), [("wandb", WandbLogger), ("mlflow", MLFlowLogger), ("comet", CometLogger)]
)
def test_the_arguments_of_a_logger_are_its_own(option: str, kind: type) -> None:
    config = chosen("logger", option)["logger"][option]
    assert config.pop("_target_") == f"lightning.pytorch.loggers.{kind.__name__}"
    parameters = inspect.signature(kind).parameters
    # Comet's folder goes on to the package itself
    assert config.keys() - {"offline_directory"} <= parameters.keys()


def test_a_logger_without_its_package_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*args: Any, **kw: Any) -> None:
        raise ModuleNotFoundError("Requirement 'wandb>=0.12.10' not met")

    monkeypatch.setattr(WandbLogger, "__init__", missing)
    with pytest.raises(InputError, match=r"^logger.wandb: needs another package; pip install 'tvl"):
        loggers_of(settings_in(tmp_path, "logger=wandb"))
    with pytest.raises(InputError, match=r"^logger.x: needs another package; install it"):
        loggers_of({"logger": {"x": {"_target_": "lightning.pytorch.loggers.WandbLogger"}}})


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("BackboneFinetuning", "a time-variable network has none; leave it out"),
        ("BatchSizeFinder", "say data.batch_size=N"),
        ("LearningRateFinder", "say optimizer.lr=X"),
        ("ModelPruning", "pruning=adaptive removes layers"),
        ("WeightAveraging", "say callbacks=ema"),
        ("EMAWeightAveraging", "say callbacks=ema"),
        ("StochasticWeightAveraging", "say callbacks=swa"),
    ],
)
def test_what_would_falsify_a_run_is_refused_with_the_way(
    tmp_path: Path, name: str, way: str
) -> None:
    own = {
        "StochasticWeightAveraging": {"swa_lrs": 0.1},
        "ModelPruning": {"pruning_fn": "l1_unstructured"},
    }
    part = {"_target_": f"{LIGHTNINGS}.{name}", **own.get(name, {})}
    with pytest.raises(InputError, match=rf"^callbacks.mine: {name} .*{way}$"):
        callbacks_of({"callbacks": {"mine": part}})


@pytest.mark.parametrize("option", ["swa", "ema"])
def test_an_average_does_not_go_with_pruning(tmp_path: Path, option: str) -> None:
    with pytest.raises(
        InputError, match=rf"^callbacks.{option}: averages layer by layer, and prun"
    ):
        built(tmp_path, f"callbacks={option}", "pruning=adaptive")


@pytest.mark.parametrize("group", ["callbacks", "logger"])
def test_nothing_and_nonsense_have_no_traceback(tmp_path: Path, group: str) -> None:
    make: Any = callbacks_of if group == "callbacks" else loggers_of
    for none in ({}, {group: None}, {group: {}}, {group: {"x": None}}):
        assert make(none) == []
    with pytest.raises(InputError, match=rf"^{group}=nonsense: must be a mapping"):
        make({group: "nonsense"})
    for part in (3, "nonsense", {"a": 1}, {"_target_": "torch.nn.ReLU"}):
        with pytest.raises(InputError, match=rf"^{group}.x=.*: must be a (Callback|Logger)"):
            make({group: {"x": part}})


NO_METRIC = [
    (["callbacks=early_stopping", "data.val_size=0"], "no such metric, for no images validate"),
    (
        ["callbacks=early_stopping", "callbacks.early_stopping.monitor=val/loss"],
        "val/acc, val/task",
    ),
    (["callbacks=early_stopping", "callbacks.early_stopping.monitor=penalty/l1"], "no such metric"),
    (["callbacks=early_stopping", "callbacks.early_stopping.monitor=train/loss"], "the smaller it"),
    (["callbacks=early_stopping", "callbacks.early_stopping.mode=min"], "the greater it is"),
    (["callbacks.best_checkpoint.monitor=val/accuracy"], "BestCheckpoint: monitor=val/accuracy"),
    (
        ["callbacks.best_checkpoint.monitor=val/task_loss"],
        "BestCheckpoint: mode=max: val/task_loss",
    ),
    (["scheduler=plateau", "data.val_size=0"], "scheduler: monitor=val/acc"),
    (["callbacks=early_stopping", "+trainer.limit_val_batches=0"], "no such metric; it has train/"),
]


@pytest.mark.parametrize(("overrides", "message"), NO_METRIC)
def test_a_metric_that_never_comes_is_refused_before_training(
    tmp_path: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(InputError) as refused:
        built(tmp_path, *overrides)
    assert message in str(refused.value)


WAITING = [
    ["data.val_size=0"],
    ["callbacks=early_stopping", "callbacks.early_stopping.monitor=test/acc", "data.val_size=0"],
    ["reg=l1", "callbacks=early_stopping"]
    + [f"callbacks.early_stopping.{x}" for x in ("monitor=penalty/l1", "mode=min")],
    [f"callbacks.best_checkpoint.{x}" for x in ("monitor=val/task_loss", "mode=min")],
]


@pytest.mark.parametrize("overrides", WAITING)
def test_a_metric_that_comes_is_waited_for(tmp_path: Path, overrides: list[str]) -> None:
    assert built(tmp_path, *overrides).engine.name == "eager"


class Unvalidated(LightningDataModule):
    pass


def test_data_without_validation_have_no_metric_of_one() -> None:
    stopping = [lightnings.EarlyStopping("val/acc", mode="max")]
    check_monitors(stopping, None, MNIST5k(), [])
    with pytest.raises(InputError, match=r"it has train/acc, train/loss, train/task_loss$"):
        check_monitors(stopping, None, Unvalidated(), [])
