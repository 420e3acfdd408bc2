"""How far a run is: the bar on a terminal, the lines in the log."""

import logging
import re
import sys
import time
from typing import Any

import pytest
import torch
from lightning import Callback
from lightning.pytorch.demos.boring_classes import BoringModel

from tests.training.runs import ITERATIONS, LIGHTNING, Blobs, Fit, quiet_trainer, with_small_taus
from tests.training.terminal import terminal
from tvl_lightning.training import AdaptivePruning, RunProgress

LOOPS = pytest.mark.parametrize("loop", [LIGHTNING, "eager"])
BAR = {"enable_progress_bar": True}
LOGGER = "tvl_lightning.training.callbacks.progress"


@pytest.fixture(autouse=True)
def _info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == LOGGER]


def epochs(caplog: pytest.LogCaptureFixture) -> list[int]:
    return [int(line.split(":")[0].removeprefix("epoch ")) for line in lines(caplog)]


class Fails(Callback):
    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == 1:
            raise RuntimeError("the disk is on fire")


class Slow(Callback):
    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        time.sleep(0.005)


class Speaks(Callback):
    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        if args[-1] == 3:
            pl_module.print("a word between")


@LOOPS
@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_terminal_shows_one_bar_over_all_epochs_that_fits_it(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, loop: str, columns: int
) -> None:
    with terminal(monkeypatch, columns) as shown:
        run = fit(RunProgress(), loop=loop, epochs=3, **BAR)
    assert isinstance(run.trainer.progress_bar_callback, RunProgress)
    assert len(shown.drawn) >= 4
    assert all(len(line) < columns for line in shown.drawn)
    assert all(re.match(r"epoch [012] .* +\d+%", line) for line in shown.drawn)
    [bar] = shown.seen
    assert bar.startswith("epoch 2 █")
    assert "100%  in 00:0" in bar
    metrics = run.trainer.callback_metrics
    told = [f"loss {metrics['train/loss']:#.4g}", f"val {metrics['val/acc']:#.4g}"]
    told += [f"Σ τ {run.module.tau.sum():#.4g}", "5 layers"]
    fitting = told if columns >= 80 else told[:2]
    assert bar.endswith("  " + "  ".join(fitting))


