"""The recipes of docs/extending.md and the examples, run as they stand."""

import ast
import json
import logging
import re
import runpy
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from tests.conftest import REPOSITORY, Command
from tvl_lightning import evaluate, train
from tvl_lightning.limits import InputError
from tvl_lightning.training import load_classifier, read_checkpoint

PAGE = (REPOSITORY / "docs" / "extending.md").read_text()
EXAMPLES = sorted((REPOSITORY / "examples").glob("*.py"))
LAST = "run/checkpoints/last.ckpt"
SMALL = ["data=digits", "trainer=cpu", "trainer.max_epochs=1", "hydra.run.dir=run"]
QUIET = [
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
    "callbacks.progress_bar=null",
]


class Recipe(NamedTuple):
    """A section of the page: its files, and the commands that it shows."""

    files: dict[str, str]
    commands: list[list[str]]  # without `python -m`


def recipe_of(title: str) -> Recipe:
    [section] = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, flags=re.M | re.S)
    blocks = re.findall(r"^```\w+\n# (\S+)\n(.*?)^```$", section, flags=re.M | re.S)
    commands = re.findall(r"^    python -m (.*)$", section, flags=re.M)
    return Recipe(dict(blocks), [shlex.split(line.replace("RUN", "run")) for line in commands])


TITLES = ["A field", "A scheme", "A penalty", "A constraint", "A rule of τ", "A data set"]
RECIPES = {title: recipe_of(title) for title in TITLES}

Follow = Callable[..., dict[str, Any]]


