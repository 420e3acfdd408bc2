"""A training loop in plain PyTorch, as short as it can be: what all else is compared with."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

BATCH = 100


def step(network: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, labels: Tensor) -> None:
    """One training step."""
    loss = cross_entropy(network(x), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def bare_epoch(network: nn.Module, pixels: Tensor, labels: Tensor) -> None:
    """An epoch of shuffled slices of tensors on the device."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    for index in torch.randperm(len(labels), device=labels.device).split(BATCH):
        step(network, optimizer, pixels[index], labels[index])
