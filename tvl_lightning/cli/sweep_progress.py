"""How far a sweep is, by what its jobs note in their folders."""

import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tqdm import tqdm

from tvl_lightning.cli.jobs import State, state_of

_SECONDS = 0.5  # between two looks


class SweepProgress:
    """One bar for all jobs of a sweep on a terminal, a line for each that ends elsewhere.

    Args:
        sweep: names this command.
        root: the folder of the sweep.
        folders: of the jobs that are to be run.
        before: how many had ended before.
    """

    def __init__(self, sweep: str, root: Path, folders: Sequence[Path], before: int) -> None:
        self._sweep, self._before, self._total = sweep, before, before + len(folders)
        self._root = root
        self._waiting = list(folders)
        self._failed = self._running = 0
        self._begun = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._bar = tqdm(
            total=self._total,
            initial=before,
            file=sys.stdout,
            bar_format="{desc} {bar} {percentage:3.0f}%",
            disable=not sys.stdout.isatty(),
            dynamic_ncols=True,
        )

    def __enter__(self) -> "SweepProgress":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self.look()
        self._bar.close()

    def look(self) -> None:
        """Read what the jobs have noted, and say what is new."""
        states = {folder: state_of(folder) for folder in self._waiting}
        ours = {folder: state for folder, state in states.items() if state.sweep == self._sweep}
        ended = {folder: state for folder, state in ours.items() if state.status != "running"}
        self._running = len(ours) - len(ended)
        for folder, state in ended.items():
            self._waiting.remove(folder)
            self._failed += state.status == "failed"
            self._say(folder, state)
        if not self._bar.disable:
            self._bar.set_description_str(self._text(), refresh=False)
            self._bar.n = self._total - len(self._waiting)
            self._bar.refresh()

    def _follow(self) -> None:
        while not self._over.wait(_SECONDS):
            self.look()

    def _say(self, folder: Path, state: State) -> None:
        name = os.path.relpath(folder, self._root)
        if self._bar.disable:
            print(f"{name}: {_ended(state)}; {self._text()}", flush=True)
        elif state.status != "finished":
            tqdm.write(f"{name}: {_ended(state)}")

    def _text(self) -> str:
        done = self._total - len(self._waiting)
        pieces = [f"{done} of {self._total} jobs", f"{self._running} running"]
        pieces += [f"{self._failed} failed"] if self._failed else []
        if done > self._before and self._waiting:
            pace = (time.monotonic() - self._begun) / (done - self._before)
            pieces.append(f"{tqdm.format_interval(pace * len(self._waiting))} left")
        return ", ".join(pieces)


def _ended(state: State) -> str:
    return f"{state.status}: {state.reason}" if state.reason else state.status
