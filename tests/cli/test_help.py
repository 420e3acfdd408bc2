"""What `--help` and `--version` say, and that a pipe may close on them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tvl_lightning
from tvl_lightning.cli.choices import CONFIG_PATH, groups_in
from tvl_lightning.cli.help import TRAIN, answered, pipe_may_close


@pytest.mark.parametrize("group", groups_in([Path(CONFIG_PATH)]))
def test_the_help_explains_every_group_and_names_every_choice(group: str) -> None:
    [line] = re.findall(rf"^  {group} +((?:.|\n {{10,}})*)", TRAIN, re.MULTILINE)
    for choice in groups_in([Path(CONFIG_PATH)])[group]:
        assert re.search(rf"\b{choice}\b", line), choice


def test_the_help_fits_a_screen() -> None:
    lines = TRAIN.splitlines()
    assert len(lines) < 60
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["model=conv", "--help"]])
def test_help_is_printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert answered(TRAIN, arguments)
    assert capsys.readouterr().out == TRAIN


def test_the_version_is_that_of_this_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert answered(TRAIN, ["--version"])
    assert capsys.readouterr().out == f"tvl_lightning {tvl_lightning.__version__}\n"


def test_other_arguments_are_left_to_hydra(capsys: pytest.CaptureFixture[str]) -> None:
    assert not answered(TRAIN, ["model=conv", "--cfg", "job", "--hydra-help"])
    assert capsys.readouterr().out == ""


def test_a_closed_pipe_is_no_error() -> None:
    code = (
        "from tvl_lightning.cli.help import pipe_may_close\n"
        "with pipe_may_close():\n    print('x' * 1_000_000)"
    )
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, timeout=60
    )
    os.close(writing)
    assert done.returncode == 141
    assert done.stderr == b""


def test_other_errors_pass_through_a_pipe() -> None:
    with pytest.raises(FileNotFoundError), pipe_may_close():
        raise FileNotFoundError
