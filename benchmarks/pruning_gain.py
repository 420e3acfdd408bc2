"""What does pruning save, and what does watching for it cost?

    python benchmarks/pruning_gain.py             # ten minutes
    python benchmarks/pruning_gain.py --record    # and writes benchmarks/results/pruning_gain.md

Epochs of 40 iterations on random images in the shape of MNIST, batch 100, evaluation included, the
first two left out; one thread, whose time on the processor is counted. All layers but the first and
the last have a τ that is under the threshold, so a run that prunes has two layers left from its
first check on, as the ℓ1 runs of the paper (Figure 4.6). Ratios are medians of those between
neighbours, in runs that take turns.

The last answer (benchmarks/results/pruning_gain.md): with two layers left an epoch takes 0.70 of
the time of six layers of width 100, 0.41 for width 400, 0.28 for width 1000; 0.22 of that of 24
layers and 0.07 of that of 96. Looking for such layers once an epoch costs nothing that shows in the
noise of this machine, up to a third. After every iteration, which makes a chunk one iteration, it
costs a quarter to a third at width 100, so that a network of the paper's size gains little (0.87),
compiled nothing (1.03); larger ones keep their gain.
"""

import argparse
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer, seed_everything
from lightning.pytorch.loggers import Logger
from random_images import draw

from tvl_lightning import TimeVariableResNet
from tvl_lightning.data import Dataset, Sizes, TensorData
from tvl_lightning.networks import Learned
from tvl_lightning.penalties import L1
from tvl_lightning.training import AdaptivePruning, ChunkedClassifier

SHAPES = [(100, 6), (400, 6), (1000, 6), (100, 24), (100, 96)]  # width, hidden layers
NETWORKS = [*((*shape, "eager") for shape in SHAPES), (100, 6, "compiled"), (1000, 6, "compiled")]
WARM_UP, EPOCHS = 2, 6
RUNS: dict[str, Callable[[], list[Callback]]] = {
    "whole": list,
    "watched every iteration": lambda: [AdaptivePruning(epsilon=0.0, interval=1)],
    "watched every epoch": lambda: [AdaptivePruning(epsilon=0.0)],
    "pruned": lambda: [AdaptivePruning(epsilon=0.01)],
    "pruned, every iteration": lambda: [AdaptivePruning(epsilon=0.01, interval=1)],
}


class FewImages(TensorData):
    """4,000 random images to train and 1,000 to test."""

    sizes = Sizes((1, 28, 28), 10)

    def load(self) -> Dataset:
        return Dataset(draw(4_000), draw(1_000), "random")


class Clock(Logger):
    """The time on the processor at the end of each epoch; no callback, which might do anything."""

    name, version = "clock", "0"

    def __init__(self) -> None:
        super().__init__()
        self.at: dict[int, float] = {}

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None: ...

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        self.at[step or 0] = time.process_time()


def epoch(width: int, layers: int, engine: str, callbacks: list[Callback]) -> float:
    """Seconds of the processor an epoch, the first ones left out."""
    seed_everything(0, verbose=False)
    initial = [0.5] + [1e-6] * (layers - 2) + [0.5]
    network = TimeVariableResNet(784, width, layers, 10, tau=partial(Learned, initial=initial))
    module = ChunkedClassifier(
        network, {"l1": L1(0.01)}, optimizer=partial(torch.optim.SGD, lr=0.01), engine=engine
    )
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            accelerator="cpu",
            max_epochs=WARM_UP + EPOCHS,
            callbacks=callbacks,
            logger=clock,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            default_root_dir=folder,
        ).fit(module, FewImages(val_size=0.0))
    left = len(module.network.layers)
    pruned = any(isinstance(c, AdaptivePruning) and c.epsilon for c in callbacks)
    assert left == (2 if pruned else layers), f"{left} layers left"
    ends = [clock.at[step] for step in sorted(clock.at) if step]
    assert len(ends) == WARM_UP + EPOCHS, f"{len(ends)} epochs were logged"
    return (ends[-1] - ends[WARM_UP - 1]) / EPOCHS


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--record", action="store_true")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    for name in ("lightning.pytorch", "tvl_lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")

    others = list(RUNS)[1:]
    lines = [
        f"CPU, 1 thread, torch {torch.__version__}. {options.rounds} rounds; an epoch of 40 "
        "iterations; ratios to the whole network, median (least to greatest).",
        "",
        "| width × layers, engine | whole, ms | " + " | ".join(others) + " |",
        "| --- | --: |" + " --: |" * len(others),
    ]
    print("\n".join(lines))
    for width, layers, engine in NETWORKS:
        times: dict[str, list[float]] = {name: [] for name in RUNS}
        for _ in range(options.rounds):
            for name, callbacks in RUNS.items():
                times[name].append(epoch(width, layers, engine, callbacks()))
        whole = times["whole"]
        ratios = ([a / b for a, b in zip(times[name], whole, strict=True)] for name in others)
        cells = [f"{statistics.median(r):.2f} ({min(r):.2f} to {max(r):.2f})" for r in ratios]
        milliseconds = f"{1000 * statistics.median(whole):,.0f}"
        named = f"{width} × {layers}, {engine}"
        lines.append(f"| {named} | {milliseconds} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    if options.record:
        results = Path(__file__).parent / "results" / "pruning_gain.md"
        results.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
