"""What the README shows runs as it stands there."""

import os
import re
import shlex
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Command

FULL = Path(os.environ.get("TVL_DATA", REPOSITORY.parent / "shared" / "data")).resolve()
README = (REPOSITORY / "README.md").read_text()
COMMAND = r"^    python -m (tvl_lightning\.\w+(?:\.\w+)?) ?(.*?)(?:  +#.*)?$"
COMMANDS = re.findall(COMMAND, README, re.MULTILINE)
# the networks of a page that is read are small, and learn for one epoch
SHORT = ["model.width=8", "trainer.max_epochs=1", "trainer.accelerator=cpu"]


def test_the_python_of_the_readme_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


def test_the_readme_shows_every_command() -> None:
    assert {module for module, _ in COMMANDS} >= {
        f"tvl_lightning.{name}" for name in ("train", "evaluate", "report", "table")
    }


@pytest.mark.slow
@pytest.mark.parametrize(("module", "arguments"), COMMANDS)
def test_every_command_of_the_readme_runs(
    command: Command, tmp_path: Path, module: str, arguments: str
) -> None:
    if module.startswith("tvl_lightning.paper") or "experiment=" in arguments:
        pytest.skip("`make reproduce EPOCHS=1` is tried in tests/paper")
    given = shlex.split(arguments)
    short = [] if "--help" in given else SHORT["model=conv" in given :]
    if "fashion_mnist" in arguments or "mnist " in f"{arguments} ":
        if not FULL.is_dir():
            pytest.skip(f"the full data sets are not in {FULL}; name their folder in TVL_DATA")
        short += [f"data.root={FULL}"]
    if "FOLDER" in arguments:
        first = command("tvl_lightning.train", *SHORT, "hydra.run.dir=FOLDER")
        assert first.returncode == 0, first.stderr
        short = ["trainer.max_epochs=2"] if "max_epochs" in arguments else []
        given = [word for word in given if "max_epochs" not in word]
    if "hparams_search" in arguments:
        short += ["hydra.sweeper.n_trials=2", "hydra.sweeper.seeds=[0]"]
    done = command(module, *given, *(short if module.endswith(".train") else []), timeout=300)
    assert done.returncode == 0, done.stderr
