"""The paper's setups, recognised in a configuration."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from tvl_lightning.entry import CONFIG_PATH, setup_name
from tvl_lightning.limits import InputError
from tvl_lightning.setups import DECISIVE, Setup, setup, setup_of

FIGURES = [f"figure_4_{number}" for number in range(1, 7)]


@pytest.fixture(scope="module", autouse=True)
def config_path() -> Iterator[None]:
    with initialize_config_dir(CONFIG_PATH, version_base="1.3"):
        yield


def settings(*overrides: str) -> dict[str, Any]:
    cfg = compose("train", [*overrides])
    groups = [*DECISIVE, "variant", "data"]
    content: Any = OmegaConf.to_container(OmegaConf.masked_copy(cfg, groups), resolve=True)
    return json.loads(json.dumps(content))  # type: ignore[no-any-return]


def swept(*overrides: str) -> list[DictConfig]:
    """The configuration of each job of a multirun."""
    base = compose("train", [*overrides], return_hydra_config=True)
    chosen = {name for name, _ in (o.split("=") for o in overrides)}
    axes = {k: v for k, v in base.hydra.sweeper.params.items() if k not in chosen}
    jobs = [
        [f"{name}={choice}" for name, choice in zip(axes, choices, strict=True)]
        for choices in itertools.product(*(str(values).split(",") for values in axes.values()))
    ]
    return [compose("train", [*overrides, *job]) for job in jobs]


def names(*overrides: str) -> list[str]:
    return [setup_name(cfg) for cfg in swept(*overrides)]


def test_the_six_figures_need_24_runs() -> None:
    found = {figure: names(f"experiment={figure}") for figure in FIGURES}
    assert [len(set(found[figure])) for figure in FIGURES] == [8, 8, 8, 4, 4, 4]
    assert len({name for figure in found.values() for name in figure}) == 24


def test_the_authors_variant_adds_the_18_runs_that_differ() -> None:
    ours = {name for figure in FIGURES for name in names(f"experiment={figure}")}
    theirs = {
        name for figure in FIGURES for name in names(f"experiment={figure}", "variant=authors")
    }
    assert len(theirs - ours) == 18
    assert {name.split("-")[-2] for name in theirs - ours} == {"authors"}
    assert "fashion_mnist-resnet-horizon-seed0" in theirs & ours
    assert "fashion_mnist-fractional-horizon-authors-seed0" in theirs


@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_has_the_papers_settings(figure: str) -> None:
    for cfg in swept(f"experiment={figure}"):
        assert cfg.trainer.max_epochs == 200
        assert (cfg.data.batch_size, cfg.data.val_size) == (100, 0)
        assert cfg.optimizer == {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.01}
        assert cfg.scheduler is None
        assert bool(cfg.projection) == ("Fractional" in cfg.model._target_)
        assert (cfg.model.horizon, cfg.model.hidden_layers, cfg.model.width) == (1.0, 6, 100)
        assert cfg.model.get("gamma", 0.5) == 0.5
        if "l1" in cfg.reg:
            assert cfg.reg.l1.weight == 0.01
        assert bool(cfg.pruning) == (figure == "figure_4_6")
        if cfg.pruning:
            assert cfg.pruning.epsilon == 0.01


def test_figure_4_6_prunes_whenever_or_once_an_epoch() -> None:
    for variant, interval, smallest in (("paper", 1, False), ("authors", None, True)):
        for cfg in swept("experiment=figure_4_6", f"variant={variant}"):
            assert (cfg.pruning.interval, cfg.pruning.smallest_only) == (interval, smallest)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], Setup("mnist_5k", "resnet", "learned")),
        (["tau=fixed"], Setup("mnist_5k", "resnet", "fixed", False, "paper")),
        (["tau=fixed", "variant=authors"], Setup("mnist_5k", "resnet", "fixed", False, "authors")),
        (["reg=l1", "variant=authors"], Setup("mnist_5k", "resnet", "l1")),
        (["tau=simplex", "variant=authors"], Setup("mnist_5k", "resnet", "simplex")),
        (
            ["model=fractional", "tau=final", "data=mnist"],
            Setup("mnist", "fractional", "final", False, "paper"),
        ),
        (
            ["model=fractional", "tau=fixed", "variant=authors"],
            Setup("mnist_5k", "fractional", "fixed", False, "authors"),
        ),
        (
            ["pruning=adaptive", "pruning.interval=1", "reg=horizon"],
            Setup("mnist_5k", "resnet", "horizon", True, "paper"),
        ),
    ],
)
def test_a_setup_is_recognised_in_its_settings(overrides: list[str], expected: Setup) -> None:
    assert setup_of(settings(*overrides, "data.val_size=0")) == expected
    assert expected == setup(
        expected.data, expected.model, expected.tau, expected.pruned, expected.variant or "paper"
    )


def test_the_authors_fractional_baseline_fixes_every_tau() -> None:
    assert settings("model=resnet", "tau=fixed", "variant=authors")["tau"]["first_only"] is True
    assert (
        settings("model=fractional", "tau=fixed", "variant=authors")["tau"]["first_only"] is False
    )


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.val_size=0.1"], "data.val_size=0.1: the paper's runs have 0"),
        (["model.width=50"], "model.width=50: the paper's runs have 100"),
        (["model.horizon=6"], "model.horizon=6: the paper's runs have 1.0"),
        (["model=fractional", "model.gamma=0.3"], "model.gamma=0.3"),
        (["optimizer.lr=0.1"], "optimizer.lr=0.1"),
        (["+optimizer.momentum=0.9"], "optimizer.momentum=0.9: the paper's runs have 0"),
        (["+optimizer.weight_decay=0.1"], "optimizer.weight_decay=0.1"),
        (["scheduler={_target_: my.Scheduler}"], "scheduler={'_target_': 'my.Scheduler'}"),
        (["projection=positive"], "projection={"),
        (["model=fractional", "projection=none"], "projection={}: the paper's runs have"),
        (["optimizer=adam"], "optimizer._target_=torch.optim.Adam"),
        (["tau.initial=[1,0,0,0,0,0]"], "tau.initial"),
        (["reg=l1", "reg.l1.weight=0.1"], "not a setup of the paper"),
        (["reg=[l1,horizon]"], "not a setup of the paper"),
        (["tau=fixed", "reg=l1"], "not a setup of the paper"),
        (["reg=l2"], "not a setup of the paper"),
        (["pruning=adaptive", "pruning.epsilon=0.1"], "pruning.epsilon=0.1"),
        (["model=fractional", "model.history_start=0"], "some options are the paper's"),
        (["model._target_=my.Network"], "model._target_=my.Network"),
    ],
)
def test_other_settings_are_no_setup_of_the_paper(overrides: list[str], said: str) -> None:
    with pytest.raises(InputError) as refusal:
        setup_of(settings("data.val_size=0", *overrides))
    assert said in str(refusal.value)


def test_the_name_of_a_run_tells_setup_and_seed() -> None:
    cfg = compose("train", ["experiment=figure_4_6", "setup=l1", "seed=3"])
    assert setup_name(cfg) == "fashion_mnist-resnet-l1-pruned-paper-seed3"


def test_an_experiment_with_other_settings_needs_a_folder_of_its_own() -> None:
    cfg = compose("train", ["experiment=figure_4_1", "optimizer.lr=0.1"])
    with pytest.raises(InputError, match=r"set hydra\.sweep\.dir and hydra\.sweep\.subdir"):
        setup_name(cfg)
