import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: tests run side by side, one core each

import pytest
from lightning import Callback, Trainer

REPOSITORY = Path(__file__).parents[1]

SMALL = ["model.width=12", "model.hidden_layers=4", "data.batch_size=200"]

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def quiet_trainer(folder: Path, *callbacks: Callback, epochs: int = 1, **options: Any) -> Trainer:
    return Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        **options,
    )


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Run `python -m MODULE ARGUMENTS` in an empty folder, as a user does."""

    def run(module: str, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run
