"""The paper's setups, recognised in a configuration, and the runs that its figures need."""

import itertools
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.paper.made_up import all_setups, composed, resolved, settings_of
from tvl_lightning.limits import InputError
from tvl_lightning.paper.setups import Setup, setup, setup_of, study_setups

REPOSITORY = Path(__file__).parents[2]
FIGURES = [f"figure_4_{number}" for number in range(1, 7)]


def jobs(*overrides: str) -> list[list[str]]:
    """The overrides of each job of a multirun."""
    chosen = dict(override.split("=") for override in overrides)
    with composed(*overrides) as base:
        axes = {k: str(v) for k, v in base.hydra.sweeper.params.items() if k not in chosen}
    fixed = [f"{name}={value}" for name, value in chosen.items()]
    return [
        [*fixed, *(f"{name}={choice}" for name, choice in zip(axes, choices, strict=True))]
        for choices in itertools.product(*(values.split(",") for values in axes.values()))
    ]


def settings(*overrides: str) -> list[dict[str, Any]]:
    """The resolved settings of each job of a multirun."""
    return [settings_of(*job) for job in jobs(*overrides)]


@cache
def folder_and_setup(*job: str) -> tuple[str, str]:
    with composed(*job) as cfg:
        return str(cfg.hydra.sweep.subdir), str(setup_of(resolved(cfg)))


def folders(*overrides: str) -> dict[str, str]:
    """The folder of each job of a multirun, and the setup that its settings are."""
    return dict(folder_and_setup(*sorted(job)) for job in jobs(*overrides))


def test_the_study_is_every_setup_that_a_figure_shows() -> None:
    assert study_setups() == all_setups()


@pytest.mark.slow
def test_the_six_figures_need_24_runs() -> None:
    found = [folders(f"experiment={figure}") for figure in FIGURES]
    assert [len(runs) for runs in found] == [8, 8, 8, 4, 4, 4]
    together = {name: shown for runs in found for name, shown in runs.items()}
    assert len(together) == len(set(together.values())) == 24


def test_a_run_is_named_by_what_was_chosen() -> None:
    [job] = folders("experiment=figure_4_6", "setup=l1", "seed=3").items()
    assert job == (
        "fashion_mnist-resnet-l1-adaptive-paper-seed3",
        "fashion_mnist-resnet-l1-pruned-paper",
    )


