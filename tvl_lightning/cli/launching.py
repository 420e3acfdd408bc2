"""The jobs of a sweep handed to a launcher, and what is said of them at the end."""

import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher

from tvl_lightning.cli.commands import refusal_line
from tvl_lightning.cli.jobs import State, Stopping, note, reason_of, state_of
from tvl_lightning.cli.stopping import Stopped
from tvl_lightning.cli.sweeps import Compose, Job
from tvl_lightning.runs.resume import is_at_work

_ATTEMPTS = 2  # of a job whose process died
_NAMED = 10  # jobs, where many failed
_SECONDS = 1.0  # between two looks at a job that goes on without its launcher


class Sweep(NamedTuple):
    """One command that runs jobs.

    Attributes:
        folder: of all its jobs.
        name: tells its notes from those of other commands.
        stopping: whether it is being stopped.
    """

    folder: Path
    name: str
    stopping: Stopping

    def state(self, job: Job) -> State | None:
        """What this command's process for the job has noted; None where it did not begin."""
        state = state_of(self.folder / job.name)
        return state if state.sweep == self.name else None


class _Orders(list[list[str]]):
    """The overrides of jobs; once the sweep is being stopped, no more are handed out."""

    def __init__(self, jobs: Sequence[Job], sweep: Sweep) -> None:
        # as a path from the root, for a worker may begin in another directory
        folder = f"hydra.sweep.dir={_quoted(str(sweep.folder))}"
        super().__init__(
            [*job.overrides, folder, f"hydra.sweep.subdir={_quoted(job.name)}"] for job in jobs
        )
        self._stopping = sweep.stopping

    def __iter__(self) -> Iterator[list[str]]:
        for order in super().__iter__():
            if self._stopping:
                return
            yield order


def _quoted(name: str) -> str:
    return "'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'"


def launch(
    launcher: Launcher, jobs: Sequence[Job], sweep: Sweep, compose: Compose
) -> Sequence[JobReturn]:
    """Run the jobs; where one of them ends the launcher itself, the others are launched again.

    But for those that go on without it, as on a cluster, which are waited for.
    """
    total, died, every = len(jobs), Counter[str](), list(jobs)
    while jobs and not sweep.stopping:
        try:
            returns = launcher.launch(_Orders(jobs, sweep), total - len(jobs))
            _wait_for(every, sweep)
            return returns
        except Exception as error:
            states = {job.name: sweep.state(job) for job in jobs}
            cut = [
                name
                for name, state in states.items()
                if state and state.status == "running" and not is_at_work(sweep.folder / name)
            ]
            left = [job for job in jobs if job.name in cut or states[job.name] is None]
            lost: dict[str, Exception] = {}
            if refusal_line(error) or not cut:
                lost = dict(itertools.islice(_not_composed(left, compose), 1))
            if not lost:
                died.update(cut)
                lost = {name: error for name in cut if died[name] == _ATTEMPTS}
            if not lost and not cut:
                raise
            for name, cause in lost.items():
                note(sweep.folder / name, State(sweep.name, "failed", reason_of(cause)))
            jobs = [job for job in left if job.name not in lost]
    _wait_for(every, sweep)
    return []


def _wait_for(jobs: Sequence[Job], sweep: Sweep) -> None:
    """Until none is at work any more."""
    for job in jobs:
        while (state := sweep.state(job)) and state.status == "running":
            if not is_at_work(sweep.folder / job.name):
                break
            time.sleep(_SECONDS)


def _not_composed(
    jobs: Sequence[Job], compose: Callable[[Sequence[str]], Any]
) -> Iterator[tuple[str, Exception]]:
    for job in jobs:
        try:
            compose(job.overrides)
        except Exception as error:
            yield job.name, error


def say_how_it_ended(jobs: Sequence[Job], sweep: Sweep) -> None:
    """Show the runs, say what did not go well, and end with the exit status that says so.

    Raises:
        Stopped: where the sweep was.
        SystemExit: with status 1, where jobs failed.
    """
    from tvl_lightning.runs.table import short_table  # takes a moment

    table = short_table(sweep.folder)
    if table:
        print(table, flush=True)
    states = {
        job.name: state_of(sweep.folder / job.name) if job.ended else sweep.state(job)
        for job in jobs
    }
    failed = 0
    for status, verb in (("diverged", "diverged"), ("stopped", "stopped"), ("failed", "failed")):
        named = [f"{name} ({s.reason})" for name, s in states.items() if s and s.status == status]
        if named:
            shown = ", ".join(named[:_NAMED]) + (", ..." if len(named) > _NAMED else "")
            stream = sys.stderr if status == "failed" else sys.stdout
            print(f"{len(named)} of {count(len(jobs))} {verb}: {shown}", file=stream, flush=True)
            failed += status == "failed"
    print(f"sweep directory: {sweep.folder}", flush=True)
    if sweep.stopping.signum is not None:
        waiting = sum(state is None for state in states.values())
        print(
            f"{count(waiting)} did not begin; to go on: the same command with "
            f"hydra.sweep.dir={sweep.folder}",
            flush=True,
        )
        raise Stopped(sweep.stopping.signum)
    if failed:
        sys.exit(1)


def count(n: int) -> str:
    """So many jobs."""
    return f"{n:,} job{'' if n == 1 else 's'}"
