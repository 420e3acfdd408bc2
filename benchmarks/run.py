"""What does everything around the mathematics cost?

Times training against plain PyTorch on the same machine, on random images in the shape of MNIST
(60,000 of 28 x 28, batch 100), for the paper's architecture. Every ratio is the median of ratios
between neighbours in alternating runs.

    make bench             # writes outputs/benchmarks/cpu or gpu .json and .md, in some minutes
    make bench RECORD=1    # and benchmarks/results, which are the last answers
"""

import argparse
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import probes
import torch
from bare_loop import BATCH, bare_epoch, step
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from random_images import draw
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import ToTensor

from tvl_lightning.cli.build import build_parts
from tvl_lightning.cli.commands import CONFIG_PATH
from tvl_lightning.cli.folders import register_resolvers
from tvl_lightning.data import Samples
from tvl_lightning.data.samples import to_device
from tvl_lightning.networks import FractionalDNN, TimeVariableResNet
from tvl_lightning.training import MetricsTable

N = 60_000
RANDOM = ["data._target_=random_images.RandomImages", "data.val_size=0"]
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
HERE = Path(__file__).parent
COMMAND = ["-m", "tvl_lightning.train"]
FIRST_STEP = [*COMMAND, "+callbacks.end._target_=probes.EndAfterFirstStep"]
register_resolvers()
TRAIN, TEST = draw(N), draw(10_000)
PIXELS, LABELS = to_device(TRAIN, DEVICE)


def synchronize() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def seconds(run: Callable[[], None]) -> float:
    synchronize()
    start = time.perf_counter()
    run()
    synchronize()
    return time.perf_counter() - start


class Pictures(Dataset[Any]):
    """The images as torchvision's MNIST has them: one PIL image at a time, through ToTensor."""

    def __init__(self, images: Samples) -> None:
        self.pixels, self.labels = images.inputs[:, 0].numpy(), images.labels.tolist()
        self.transform = ToTensor()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> Any:
        return self.transform(Image.fromarray(self.pixels[i])), self.labels[i]


def textbook_epoch(network: nn.Module) -> None:
    """A DataLoader with transforms, the accuracy read on the host at each step, an evaluation."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for images, labels in DataLoader(Pictures(TRAIN), batch_size=BATCH, shuffle=True):
        images, labels = images.to(DEVICE), labels.to(DEVICE)
        logits = network(images)
        loss = cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        _ = loss.item(), (logits.argmax(1) == labels).float().mean().item()
    with torch.no_grad():
        for images, labels in DataLoader(Pictures(TEST), batch_size=BATCH):
            cross_entropy(network(images.to(DEVICE)), labels.to(DEVICE)).item()


def fit(*overrides: str, epochs: int = 3) -> float:
    """Seconds an epoch of `Trainer.fit`, with the parts that `tvl_lightning.train` builds, and
    with evaluation, checkpoints and records."""
    with tempfile.TemporaryDirectory() as folder:
        with initialize_config_dir(CONFIG_PATH, version_base="1.3"):
            cfg = compose("train", [*RANDOM, f"trainer.max_epochs={epochs}", *overrides])
        cfg.callbacks.recorder.path = f"{folder}/tau.npz"
        cfg.callbacks.metrics.path = f"{folder}/metrics.csv"
        for name in ("best_checkpoint", "last_checkpoint"):
            cfg.callbacks[name].dirpath = f"{folder}/checkpoints"
        cfg.logger.tensorboard.save_dir = folder
        settings: Any = OmegaConf.to_container(cfg, resolve=True)
        data, module, trainer, _ = build_parts(settings, Path(folder))
        with redirect_stdout(StringIO()):  # the progress bar
            trainer.fit(module, data)
        [table] = [c for c in trainer.callbacks if isinstance(c, MetricsTable)]
        # the first epoch bears what a run does once: it compiles, it warms up
        first, last = (table.rows[epoch]["seconds"] for epoch in (0, epochs - 1))
        return float(last - first) / (epochs - 1)


def process(*arguments: str, status: int = 0) -> tuple[float, str]:
    """Seconds of `python ARGUMENTS` in an empty folder, which has to end so, and what it printed
    last."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(HERE)},
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - start
    if done.returncode != status:
        raise RuntimeError(f"{arguments} ended with {done.returncode}: {done.stderr}")
    return seconds, done.stdout.strip().rpartition("\n")[2]


def peak(*arguments: str) -> float:
    """Gigabytes of main memory that a process of probes.py held at most."""
    return float(process(str(HERE / "probes.py"), *arguments)[1]) / 1e6


def network(kind: type[Any] = TimeVariableResNet, layers: int = 6) -> nn.Module:
    return kind(784, 100, layers, 10).to(DEVICE)  # type: ignore[no-any-return]


def some_steps(net: nn.Module, steps: int) -> float:
    """Seconds a step on one batch."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    x, labels = PIXELS[:BATCH], LABELS[:BATCH]
    step(net, optimizer, x, labels)

    def run() -> None:
        for _ in range(steps):
            step(net, optimizer, x, labels)

    return seconds(run) / steps


def some_products(steps: int) -> float:
    """Seconds for the matrix products of a step alone."""
    x, h, z = (torch.rand(BATCH, n, device=DEVICE) for n in (784, 100, 10))
    first, hidden, last = (
        torch.rand(m, n, device=DEVICE) for m, n in ((100, 784), (100, 100), (10, 100))
    )

    def run() -> None:
        for _ in range(steps):
            _ = x @ first.t(), h @ last.t(), z.t() @ h, z @ last, h.t() @ x
            for _ in range(5):
                _ = h @ hidden.t(), h @ hidden, h.t() @ h

    run()
    return seconds(run) / steps


class OdeintEuler(nn.Module):
    """The same layers under torchdiffeq's explicit Euler method, with step 1."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()
        self.times = torch.arange(6.0, device=DEVICE)

    def forward(self, x: Tensor) -> Tensor:
        from torchdiffeq import odeint

        net = self.net
        tau = net.tau
        lift, *fields = net.stages[0]
        y = tau[0] * lift(x)

        def field(t: Tensor, y: Tensor) -> Tensor:
            layer = int(t)
            return tau[layer + 1] * fields[layer](y)

        return net.decoder(odeint(field, y, self.times, method="euler")[-1])  # type: ignore[no-any-return]