@pytest.mark.skipif(
    not (shutil.which("make") and (REPOSITORY / "Makefile").is_file()), reason="needs make"
)
@pytest.mark.slow
def test_make_reproduce_trains_each_setup_of_both_variants_seed_by_seed(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
    python.chmod(0o755)
    subprocess.run(
        ["make", "-o", ".venv/installed", "reproduce", f"BIN={tmp_path}"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    runs: dict[str, str] = {}
    commands, seeds = [], []
    for line in (tmp_path / "calls").read_text().splitlines():
        _, module, *arguments = line.split()
        if module == "tvl_lightning.train":
            seeds += [a for a in arguments if a.startswith("seed=")]
            own = ("variant=", "experiment=", "model=", "setup=")
            runs |= folders(*(a for a in arguments if a.startswith(own)))
        else:
            commands.append((module, *arguments))
    assert sorted(runs.values()) == sorted(map(str, all_setups()))
    assert seeds == [f"seed={seed}" for seed in (0, 1, 2) for _ in range(len(seeds) // 3)]
    assert commands == [
        (f"tvl_lightning.paper.{name}", "outputs/reproduction/200_epochs")
        for name in ("figures", "claims", "report")
    ]


@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_has_the_papers_settings(figure: str) -> None:
    for cfg in settings(f"experiment={figure}"):
        assert cfg["trainer"]["max_epochs"] == 200
        assert (cfg["data"]["batch_size"], cfg["data"]["val_size"]) == (100, 0)
        assert (cfg["optimizer"]["_target_"], cfg["optimizer"]["lr"]) == ("torch.optim.SGD", 0.01)
        assert setup_of(cfg)
        assert cfg["scheduler"] is None
        model = cfg["model"]
        assert (model["horizon"], model["hidden_layers"], model["width"]) == (1.0, 6, 100)
        fractional = model["scheme"]["_target_"] == "tvl_lightning.networks.Fractional"
        assert bool(cfg["projection"]) == fractional
        assert model["scheme"].get("gamma", 0.5) == 0.5
        if "l1" in cfg["reg"]:
            assert cfg["reg"]["l1"]["weight"] == 0.01
        assert bool(cfg["pruning"]) == (figure == "figure_4_6")
        if cfg["pruning"]:
            assert cfg["pruning"]["epsilon"] == 0.01


def test_figure_4_6_prunes_whenever_or_once_an_epoch() -> None:
    for variant, interval, smallest in (("paper", 1, False), ("authors", None, True)):
        for cfg in settings("experiment=figure_4_6", f"variant={variant}"):
            pruning = cfg["pruning"]
            assert (pruning["interval"], pruning["smallest_only"]) == (interval, smallest)


@pytest.mark.parametrize(
    ("overrides", "scheme", "projection"),
    [
        (["model=resnet"], "Euler", None),
        (["model=fractional"], "Fractional", "Positive"),
        (["scheme=fractional", "model=conv"], "Fractional", "Positive"),
        (["model=fractional", "projection=none"], "Fractional", None),
        (["model=fractional", "scheme=euler"], "Euler", None),
        (["experiment=figure_4_1", "model=fractional", "setup=fixed"], "Fractional", "Positive"),
        (["experiment=figure_4_3", "setup=final"], "Fractional", "Positive"),
        (["experiment=figure_4_5", "setup=l1", "variant=authors"], "Fractional", "Positive"),
    ],
)
def test_a_model_brings_its_scheme_and_a_scheme_its_projection(
    overrides: list[str], scheme: str, projection: str | None
) -> None:
    cfg = settings_of(*overrides)
    assert cfg["scheme"]["_target_"] == f"tvl_lightning.networks.{scheme}"
    assert cfg["model"]["scheme"] == cfg["scheme"]
    expected = f"tvl_lightning.constraints.{projection}" if projection else None
    assert cfg["projection"].get("_target_") == expected


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
            ["model=fractional", "reg=horizon", "variant=constant"],
            Setup("mnist_5k", "fractional", "horizon", False, "constant"),
        ),
        (["reg=horizon", "variant=constant"], Setup("mnist_5k", "resnet", "horizon")),
        (
            ["pruning=adaptive", "pruning.interval=1", "reg=horizon"],
            Setup("mnist_5k", "resnet", "horizon", True, "paper"),
        ),
    ],
)
def test_a_setup_is_recognised_in_its_settings(overrides: list[str], expected: Setup) -> None:
    assert setup_of(settings_of(*overrides, "data.val_size=0")) == expected
    assert expected == setup(
        expected.data, expected.model, expected.tau, expected.pruned, expected.variant or "paper"
    )


def test_the_authors_fractional_baseline_fixes_every_tau() -> None:
    for model, first_only in (("resnet", True), ("fractional", False)):
        cfg = settings_of(f"model={model}", "tau=fixed", "variant=authors")
        assert cfg["model"]["tau"]["first_only"] is first_only


def test_sizes_that_the_data_filled_in_are_the_papers() -> None:
    filled = settings_of("data=mnist", "data.val_size=0")
    filled["model"] |= {"in_shape": [1, 28, 28], "classes": 10}
    assert setup_of(filled) == Setup("mnist", "resnet", "learned")
    filled["model"]["in_shape"] = [1, 8, 8]
    with pytest.raises(InputError, match=r"model\.in_shape=\[1, 8, 8\]: the paper's runs have"):
        setup_of(filled)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["data.val_size=0.1"], "data.val_size=0.1: the paper's runs have 0"),
        (["model.width=50"], "model.width=50: the paper's runs have 100"),
        (["model.horizon=6"], "model.horizon=6: the paper's runs have 1.0"),
        (["model=fractional", "scheme.gamma=0.3"], "scheme.gamma=0.3"),
        (["optimizer.lr=0.1"], "optimizer.lr=0.1"),
        (["+optimizer.momentum=0.9"], "optimizer.momentum=0.9: the paper's runs have none"),
        (["+optimizer.weight_decay=0.1"], "optimizer.weight_decay=0.1"),
        (["optimizer.tau.lr=0.1"], "optimizer.tau.lr=0.1: the paper's runs have none"),
        (["scheduler={_target_: my.Scheduler}"], "scheduler._target_=my.Scheduler"),
        (["+trainer.gradient_clip_val=1"], "trainer.gradient_clip_val=1"),
        (["+callbacks.mine={_target_: my.Callback}"], "callbacks.mine._target_=my.Callback"),
        (["projection=positive"], "projection={"),
        (["model=fractional", "projection=none"], "projection={}: the paper's runs have"),
        (["optimizer=adam"], "optimizer._target_=torch.optim.Adam"),
        (["tau.initial=[1,0,0,0,0,0]"], "tau.initial"),
        (["reg=l1", "reg.l1.weight=0.1"], "not a setup of the paper"),
        (["reg=[l1,horizon]"], "not a setup of the paper"),
        (["tau=fixed", "reg=l1"], "not a setup of the paper"),
        (["reg=l2"], "not a setup of the paper"),
        (["pruning=adaptive", "pruning.epsilon=0.1"], "pruning.epsilon=0.1"),
        (["model=fractional", "scheme.history_start=0"], "some options are the paper's"),
        (
            ["model=fractional", "variant=constant", "tau=final", "tau.detach=true"],
            "some options are the paper's",
        ),
        (["pruning=adaptive", "pruning.force=true"], "pruning.force=True"),
        (["model._target_=my.network"], "model._target_=my.network"),
        (["model=conv"], "model._target_=tvl_lightning.networks.convolutional"),
        (["model.field={_target_: my.Field}"], "model.field={'_target_': 'my.Field'}"),
        (["scheme=heun"], "scheme._target_=tvl_lightning.networks.Heun"),
        (["model=fractional", "scheme.learn_gamma=true"], "scheme.learn_gamma=True"),
        (["model.scheme={_target_: my.Scheme}"], "scheme._target_=my.Scheme"),
        (["tau._target_=my.Rule"], "tau._target_=my.Rule"),
        (["data=digits"], "data._target_=tvl_lightning.data.Digits"),
    ],
)
def test_other_settings_are_no_setup_of_the_paper(overrides: list[str], said: str) -> None:
    with pytest.raises(InputError) as refusal:
        setup_of(settings_of("data.val_size=0", *overrides))
    assert said in str(refusal.value)
