"""The console scripts, and Hydra's completion of their arguments in bash."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

SCRIPTS = [e for e in entry_points(group="console_scripts") if e.name.startswith("tvl-")]
BIN = Path(sys.executable).parent

COMPLETE = """
eval "$(tvl-train -sc install=bash)"
COMP_LINE="tvl-train $1"; COMP_POINT=${#COMP_LINE}
COMP_WORDS=($COMP_LINE); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
$(complete -p tvl-train | sed 's/.*-F \\([^ ]*\\).*/\\1/')
echo "${COMPREPLY[*]}"
"""


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: str(script.name))
def test_a_script_is_a_function_without_arguments(script: object) -> None:
    command = script.load()  # type: ignore[attr-defined]
    assert callable(command)


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("bash") and (BIN / "tvl-train").is_file()),
    reason="needs bash, and the package installed anew since it has scripts",
)
@pytest.mark.parametrize(
    ("begun", "completed"),
    [
        ("model=", "model=conv model=fractional model=resnet model=transformer"),
        ("reg=h", "reg=horizon"),
        ("trainer.max_", "trainer.max_epochs="),
    ],
)
def test_bash_completes_groups_choices_and_keys(begun: str, completed: str) -> None:
    done = subprocess.run(
        ["bash", "--norc", "-c", COMPLETE, "bash", begun],
        env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == completed, done.stderr
