"""The schemes and rules of τ that every network is tried with."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from tvl_lightning.networks import (
    Euler,
    Final,
    Fixed,
    Fractional,
    Heun,
    Learned,
    Scheme,
    Simplex,
    TimeSteps,
    TimeVariableNetwork,
)

Rule = Callable[..., TimeSteps]

RULES: dict[str, Rule] = {
    "learned": Learned,
    "fixed": Fixed,
    "first only": partial(Fixed, first_only=True),
    "final": Final,
    "final detached": partial(Final, detach=True),
    "simplex": Simplex,
}
SCHEMES: dict[str, Callable[[], Scheme]] = {
    "euler": Euler,
    "heun": Heun,
    "fractional": Fractional,
    "authors": partial(Fractional, history_start=0, constant_coefficients=True),
    "learned order": partial(Fractional, learn_gamma=True),
}


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def move_steps(network: TimeVariableNetwork) -> None:
    """Let τ be something that no constructor gives."""
    with torch.no_grad():
        for parameter in network.time_steps.parameters():
            parameter.add_(0.1 * torch.rand_like(parameter))


def train(
    network: nn.Module, inputs: Tensor, labels: Tensor, iterations: int = 8, lr: float = 0.05
) -> list[float]:
    """The loss before each iteration of stochastic gradient descent on one batch."""
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)
    losses = []
    for _ in range(iterations):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(inputs), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def without_gradient(network: nn.Module) -> list[str]:
    """The names of the parameters that the last backward pass did not reach."""
    return [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or parameter.grad.count_nonzero() == 0
    ]
