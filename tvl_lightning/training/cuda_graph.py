"""Chunks of iterations, recorded once as CUDA graphs and replayed."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from tvl_lightning.data import Chunk
from tvl_lightning.training.iterations import Taken


class Recorder:
    """Takes chunks; their kernels are launched one by one at first and then all at once.

    The first chunk of a shape runs as it is, on a side stream, so that all is compiled and
    allocated; the second is recorded; from then on the recording is replayed. A recording holds
    addresses, so a network that lost layers needs a new recorder, and numbers, so all are made
    anew where the optimizer's, say its learning rate, change.

    Args:
        take: takes the iterations of a chunk without waiting for the device.
        optimizer: the optimizer that it steps.
    """

    def __init__(self, take: Callable[[Chunk], Taken], optimizer: Optimizer) -> None:
        self.take, self.optimizer = take, optimizer
        _keep_on_device(optimizer)
        self._numbers: list[dict[str, Any]] = []
        self._recordings: dict[tuple[int, ...], Recording | None] = {}

    def __call__(self, chunk: Chunk) -> Taken:
        """Take the iterations of `chunk`."""
        numbers = [
            {name: value for name, value in group.items() if name != "params"}
            for group in self.optimizer.param_groups
        ]
        if numbers != self._numbers:
            self._numbers = numbers
            self._recordings.clear()
        key = (chunk.inputs.data_ptr(), *chunk.order.shape)
        if key not in self._recordings:
            self._recordings[key] = None
            return _on_side_stream(self.take, chunk)
        recording = self._recordings[key]
        if recording is None:
            recording = self._recordings[key] = Recording(self.take, chunk)
        return recording.replay(chunk.order)


class Recording:
    """A CUDA graph of the iterations of one chunk, with the memory that it reads and writes."""

    def __init__(self, take: Callable[[Chunk], Taken], chunk: Chunk) -> None:
        self.order = chunk.order.clone()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.taken = take(chunk._replace(order=self.order))

    def replay(self, order: Tensor) -> Taken:
        """Take the iterations on the images that `order`, of the recorded shape, names."""
        self.order.copy_(order)
        self.graph.replay()
        loss, task_loss, logits, labels, observables = self.taken
        copies = {name: values.clone() for name, values in observables.items()}
        return Taken(loss.clone(), task_loss.clone(), logits.clone(), labels.clone(), copies)


def _on_side_stream(take: Callable[[Chunk], Taken], chunk: Chunk) -> Taken:
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        taken = take(chunk)
    torch.cuda.current_stream().wait_stream(stream)
    return taken


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
