"""A launcher that dies with a job takes no other job with it."""

import json
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher

from tvl_lightning.cli.jobs import State, Stopping, note
from tvl_lightning.cli.launching import Sweep, launch, say_how_it_ended
from tvl_lightning.cli.stopping import Stopped
from tvl_lightning.cli.sweeps import Job


class Fragile(Launcher):
    """Runs jobs in order; `kills` and `breaks` are names of jobs that end the launcher."""

    def __init__(self, sweep: Sweep, kills: Sequence[str] = (), breaks: Sequence[str] = ()) -> None:
        self.sweep, self.kills, self.breaks = sweep, list(kills), list(breaks)
        self.begun: list[str] = []

    def setup(self, **context: Any) -> None:
        pass

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        for overrides in job_overrides:
            name = overrides[-1].removeprefix("hydra.sweep.subdir=").strip("'")
            if name in self.breaks:
                raise HydraException(f"{name} cannot be composed")
            self.begun.append(name)
            note(self.sweep.folder / name, State(self.sweep.name, "running"))
            if name in self.kills:
                self.kills.remove(name)
                raise OSError("a worker died")
            note(self.sweep.folder / name, State(self.sweep.name, "finished"))
        return []


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path, "this", Stopping(tmp_path, "this"))


def jobs(*names: str) -> list[Job]:
    return [Job([f"seed={name}"], name) for name in names]


def composed(overrides: Sequence[str]) -> Any:
    if "seed=b" in overrides:
        raise HydraException("b cannot be composed")


def test_a_job_whose_process_died_is_tried_once_more(sweep: Sweep) -> None:
    launcher = Fragile(sweep, kills=["b"])
    launch(launcher, jobs("a", "b", "c"), sweep, lambda overrides: None)  # type: ignore[arg-type]
    assert launcher.begun == ["a", "b", "b", "c"]
    say_how_it_ended(jobs("a", "b", "c"), sweep)


def test_a_job_that_kills_its_process_again_is_marked_and_the_others_go_on(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    launcher = Fragile(sweep, kills=["b", "b", "b"])
    launch(launcher, jobs("a", "b", "c"), sweep, lambda overrides: None)  # type: ignore[arg-type]
    assert launcher.begun == ["a", "b", "b", "c"]
    with pytest.raises(SystemExit) as end:
        say_how_it_ended(jobs("a", "b", "c"), sweep)
    assert end.value.code == 1
    assert capsys.readouterr().err == "1 of 3 jobs failed: b (OSError: a worker died)\n"


class Pool(Fragile):
    """Runs two jobs at a time; where one of them dies, the other does, as in joblib."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        names = [o[-1].removeprefix("hydra.sweep.subdir=").strip("'") for o in job_overrides]
        for pair in (names[i : i + 2] for i in range(0, len(names), 2)):
            self.begun += pair
            for name in pair:
                note(self.sweep.folder / name, State(self.sweep.name, "running"))
            if set(pair) & set(self.kills):
                raise OSError("a worker died")
            for name in pair:
                note(self.sweep.folder / name, State(self.sweep.name, "finished"))
        return []


def test_jobs_that_die_with_another_are_not_blamed_for_it(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    launcher = Pool(sweep, kills=["c"])
    launch(launcher, jobs("a", "b", "c", "d", "e"), sweep, lambda overrides: None)  # type: ignore[arg-type]
    assert launcher.begun == ["a", "b", "c", "d", "c", "d", "c", "d", "e"]
    with pytest.raises(SystemExit):
        say_how_it_ended(jobs("a", "b", "c", "d", "e"), sweep)
    assert capsys.readouterr().err == "1 of 5 jobs failed: c (OSError: a worker died)\n"
    summary = json.loads((sweep.folder / "c" / "summary.json").read_text())
    assert (summary["status"], summary["overrides"]) == ("failed", ["seed=c"])
    assert "a worker died" in (sweep.folder / "c" / "train.log").read_text()


def test_a_job_that_ends_without_a_word_is_tried_again_and_then_named(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    class Silent(Fragile):
        def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
            with suppress(OSError):
                return super().launch(job_overrides, initial_job_idx)
            return []

    launcher = Silent(sweep, kills=["b", "b"])
    launch(launcher, jobs("a", "b"), sweep, lambda overrides: None)  # type: ignore[arg-type]
    assert launcher.begun == ["a", "b", "b"]
    with pytest.raises(SystemExit):
        say_how_it_ended(jobs("a", "b"), sweep)
    assert "1 of 2 jobs failed: b (its process ended without a word)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (State("this", "running"), 1),
        (State("this", "stopped", "SIGTERM"), 1),
        (State("this", "stopped", "trainer.max_time", summary="digest"), 0),
        (State("this", "diverged", "the loss is not finite", summary="digest"), 0),
        (State("this", "finished"), 0),
    ],
)
def test_the_status_says_whether_each_job_came_to_its_end(
    sweep: Sweep, state: State, status: int
) -> None:
    note(sweep.folder / "a", state)
    with pytest.raises(SystemExit, match="1") if status else nullcontext():
        say_how_it_ended(jobs("a"), sweep)


def test_a_job_of_which_nothing_is_known_is_named(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        say_how_it_ended(jobs("a"), sweep)
    assert "1 of 1 job failed: a (its process ended without a word)" in capsys.readouterr().err


def test_a_job_that_cannot_be_composed_is_marked_and_the_others_go_on(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    launcher = Fragile(sweep, breaks=["b"])
    launch(launcher, jobs("a", "b", "c"), sweep, composed)
    assert launcher.begun == ["a", "c"]
    with pytest.raises(SystemExit):
        say_how_it_ended(jobs("a", "b", "c"), sweep)
    assert capsys.readouterr().err == "1 of 3 jobs failed: b (b cannot be composed)\n"


def test_an_error_of_the_launcher_itself_is_not_hidden(sweep: Sweep) -> None:
    launcher = Fragile(sweep, breaks=["a"])
    with pytest.raises(HydraException, match="a cannot be composed"):
        launch(launcher, jobs("a"), sweep, lambda overrides: None)  # type: ignore[arg-type]


def test_no_job_is_handed_out_once_the_sweep_is_being_stopped(
    sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stops(Fragile):
        def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
            orders = iter(job_overrides)
            super().launch([next(orders)], initial_job_idx)
            self.sweep.stopping.begin(15)
            return super().launch(list(orders), initial_job_idx)

    launcher = Stops(sweep)
    launch(launcher, jobs("a", "b", "c"), sweep, composed)
    assert launcher.begun == ["a"]
    with pytest.raises(Stopped) as stop:
        say_how_it_ended(jobs("a", "b", "c"), sweep)
    assert stop.value.exit_status == 143
    assert "2 jobs did not begin" in capsys.readouterr().out
