"""Losses and gradient as one compiled function."""

from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value
from torch.nn.modules.batchnorm import _BatchNorm

from tvl_lightning.limits import InputError
from tvl_lightning.networks import Fractional
from tvl_lightning.training.iterations import Differentiate

if TYPE_CHECKING:
    from tvl_lightning.training.chunks import ChunkedClassifier


def compiled(module: "ChunkedClassifier") -> Differentiate:
    """As `eager`, with losses and gradient as one compiled function of parameters and buffers.

    It holds for the network as it is now. Its history takes the plain form from here on, which is
    equal to rounding: the compiler cannot follow the other.

    Raises:
        InputError: for a batch normalisation whose momentum is None: it counts on the host.
    """
    for part in module.modules():
        if isinstance(part, Fractional):
            part.fused = False
        if isinstance(part, _BatchNorm) and part.momentum is None and part.track_running_stats:
            raise InputError(
                f"engine={module.engine}: does not go with a batch normalisation with "
                "momentum=None, which counts batches on the host; engine=eager does"
            )
    losses = _Losses(module)
    parameters = dict(losses.named_parameters())
    learned = {name: p for name, p in parameters.items() if p.requires_grad}
    values = {name: parameter.detach() for name, parameter in learned.items()}
    constants = dict(losses.named_buffers()) | {
        name: p for name, p in parameters.items() if not p.requires_grad
    }

    def loss(
        parameters: dict[str, Tensor],
        constants: dict[str, Tensor],
        images: Tensor,
        labels: Tensor,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        value, task_loss, logits = functional_call(
            losses, {**parameters, **constants}, (images, labels)
        )
        return value, (task_loss, logits)

    def gradient(*arguments: Any) -> Any:
        return grad_and_value(loss, has_aux=True)(*arguments)

    compute = torch.compile(_with_own_cache(gradient), dynamic=False, fullgraph=True)

    def differentiate(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gradients, (value, (task_loss, logits)) = compute(values, constants, images, labels)
        for name, parameter in learned.items():
            parameter.grad = gradients[name]
        return value, task_loss, logits

    return differentiate


def _with_own_cache(function: Callable[..., Any]) -> Callable[..., Any]:
    """A copy whose compiled forms are its own: the compiler keeps a few for each code object, and
    a network that loses layers one by one would use them up."""
    code = function.__code__.replace()
    return FunctionType(code, function.__globals__, closure=function.__closure__)


class _Losses(nn.Module):
    """`module.losses` as a module, whose parameters and buffers `functional_call` can replace."""

    def __init__(self, module: "ChunkedClassifier") -> None:
        super().__init__()
        self.module = module

    def forward(self, images: Tensor, labels: Tensor) -> Any:
        """What `module.losses` gives."""
        return self.module.losses(images, labels)
