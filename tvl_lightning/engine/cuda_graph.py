"""Calls of several training steps, recorded once as CUDA graphs and replayed."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from tvl_lightning.data import Block
from tvl_lightning.engine.steps import Steps


class Recorder:
    """`take_steps`, whose kernels are launched one by one at first and then all at once.

    The first block of a shape runs as it is, on a side stream, so that all is compiled and
    allocated; the second is recorded; from then on the recording is replayed. A recording holds
    addresses, so a network that lost layers needs a new recorder, and numbers, so all are made
    anew where the optimizer's, say its learning rate, change.

    Args:
        take_steps: takes the steps of a block without waiting for the device.
        optimizer: the optimizer that it steps.
    """

    def __init__(self, take_steps: Callable[[Block], Steps], optimizer: Optimizer) -> None:
        self.take_steps, self.optimizer = take_steps, optimizer
        _keep_on_device(optimizer)
        self._numbers: list[dict[str, Any]] = []
        self._recordings: dict[tuple[int, ...], Recording | None] = {}

    def __call__(self, block: Block) -> Steps:
        """Take the steps of `block`."""
        numbers = [
            {name: value for name, value in group.items() if name != "params"}
            for group in self.optimizer.param_groups
        ]
        if numbers != self._numbers:
            self._numbers = numbers
            self._recordings.clear()
        key = (block.images.data_ptr(), *block.order.shape)
        if key not in self._recordings:
            self._recordings[key] = None
            return _on_side_stream(self.take_steps, block)
        recording = self._recordings[key]
        if recording is None:
            recording = self._recordings[key] = Recording(self.take_steps, block)
        return recording.replay(block.order)


class Recording:
    """A CUDA graph of the steps of one block, with the memory that it reads and writes."""

    def __init__(self, take_steps: Callable[[Block], Steps], block: Block) -> None:
        self.order = block.order.clone()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.steps = take_steps(block._replace(order=self.order))

    def replay(self, order: Tensor) -> Steps:
        """Take the steps on the images that `order`, of the recorded shape, names."""
        self.order.copy_(order)
        self.graph.replay()
        return Steps(*(values.clone() for values in self.steps))


def _on_side_stream(take_steps: Callable[[Block], Steps], block: Block) -> Steps:
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        steps = take_steps(block)
    torch.cuda.current_stream().wait_stream(stream)
    return steps


def _keep_on_device(optimizer: Optimizer) -> None:
    """Let optimizers that count their steps, as Adam, count on the device."""
    for group in optimizer.param_groups:
        if "capturable" not in group:
            continue
        group["capturable"] = True
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})
            if "step" in state:
                state["step"] = state["step"].to(parameter.device)
