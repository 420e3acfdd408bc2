"""What TensorBoard has of a run, in its files and in a browser."""

import multiprocessing
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from torch.utils.data import DataLoader

from tests.training.runs import (
    ITERATIONS,
    SLOW_SGD,
    Fit,
    assert_same_record,
    fit,
    fractional,
    quiet_trainer,
    read_record,
    with_small_taus,
)
from tvl_lightning.limits import InputError
from tvl_lightning.networks import TimeVariableResNet
from tvl_lightning.training import (
    AdaptivePruning,
    LastCheckpoint,
    Observables,
    TauRecorder,
    TensorBoardCards,
)
from tvl_lightning.training.callbacks import recorder
from tvl_lightning.training.counting import count_iterations

CARD = "Time steps/all tau"
EVERYTHING = {"scalars": 0, "images": 0, "tensors": 0}


def tensorboard(folder: Path) -> TensorBoardLogger:
    return TensorBoardLogger(folder, "tensorboard", "", default_hp_metric=False)


def events(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder / "tensorboard"), size_guidance=EVERYTHING)
    return found.Reload()


def scalars(found: EventAccumulator) -> dict[str, list[tuple[int, float]]]:
    tags = found.Tags()["scalars"]
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in tags}


def cards(found: EventAccumulator) -> dict[int, np.ndarray]:
    images = found.Images(CARD)
    return {
        image.step: np.asarray(Image.open(BytesIO(image.encoded_image_string))) for image in images
    }


# In the files


def test_the_card_is_drawn_at_epochs_even_in_their_logarithm_and_at_the_end(
    fit: Fit, tmp_path: Path
) -> None:
    fit(TensorBoardCards(), logger=tensorboard(tmp_path), epochs=23)
    drawn = cards(events(tmp_path))
    assert list(drawn) == [ITERATIONS * epoch for epoch in (1, 2, 5, 10, 20, 23)]
    assert {image.shape for image in drawn.values()} == {(215, 360, 3)}
    assert (drawn[ITERATIONS] != drawn[2 * ITERATIONS]).any()


def test_the_order_of_callbacks_does_not_change_the_card(tmp_path: Path) -> None:
    def last(name: str, *order: Callable[[], Callback]) -> np.ndarray:
        folder = tmp_path / name
        callbacks = [make() for make in order]
        fit(folder, *callbacks, recorder=False, logger=tensorboard(folder), epochs=3)
        return cards(events(folder))[3 * ITERATIONS]

    parts: list[Callable[[], Callback]] = [
        TensorBoardCards,
        partial(TauRecorder, tmp_path / "tau.npz"),
    ]
    np.testing.assert_array_equal(last("one", *parts), last("two", *reversed(parts)))


def test_charts_hold_every_tau_and_their_sum_with_t(fit: Fit, tmp_path: Path) -> None:
    many = partial(TimeVariableResNet, 36, 10, 12, 4, horizon=2.0)
    fit(TensorBoardCards(), logger=tensorboard(tmp_path), network=many)
    found = events(tmp_path)
    layout = layout_pb2.Layout()
    [written] = found.Tensors("custom_scalars__config__")
    layout.ParseFromString(written.tensor_proto.string_val[0])
    [category] = layout.category
    shown = {
        chart.title: {
            tag for tag in found.Tags()["scalars"] for p in chart.multiline.tag if re.match(p, tag)
        }
        for chart in category.chart
    }
    assert shown == {
        "sum of tau, and T": {"Time steps/sum of tau", "tau/T"},
        "all tau": {f"tau/{layer:02d}" for layer in range(12)},
    }
    assert scalars(found)["tau/T"] == [(0, 2.0), (18, 2.0), (36, 2.0)]


def test_a_run_is_one_entry_whose_tags_are_over_iterations(fit: Fit, tmp_path: Path) -> None:
    run = fit(TensorBoardCards(), logger=tensorboard(tmp_path), epochs=1)
    run.trainer.test(run.module, run.trainer.datamodule, verbose=False)  # type: ignore[attr-defined]
    assert {path.parent for path in tmp_path.rglob("events.*")} == {tmp_path / "tensorboard"}
    found = events(tmp_path)
    groups = {tag.partition("/")[0] for tag in found.Tags()["scalars"]}
    assert groups == {"Time steps", "iteration", "lr", "tau", "test", "train", "val"}
    assert min(found.Tags()["scalars"] + found.Tags()["images"]) == CARD
    assert {points[-1][0] for points in scalars(found).values()} <= {15, ITERATIONS}


def test_other_loggers_get_no_pictures_and_need_no_recorder(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path, "csv", "")
    fit(tmp_path / "run", TensorBoardCards(), logger=logger, recorder=False)
    assert not list(tmp_path.rglob("events.*"))
    with pytest.raises(InputError, match="needs a TauRecorder"):
        fit(tmp_path / "run", TensorBoardCards(), logger=tensorboard(tmp_path), recorder=False)