@LOOPS
def test_the_bar_has_reached_its_share_after_each_epoch(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    with terminal(monkeypatch) as shown:
        fit(RunProgress(), loop=loop, epochs=4, **BAR)
    last = {line[:7]: int(re.findall(r"(\d+)%", line)[0]) for line in shown.drawn}
    assert last == {"epoch 0": 25, "epoch 1": 50, "epoch 2": 75, "epoch 3": 100}


def test_the_log_above_the_bar_and_the_bar_stay_whole(
    fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    with terminal(monkeypatch, 120) as shown:
        console = logging.StreamHandler(sys.stdout)
        monkeypatch.setattr(root, "handlers", [console])
        fit(RunProgress(), Speaks(), epochs=3, **BAR)
        assert console.stream is sys.stdout
    *above, bar = shown.seen
    assert [line[:8] for line in above if line != "a word between"] == [
        *("epoch 0:", "epoch 1:", "epoch 2:"),
    ]
    assert above.count("a word between") == 3
    assert re.match(r"epoch 2 █+ 100%", bar)


def test_the_bar_is_drawn_some_times_a_second_whatever_the_number_of_iterations(
    fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = time.monotonic()
    with terminal(monkeypatch) as shown:
        fit(RunProgress(), Slow(), epochs=1, data=Blobs(batch_size=1), **BAR)
    assert 4 <= len(shown.drawn) <= 4 * (time.monotonic() - begin) + 4
    assert all("loss" in line for line in shown.drawn[1:])
    assert all(re.search(r"\d\d:\d\d left", line) for line in shown.drawn[1:-2])


def test_the_layers_that_are_left_are_counted(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with terminal(monkeypatch) as shown:
        pruning = AdaptivePruning(interval=ITERATIONS)
        run = fit(RunProgress(), pruning, network=with_small_taus, epochs=2, **BAR)
    assert "5 layers" in shown.drawn[0]
    assert 1 < len(run.layers) < 5
    assert shown.seen[-1].endswith(f"  {len(run.layers)} layers")
    assert f", {len(run.layers)} layers, " in lines(caplog)[-1]


@LOOPS
def test_without_a_terminal_there_are_only_lines_in_the_log(
    fit: Fit, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, loop: str
) -> None:
    run = fit(RunProgress(), loop=loop, epochs=2, **BAR)
    assert capfd.readouterr().out == ""
    first, last = lines(caplog)
    number = r"\d+\.\d+"
    values = rf"loss {number}, acc {number}, val acc {number}, Σ τ {number}, 5 layers"
    assert re.fullmatch(rf"epoch 0: {values}, [\d.]+ it/s, \d\d:\d\d left", first)
    assert re.fullmatch(rf"epoch 1: {values}, [\d.]+ it/s", last)
    assert f"acc {run.trainer.callback_metrics['train/acc']:#.4g}, val" in last


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (5, [0, 1, 2, 3, 4]),
        (45, [0, 1, 2, *range(3, 45, 3), 44]),
        (200, [0, 1, 2, *range(10, 200, 10), 199]),
    ],
)
def test_about_twenty_lines_tell_a_run(
    fit: Fit, caplog: pytest.LogCaptureFixture, length: int, expected: list[int]
) -> None:
    fit(RunProgress(), loop="eager", epochs=length, data=Blobs(batch_size=177), **BAR)
    assert epochs(caplog) == expected
    assert len("\n".join(lines(caplog))) < 2500


def test_a_run_without_end_has_lines_ever_more_seldom_and_no_share(
    fit: Fit, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Enough(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            trainer.should_stop = trainer.current_epoch == 34

    with terminal(monkeypatch) as shown:
        fit(RunProgress(), Enough(), epochs=-1, data=Blobs(batch_size=177), **BAR)
    assert epochs(caplog) == [*range(10), 10, 20, 30, 34]
    [bar] = shown.seen
    assert bar.startswith("epoch 34  35 iterations in 00:")
    assert "%" not in shown.text


def test_max_steps_ends_the_bar(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as shown:
        fit(RunProgress(), epochs=-1, max_steps=2 * ITERATIONS + 9, **BAR)
    assert [int(re.findall(r"(\d+)%", line)[0]) for line in shown.drawn][-1] == 100
    assert re.search("epoch 1 .* 80%", shown.text)


def test_accumulated_batches_are_one_iteration(fit: Fit, monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as shown:
        fit(RunProgress(), epochs=2, accumulate_grad_batches=4, **BAR)
    assert re.search("epoch 0 .* 50%", shown.text)
    assert re.search("epoch 1 .* 100%", shown.text)


@LOOPS
def test_a_resumed_run_goes_on_where_it_was(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, loop: str
) -> None:
    half = fit(RunProgress(), loop=loop, epochs=13, **BAR).last_checkpoint
    caplog.clear()
    with terminal(monkeypatch) as shown:
        fit(RunProgress(), loop=loop, epochs=52, resume=half, **BAR)
    assert re.match(r"epoch 13 .* 25%", shown.drawn[0])
    assert re.search("epoch 51 .* 100%", shown.seen[-1])
    assert epochs(caplog) == [13, 14, 15, 18, *range(21, 52, 3)]


def test_a_validation_of_an_earlier_epoch_is_not_told_as_this_ones(
    fit: Fit, caplog: pytest.LogCaptureFixture
) -> None:
    fit(RunProgress(), epochs=4, check_val_every_n_epoch=2, **BAR)
    assert ["val acc" in line for line in lines(caplog)] == [False, True, False, True]


def test_without_validation_samples_the_accuracy_is_that_of_the_test_set(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with terminal(monkeypatch) as shown:
        run = fit(RunProgress(), epochs=1, data=Blobs(batch_size=10, val_size=0), **BAR)
    accuracy = f"{run.trainer.callback_metrics['test/acc']:#.4g}"
    assert f"  test {accuracy}" in shown.seen[-1]
    assert f", test acc {accuracy}" in lines(caplog)[-1]


def test_a_process_that_is_not_the_first_shows_nothing(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    progress = RunProgress()
    progress.disable()
    with terminal(monkeypatch) as shown:
        fit(progress, epochs=2, **BAR)
    assert (shown.text, lines(caplog)) == ("", [])


def test_an_error_leaves_the_bar_and_the_handlers_in_order(
    fit: Fit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with terminal(monkeypatch) as shown:
        console = logging.StreamHandler(sys.stdout)
        logging.getLogger().addHandler(console)
        try:
            with pytest.raises(RuntimeError, match="the disk is on fire"):
                fit(RunProgress(), Fails(), epochs=3, **BAR)
            assert console.stream is sys.stdout
            print("afterwards")
        finally:
            logging.getLogger().removeHandler(console)
    assert re.match(r"epoch \d .* 33%", shown.seen[-2])
    assert shown.seen[-1] == "afterwards"
    assert epochs(caplog) == [0]


def test_evaluations_draw_nothing(
    fit: Fit, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    run = fit(RunProgress(), epochs=1, num_sanity_val_steps=-1, **BAR)
    caplog.clear()
    run.trainer.test(run.module, Blobs(batch_size=10), verbose=False)
    run.trainer.validate(run.module, Blobs(batch_size=10), verbose=False)
    assert (capfd.readouterr().out, lines(caplog)) == ("", [])


class WithNetwork(BoringModel):
    """Its network is one of somebody else, without time steps."""

    def __init__(self) -> None:
        super().__init__()
        self.network = torch.nn.Linear(1, 1)


@pytest.mark.parametrize("module", [BoringModel, WithNetwork])
def test_a_module_of_another_kind_is_told_without_time_steps(
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    module: type[BoringModel],
) -> None:
    with terminal(monkeypatch) as shown:
        quiet_trainer(tmp_path, RunProgress(), limit_train_batches=4, **BAR).fit(module())
    assert re.fullmatch(r"epoch 0 █+ 100%  in 00:00", shown.seen[-1])
    assert re.fullmatch(r"epoch 0: [\d.]+ it/s", lines(caplog)[-1])
