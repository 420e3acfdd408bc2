"""The paper's own runs, on its own data, beside the literal training."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.paper.first_iterations import CASES, differences, literal, recorded

ITERATIONS = 100
ROOT = Path(os.environ.get("TVL_DATA", REPOSITORY.parent / "shared" / "data"))

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.slow
@pytest.mark.skipif(not ROOT.is_dir(), reason="needs the full data sets: TVL_DATA")
@pytest.mark.parametrize("name", CASES)
def test_the_first_iterations_of_a_run_are_the_literal_ones(
    call: Command, tmp_path: Path, name: str
) -> None:
    choice, variant = name.split("-")
    done = call(
        "tvl_lightning.train",
        *("experiment=paper", "hydra.mode=RUN", f"hydra.run.dir={tmp_path}/run", "logger=none"),
        *("data=fashion_mnist", f"data.root={ROOT}", "model=fractional"),
        *(f"setup={choice}", f"variant={variant}", "trainer.accelerator=cpu"),
        *("engine=lightning", f"+trainer.max_steps={ITERATIONS}", "+trainer.precision=64-true"),
        "trainer.num_sanity_val_steps=0",
    )
    assert done.returncode == 0, done.stderr
    expected = literal(name, "fashion_mnist", str(ROOT), ITERATIONS)
    run = recorded(tmp_path / "run")
    assert len(run.tau) == ITERATIONS
    assert max(differences(run, expected, ITERATIONS)) < 1e-12
