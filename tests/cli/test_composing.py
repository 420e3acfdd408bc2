"""Settings that were put into a composed configuration are those that Hydra composes."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from tests.conftest import hydra_as_it_was
from tvl_lightning.cli.commands import CONFIG_PATH
from tvl_lightning.cli.composing import JobSettings
from tvl_lightning.cli.folders import register_resolvers
from tvl_lightning.cli.sweeps import as_job

FOLDER = Path("/sweep")
JOBS = [
    ["seed=0", "model.width=8"],
    ["seed=1", "model.width=16"],
    ["seed=2", "model.width=16", "reg=l1", "reg.l1.weight=0.5"],
    ["seed=3", "model.width=16", "reg=l1", "reg.l1.weight=1e-3"],
    ["reg=[l1,horizon]", "reg.l1.weight=0.1"],
    ["tau.initial=[0.1,0.2]", "optimizer.lr=1e-1"],
    ["tau.initial=null", "optimizer.lr=1"],
    ["trainer=cpu", "trainer.max_epochs=2"],
    ["trainer=cpu", "trainer.max_epochs=3"],
    ["optimizer={lr: 0.5}"],
    ["optimizer={lr: 0.25}"],
    ["+optimizer.momentum=0.9", "optimizer.lr=0.5"],
    ["+callbacks.mine={path: a}", "callbacks.mine.path=b"],
    ["+callbacks.mine={path: a}", "callbacks.mine.path=c"],
    ["callbacks.mine.path=c", "+callbacks.mine={path: a}"],
    ["data.val_size=${optimizer.lr}", "optimizer.lr=0.2"],
    ["data.val_size=${optimizer.lr}", "optimizer.lr=0.3"],
    ["~callbacks.board", "seed=4"],
    ["data.batch_size='7'", "seed=5"],
    ["+callbacks.mine={path: '${hydra:runtime.output_dir}/x'}", "seed=6"],
    ["+callbacks.mine={path: '${hydra:runtime.output_dir}/x'}", "seed=7"],
]

Compose = Callable[[Sequence[str]], DictConfig]


@pytest.fixture
def composed() -> Iterator[list[Sequence[str]]]:
    """What Hydra was asked to compose."""
    register_resolvers()
    with hydra_as_it_was(), initialize_config_dir(CONFIG_PATH, version_base="1.3"):
        yield []


def by_hydra(overrides: Sequence[str]) -> DictConfig:
    return compose("train", list(overrides), return_hydra_config=True)


def test_put_in_or_composed_settings_are_the_same(composed: list[Sequence[str]]) -> None:
    def counting(overrides: Sequence[str]) -> DictConfig:
        composed.append(overrides)
        return by_hydra(overrides)

    groups = GlobalHydra.instance().config_loader().get_group_options
    settings = JobSettings(counting, groups, FOLDER)
    for job in JOBS:
        try:
            whole = by_hydra(job)
        except Exception as error:
            with pytest.raises(type(error)), settings.of(job):
                pass
            continue
        with as_job(whole, FOLDER) as cfg:
            expected: Any = OmegaConf.to_container(cfg, resolve=True)
        with settings.of(job) as found:
            assert found == expected, job
    assert len(composed) < len(JOBS)


def test_a_thousand_seeds_are_composed_once(composed: list[Sequence[str]]) -> None:
    def counting(overrides: Sequence[str]) -> DictConfig:
        composed.append(overrides)
        return by_hydra(overrides)

    groups = GlobalHydra.instance().config_loader().get_group_options
    settings = JobSettings(counting, groups, FOLDER)
    for seed in range(20):
        with settings.of(["reg=l1", f"seed={seed}"]) as found:
            assert found["seed"] == found["data"]["seed"] == seed
    assert composed == [["reg=l1", "seed=0"]]
