"""Two runs are the same when all their settings are, but for what changes no number."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from tests.conftest import SMALL, settings_in
from tvl_lightning.cli.commands import CONFIG_PATH
from tvl_lightning.runs.same import differences


@cache
def composed(*choice: str) -> dict[str, Any]:
    return settings_in(Path("run"), *SMALL, *choice)


def changed(change: str) -> dict[str, Any]:
    """The settings of a run with one of them changed."""
    group, _, option = change.partition("=")
    if (Path(CONFIG_PATH) / group / f"{option}.yaml").is_file():
        return composed(change)
    merged: Any = OmegaConf.to_container(
        OmegaConf.merge(composed(), OmegaConf.from_dotlist([change]))
    )
    return merged  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("reg=l1", "reg.l1.weight (none there, 0.01 here)"),
        ("seed=1", "seed (0 there, 1 here)"),
        ("threads=2", "threads (1 there, 2 here)"),
        ("data=fashion_mnist", "data._target_ ("),
        ("data.batch_size=100", "data.batch_size (200 there, 100 here)"),
        ("data.val_size=0", "data.val_size ("),
        ("trainer.precision=64", "trainer.precision (none there, 64 here)"),
        ("trainer.gradient_clip_val=0.5", "trainer.gradient_clip_val ("),
        ("trainer.min_epochs=5", "trainer.min_epochs ("),
        ("model.width=13", "model.width (12 there, 13 here)"),
        ("model.in_shape=[784]", "model.in_shape ("),
        ("model.classes=11", "model.classes ("),
        ("scheme=heun", "scheme._target_ ("),
        ("tau.initial=[1,0,0,0]", "tau.initial ("),
        ("projection=positive", "projection.eps ("),
        ("pruning=adaptive", "pruning.epsilon ("),
        ("optimizer=adam", "optimizer._target_ ("),
        ("optimizer.momentum=0.9", "optimizer.momentum ("),
        ("scheduler._target_=mine.Schedule", "scheduler._target_ ("),
        ("callbacks.mine._target_=mine.Callback", "callbacks.mine._target_ ("),
        ("callbacks.best_checkpoint.monitor=x", "callbacks.best_checkpoint.monitor ("),
        ("engine=compiled", "engine.name (auto there, compiled here)"),
        ("engine=cuda_graph", "engine.name ("),
        ("unheard_of=1", "unheard_of (none there, 1 here)"),
    ],
)
def test_what_may_change_a_number_tells_two_runs_apart(change: str, named: str) -> None:
    found = differences(composed(), changed(change))
    assert any(line.startswith(named) for line in found), found
    assert differences(changed(change), composed())


@pytest.mark.parametrize(
    "change",
    [
        "trainer.max_epochs=7",
        "trainer.max_time=00:00:01:00",
        "engine=lightning",
        "engine=eager",
        "engine.chunk=10",
        "logger=none",
        "callbacks.progress_bar=null",
        "callbacks.recorder.interval=10",
        "callbacks.metrics.path=elsewhere",
        "data.root=elsewhere",
        "resume=auto",
    ],
)
def test_what_changes_no_number_does_not(change: str) -> None:
    assert differences(composed(), changed(change)) == []


def test_each_setting_that_differs_is_named() -> None:
    other = {**composed("reg=l1"), "seed": 9}
    names = {line.partition(" ")[0] for line in differences(composed(), other)}
    assert {"seed", "reg.l1._target_", "reg.l1.weight"} <= names


def test_sizes_that_the_data_filled_in_are_those_of_a_run_that_left_them_out() -> None:
    sizes = {**composed(), "model": {**composed()["model"], "in_shape": [1, 28, 28]}}
    assert differences(sizes, composed(), filled=True) == []
    assert differences(sizes, composed()) != []
    assert differences(composed(), sizes, filled=True) != []