class MadeUp(LightningModule):
    """Takes 600 iterations at once, all made up."""

    def __init__(self) -> None:
        super().__init__()
        self.network = TimeVariableResNet(36, 10, 6, 4)
        self.automatic_optimization = False
        self.generator = torch.Generator().manual_seed(0)

    def training_step(self, *_: Any) -> None:
        count_iterations(self.trainer, 600)

    def observables(self) -> Observables:
        taken = torch.arange(self.trainer.global_step - 600, self.trainer.global_step) + 1
        tau = torch.randn(600, 6, generator=self.generator) / 10 + taken[:, None] / 120_000
        return Observables(
            self.network.layers, {"tau": tau, "loss": tau[:, 0], "task_loss": tau[:, 1]}
        )

    def configure_optimizers(self) -> Any:
        return SLOW_SGD(self.parameters())


@pytest.mark.slow
def test_120000_iterations_of_six_layers_take_less_than_2_mb(tmp_path: Path) -> None:
    callbacks = [TauRecorder(tmp_path / "tau.npz"), TensorBoardCards()]
    trainer = quiet_trainer(tmp_path, *callbacks, logger=tensorboard(tmp_path), max_epochs=200)
    trainer.fit(MadeUp(), DataLoader([0]))  # type: ignore[arg-type]
    assert trainer.global_step == 120_000
    assert len(cards(events(tmp_path))) == 8
    assert sum(path.stat().st_size for path in tmp_path.rglob("events.*")) < 2e6


# Killed


class Kill(Callback):
    """Ends the process as nothing can prevent, once everything that was logged is on the disk."""

    def __init__(self, at: int, saving: bool) -> None:
        self.at, self.saving = at, saving

    def kill(self, trainer: Trainer) -> None:
        if trainer.global_step == self.at:
            trainer.loggers[0].save()
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        if not self.saving:
            self.kill(trainer)

    def on_save_checkpoint(self, trainer: Trainer, *args: Any) -> None:
        self.kill(trainer)


def train(folder: Path, *callbacks: Callback, resume: Path | None = None) -> None:
    # points are logged within an epoch, too, in this process as in one of its own
    with patch.object(recorder, "_WAITING", 3):
        fit(
            folder,
            AdaptivePruning(interval=2 * ITERATIONS),
            TensorBoardCards(),
            LastCheckpoint(folder),
            TauRecorder(folder / "tau.npz", interval=5),
            *callbacks,
            recorder=False,
            network=with_small_taus,
            optimizer=SLOW_SGD,
            epochs=6,
            logger=tensorboard(folder),
            enable_checkpointing=True,
            resume=resume,
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "saving"),
    [(2 * ITERATIONS + 11, False), (4 * ITERATIONS, True), (2 * ITERATIONS, True)],
    ids=["within an epoch", "before a checkpoint is saved", "at a removal"],
)
def test_a_killed_run_that_goes_on_has_every_point_once(
    tmp_path: Path, at: int, saving: bool
) -> None:
    train(tmp_path / "whole")
    process = multiprocessing.get_context("spawn").Process(
        target=train, args=(tmp_path / "run", Kill(at, saving))
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert max(step for step, _ in scalars(events(tmp_path / "run"))["tau/00"]) > ITERATIONS
    time.sleep(1.1)  # event files are read in the order of the seconds in their names
    train(tmp_path / "run", resume=tmp_path / "run" / "last.ckpt")
    whole, run = events(tmp_path / "whole"), events(tmp_path / "run")
    assert scalars(run) == scalars(whole)
    assert list(cards(run)) == list(cards(whole))
    assert_same_record(read_record(tmp_path / "run"), read_record(tmp_path / "whole"))


# In a browser

Page = Any  # of playwright, which may not be there


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of the real TensorBoard."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder)]
    process = subprocess.Popen([*command, "--port", str(port)], stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{address}data/environment").close()
                break
            except OSError:
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def page() -> Iterator[Page]:
    """A page of the size of a small screen."""
    api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("chromium is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        page.set_default_timeout(60_000)
        yield page
        browser.close()


@pytest.mark.slow
def test_the_first_screen_has_the_card_and_custom_scalars_a_line_for_each_tau(
    fit: Fit, tmp_path: Path, page: Page
) -> None:
    learned = partial(fractional, learn_gamma=True)
    fit(TensorBoardCards(), logger=tensorboard(tmp_path), network=learned, epochs=5)
    with serving(tmp_path) as address:
        page.goto(f"{address}?smoothing=0")
        page.wait_for_selector("image-card img")
        box = page.locator("image-card img").first.bounding_box()
        assert (box["width"], box["height"]) == (360, 215)
        assert box["y"] + box["height"] < 768
        titles = page.locator("card-view .tag")
        shown = [title.strip() for title in titles.all_text_contents()]
        named = ("all tau", "gamma", "hidden layers", "least share", "sum of tau")
        assert list(dict.fromkeys(shown))[:5] == [f"Time steps/{name}" for name in named]

        page.goto(f"{address}#custom_scalars")
        page.reload()
        charts = page.locator("tf-custom-scalar-multi-line-chart-card")
        charts.nth(1).locator("path.line").first.wait_for()
        lines = [charts.nth(i).locator("path.line").count() for i in (0, 1)]
        assert lines == [2 * 2, 2 * 5]  # each as it is, and smoothed
