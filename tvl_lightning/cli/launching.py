"""The jobs of a sweep handed to a launcher, and what is said of them at the end."""

import itertools
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, read_write

from tvl_lightning.cli.choices import to_install
from tvl_lightning.cli.clusters import begin_ray
from tvl_lightning.cli.commands import refusal_line
from tvl_lightning.cli.jobs import (
    ENDED,
    State,
    Stopping,
    Task,
    has_ended,
    note,
    reason_of,
    state_of,
)
from tvl_lightning.cli.stopping import Stopped
from tvl_lightning.cli.sweeps import Compose, Job
from tvl_lightning.files import read_json, write_json
from tvl_lightning.limits import InputError
from tvl_lightning.runs.resume import is_at_work

_NO_WORD = "its process ended without a word"
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
    """As Hydra reads it: backslashes count as such, but for those before a quote or at the end."""
    escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), name)
    return f"'{escaped}'"


def launcher_of(context: HydraContext, task: Task, config: DictConfig) -> Launcher:
    """The launcher that the configuration of a sweep names.

    Raises:
        InputError: for one that is not installed, or a Ray that does not answer.
    """
    name = config.hydra.runtime.choices["hydra/launcher"]
    if name == "joblib":  # a job is handed out when a process is free for it, and not before
        with read_write(config.hydra):
            config.hydra.launcher.update(batch_size="1", pre_dispatch="n_jobs")
    if name == "ray" and task.total:
        init: Any = OmegaConf.to_container(config.hydra.launcher.ray.init, resolve=True)
        begin_ray(init)
    try:
        return Plugins.instance().instantiate_launcher(context, task, config)
    except (ImportError, RuntimeError) as error:
        way = to_install(name)
        raise InputError(f"hydra/launcher={name}: {way and f'{way}; '}{error}") from error


def launch(
    launcher: Launcher, jobs: Sequence[Job], sweep: Sweep, compose: Compose
) -> Sequence[JobReturn]:
    """Run the jobs, and again those whose process died, which may have ended others with it.

    A job is tried again among the others. One that has died again has failed, or, where several
    died together and it is not known whose fault that was, is run alone. Jobs that go on without
    the launcher, as on a cluster, are waited for.
    """
    total, died = len(jobs), Counter[str]()
    groups = [list(jobs)] if jobs else []
    returns: Sequence[JobReturn] = []
    while groups and not sweep.stopping:
        group = groups.pop(0)
        error: Exception | None = None
        try:
            to_come = sum(map(len, groups), len(group))
            returns = launcher.launch(_Orders(group, sweep), total - to_come)
        except Exception as raised:
            error = raised
        _wait_for(group, sweep)
        states = {job.name: sweep.state(job) for job in group}
        cut = [job for job in group if (s := states[job.name]) and s.status == "running"]
        left = [job for job in group if states[job.name] is None]
        if sweep.stopping or not (cut or error):
            continue
        lost: list[tuple[Job, str]] = []
        if error and (refusal_line(error) or not cut):
            first = itertools.islice(_not_composed(left, compose), 1)
            lost = [(job, reason_of(why)) for job, why in first]
            if not lost and not cut:
                raise error
        died.update(job.name for job in cut)
        once_more = [job for job in cut if died[job.name] > 1]
        if len(cut) == 1:
            lost += [(job, reason_of(error) if error else _NO_WORD) for job in once_more]
        for job, reason in lost:
            _mark_failed(job, reason, sweep)
        alone = once_more if len(cut) > 1 else []
        gone = [*alone, *(job for job, _ in lost)]
        again = [job for job in [*cut, *left] if job not in gone]
        groups = [*([job] for job in alone), *([again] if again else []), *groups]
    return returns


def _mark_failed(job: Job, reason: str, sweep: Sweep) -> None:
    """As a job does that can say so itself: in its notes, its result and its log."""
    folder = sweep.folder / job.name
    note(folder, state_of(folder)._replace(sweep=sweep.name, status="failed", reason=reason))
    with suppress(InputError, OSError):
        result = folder / "summary.json"
        if not result.is_file() or read_json(result).get("status") not in ENDED:
            asked = {"status": "failed", "reason": reason, "overrides": job.overrides}
            write_json(result, asked)
        with (folder / "train.log").open("a", encoding="utf-8") as log:
            log.write(f"{reason}\n")


def _wait_for(jobs: Sequence[Job], sweep: Sweep) -> None:
    """Until none is at work any more."""
    while any(
        (state := sweep.state(job))
        and state.status == "running"
        and is_at_work(sweep.folder / job.name)
        for job in jobs
    ):
        time.sleep(_SECONDS)


def _not_composed(
    jobs: Sequence[Job], compose: Callable[[Sequence[str]], Any]
) -> Iterator[tuple[Job, Exception]]:
    for job in jobs:
        try:
            compose(job.overrides)
        except Exception as error:
            yield job, error


def say_how_it_ended(jobs: Sequence[Job], sweep: Sweep) -> None:
    """Show the runs, say what did not go well, and end with the exit status that says so.

    Raises:
        Stopped: where the sweep was.
        SystemExit: with status 1, where jobs failed, or did not come to their end.
    """
    from tvl_lightning.runs.table import short_table  # takes a moment

    table = short_table(sweep.folder)
    if table:
        print(table, flush=True)
    states = {job.name: _end_of(job, sweep) for job in jobs}
    unfinished = 0
    for status, verb in (("diverged", "diverged"), ("stopped", "stopped"), ("failed", "failed")):
        named = {name: s for name, s in states.items() if s and s.status == status}
        if named:
            reasons = [f"{name} ({state.reason})" for name, state in named.items()]
            shown = ", ".join(reasons[:_NAMED]) + (", ..." if len(reasons) > _NAMED else "")
            stream = sys.stderr if status == "failed" else sys.stdout
            print(f"{len(named)} of {count(len(jobs))} {verb}: {shown}", file=stream, flush=True)
        # one that ended by its own settings, as max_time, has a result
        unfinished += sum(s.summary is None for s in named.values() if status != "diverged")
    print(f"sweep directory: {sweep.folder}", flush=True)
    if sweep.stopping.signum is not None:
        waiting = sum(state is None for state in states.values())
        print(
            f"{count(waiting)} did not begin; to go on: the same command with "
            f"hydra.sweep.dir={sweep.folder}",
            flush=True,
        )
        raise Stopped(sweep.stopping.signum)
    if unfinished:
        sys.exit(1)


def _end_of(job: Job, sweep: Sweep) -> State | None:
    """How a job ended; None where it did not begin because the sweep was stopped."""
    folder = sweep.folder / job.name
    known = state_of(folder)
    if job.ended or has_ended(folder, known):  # maybe by another command
        return known
    state = sweep.state(job)
    if sweep.stopping or (state and state.status != "running"):
        return state
    return State(sweep.name, "failed", _NO_WORD)


def count(n: int) -> str:
    """So many jobs."""
    return f"{n:,} job{'' if n == 1 else 's'}"
