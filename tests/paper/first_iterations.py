"""The runs of the Fractional DNN beside the literal training, on the same full data set.

    TVL_DATA=FOLDER python -m tests.paper.first_iterations RUNS KEPT ITERATIONS

compares the first iterations of the runs of `make reproduce` under RUNS, seed 0, and prints the
greatest differences. The literal training takes some 13 ms an iteration; it is kept in KEPT.
"""

import os
import sys
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from lightning import seed_everything

from tests.training.test_literal_training import (
    AUTHORS,
    HORIZON,
    L1_PENALTY,
    PAPERS,
    Case,
    train_literally,
)
from tvl_lightning import FractionalDNN
from tvl_lightning.data import MNIST, FashionMNIST, TensorData
from tvl_lightning.runs.reading import Array

DATA = {"fashion_mnist": FashionMNIST, "mnist": MNIST}
SETUPS = {
    "learned": Case(onto="positive"),
    "fixed": Case(rule="fixed"),
    "l1": Case(penalties=L1_PENALTY, onto="positive"),
    "horizon": Case(penalties=HORIZON, onto="positive"),
    "final": Case(rule="final", onto="positive"),
    "simplex": Case(rule="simplex"),
}
OPTIONS: dict[str, dict[str, Any]] = {"paper": PAPERS, "authors": AUTHORS}
CASES = [f"{choice}-{variant}" for choice, variant in product(SETUPS, OPTIONS)]


class Curves(NamedTuple):
    """τ after, shape (n, 6), and the loss before each iteration, shape (n,)."""

    tau: Array
    loss: Array


def literal(name: str, data: str, root: str, iterations: int) -> Curves:
    """The first iterations of a setup, `learned-paper` say, with seed 0."""
    choice, variant = name.split("-")
    case = SETUPS[choice]._replace(
        options=OPTIONS[variant],
        initial=[float(np.float32(1 / 6))] * 6,
        detach=variant == "authors",
    )
    seed_everything(0, verbose=False)
    network = FractionalDNN(784, 100, 6, 10)
    case = case._replace(scheme=type(network.scheme))
    return Curves(*train_literally(case, network, batches(loaded(data, root), iterations)))


@cache
def loaded(name: str, root: str) -> TensorData:
    """The data set as the command has it."""
    data = DATA[name](root=root, batch_size=100, val_size=0.0)
    data.setup("fit")
    return data


def batches(data: TensorData, iterations: int) -> list[Any]:
    """The first batches, over as many epochs as it takes."""
    loader, found = data.train_dataloader(), []
    for epoch in range(-(-iterations // loader.iterations)):
        loader.sampler.set_epoch(epoch)
        found += list(loader)
    return found[:iterations]


def recorded(folder: Path) -> Curves:
    """What a run of the command has written down."""
    with np.load(folder / "tau.npz") as file:
        trained = file["iteration"] > 0
        return Curves(file["tau"][trained], file["loss"][trained])


def differences(one: Curves, other: Curves, upto: int) -> tuple[float, float]:
    """The greatest difference in τ and in the loss within the first iterations."""
    return tuple(  # type: ignore[return-value]
        float(np.abs(mine[:upto] - others[:upto]).max())
        for mine, others in zip(one, other, strict=True)
    )


def main(runs: Path, kept: Path, iterations: int, root: str) -> None:
    """Compare every setup, and say which has no run."""
    marks = [m for m in (10, 100, 300, 1000, 3000) if m < iterations] + [iterations]
    print("greatest difference in τ / in the loss up to iteration", *marks)
    for data, name in product(DATA, CASES):
        choice, variant = name.split("-")
        file = kept / f"{data}-{name}-{iterations}.npz"
        if not file.is_file():
            kept.mkdir(parents=True, exist_ok=True)
            np.savez(file, **literal(name, data, root, iterations)._asdict())
        folder = runs / f"{data}-fractional-{choice}-none-{variant}-seed0"
        if not (folder / "tau.npz").is_file():
            print(f"{data} {name}: no run")
            continue
        with np.load(file) as found:
            expected = Curves(found["tau"], found["loss"])
        shown = (differences(recorded(folder), expected, mark) for mark in marks)
        print(f"{data} {name}:", *(f"{t:.1e}/{l:.1e}" for t, l in shown), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), os.environ["TVL_DATA"])
