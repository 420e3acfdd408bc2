"""Studies: what Optuna proposes is trained, once, whatever ends the command on its way."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from omegaconf import OmegaConf

from tests.conftest import SMALL, Command
from tvl_lightning.cli.choices import parsed
from tvl_lightning.cli.study.outcomes import write_least
from tvl_lightning.cli.study.space import search_space
from tvl_lightning.limits import InputError

TRAIN = "tvl_lightning.train"
JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
LR = "optimizer.lr=tag(log, interval(1e-3, 1))"
STUDY = [
    *("-m", "hparams_search=penalties", *SMALL, "trainer.max_epochs=2", "logger=none"),
    *("hydra.sweep.dir=study", "hydra.sweeper.sampler.n_startup_trials=2"),
]


def trials(folder: Path) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="study", storage=f"sqlite:///{folder / 'study.db'}").trials


def summary(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return read


def started(folder: Path) -> dict[str, str]:
    return {path.parent.name: summary(path.parent)["started"] for path in folder.glob("*/summary*")}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("x=interval(0.1, 1)", optuna.distributions.FloatDistribution(0.1, 1.0)),
        ("x=int(interval(2, 8))", optuna.distributions.IntDistribution(2, 8)),
        (
            "x=tag(log, interval(1e-4, 1))",
            optuna.distributions.FloatDistribution(1e-4, 1.0, log=True),
        ),
        ("x=range(2, 9, 3)", optuna.distributions.IntDistribution(2, 8, step=3)),
        ("x=range(0.5, 1, 0.25)", optuna.distributions.FloatDistribution(0.5, 0.75, step=0.25)),
        ("x=a,b", optuna.distributions.CategoricalDistribution(["a", "b"])),
        ("x=choice(1, 'a b')", optuna.distributions.CategoricalDistribution(["1", r"a\ b"])),
    ],
)
def test_a_search_space_is_said_in_hydras_syntax(
    given: str, expected: optuna.distributions.BaseDistribution
) -> None:
    space = search_space(parsed([given, "y=1"]))
    assert space.varied == {"x": expected}
    assert space.fixed == {"y": "y=1"}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["y=1"], "nothing is varied"),
        (["seed=0,1"], r"hydra.sweeper.seeds=\[0,1,2\] takes the mean"),
        (["x=tag(log, interval(0, 1))"], "x=tag"),
        (["x=interval(2, 1)"], "x=interval"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(given: list[str], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        search_space(parsed(given))


def test_what_a_run_must_reach_is_what_optunas_median_pruner_asks(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    curves = [dict(enumerate(random.random(6))) for _ in range(5)]
    write_least(tmp_path, "val/acc", curves, warmup=2)
    least = dict(json.loads((tmp_path / "hopeless.json").read_text())["least"])
    pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    for curve in curves:
        study.add_trial(optuna.create_trial(value=curve[5], intermediate_values=curve))
    answers = set()
    for _ in range(10):
        trial, best = study.ask(), -1.0
        for epoch in range(6):
            value = random.random() ** 3
            best = max(best, value)
            trial.report(value, epoch)
            hopeless = epoch in least and best < least[epoch]
            assert trial.should_prune() == hopeless
            answers.add(hopeless)
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    assert answers == {True, False}


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["hydra.sweeper.objectives={val/acc: best}"], "must be {NAME: maximize or minimize}"),
        (["hydra.sweeper.objectives=val/acc"], "hydra.sweeper.objectives=val/acc: must be {NAME"),
        (["hydra.sweeper.sampler=RandomSampler"], "must be {name: SAMPLER}"),
        (["hydra.sweeper.seeds=3"], "hydra.sweeper.seeds=3: must be a list of different seeds"),
        (["hydra.sweeper.pruner.n_startup_trials=many"], "n_startup_trials: N"),
        (["hydra.sweeper.pruner=median"], "hydra.sweeper.pruner=median: must be null, or {"),
        (["hydra.sweeper.sampler.name=TPE"], "hydra.sweeper.sampler.name=TPE: must be one of"),
        (["+hydra.sweeper.sampler.startup=1"], "unexpected keyword argument 'startup'"),
        (["hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials=0: must be a whole number"),
        (["model.width=0"], "model.width=0"),
        (["model.wdth=interval(1, 2)"], "model.wdth"),
        (["reg=choice(l1, l3)"], "l3"),
        (["model.hidden_layers=int(interval(0, 4))"], "hidden_layers=0"),
        (["data.val_size=interval(0.1, 1.5)"], "val_size=1.5"),
        (["model.width=choice(12, 0)"], "width=0"),
        (["hydra.sweeper.seeds=[0,-1]"], "seed=-1"),
        (["hydra.sweeper.seeds=[1,1]"], "hydra.sweeper.seeds=[1, 1]: must be a list of different"),
        (["hydra.sweeper.sampler.name=GridSampler"], "sampler.name=GridSampler: must be one of"),
        (["callbacks.hopeless=null"], "hydra.sweeper.pruner=null stops no trial early"),
    ],
)
def test_what_no_trial_could_run_is_refused_before_any_does(
    call: Command, tmp_path: Path, given: list[str], line: str
) -> None:
    done = call(TRAIN, *STUDY, *given)
    assert done.returncode == 2
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_two_objectives_over_two_seeds_give_a_front_and_a_diverging_trial_ends_nothing(
    call: Command, tmp_path: Path
) -> None:
    study = [
        *(*STUDY, "model.width=choice(2, 12)", "optimizer.lr=choice(0.1, 1e9)"),
        "hydra.sweeper.params={reg.l1.weight: 0.001, reg.horizon.weight: 0.5}",
        *("hydra.sweeper.objectives={val/acc: maximize, parameters: minimize}",),
        *("hydra.sweeper.seeds=[0,1]", "hydra.sweeper.n_trials=6", "hydra.sweeper.n_jobs=2"),
    ]
    done = call(TRAIN, *study)
    assert done.returncode == 0, done.stderr
    folder, told = tmp_path / "study", trials(tmp_path / "study")
    assert [trial.state.name for trial in told] == ["COMPLETE"] * 6
    statuses = [trial.user_attrs["status"] for trial in told]
    assert {"diverged", "finished"} == set(statuses)
    for trial, status in zip(told, statuses, strict=True):
        runs = [folder / f"trial-{trial.number:04d}" / f"seed-{seed}" for seed in (0, 1)]
        if status == "diverged":
            assert trial.values == [-np.inf, np.inf]
            assert not runs[1].exists()
            continue
        summaries = [summary(run) for run in runs]
        assert [s["seed"] for s in summaries] == [0, 1]
        accuracies = [s["best"]["val/acc"] for s in summaries]
        assert trial.values == [np.mean(accuracies), summaries[0]["parameters"]]
    results = OmegaConf.to_container(OmegaConf.load(folder / "optimization_results.yaml"))
    assert isinstance(results, dict)
    front = {tuple(solution["values"]) for solution in results["solutions"]}
    good = {tuple(t.values) for t, s in zip(told, statuses, strict=True) if s == "finished"}
    dominated = {a for a in good for b in good if b != a and b[0] >= a[0] and b[1] <= a[1]}
    assert front == good - dominated
    assert "the front of val/acc (maximize), parameters (minimize)" in done.stdout
    assert (folder / "study.png").stat().st_size > 10_000

    # values are stored in an order, and that is the first command's
    swapped = "hydra.sweeper.objectives={parameters: minimize, val/acc: maximize}"
    again = call(TRAIN, *study, swapped)
    assert again.returncode == 0, again.stderr
    assert "the front of val/acc (maximize), parameters (minimize)" in again.stdout

    before = started(folder)
    other = call(TRAIN, *study, "model.hidden_layers=3")
    assert other.returncode == 2
    assert "model.hidden_layers (4 there, 3 here)" in other.stderr
    other = call(TRAIN, *study, "hydra.sweeper.seeds=[0,1,2]")
    assert "seeds ([0, 1] there, [0, 1, 2] here)" in other.stderr
    assert started(folder) == before


@pytest.mark.slow
def test_a_misspelt_objective_is_put_right_in_the_same_folder(
    call: Command, tmp_path: Path
) -> None:
    study = [*STUDY, LR, "hydra.sweeper.n_trials=1", "hydra.sweeper.pruner=null"]
    done = call(TRAIN, *study, "hydra.sweeper.objectives={val/accuracy: maximize}")
    assert done.returncode == 2
    assert "hydra.sweeper.objectives: val/accuracy is no number of a run" in done.stderr
    before = started(tmp_path / "study")
    done = call(TRAIN, *study, "hydra.sweeper.objectives={val/acc: maximize}")
    assert done.returncode == 0, done.stderr
    assert started(tmp_path / "study") == before
    assert len(trials(tmp_path / "study")) == 1
    other = call(TRAIN, *study, "hydra.sweeper.objectives={val/task_loss: minimize}")
    assert "is another study: objectives" in other.stderr


@pytest.mark.slow
def test_a_run_that_is_stopped_by_itself_is_tried_again_and_its_trial_stays_open(
    tmp_path: Path, command: Command
) -> None:
    (tmp_path / "mine.py").write_text(STOPPING)
    study = [*STUDY, LR, "hydra.sweeper.n_trials=1", *JOBLIB, "logger=none"]
    own = "+callbacks.mine={_target_: mine.Stopping, times: 3}"
    done = command(TRAIN, *study, own)
    assert done.returncode == 1, done.stderr
    assert "did not come to their end: trial-0000; to go on: the same command" in done.stderr
    assert [trial.state.name for trial in trials(tmp_path / "study")] == ["RUNNING"]
    done = command(TRAIN, *study, own)
    assert done.returncode == 0, done.stderr
    assert [trial.state.name for trial in trials(tmp_path / "study")] == ["COMPLETE"]


STOPPING = """
import os, signal
from pathlib import Path
from lightning import Callback

