"""What does pruning save, and what does watching for it cost?

    python benchmarks/pruning_gain.py             # a few minutes
    python benchmarks/pruning_gain.py --record    # and writes benchmarks/results/pruning_gain.md

Epochs of 40 iterations on random images in the shape of MNIST, batch 100, evaluation included, the
first one left out; one thread, whose time on the processor is counted. All layers but the first and
the last have a τ that is under the threshold, so a run that prunes has two layers left from its
first check on, as the ℓ1 runs of the paper (Figure 4.6). Ratios are medians of those between
neighbours, in runs that take turns.

The last answer (benchmarks/results/pruning_gain.md): with two layers left an epoch takes 0.63 of
the time of six layers of width 100, 0.49 for width 400, 0.35 for width 1000; 0.19 of that of 24
layers and 0.07 of that of 96. What looking for such layers costs cannot be told from the noise of
this machine, a fifth to a third; in the smallest network it eats a part of the gain if it is done
after every iteration, which makes a chunk one iteration (0.87 in place of 0.63).
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

import torch
from lightning import Callback, Trainer, seed_everything
from random_images import draw

from tvl_lightning import TimeVariableResNet
from tvl_lightning.data import Dataset, Sizes, TensorData
from tvl_lightning.networks import Learned
from tvl_lightning.penalties import L1
from tvl_lightning.training import AdaptivePruning, ChunkedClassifier

SHAPES = [(100, 6), (400, 6), (1000, 6), (100, 24), (100, 96)]  # width, hidden layers
EPOCHS = 4
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


def epoch(width: int, layers: int, callbacks: Callable[[], list[Callback]]) -> float:
    """Seconds of the processor an epoch, the first left out."""
    once, more = (training(width, layers, callbacks(), epochs) for epochs in (1, 1 + EPOCHS))
    return (more - once) / EPOCHS


def training(width: int, layers: int, callbacks: list[Callback], epochs: int) -> float:
    seed_everything(0, verbose=False)
    initial = [0.5] + [1e-6] * (layers - 2) + [0.5]
    network = TimeVariableResNet(784, width, layers, 10, tau=partial(Learned, initial=initial))
    module = ChunkedClassifier(
        network, {"l1": L1(0.01)}, optimizer=partial(torch.optim.SGD, lr=0.01)
    )
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            callbacks=callbacks,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            default_root_dir=folder,
        ).fit(module, FewImages(val_size=0.0))
    left = len(module.network.layers)
    pruned = any(isinstance(c, AdaptivePruning) and c.epsilon for c in callbacks)
    assert left == (2 if pruned else layers), f"{left} layers left"
    return time.process_time() - start


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
        "| width × layers | whole, ms | " + " | ".join(others) + " |",
        "| --- | --: |" + " --: |" * len(others),
    ]
    print("\n".join(lines))
    for width, layers in SHAPES:
        times: dict[str, list[float]] = {name: [] for name in RUNS}
        for _ in range(options.rounds):
            for name, callbacks in RUNS.items():
                times[name].append(epoch(width, layers, callbacks))
        whole = times["whole"]
        ratios = ([a / b for a, b in zip(times[name], whole, strict=True)] for name in others)
        cells = [f"{statistics.median(r):.2f} ({min(r):.2f} to {max(r):.2f})" for r in ratios]
        milliseconds = f"{1000 * statistics.median(whole):,.0f}"
        lines.append(f"| {width} × {layers} | {milliseconds} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    if options.record:
        results = Path(__file__).parent / "results" / "pruning_gain.md"
        results.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
