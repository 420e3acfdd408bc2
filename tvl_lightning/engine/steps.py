"""Training steps in a loop of our own: losses, gradient, optimizer, projection, records."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value
from torch.optim import Optimizer

from tvl_lightning.data import Block

# losses and logits of a batch, (), () and (B, classes); the gradient is left in the parameters
Differentiate = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


class Steps(NamedTuple):
    """What k training steps leave behind, on the device."""

    loss: Tensor  # (k,)
    task_loss: Tensor  # (k,)
    logits: Tensor  # (k, B, classes)
    labels: Tensor  # (k, B)
    tau: Tensor  # (k, L-1), after each step


def take_steps(
    module: Any, optimizer: Optimizer, differentiate: Differentiate, block: Block
) -> Steps:
    """Take the steps of a block, in order."""
    steps = []
    for order in block.order.unbind():
        images = block.images.index_select(0, order)
        labels = block.labels.index_select(0, order)
        losses_and_logits = differentiate(images, labels)
        optimizer.step()  # the projection of τ is a hook of it
        steps.append((*losses_and_logits, labels, module.tau.detach().clone()))
    return Steps(*map(torch.stack, zip(*steps, strict=True)))


def plain(module: Any) -> Differentiate:
    """`module.losses` by PyTorch's autograd, which leaves the gradient in the parameters."""

    def differentiate(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        module.zero_grad()
        loss, task_loss, logits = module.losses(images, labels)
        loss.backward()
        return loss.detach(), task_loss.detach(), logits.detach()

    return differentiate


def compiled(module: Any) -> Differentiate:
    """As `plain`, with losses and gradient as one compiled function of the parameters.

    It holds for the network as it is now; what was compiled before is forgotten.
    """
    torch.compiler.reset()
    learned = {name: p for name, p in module.named_parameters() if p.requires_grad}
    values = {name: parameter.detach() for name, parameter in learned.items()}
    losses = Losses(module)

    def loss(
        parameters: dict[str, Tensor], images: Tensor, labels: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        named = {f"module.{name}": parameter for name, parameter in parameters.items()}
        value, task_loss, logits = functional_call(losses, named, (images, labels))
        return value, (task_loss, logits)

    gradient = torch.compile(grad_and_value(loss, has_aux=True), dynamic=False, fullgraph=True)

    def differentiate(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gradients, (value, (task_loss, logits)) = gradient(values, images, labels)
        for name, parameter in learned.items():
            parameter.grad = gradients[name]
        return value, task_loss, logits

    return differentiate


class Losses(nn.Module):
    """`module.losses` as a module, whose parameters `functional_call` can replace."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: Tensor, labels: Tensor) -> Any:
        """What `module.losses` gives."""
        return self.module.losses(images, labels)
