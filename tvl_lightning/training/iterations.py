"""A chunk of iterations in a loop of our own: losses, gradient, optimizer, projection, records."""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from tvl_lightning.data import Chunk
from tvl_lightning.networks import TimeVariableNetwork

# losses and logits of a batch, (), () and (B, classes); the gradient is left in the parameters
Differentiate = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


class Trained(Protocol):
    """What the loop needs of a module."""

    network: TimeVariableNetwork

    def parameters(self) -> Iterator[nn.Parameter]:
        """All parameters."""
        ...

    def losses(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The loss, the cross entropy in it, and the logits (B, classes) of one batch."""
        ...


class Taken(NamedTuple):
    """What k iterations leave behind, on the device."""

    loss: Tensor  # (k,)
    task_loss: Tensor  # (k,)
    logits: Tensor  # (k, B, classes)
    labels: Tensor  # (k, B)
    observables: dict[str, Tensor]  # (k, ...), after each optimizer step


def take_iterations(
    network: TimeVariableNetwork,
    differentiate: Differentiate,
    step: Callable[[], object],
    chunk: Chunk,
) -> Taken:
    """Take the iterations of a chunk, in order.

    Args:
        network: what is trained.
        differentiate: gives losses and logits, and leaves the gradient in the parameters.
        step: takes an optimizer's step; the projection of τ is a hook of it.
        chunk: the batches.
    """
    batches, observed = [], []
    for order in chunk.order.unbind():
        images = chunk.inputs.index_select(0, order)
        known = chunk.labels.index_select(0, order)
        batches.append((*differentiate(images, known), known))
        step()
        with torch.no_grad():
            observed.append({k: v.detach().clone() for k, v in network.observables().items()})
    loss, task_loss, logits, labels = map(torch.stack, zip(*batches, strict=True))
    observables = {name: torch.stack([values[name] for values in observed]) for name in observed[0]}
    return Taken(loss, task_loss, logits, labels, observables)


def eager(module: Trained) -> Differentiate:
    """`module.losses` by PyTorch's autograd."""
    parameters = list(module.parameters())

    def differentiate(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        for parameter in parameters:
            parameter.grad = None
        loss, task_loss, logits = module.losses(images, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), task_loss.detach(), logits.detach()

    return differentiate