def write(files: dict[str, str], folder: Path) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture
def beside_me(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which the user works, as `python -m` sees it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("mine", None)


@pytest.fixture
def follow(beside_me: Path, monkeypatch: pytest.MonkeyPatch) -> Follow:
    """Write a recipe's files and give its two commands, in this process."""

    def call(main: Callable[[], object], *arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["command", *arguments])
        main()

    def run(recipe: Recipe, *more: str) -> dict[str, Any]:
        write(recipe.files, beside_me)
        (_, *training), (_, *evaluation) = recipe.commands
        small = [setting for setting in SMALL if setting.split("=")[0] not in str(training)]
        call(train.main, *training, *small, *QUIET, *more)
        call(evaluate.main, *evaluation, "hydra.run.dir=evaluation", *QUIET[:2])
        summary: dict[str, Any] = json.loads(Path("run/summary.json").read_text())
        evaluated = json.loads(Path("evaluation/evaluation.json").read_text())
        assert evaluated["test"] == pytest.approx(summary["test"])
        return summary

    return run


def test_a_recipe_is_at_most_20_lines_and_a_configuration_five() -> None:
    assert [*re.findall(r"^## (.*)$", PAGE, flags=re.M)] == [*TITLES, "Without the command"]
    for title, (files, commands) in RECIPES.items():
        [code, configuration] = files
        assert code == "mine.py"
        assert configuration.startswith("configs/"), title
        assert len(files[code].strip().splitlines()) <= 20, title
        assert len(files[configuration].strip().splitlines()) <= 5, title
        assert [command[0] for command in commands] == [
            "tvl_lightning.train",
            "tvl_lightning.evaluate",
        ]


def taus() -> np.ndarray:
    """τ of every iteration, (iterations, n)."""
    with np.load("run/tau.npz") as file:
        tau: np.ndarray = file["tau"]
    assert not np.array_equal(tau[0], tau[-1])  # it is learned
    return tau


def test_a_field_of_ones_own_is_trained_and_goes_on(follow: Follow) -> None:
    follow(RECIPES["A field"], "model.width=12")
    weights = read_checkpoint(LAST)["state_dict"]
    assert weights["network.stages.0.5.down.weight"].shape == (3, 12)
    go_on = ["trainer.max_epochs=2", f"resume={LAST}"]
    assert follow(RECIPES["A field"], "model.width=12", *go_on)["iterations"] == 2 * 13


def test_what_is_ones_own_is_not_called_without_trust(follow: Follow) -> None:
    follow(RECIPES["A penalty"], "model.width=12")
    sys.modules.pop("mine")
    with pytest.raises(InputError, match=r"mine\.Spread.*trust=\[PACKAGE\]"):
        load_classifier(LAST)
    assert "mine" not in sys.modules


def test_a_scheme_of_ones_own_advances_the_state(follow: Follow) -> None:
    follow(RECIPES["A scheme"], "model.width=12", "model.hidden_layers=3")
    network = load_classifier(LAST, trust=["mine"]).network
    (lift, first, second), tau = network.stages[0], network.tau
    images = torch.rand(5, 1, 8, 8)
    y = tau[0] * lift(images)
    y = y + tau[1] * first(y + tau[1] / 2 * first(y))
    y = y + tau[2] * second(y + tau[2] / 2 * second(y))
    torch.testing.assert_close(network(images), network.decoder(y))


def test_a_penalty_of_ones_own_is_in_the_loss_and_in_the_metrics(follow: Follow) -> None:
    summary = follow(RECIPES["A penalty"], "reg.spread.weight=0.5")
    expected = 0.5 * np.var(summary["tau"], ddof=1)
    assert summary["metrics"]["penalty/spread"] == pytest.approx(expected, rel=1e-3)
    with np.load("run/tau.npz") as file:  # losses are those before the iteration
        of_penalty = file["loss"][1:] - file["task_loss"][1:]
        before = 0.5 * file["tau"][:-1].var(1, ddof=1)
    np.testing.assert_allclose(of_penalty, before, atol=1e-6)


def test_a_constraint_of_ones_own_holds_at_every_iteration(follow: Follow) -> None:
    follow(RECIPES["A constraint"], "model.horizon=2.0", "optimizer.lr=0.5")
    np.testing.assert_allclose(taus().sum(1), 2.0, rtol=1e-6)


def test_a_rule_of_ones_own_holds_at_every_iteration(follow: Follow) -> None:
    follow(RECIPES["A rule of τ"], "model.horizon=2.0", "optimizer.lr=0.5")
    tau = taus()
    assert ((tau > 0) & (tau < 2 * 2.0 / 6)).all()
    assert "network.time_steps.free" in read_checkpoint(LAST)["state_dict"]


def test_a_data_set_of_ones_own_gives_the_network_its_sizes(follow: Follow) -> None:
    summary = follow(RECIPES["A data set"])
    assert summary["settings"]["model"]["in_shape"] == [2]
    assert summary["settings"]["model"]["classes"] == 2
    assert summary["data"]["dataset"] == "Moons"
    assert summary["data"]["source"] == "moons"
    assert summary["test"]["test/acc"] > 0.7
    assert summary["engine"]["name"] != "lightning"


DATAMODULE = Recipe(
    {
        "mine.py": """
import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, TensorDataset


class Noise(LightningDataModule):
    def train_dataloader(self):
        x = torch.rand(64, 20, generator=torch.Generator().manual_seed(0))
        return DataLoader(TensorDataset(x, torch.arange(64) % 3), batch_size=16)

    val_dataloader = test_dataloader = train_dataloader
""",
        "configs/data/noise.yaml": "_target_: mine.Noise",
    },
    [
        ["tvl_lightning.train", "--config-dir", "configs", "data=noise"],
        ["tvl_lightning.evaluate", "checkpoint=run/checkpoints/best.ckpt", "trust=[mine]"],
    ],
)


def test_any_datamodule_goes_through_lightnings_loop(follow: Follow) -> None:
    summary = follow(DATAMODULE)
    assert summary["settings"]["model"]["in_shape"] == [20]
    assert summary["settings"]["model"]["classes"] == 3
    assert summary["engine"]["name"] == "lightning"
    assert "Noise" in summary["engine"]["reason"]
    assert summary["iterations"] == 4


@pytest.mark.slow
def test_a_command_finds_the_file_beside_the_user(follow: Follow, command: Command) -> None:
    follow(RECIPES["A field"], "model.width=12")
    done = command(*RECIPES["A field"].commands[1])  # a process of its own, without our sys.path
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout


def run_script(path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Run a script in this process, and give the lines that it prints."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    try:
        runpy.run_path(str(path))
    finally:
        logger.setLevel(level)
    return capsys.readouterr().out.splitlines()


@pytest.mark.slow
def test_parts_of_ones_own_work_without_the_command(
    beside_me: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = "\n".join(RECIPES[title].files["mine.py"] for title in TITLES)
    write({**recipe_of("Without the command").files, "mine.py": mine}, beside_me)
    assert "test/acc" in str(run_script(beside_me / "own_parts.py", capsys))


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_prints_lines_like_those_in_its_docstring(
    path: Path, beside_me: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring
    shown = [line.strip() for line in docstring.splitlines() if line.startswith("    ")]
    printed = [line for line in run_script(path, capsys) if "accuracy" in line]
    assert [line.split(":")[0] for line in printed] == [line.split(":")[0] for line in shown]
