"""Layers leave in two real processes: the same ones, in the same iteration."""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import REPOSITORY
from tests.training.runs import Blobs, conv, with_small_taus
from tvl_lightning.training import TimeVariableClassifier

# what each process runs: FOLDER NETWORK EPOCHS [CHECKPOINT]
SCRIPT = """
import logging
import sys
from functools import partial
from pathlib import Path

import torch
from lightning import Callback
from torch.optim.lr_scheduler import ExponentialLR

from tests.training.runs import LIGHTNING, conv, fit, with_small_taus
from tvl_lightning.constraints import Positive
from tvl_lightning.networks import Learned
from tvl_lightning.training import AdaptivePruning, TauProjection

NETWORKS = {
    "resnet": with_small_taus,
    "conv": partial(conv, tau=partial(Learned, initial=[0.5, 1e-4, 0.3, 0.2, 0.1, 1e-4])),
}


class Steps(Callback):
    '''Keeps tau, the layers and all parameters behind every iteration.'''

    def __init__(self):
        self.kept = []

    def on_train_batch_end(self, trainer, module, *_):
        known = {id(p) for group in trainer.optimizers[0].param_groups for p in group["params"]}
        assert known == {id(p) for p in module.parameters()}
        parameters = {name: p.detach().clone() for name, p in module.named_parameters()}
        self.kept.append((trainer.global_step, list(module.network.layers), parameters))


folder, network, epochs, *resume = sys.argv[1:]
logging.basicConfig(level=logging.INFO)
steps = Steps()
run = fit(
    Path(folder),
    TauProjection(Positive(1e-5)),
    AdaptivePruning(interval=4, smallest_only=True),
    steps,
    network=NETWORKS[network],
    optimizer=partial(torch.optim.SGD, lr=1e-4, momentum=0.9),
    scheduler=partial(ExponentialLR, gamma=0.9),
    epochs=int(epochs),
    resume=Path(resume[0]) if resume else None,
    strategy="ddp",
    devices=2,
)
run.trainer.save_checkpoint(Path(folder) / "end.ckpt")
torch.save(steps.kept, Path(folder) / f"rank{run.trainer.global_rank}-{epochs}.pt")
"""
TAU = "network.time_steps.free"
EPOCH = 9  # 177 inputs in batches of 10, shared by two
Kept = list[tuple[int, list[int], dict[str, torch.Tensor]]]


def train(folder: Path, *arguments: str) -> str:
    """Run the script in two processes; what they wrote to stderr."""
    script = folder / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, script, folder / "run", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def both_ranks(folder: Path, epochs: int) -> Kept:
    """What the first rank kept, and it is bit for bit what the second did."""
    first, second = (
        torch.load(folder / "run" / f"rank{rank}-{epochs}.pt", weights_only=True)
        for rank in range(2)
    )
    assert len(first) == len(second)
    for (step, layers, parameters), (other_step, other_layers, others) in zip(
        first, second, strict=True
    ):
        assert (step, layers) == (other_step, other_layers)
        assert parameters.keys() == others.keys()
        for name, value in parameters.items():
            assert torch.equal(value, others[name]), (step, name)
    kept: Kept = first
    return kept


def assert_moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> None:
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert not torch.equal(value, after[name]), f"{name} no longer trains"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "make", "depths"),
    [
        # the projection takes -0.001 to 0.00001: layer 3 is the smallest, then layer 1
        ("resnet", with_small_taus, [(4, [0, 1, 2, 4]), (8, [0, 2, 4])]),
        ("conv", conv, None),
    ],
)
def test_layers_leave_in_both_processes_at_once(
    tmp_path: Path, network: str, make: Any, depths: list[tuple[int, list[int]]] | None
) -> None:
    said = train(tmp_path, network, "2")
    kept = both_ranks(tmp_path, 2)
    assert [step for step, *_ in kept] == list(range(1, 2 * EPOCH + 1))
    changes = [
        (step, layers) for (_, before, _), (step, layers, _) in pairwise(kept) if layers != before
    ]
    if depths is not None:
        assert changes == depths
    assert [step for step, _ in changes] == [4, 8]
    assert {int(n) for n in re.findall(r"iteration (\d+): removed layer", said)} == {4, 8}

    left = kept[-1][1]
    assert len(left) == len(kept[0][1]) - 2
    survivors = [(layers, parameters) for _, layers, parameters in kept if layers == left]
    assert len(survivors) == 2 * EPOCH - 7
    assert_moved(survivors[0][1], survivors[-1][1])
    for (_, before), (_, after) in pairwise(survivors):
        assert not torch.equal(before[TAU], after[TAU])

    path = tmp_path / "run" / "end.ckpt"
    loaded = TimeVariableClassifier.load_from_checkpoint(path, network=make())
    assert loaded.network.layers == left
    assert torch.equal(loaded.tau, kept[-1][2][TAU])
    assert loaded.eval()(Blobs().load().test.inputs).isfinite().all()

    train(tmp_path, network, "4", str(path))
    resumed = both_ranks(tmp_path, 4)
    assert [step for step, *_ in resumed] == list(range(2 * EPOCH + 1, 4 * EPOCH + 1))
    assert all(layers == left for _, layers, _ in resumed)
    assert_moved(kept[-1][2], resumed[-1][2])