def compare(
    rounds: int, warm_up: bool = True, /, **runs: Callable[[], float]
) -> Iterator[tuple[str, list[float], list[float]]]:
    """Name, seconds, and ratios to the first run in the same round, of runs that take turns."""
    first = next(iter(runs))
    times: dict[str, list[float]] = {name: [] for name in runs}
    if warm_up:
        for run in runs.values():
            run()
    for _ in range(rounds):
        for name, run in runs.items():
            times[name].append(run())
    for name in runs:
        yield name, times[name], [a / b for a, b in zip(times[name], times[first], strict=True)]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=4)
    arguments.add_argument("--results", type=Path, default=Path("outputs/benchmarks"))
    arguments.add_argument("--record", action="store_true", help="also write to benchmarks/results")
    options = arguments.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")

    on_gpu = DEVICE.type == "cuda"
    here = f"trainer.accelerator={'gpu' if on_gpu else 'cpu'}"
    engines = ["compiled", "cuda_graph"] if on_gpu else ["compiled"]
    r = options.rounds
    long = {
        "200 epochs, everything on, after the first: s": compare(
            1,
            False,
            resnet=lambda: 0.2 * fit(here, "engine=cuda_graph", epochs=200),
            fractional=lambda: 0.2 * fit(here, "engine=cuda_graph", "model=fractional", epochs=200),
        )
    }
    groups = {
        "An epoch of 600 steps and, but for the loop, an evaluation on 10,000 images: ms": compare(
            r,
            bare_loop=lambda: seconds(lambda: bare_epoch(network(), PIXELS, LABELS)),
            everything_on=lambda: fit(here),
            everything_on_in_lightnings_loop=lambda: fit(here, "engine=lightning"),
            **{f"everything_on_{e}": partial(fit, here, f"engine={e}") for e in engines},
            fractional=lambda: fit(here, "model=fractional"),
            **{
                f"fractional_{e}": partial(fit, here, "model=fractional", f"engine={e}")
                for e in engines
            },
        ),
        **(long if on_gpu else {}),
        "A step: ms": compare(
            r,
            resnet=lambda: some_steps(network(), 200),
            matrix_products=lambda: some_products(200),
            fractional=lambda: some_steps(network(FractionalDNN), 200),
            torchdiffeq_euler=lambda: some_steps(OdeintEuler(), 200),
        ),
        "A step: depth of the fractional network: ms": compare(
            r,
            layers_8=lambda: some_steps(network(FractionalDNN, 8), 100),
            layers_64=lambda: some_steps(network(FractionalDNN, 64), 20),
        ),
        "A step: layers left in a pruned ResNet: ms": compare(
            r,
            **{
                f"layers_{n}": partial(lambda n: some_steps(network(layers=n), 200), n)
                for n in range(6, 0, -1)
            },
        ),
        "An epoch, everything on, against a textbook loop: ms": compare(
            2,
            everything_on=lambda: fit(here),
            **{f"everything_on_{e}": partial(fit, here, f"engine={e}") for e in engines},
            textbook_loop=lambda: seconds(lambda: textbook_epoch(network())),
        ),
        "Starting: ms": compare(
            2,
            imports=lambda: process("-c", "import torch, torchvision, lightning")[0],
            to_the_first_step=lambda: process(*FIRST_STEP, here, status=probes.AFTER_A_STEP)[0],
            help=lambda: process(*COMMAND, "--help")[0],
            a_refused_config=lambda: process(*COMMAND, "reg.l1.weight=-1", "reg=l1", status=2)[0],
        ),
        "Main memory of a process, at most: MB": compare(
            1,
            False,
            bare_loop=lambda: peak("bare"),
            everything_on=lambda: peak("command", *RANDOM, here, "trainer.max_epochs=1"),
            **{
                f"everything_on_{e}": partial(
                    peak, "command", *RANDOM, here, "trainer.max_epochs=1", f"engine={e}"
                )
                for e in engines
            },
        ),
    }
    device = torch.cuda.get_device_name() if on_gpu else f"CPU, {torch.get_num_threads()} threads"
    lines = [f"{device}, torch {torch.__version__}, Python {platform.python_version()}"]
    results: dict[str, Any] = {"machine": lines[0], "groups": {}}
    stem = "gpu" if on_gpu else "cpu"
    for title, rows in groups.items():
        lines += ["", f"**{title}**", "", "| | median (min-max) | ratio, median (min-max) |"]
        lines += ["| --- | --: | --: |"]
        results["groups"][title] = {}
        for name, times, ratios in rows:
            results["groups"][title][name] = {"seconds": times, "ratios": ratios}
            thousandths = [1000 * t for t in times]
            lines.append(f"| {name} | {spread(thousandths)} | {spread(ratios)} |")
            print(lines[-1], flush=True)
        for folder in [options.results, *([HERE / "results"] if options.record else [])]:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{stem}.json").write_text(json.dumps(results, indent=1) + "\n")
            (folder / f"{stem}.md").write_text("\n".join(lines) + "\n")


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


if __name__ == "__main__":
    main()
