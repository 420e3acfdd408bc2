"""Every logger gets settings, curves and results, and none of them can end a run."""

import csv
import logging
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from tests.conftest import SMALL, settings_in
from tests.training.runs import Points
from tvl_lightning.cli.build import build_parts
from tvl_lightning.limits import InputError
from tvl_lightning.runs.loggers import log_results, open_loggers

CHOICES = {"model": "fractional", "tau": "learned", "pruning": "none", "data": "mnist_5k"}
REACHED = {"objective": 0.5, "test": {"test/acc": 0.25}, "parameters": 7, "layers": [0, 2]}


def settings(folder: Path, *overrides: str) -> dict[str, Any]:
    return settings_in(folder, *SMALL, "model=fractional", "reg=[l1,horizon]", *overrides)


class Kept(Points):
    """A logger as most are: settings alone, then metrics."""

    def __init__(self) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {}
        self.ended: list[str] = []

    def log_hyperparams(self, params: Any, *args: Any, **kw: Any) -> None:
        assert not args
        assert not kw
        self.settings = params

    def finalize(self, status: str) -> None:
        self.ended.append(status)


def test_settings_come_before_training_and_results_after_it(tmp_path: Path) -> None:
    logger, given = Kept(), settings(tmp_path, "seed=3", "scheduler=cosine")
    with open_loggers([logger], CHOICES, given):
        assert logger.settings["reg"] == "l1,horizon"
        assert not logger.points
        log_results([logger], CHOICES, given, {**REACHED, "iterations": 18})
    assert logger.ended == ["success"]
    assert logger.points == [
        (18, "result/objective", 0.5),
        (18, "result/test/acc", 0.25),
        (18, "result/parameters", 7.0),
        (18, "result/layers", 2.0),
    ]
    first = ["model", "reg", "tau", "pruning", "l1 weight", "horizon weight", "seed"]
    assert list(logger.settings)[: len(first)] == first
    assert logger.settings["seed"] == 3
    assert logger.settings["l1 weight"] == 0.01
    assert logger.settings["model/width"] == 12
    assert logger.settings["scheme/gamma"] == 0.5
    assert logger.settings["scheduler/T_max"] == 200


def test_paths_and_targets_are_left_out(tmp_path: Path) -> None:
    logger, given = Kept(), settings(tmp_path, "data=mnist", f"data.root={tmp_path}")
    with open_loggers([logger], CHOICES, given):
        pass
    assert not any("_target_" in n or "_partial_" in n or "root" in n for n in logger.settings)
    assert not any(str(tmp_path) in str(value) for value in logger.settings.values())
    assert not any(name.startswith(("model/tau", "model/scheme")) for name in logger.settings)
    assert None not in logger.settings.values()


def test_a_run_without_results_says_what_there_is(tmp_path: Path) -> None:
    logger, given = Kept(), settings(tmp_path)
    with open_loggers([logger], CHOICES, given):
        log_results([logger], CHOICES, given, {"objective": None, "test": None, "layers": [1]})
    assert [name for _, name, _ in logger.points] == ["result/layers"]


def test_a_run_that_fails_ends_its_loggers(tmp_path: Path) -> None:
    logger = Kept()
    with (
        pytest.raises(RuntimeError, match="no"),
        open_loggers([logger], CHOICES, settings(tmp_path)),
    ):
        raise RuntimeError("no")
    assert logger.ended == ["failed"]


@pytest.mark.parametrize("method", ["log_hyperparams", "log_metrics", "save", "finalize"])
def test_a_logger_that_fails_says_so_once_and_ends_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    def fail(*args: Any, **kw: Any) -> None:
        raise OSError("the disk\nis full")

    broken, good, given = Kept(), Kept(), settings(tmp_path)
    setattr(broken, method, fail)
    parts = build_parts(given, tmp_path)
    trainer = parts.trainer
    trainer.fit_loop.max_epochs = 2
    trainer.loggers = [broken, good]
    with caplog.at_level(logging.WARNING), open_loggers(trainer.loggers, CHOICES, given):
        trainer.fit(parts.module, parts.data)
        log_results(trainer.loggers, CHOICES, given, REACHED)
    said = [r.message for r in caplog.records if "gets nothing more" in r.message]
    assert said == ["Kept failed and gets nothing more (OSError: the disk is full)"]
    assert good.of("result/objective") == {None: 0.5}
    assert len(good.of("val/acc")) == 3
    assert good.ended[-1] == "success"


