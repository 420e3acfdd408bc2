"""Says how far a run is: one bar over all its epochs, and a line every few epochs in the log."""

import logging
import math
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm

from tvl_lightning.training.callbacks.terminal import columns, logging_above_bars, on_a_terminal
from tvl_lightning.training.protocols import has_time_steps

log = logging.getLogger(__name__)

_SECONDS = 0.25  # between two looks at the device, each of which waits for it
_LOOKS = 120  # whose pace is averaged: half a minute
_LINES = 20  # in the log, about, however many epochs there are
_BAR = 3  # columns that a bar takes at least


class RunProgress(ProgressBar):
    """Shows how far the run is, and the values of its last epoch.

    A terminal has one bar over all epochs: time left, training loss, accuracy (on the validation
    samples, or else the test set, or else in training), Σ τ and the layers that are left. What
    does not fit the terminal's width is left out. It is drawn a few times a second, so no
    iteration waits for it. The log, whether it goes to a terminal or a file, has a line for the
    first epochs, for about twenty between, and for the last. There is no bar where the output is
    no terminal, or where several runs may share it, each in a process of its own. Evaluations
    have none.
    """

    def __init__(self) -> None:
        super().__init__()
        self._enabled = True
        self._bar: Any = None
        self._beside = ExitStack()  # what is in place as long as there is a bar
        self._looks: deque[tuple[float, int]] = deque(maxlen=_LOOKS)
        self._begun = 0.0
        self._total: int | None = None  # iterations of the whole run, as far as is known
        self._epochs: int | None = None
        self._first = 0  # epoch of this leg
        self._shown: dict[str, str] = {}  # loss and accuracy of the last epoch
        self._validated = False  # in this epoch
        self._unlogged: str | None = None  # the line of the last epoch

    @property
    def is_enabled(self) -> bool:
        """Whether Lightning may print through this."""
        return self._enabled

    def enable(self) -> None:
        """Show from the next training on."""
        self._enabled = True

    def disable(self) -> None:
        """Show nothing, as processes do that are not the first."""
        self._enabled = False
        self._close()

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print above the bar."""
        if self._bar is None:
            print(*args, **kwargs)
        else:
            with tqdm.external_write_mode(file=kwargs.get("file")):
                print(*args, **kwargs)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Begin to measure, and draw a bar."""
        self._begun = time.monotonic()
        self._looks.clear()
        self._looks.append((self._begun, trainer.global_step))
        self._first, self._shown, self._unlogged = trainer.current_epoch, {}, None
        self._validated = False
        self._count(trainer)
        if self._enabled and on_a_terminal():
            self._bar = tqdm(
                total=self._total,
                initial=trainer.global_step,
                file=sys.stdout,
                bar_format=self._format(trainer, pl_module),
                ncols=columns(),
                nrows=20,  # a terminal that does not know its own would show none
            )
            self._beside.enter_context(logging_above_bars())

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Count the iterations that are still to come."""
        self._count(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look, a few times a second."""
        now = time.monotonic()
        if self._enabled and now - self._looks[-1][0] >= _SECONDS:
            self._looks.append((now, trainer.global_step))
            if self._bar is not None:
                if trainer.current_epoch == self._first:  # no epoch has a mean yet
                    self._shown |= _loss_of(outputs)
                self._draw(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Note that this epoch's accuracies are its own."""
        self._validated = not trainer.sanity_checking

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Take over the epoch's values, and log them where its turn has come."""
        if not self._enabled:
            return
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self._shown |= _loss_and_accuracy(values)
        if not self._validated:  # Lightning still has those of an epoch before
            values = {k: v for k, v in values.items() if not k.startswith(("val/", "test/"))}
        self._validated = False
        pace, left = self._pace(trainer.global_step), self._time_left(trainer.global_step)
        pieces = [*_named(values), *_of_network(pl_module), f"{_four_digits(pace)} it/s", left]
        self._unlogged = f"epoch {trainer.current_epoch}: {', '.join(filter(None, pieces))}"
        if self._due(trainer.current_epoch):
            self._log()
        if self._bar is not None:
            self._draw(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Log the last epoch, and leave the bar as it is."""
        self._log()
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Log the last epoch, and leave the bar as it is."""
        self._log()
        self._close()

    def _count(self, trainer: Trainer) -> None:
        """Find out how many iterations the run has, which costs a loader: once an epoch."""
        in_epoch = _iterations_per_epoch(trainer)
        ends = [trainer.max_steps] if trainer.max_steps >= 0 else []
        if trainer.max_epochs is not None and trainer.max_epochs >= 0 and in_epoch is not None:
            to_come = max(trainer.max_epochs - trainer.current_epoch, 0)
            ends.append(trainer.global_step + in_epoch * to_come)
        self._total = min(ends, default=None)
        self._epochs = math.ceil(self._total / in_epoch) if self._total and in_epoch else None

    def _due(self, epoch: int) -> bool:
        """Whether the log gets a line for an epoch: 0, 1, 2, 10, 20 ... of 200."""
        every = 10 ** int(math.log10(max(epoch, 1)))
        if self._epochs is not None:
            every = max(math.ceil(self._epochs / _LINES), 1)
        return epoch < self._first + 3 or epoch % every == 0

    def _log(self) -> None:
        if self._enabled and self._unlogged is not None:
            log.info("%s", self._unlogged)
            self._unlogged = None

    def _pace(self, iteration: int) -> float:
        """Iterations a second of late."""
        then, before = self._looks[0]
        return (iteration - before) / max(time.monotonic() - then, 1e-9)

    def _time_left(self, iteration: int) -> str:
        pace = self._pace(iteration)
        if not pace or self._total is None or iteration >= self._total:
            return ""
        return f"{tqdm.format_interval((self._total - iteration) / pace)} left"

    def _draw(self, trainer: Trainer, module: Any) -> None:
        self._bar.total, self._bar.n = self._total, trainer.global_step
        self._bar.ncols, self._bar.bar_format = columns(), self._format(trainer, module)
        self._bar.refresh()

    def _format(self, trainer: Trainer, module: Any) -> str:
        """All but the bar itself, which tqdm draws where there is `{bar}`."""
        epoch, done, total = trainer.current_epoch, trainer.global_step, self._total
        elapsed = f"in {tqdm.format_interval(time.monotonic() - self._begun)}"
        pieces = [*self._shown.values(), *_of_network(module)]
        if not total:
            return _fitted([f"epoch {epoch}", f"{done} iterations {elapsed}", *pieces], columns())
        begin = f"epoch {epoch} {{bar}} {100 * min(done, total) // total:3d}%  "
        clock = elapsed if done >= total else self._time_left(done)
        room = columns() - len(begin.format(bar="." * _BAR))
        return begin + _fitted([clock, *pieces], room)

    def _close(self) -> None:
        self._beside.close()
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _iterations_per_epoch(trainer: Trainer) -> int | None:
    own = getattr(trainer.lightning_module, "iterations_per_epoch", None)
    if own is not None:
        return int(own)
    batches = trainer.num_training_batches / trainer.accumulate_grad_batches
    return math.ceil(batches) if math.isfinite(batches) else None


def _loss_of(outputs: Any) -> dict[str, str]:
    loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
    return {} if loss is None else {"loss": f"loss {_four_digits(float(loss))}"}


def _loss_and_accuracy(values: Mapping[str, float]) -> dict[str, str]:
    found = {"loss": f"loss {_four_digits(values['train/loss'])}"} if "train/loss" in values else {}
    stage = next((s for s in ("val", "test", "train") if f"{s}/acc" in values), None)
    return {**found, "acc": f"{stage} {_four_digits(values[f'{stage}/acc'])}"} if stage else found


def _named(values: Mapping[str, float]) -> Iterator[str]:
    for name in ("train/loss", "train/acc", "val/acc", "test/acc"):
        if name in values:
            yield f"{name.removeprefix('train/').replace('/', ' ')} {_four_digits(values[name])}"


def _of_network(module: Any) -> list[str]:
    """Σ τ and the number of layers, of a module that has them."""
    if not has_time_steps(module):
        return []
    n = len(module.network.layers)
    total = float(module.network.tau.detach().sum())
    return [f"Σ τ {_four_digits(total)}", f"{n} layer{'' if n == 1 else 's'}"]


def _four_digits(value: float) -> str:
    """With the zeros at the end, so that what stands beside it does not move."""
    return f"{value:.0f}" if 1000 <= value < 1e7 else f"{value:#.4g}"


def _fitted(pieces: list[str], room: int) -> str:
    """The first pieces, as many as fit: a number that is cut is another number."""
    text = ""
    for piece in filter(None, pieces):
        longer = f"{text}  {piece}" if text else piece
        if len(longer) > room:
            break
        text = longer
    return text
