"""What a command keeps back, and that it keeps nothing else back."""

import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command
from tests.training.runs import Blobs, quiet_trainer, resnet
from tvl_lightning.cli.quiet import ScreenFormatter, without_repetition
from tvl_lightning.training import ChunkedClassifier, RunProgress

LIGHTNINGS = logging.getLogger("lightning.pytorch.utilities.rank_zero")


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the root logger prints, set up as Hydra does."""
    root, stream = logging.getLogger(), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(ScreenFormatter())
    level = root.level
    monkeypatch.setattr(root, "handlers", [handler])
    root.setLevel(logging.INFO)
    yield stream
    root.setLevel(level)


def test_news_of_lightning_is_printed_once(
    console: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    with without_repetition():
        LIGHTNINGS.info("the reactor is warm")
        LIGHTNINGS.warning("the reactor is hot")
    assert console.getvalue() == "the reactor is warm\nwarning: the reactor is hot\n"
    assert capfd.readouterr() == ("", "")


def test_what_the_screens_say_better_is_not_printed(
    console: io.StringIO, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with without_repetition():
        trainer = quiet_trainer(tmp_path, RunProgress(), max_epochs=1, enable_progress_bar=True)
        trainer.fit(ChunkedClassifier(resnet()), Blobs(batch_size=10))
        trainer.save_checkpoint(tmp_path / "end.ckpt")
        trainer = quiet_trainer(tmp_path, RunProgress(), max_epochs=2, enable_progress_bar=True)
        module, end = ChunkedClassifier(resnet()), tmp_path / "end.ckpt"
        trainer.fit(module, Blobs(batch_size=10), ckpt_path=end, weights_only=True)
        trainer.test(module, Blobs(batch_size=10), verbose=False)
    first, second = console.getvalue().splitlines()
    assert first.startswith("epoch 0: loss ")
    assert second.startswith("epoch 1: loss ")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "message",
    [
        "Checkpoint directory outputs/run/checkpoints exists and is not empty.",
        "The number of training batches (1) is smaller than the logging interval Trainer(...)",
    ],
)
def test_warnings_that_are_our_doing_are_not_printed(console: io.StringIO, message: str) -> None:
    with without_repetition():
        warnings.warn(message, UserWarning, stacklevel=1)
    assert console.getvalue() == ""


def test_another_warning_is_printed_once_and_goes_to_the_log(
    console: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    with without_repetition():
        warnings.simplefilter("default")
        for _ in range(3):
            warnings.warn("The number of moons is 2", UserWarning, stacklevel=1)
    assert console.getvalue().count("The number of moons is 2\n") == 1
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("variable", ["RANK", "LOCAL_RANK"])
def test_of_several_processes_the_first_speaks_and_no_error_is_lost(
    console: io.StringIO, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    def speak() -> list[str]:
        ours = logging.getLogger("tvl_lightning.cli.build")
        with without_repetition():
            ours.info("engine eager")
            ours.warning("nothing is penalised")
            ours.error("the loss is not finite")
            logging.getLogger("gloo").warning("the network is down")
        said = console.getvalue().splitlines()
        console.truncate(0)
        console.seek(0)
        return said

    monkeypatch.setenv(variable, "1")
    assert speak() == ["error: the loss is not finite", "warning: the network is down"]
    monkeypatch.setenv(variable, "0")
    assert len(speak()) == 4


def test_verbose_is_ours_and_not_everybodys(console: io.StringIO) -> None:
    logging.getLogger().setLevel(logging.DEBUG)
    asked_for = logging.getLogger("fsspec")
    asked_for.setLevel(logging.DEBUG)
    try:
        with without_repetition():
            for name in ("tvl_lightning.x", "mine", "matplotlib.font_manager", "fsspec.local"):
                logging.getLogger(name).debug("from %s", name)
        assert console.getvalue().splitlines() == [
            *("debug: from tvl_lightning.x", "debug: from mine", "debug: from fsspec.local"),
        ]
    finally:
        asked_for.setLevel(logging.NOTSET)


def test_afterwards_everything_is_as_it_was(console: io.StringIO) -> None:
    def state() -> list[Any]:
        names = (None, "lightning.pytorch", "lightning.fabric", "matplotlib", "py.warnings")
        loggers = [logging.getLogger(name) for name in names]
        return [
            [(own.level, own.propagate, own.handlers[:]) for own in loggers],
            [handler.filters[:] for handler in logging.getLogger().handlers],
            warnings.filters[:],
            warnings.showwarning,
        ]

    logging.getLogger().setLevel(logging.DEBUG)
    before = state()
    with pytest.raises(KeyError), without_repetition():
        raise KeyError
    assert state() == before


def test_the_screen_shows_the_message_alone_and_tracebacks() -> None:
    formatter = ScreenFormatter()
    info = logging.LogRecord("x", logging.INFO, "", 0, "%s\n%s", ("one", "two"), None)
    assert formatter.format(info) == "one\ntwo"
    try:
        raise ValueError("seven")
    except ValueError as error:
        cause = (ValueError, error, error.__traceback__)
        failed = logging.LogRecord("x", logging.ERROR, "", 0, "it failed", (), cause)
    assert formatter.format(failed).startswith("error: it failed\nTraceback")
    assert formatter.format(failed).endswith("ValueError: seven")


@pytest.mark.slow
def test_two_hundred_epochs_print_less_than_five_kilobytes(call: Command, tmp_path: Path) -> None:
    small = ["data=digits", "data.batch_size=500", "model.width=8", "trainer=cpu"]
    done = call("tvl_lightning.train", *small, "logger=none", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(done.stdout) < 5000
    log = (tmp_path / "run" / "train.log").read_text()
    for printed in (done.stdout, log):
        told = [line for line in printed.splitlines() if "it/s" in line]
        assert len(told) == len(set(told)) == 23
        assert "epoch 199: loss" in told[-1]
