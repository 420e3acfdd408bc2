"""Two real processes train as one does, and layers leave in both in the same iteration."""

import os
import re
import subprocess
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback
from torch import Tensor

from tests.conftest import REPOSITORY
from tests.training.runs import ITERATIONS, MOMENTUM, Blobs, conv, fit, with_small_taus
from tvl_lightning.constraints import Positive
from tvl_lightning.data import Dataset, Samples
from tvl_lightning.penalties import L1, Horizon
from tvl_lightning.training import TauProjection, TimeVariableClassifier

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


# FOLDER OPTIMIZER BATCH_SIZE DEVICES
WHOLE_RUN = """
import sys
from pathlib import Path

from tests.training.test_ddp import whole_run

folder, optimizer, batch_size, devices = sys.argv[1:]
whole_run(Path(folder), optimizer, int(batch_size), int(devices))
"""


class Shared(Blobs):
    """176 train, so that two share every batch of 10; 21 validate and 39 test, which is odd."""

    def __init__(self, batch_size: int) -> None:
        super().__init__(batch_size, val_size=21 / 197)

    def load(self) -> Dataset:
        data = super().load()
        return data._replace(test=Samples(*(part[:39] for part in data.test)))


OPTIMIZERS: dict[str, Any] = {
    "sgd": MOMENTUM,
    "adam": partial(torch.optim.Adam, lr=0.01),
}


def whole_run(folder: Path, optimizer: str, batch_size: int, devices: int) -> None:
    """Train with penalties and projection, test, and keep what came out of each process."""
    trained: list[Tensor] = []
    evaluated: list[Tensor] = []

    class Seen(Callback):
        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, i: int) -> None:
            trained.append(batch[1])

        def on_test_batch_start(self, trainer: Any, module: Any, batch: Any, *_: Any) -> None:
            evaluated.append(batch[1])

    run = fit(
        folder,
        TauProjection(Positive(0.05)),
        Seen(),
        network=with_small_taus,
        penalties={"horizon": Horizon(weight=0.1, horizon=2.0), "l1": L1(weight=0.05)},
        optimizer=OPTIMIZERS[optimizer],
        epochs=3,
        data=Shared(batch_size),
        num_sanity_val_steps=-1,
        strategy="ddp" if devices > 1 else "auto",
        devices=devices,
    )
    weights = run.module.state_dict()
    metrics = {name: float(value) for name, value in run.trainer.callback_metrics.items()}
    [tested] = run.trainer.test(run.module, Shared(batch_size), verbose=False)
    kept = {
        "trained": trained,
        "evaluated": torch.cat(evaluated),
        "tau": torch.from_numpy(run.record["tau"]),
        "loss": torch.from_numpy(run.record["loss"]),
        "points": run.points.points,
        "metrics": metrics,
        "tested": tested,
        "weights": {name: w for name, w in weights.items() if isinstance(w, Tensor)},
    }
    torch.save(kept, folder / f"rank{run.trainer.global_rank}.pt")


def train(folder: Path, *arguments: str, text: str = SCRIPT) -> str:
    """Run the script in two processes; what they wrote to stderr."""
    script = folder / "script.py"
    script.write_text(text)
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


@pytest.fixture(scope="module", params=OPTIMIZERS)
def runs(request: Any, tmp_path_factory: Any) -> list[dict[str, Any]]:
    """What one process kept, and each of two with batches of half the size."""
    folder = tmp_path_factory.mktemp("whole")
    whole_run(folder / "one", request.param, 10, devices=1)
    train(folder, request.param, "5", "2", text=WHOLE_RUN)
    paths = [folder / path for path in ("one/rank0.pt", "run/rank0.pt", "run/rank1.pt")]
    return [torch.load(path, weights_only=True) for path in paths]


@pytest.mark.slow
def test_two_processes_train_as_one_with_batches_twice_as_large(runs: Any) -> None:
    one, first, second = runs
    assert len(one["trained"]) == len(first["trained"]) == 3 * ITERATIONS
    for whole, half, other in zip(one["trained"], first["trained"], second["trained"], strict=True):
        assert torch.equal(whole[::2], half)
        assert torch.equal(whole[1::2], other)

    assert torch.equal(first["tau"], second["tau"])
    assert (one["tau"] == 0.05).any(), "nothing was projected"
    torch.testing.assert_close(first["tau"], one["tau"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(first["loss"], one["loss"], rtol=1e-5, atol=1e-6, equal_nan=True)
    assert first["weights"].keys() == one["weights"].keys()
    for name, weight in one["weights"].items():
        assert torch.equal(first["weights"][name], second["weights"][name])
        torch.testing.assert_close(first["weights"][name], weight, rtol=1e-5, atol=1e-6)

    mine, whole = (
        {(step, name): value for step, name, value in run["points"] if "iteration/" not in name}
        for run in (first, one)
    )
    assert {"train/loss", "train/acc", "val/task_loss", "val/acc", "penalty/l1"} <= {
        name for _, name in whole
    }
    assert mine == pytest.approx(whole, rel=1e-5, abs=1e-6)


@pytest.mark.slow
def test_two_processes_evaluate_each_image_once(runs: Any) -> None:
    one, first, second = runs
    assert len(one["evaluated"]) == 39
    assert torch.equal(first["evaluated"], one["evaluated"][::2])
    assert torch.equal(second["evaluated"], one["evaluated"][1::2])
    assert one["tested"]["test/acc"] * 39 == pytest.approx(round(one["tested"]["test/acc"] * 39))
    assert one["metrics"]["val/acc"] * 21 == pytest.approx(round(one["metrics"]["val/acc"] * 21))
    for run in (first, second):
        assert run["tested"] == pytest.approx(one["tested"], rel=1e-5)
        assert run["metrics"] == pytest.approx(one["metrics"], rel=1e-5, abs=1e-6)
