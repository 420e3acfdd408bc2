"""A command line together with the settings of the run that it goes on with."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from tests.conftest import SMALL, Command
from tvl_lightning.cli.requests import with_settings_of_the_run
from tvl_lightning.limits import InputError

TRAIN = "tvl_lightning.train"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / ".hydra").mkdir(parents=True)
    asked = ["model=fractional", "reg=[l1,horizon]", "+trainer.max_steps=30", "optimizer.lr=0.1"]
    OmegaConf.save(OmegaConf.create(asked), folder / ".hydra" / "overrides.yaml")
    return folder


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        (
            "resume=RUN",
            "model=fractional reg=[l1,horizon] +trainer.max_steps=30 optimizer.lr=0.1 resume=RUN",
        ),
        (
            "resume=RUN/checkpoints/last.ckpt",
            "model=fractional reg=[l1,horizon] +trainer.max_steps=30 optimizer.lr=0.1 "
            "resume=RUN/checkpoints/last.ckpt",
        ),
        (
            "resume=RUN optimizer.lr=0.5",
            "model=fractional reg=[l1,horizon] +trainer.max_steps=30 resume=RUN optimizer.lr=0.5",
        ),
        (
            "resume=RUN trainer.max_steps=60",
            "model=fractional reg=[l1,horizon] optimizer.lr=0.1 resume=RUN +trainer.max_steps=60",
        ),
        (
            "resume=RUN ~trainer.max_steps",
            "model=fractional reg=[l1,horizon] optimizer.lr=0.1 resume=RUN",
        ),
        (
            "--config-dir conf seed=1 resume=RUN model=resnet",
            "--config-dir conf seed=1 reg=[l1,horizon] +trainer.max_steps=30 optimizer.lr=0.1 "
            "resume=RUN model=resnet",
        ),
        ("resume=auto model=resnet", "resume=auto model=resnet"),
        ("resume=nowhere", "resume=nowhere"),
        ("-m seed=1,2", "-m seed=1,2"),
        ("--help", "--help"),
    ],
)
def test_the_settings_of_the_run_stand_before_those_of_the_command_line(
    run: Path, arguments: str, read: str
) -> None:
    given = arguments.replace("RUN", str(run)).split()
    assert with_settings_of_the_run(given) == read.replace("RUN", str(run)).split()


def test_the_folder_of_configurations_is_that_of_the_run(call: Command, tmp_path: Path) -> None:
    (tmp_path / "mine" / "reg").mkdir(parents=True)
    penalty = "l1: {_target_: tvl_lightning.penalties.L1, weight: 0.5}"
    (tmp_path / "mine" / "reg" / "strong.yaml").write_text(penalty)
    first = ["--config-dir", "mine", *SMALL, "reg=strong", "trainer.max_epochs=1"]
    assert call(TRAIN, *first, "hydra.run.dir=run").returncode == 0
    done = call(TRAIN, "resume=run", "trainer.max_epochs=2")
    assert done.returncode == 0, done.stderr


def test_overrides_that_cannot_be_read_are_named(run: Path) -> None:
    (run / ".hydra" / "overrides.yaml").write_text("{")
    with pytest.raises(InputError, match=r"overrides.yaml: cannot be read"):
        with_settings_of_the_run([f"resume={run}"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["resume="], "resume="),
        (["resume=3"], "resume=3: must be auto, the folder of a run, or a checkpoint"),
        (["resume=empty"], "resume=empty: holds no run (.hydra/overrides.yaml is missing)"),
        (["resume=empty", "hydra.run.dir=other"], "resume=empty goes on in its own folder"),
        (["resume=none.ckpt"], "checkpoint none.ckpt: no such file"),
    ],
)
def test_what_is_no_run_is_refused_in_one_line(
    call: Command, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    done = call(TRAIN, *SMALL, *arguments)
    [line] = done.stderr.splitlines()
    assert done.returncode == 2
    assert said in line
    assert {path.name for path in tmp_path.iterdir()} <= {"empty"}