class Closed(Kept):
    @property
    def experiment(self) -> Any:
        raise PermissionError("no key\nwas given")


def test_a_logger_that_does_not_start_is_refused(tmp_path: Path) -> None:
    first = Kept()
    with (
        pytest.raises(
            InputError, match=r"^logger: Closed does not start \(PermissionError: no key"
        ),
        open_loggers([first, Closed()], CHOICES, settings(tmp_path)),
    ):
        raise AssertionError("nothing is trained")
    assert first.ended == ["failed"]


def test_tensorboard_gets_settings_and_results_in_one_line_varied_ones_first(
    tmp_path: Path,
) -> None:
    logger, given = TensorBoardLogger(tmp_path, "", ""), settings(tmp_path)
    with open_loggers([logger], CHOICES, given):
        log_results([logger], CHOICES, given, REACHED)
    events = EventAccumulator(str(tmp_path)).Reload()
    assert events.Scalars("result/objective")[0].value == 0.5
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    shown = HParamsPluginData.FromString(content).session_start_info.hparams
    names = sorted(shown)
    assert names[:5] == ["1 model", "2 reg", "3 tau", "4 pruning", "5 l1 weight"]
    assert shown["2 reg"].string_value == "l1,horizon"
    assert shown["5 l1 weight"].number_value == 0.01


def trained(folder: Path, *overrides: str) -> tuple[list[Logger], dict[str, Any]]:
    """A run of two epochs with loggers, as the command does it."""
    given = settings(folder, "trainer.max_epochs=2", "trainer=cpu", *overrides)
    parts = build_parts(given, folder)
    loggers = list(parts.trainer.loggers)
    with open_loggers(loggers, CHOICES, given):
        parts.trainer.fit(parts.module, parts.data)
        parts.trainer.test(parts.module, parts.data, verbose=False)
        reached = {**REACHED, "iterations": parts.trainer.global_step}
        log_results(loggers, CHOICES, given, reached)
    return loggers, given


def test_csv_holds_curves_and_results_of_each_leg(tmp_path: Path) -> None:
    for leg in range(2):
        [board, table], _ = trained(tmp_path, "logger=[tensorboard,csv]")
        assert isinstance(board, TensorBoardLogger)
        assert isinstance(table, CSVLogger)
        folder = tmp_path / "csv" / f"version_{leg}"
        with (folder / "metrics.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [r["val/acc"] for r in rows if r["val/acc"]] != []
        assert [float(r["result/test/acc"]) for r in rows if r["result/test/acc"]] == [0.25]
        assert len([r for r in rows if r["tau/00"]]) > 3
        assert yaml.safe_load((folder / "hparams.yaml").read_text())["horizon weight"] == 0.5
    assert sorted(p.name for p in (tmp_path / "csv").iterdir()) == ["version_0", "version_1"]


def needs(package: str) -> Any:
    return pytest.mark.skipif(
        find_spec(package) is None, reason=f"pip install 'tvl-lightning[{package}]'"
    )


@pytest.mark.slow
@needs("wandb")
def test_the_real_wandb_gets_all_offline_and_each_run_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_MODE", "offline")
    for number in range(2):
        trained(tmp_path / str(number), "logger=wandb")
        assert wandb.run is None
        [file] = (tmp_path / str(number) / "wandb").glob("offline-run-*/run-*.wandb")
        wait_until_everything_is_in(file)


EVERYTHING = [
    "l1 weight",
    "model/width",
    "val/acc",
    "tau/00",
    "result/objective",
    "result/test/acc",
]


def wait_until_everything_is_in(file: Path) -> None:
    # a process of wandb's own writes it, and may still be at it
    end = time.monotonic() + 20
    while not all(name.encode() in file.read_bytes() for name in EVERYTHING):
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow
@needs("mlflow")
def test_the_real_mlflow_gets_all_in_a_file_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    store = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    [logger], _ = trained(tmp_path, "logger=mlflow", "optimizer.tau.lr=0.02")
    run = MlflowClient(store).get_run(str(logger.version))
    assert run.info.status == "FINISHED"
    assert run.data.params["reg"] == "l1,horizon"
    assert run.data.params["model/width"] == "12"
    assert run.data.metrics["result/test/acc"] == 0.25
    history = MlflowClient(store).get_metric_history(str(logger.version), "tau/00")
    assert len(history) > 3
    assert {"lr", "lr/tau", "train/loss", "penalty/l1"} <= run.data.metrics.keys()
