"""A run that is killed, whenever and however often, ends with the bits of one that never was."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import SMALL, Command
from tests.runs.same_end import assert_same_end

TRAIN = "tvl_lightning.train"
KILLS = 4  # of each mix

PRUNED = ["reg=l1", "reg.l1.weight=0.3", "pruning=adaptive", "pruning.epsilon=0.1"]
MIXES = {
    "pruned, momentum, schedule": [
        *PRUNED,
        "optimizer.lr=0.05",
        "+optimizer.momentum=0.9",
        "scheduler={_target_:torch.optim.lr_scheduler.StepLR,_partial_:true,step_size:9}",
    ],
    "fractional, on the floor": ["model=fractional", "reg=horizon", "optimizer.lr=0.05"],
    "adam in Lightning's loop": ["optimizer=adam", "engine=lightning", "data.val_size=0"],
    "compiled, pruned": [*PRUNED, "optimizer.lr=0.05", "engine=compiled"],
    "convolutions with dropout": [
        "model=conv",
        "model.widths=[4,8]",
        "model.fields=1",
        "model.activation={_target_:torch.nn.Dropout,_partial_:true}",
        "data=digits",
    ],
}


def killed_after(seconds: float, folder: Path, *arguments: str) -> bool:
    """Whether the run was still going on when it was killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", TRAIN, *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    written = folder / "run" / "metrics.csv"
    before = written.stat().st_mtime_ns if written.exists() else 0
    while process.poll() is None:
        if written.exists() and written.stat().st_mtime_ns != before:
            time.sleep(seconds)
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("mix", MIXES)
def test_kills_at_random_moments_change_no_bit(call: Command, tmp_path: Path, mix: str) -> None:
    small = [] if "convolutions" in mix else SMALL
    arguments = [*small, *MIXES[mix], "trainer.max_epochs=60"]
    moments = random.Random(mix)
    kills = sum(
        killed_after(
            moments.uniform(0, 0.6), tmp_path, *arguments, "resume=auto", "hydra.run.dir=run"
        )
        for _ in range(KILLS)
    )
    assert kills >= 1
    for name in ("whole", "run"):
        done = call(TRAIN, *arguments, "resume=auto", f"hydra.run.dir={name}")
        assert done.returncode == 0, done.stderr
    assert_same_end(tmp_path / "whole", tmp_path / "run")
