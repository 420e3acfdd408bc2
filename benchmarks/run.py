"""What does everything around the mathematics cost?

Times a training step and an epoch of this package against plain PyTorch on the same machine, on
random images in the shape of MNIST (60,000 of 28 x 28, batch 100), for the paper's architecture.
Every ratio is the median of ratios between neighbours in alternating runs of one process.

    make bench        # writes benchmarks/results/DEVICE.json and .md, in a few minutes
"""

import argparse
import json
import logging
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from lightning import Callback, Trainer
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import ToTensor

from tvl_lightning.data import ImageData
from tvl_lightning.data.images import Dataset as Split
from tvl_lightning.data.images import Images, to_device
from tvl_lightning.entry import CONFIG_PATH
from tvl_lightning.networks import FractionalDNN, TimeVariableResNet
from tvl_lightning.parts import build_parts

N, BATCH = 60_000, 100
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def random_images(n: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    pixels = torch.randint(0, 256, (n, 28, 28), dtype=torch.uint8, generator=generator)
    return pixels, torch.randint(0, 10, (n,), dtype=torch.uint8, generator=generator)


class RandomImages(ImageData):
    """The datamodule with random images in place of the files."""

    def load(self) -> Split:
        return IMAGES


TRAIN, TEST = random_images(N), random_images(10_000)
IMAGES = Split(Images(*TRAIN), Images(*TEST), "random")


def synchronize() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def seconds(run: Callable[[], None]) -> float:
    synchronize()
    start = time.perf_counter()
    run()
    synchronize()
    return time.perf_counter() - start


def step(network: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, labels: Tensor) -> None:
    loss = cross_entropy(network(x), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def bare_epoch(network: nn.Module) -> None:
    """A training loop as short as it can be: shuffled slices of tensors on the device."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for index in torch.randperm(N, device=DEVICE).split(BATCH):
        step(network, optimizer, PIXELS[index], LABELS[index])


PIXELS, LABELS = to_device(IMAGES.train, DEVICE)


class Pictures(Dataset[Any]):
    """The images as torchvision's MNIST has them: one PIL image at a time, through ToTensor."""

    def __init__(self, images: tuple[Tensor, Tensor]) -> None:
        self.pixels, self.labels = images[0].numpy(), images[1].tolist()
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


class EpochClock(Callback):
    """Seconds an epoch, with its evaluation, checkpoints and records, after the first one.

    The first one bears what a run does once: it compiles, it warms up.
    """

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        if trainer.current_epoch == 1:
            synchronize()
            self.start = time.perf_counter()

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        synchronize()
        self.seconds = (time.perf_counter() - self.start) / (trainer.current_epoch - 1)


def fit(*overrides: str, epochs: int = 3) -> float:
    """Seconds an epoch of `Trainer.fit`, with the parts that `tvl_lightning.train` builds."""
    with tempfile.TemporaryDirectory() as folder:
        with initialize_config_dir(CONFIG_PATH, version_base="1.3"):
            cfg = compose("train", [f"trainer.max_epochs={epochs}", *overrides])
        cfg.callbacks.trajectory.path = f"{folder}/tau.npz"
        for name in ("best_checkpoint", "last_checkpoint"):
            cfg.callbacks[name].dirpath = f"{folder}/checkpoints"
        cfg.logger.tensorboard.save_dir, cfg.logger.csv.path = folder, f"{folder}/metrics.csv"
        _, module, trainer = build_parts(cfg, Path(folder))
        clock = EpochClock()
        trainer.callbacks.append(clock)
        with redirect_stdout(StringIO()):  # the progress bar
            trainer.fit(module, RandomImages(val_size=0))
        return clock.seconds


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
        y = tau[0] * torch.relu(net.input(x.flatten(1)))

        def field(t: Tensor, y: Tensor) -> Tensor:
            layer = int(t)
            return tau[layer + 1] * torch.relu(net.hidden[layer](y))

        return net.output(odeint(field, y, self.times, method="euler")[-1])  # type: ignore[no-any-return]


def compare(
    rounds: int, **runs: Callable[[], float]
) -> Iterator[tuple[str, list[float], list[float]]]:
    """Name, seconds, and ratios to the first run in the same round, of runs that take turns."""
    first = next(iter(runs))
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()  # warm up
    for _ in range(rounds):
        for name, run in runs.items():
            times[name].append(run())
    for name in runs:
        yield name, times[name], [a / b for a, b in zip(times[name], times[first], strict=True)]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    options = arguments.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")

    accelerator = f"trainer.accelerator={'gpu' if DEVICE.type == 'cuda' else 'cpu'}"
    r = options.rounds
    groups = {
        "An epoch of 600 steps and an evaluation on 10,000 images": compare(
            r,
            bare_loop=lambda: seconds(lambda: bare_epoch(network())),
            everything_on=lambda: fit(accelerator),
            fractional_everything_on=lambda: fit(accelerator, "model=fractional"),
        ),
        "A textbook epoch": compare(
            1,
            everything_on=lambda: fit(accelerator),
            textbook_loop=lambda: seconds(lambda: textbook_epoch(network())),
        ),
        "A step: the networks": compare(
            r,
            resnet=lambda: some_steps(network(), 200),
            fractional=lambda: some_steps(network(FractionalDNN), 200),
            torchdiffeq_euler=lambda: some_steps(OdeintEuler(), 200),
        ),
        "A step: depth of the fractional network": compare(
            r,
            layers_8=lambda: some_steps(network(FractionalDNN, 8), 100),
            layers_64=lambda: some_steps(network(FractionalDNN, 64), 20),
        ),
        "A step: layers left in a pruned ResNet": compare(
            r,
            **{
                f"layers_{n}": lambda n=n: some_steps(network(layers=n), 200)  # type: ignore[misc]
                for n in range(6, 0, -1)
            },
        ),
    }
    device = (
        torch.cuda.get_device_name()
        if DEVICE.type == "cuda"
        else f"CPU, {torch.get_num_threads()} threads"
    )
    lines = [f"{device}, torch {torch.__version__}, Python {platform.python_version()}"]
    results: dict[str, Any] = {"machine": lines[0], "groups": {}}
    for title, rows in groups.items():
        lines += ["", f"**{title}**", "", "| | ms, median (min-max) | ratio, median (min-max) |"]
        lines += ["| --- | --- | --- |"]
        results["groups"][title] = {}
        for name, times, ratios in rows:
            results["groups"][title][name] = {"seconds": times, "ratios": ratios}
            milliseconds = [1000 * t for t in times]
            lines.append(f"| {name} | {spread(milliseconds)} | {spread(ratios)} |")
            print(lines[-1], flush=True)
    options.results.mkdir(parents=True, exist_ok=True)
    stem = "gpu" if DEVICE.type == "cuda" else "cpu"
    (options.results / f"{stem}.json").write_text(json.dumps(results, indent=1) + "\n")
    (options.results / f"{stem}.md").write_text("\n".join(lines) + "\n")


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


if __name__ == "__main__":
    main()
