"""What benchmarks put into a run, or run in a process of their own, see run.py."""

import os
import re
import sys
from pathlib import Path
from typing import Any

import torch
from bare_loop import bare_epoch
from lightning import Callback
from random_images import draw
from torch.nn.functional import cross_entropy

from tvl_lightning.data.samples import to_device
from tvl_lightning.networks import TimeVariableResNet

AFTER_A_STEP = 42


class EndAfterFirstStep(Callback):
    """Ends the process once the first training step is done."""

    def on_train_batch_end(self, *args: Any) -> None:
        """End it."""
        os._exit(AFTER_A_STEP)


def bare_loop() -> None:
    """What a script needs to train an epoch of the paper's ResNet, and to evaluate it."""
    cpu = torch.device("cpu")
    train, (test_pixels, test_labels) = (to_device(draw(n), cpu) for n in (60_000, 10_000))
    network = TimeVariableResNet(784, 100, 6, 10)
    bare_epoch(network, *train)
    with torch.no_grad():
        for part, known in zip(test_pixels.split(2500), test_labels.split(2500), strict=True):
            cross_entropy(network(part), known)


def command(*overrides: str) -> None:
    """`tvl_lightning.train`, in this process."""
    from tvl_lightning.train import main

    sys.argv[1:] = overrides
    main()


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    {"bare": bare_loop, "command": command}[what](*arguments)
    # getrusage's maximum counts the process that started this one
    print(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
