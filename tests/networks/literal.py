"""Sections 2 and 3 of the paper, written down as printed: one sample, plain loops, no rearranging.

Everything is float64. Autograd runs through it, so it is also a reference for gradients.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from tvl_lightning.networks import Euler, Fractional, Heun, TimeVariableNetwork

Sigma = Callable[[Tensor], Tensor]
Parameters = dict[str, Tensor]


def coefficient(tau: Tensor, gamma: float | Tensor, l: int, j: int) -> Tensor:
    """a(l, j), the formula below (2.2)."""
    from_j = torch.zeros((), dtype=tau.dtype)
    for i in range(j, l + 1):
        from_j = from_j + tau[i]
    from_next = torch.zeros((), dtype=tau.dtype)
    for i in range(j + 1, l + 1):
        from_next = from_next + tau[i]
    return tau[l] ** gamma / tau[j] * (from_j ** (1 - gamma) - from_next ** (1 - gamma))


def resnet(
    u: Tensor, w: Sequence[Tensor], b: Sequence[Tensor], tau: Tensor, sigma: Sigma
) -> Tensor:
    """F(u) of the ResNet, (2.1), for one u of shape (n_0,)."""
    depth = len(w)
    y = {0: u}
    y[1] = tau[0] * sigma(w[0] @ y[0] + b[0])
    for l in range(2, depth):
        y[l] = y[l - 1] + tau[l - 1] * sigma(w[l - 1] @ y[l - 1] + b[l - 1])
    return w[depth - 1] @ y[depth - 1]


def heun(u: Tensor, w: Sequence[Tensor], b: Sequence[Tensor], tau: Tensor, sigma: Sigma) -> Tensor:
    """(2.1) with Heun's method in place of Euler's, for one u."""
    depth = len(w)
    y = {0: u}
    y[1] = tau[0] * sigma(w[0] @ y[0] + b[0])
    for l in range(2, depth):
        k1 = sigma(w[l - 1] @ y[l - 1] + b[l - 1])
        k2 = sigma(w[l - 1] @ (y[l - 1] + tau[l - 1] * k1) + b[l - 1])
        y[l] = y[l - 1] + tau[l - 1] * (k1 + k2) / 2
    return w[depth - 1] @ y[depth - 1]


def fractional(
    u: Tensor,
    w: Sequence[Tensor],
    b: Sequence[Tensor],
    tau: Tensor,
    sigma: Sigma,
    gamma: float | Tensor,
    start: int,
    constant_coefficients: bool = False,
) -> Tensor:
    """F(u) of the Fractional DNN, (2.2), for one u; with start = 0, y[0] counts as 0 in the sum."""
    depth = len(w)
    gamma_function = torch.as_tensor(2 - gamma, dtype=torch.float64).lgamma().exp()
    step = tau.detach() if constant_coefficients else tau
    y = {1: tau[0] ** gamma * gamma_function * sigma(w[0] @ u + b[0])}
    y[0] = torch.zeros_like(y[1])
    for l in range(2, depth):
        y[l] = y[l - 1]
        for j in range(start, l - 1):
            y[l] = y[l] - coefficient(step, gamma, l - 1, j) * (y[j + 1] - y[j])
        y[l] = y[l] + tau[l - 1] ** gamma * gamma_function * sigma(w[l - 1] @ y[l - 1] + b[l - 1])
    return w[depth - 1] @ y[depth - 1]


def weights_and_biases(network: TimeVariableNetwork) -> tuple[list[Tensor], list[Tensor]]:
    """W(0) ... W(L-1) and b(0) ... b(L-2) of a network of one stage of dense fields."""
    lift, *fields = network.stages[0]
    linear = [lift[1].linear, *(field.linear for field in fields)]
    return [layer.weight for layer in linear] + [network.decoder.weight], [
        layer.bias for layer in linear
    ]


def outputs(network: TimeVariableNetwork, inputs: Tensor, sigma: Sigma, tau: Tensor) -> Tensor:
    """What the paper says `network` maps inputs (B, n_0) to, by its scheme."""
    w, b = weights_and_biases(network)
    scheme = network.scheme
    if isinstance(scheme, Fractional):
        options = (scheme.gamma, scheme.history_start, scheme.constant_coefficients)
        return torch.stack([fractional(u, w, b, tau, sigma, *options) for u in inputs])
    formula = {Euler: resnet, Heun: heun}[type(scheme)]
    return torch.stack([formula(u, w, b, tau, sigma) for u in inputs])


def scramble(network: nn.Module, seed: int) -> None:
    """Normally distributed values for all parameters but those of the time steps."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if not name.startswith("time_steps"):
                parameter.normal_(0, 0.7, generator=generator)


def as_function(
    network: TimeVariableNetwork, inputs: Tensor
) -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
    """The network as a function of all its parameters, as gradcheck wants it, and their values."""
    named = dict(network.named_parameters())

    def call(*values: Tensor) -> Tensor:
        return functional_call(network, dict(zip(named, values, strict=True)), (inputs,))

    return call, tuple(p.detach().clone().requires_grad_() for p in named.values())