class Stopping(Callback):
    def __init__(self, times):
        self.times = times

    def on_train_epoch_start(self, *args):
        with open("stops.txt", "a+") as file:
            file.write(".")
        if len(Path("stops.txt").read_text()) <= self.times:
            os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.slow
def test_a_hopeless_trial_is_stopped_early_and_counts(call: Command, tmp_path: Path) -> None:
    done = call(
        TRAIN,
        *(*STUDY, "trainer.max_epochs=4", "optimizer.lr=tag(log, interval(1e-9, 0.3))"),
        "hydra.sweeper.params={reg.l1.weight: 0.001, reg.horizon.weight: 0.5}",
        *("hydra.sweeper.pruner.n_startup_trials=2", "hydra.sweeper.pruner.n_warmup_epochs=1"),
        *("hydra.sweeper.n_trials=6", "hydra.sweeper.sampler.name=RandomSampler"),
        "~hydra.sweeper.sampler.n_startup_trials",
    )
    assert done.returncode == 0, done.stderr
    told = trials(tmp_path / "study")
    stopped = [trial for trial in told if trial.state.name == "PRUNED"]
    assert len(told) == 6
    assert 0 < len(stopped) < 6
    for trial in stopped:
        ended = summary(tmp_path / "study" / f"trial-{trial.number:04d}")
        assert 2 <= ended["epochs"] < 4
        assert list(trial.intermediate_values) == list(range(ended["epochs"]))
        assert trial.user_attrs["reason"].startswith("pruned by the study: val/acc")
    assert f"{len(stopped)} hopeless" in done.stdout


@pytest.mark.slow
def test_a_killed_study_goes_on_to_what_it_would_have_been(tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", TRAIN, *STUDY, "trainer.max_epochs=3", LR),
        "hydra.sweeper.n_trials=4",
    ]

    def start(folder: str) -> "subprocess.Popen[str]":
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [*command, f"hydra.sweep.dir={folder}"],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )

    killed = start("killed")
    cut = tmp_path / "killed" / "trial-0002" / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 300
    while not cut.is_file() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert cut.is_file()
    ended = started(tmp_path / "killed")
    assert not (tmp_path / "killed" / "trial-0002" / "summary.json").exists()

    again = start("killed")
    out, _ = again.communicate(timeout=600)
    assert again.returncode == 0
    assert "2 have ended before" in out
    whole = start("whole")
    whole.communicate(timeout=600)

    now = started(tmp_path / "killed")
    assert len(now) == 4
    assert {name: now[name] for name in ended} == ended
    a, b = (trials(tmp_path / name) for name in ("killed", "whole"))
    assert [t.state.name for t in a] == ["COMPLETE"] * 4
    assert [(t.params, t.values, t.intermediate_values) for t in a] == [
        (t.params, t.values, t.intermediate_values) for t in b
    ]
