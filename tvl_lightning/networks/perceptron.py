"""The networks of the paper: fields σ(W y + b) of one width."""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tvl_lightning.limits import InputError, check
from tvl_lightning.networks.fractional import Fractional
from tvl_lightning.networks.network import TimeVariableNetwork
from tvl_lightning.networks.schemes import Euler, Scheme
from tvl_lightning.networks.time_steps import Learned, TimeSteps

Activation = str | Callable[[], nn.Module]
Rule = Callable[[int, float], TimeSteps]


class DenseField(nn.Module):
    """F(y) = σ(W y + b), the field of (2.1) and (2.2), with the initial W and b of `nn.Linear`.

    Args:
        in_features: size of a state that enters.
        out_features: size of what comes out.
        activation: σ, see `activation_of`.
    """

    def __init__(
        self, in_features: int, out_features: int, activation: Activation = "ReLU"
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.activation = activation_of(activation)

    def forward(self, y: Tensor) -> Tensor:
        """Map (B, in_features) to (B, out_features)."""
        return self.activation(self.linear(y))  # type: ignore[no-any-return]


def perceptron(
    in_shape: Sequence[int],
    classes: int,
    width: int = 100,
    hidden_layers: int = 6,
    horizon: float = 1.0,
    activation: Activation = "ReLU",
    field: Callable[[int], nn.Module] | None = None,
    scheme: Scheme | None = None,
    tau: Rule = Learned,
) -> TimeVariableNetwork:
    """L layers in one stage: a dense lift, fields of one width, a linear decoder without a bias.

    Section 2 of the paper, with its sizes in Section 4.

    Args:
        in_shape: shape of one input, which is flattened to n(0) numbers.
        classes: number of outputs, n(L).
        width: size of every hidden state, n(1) = ... = n(L-1).
        hidden_layers: their number, L-1, the lift among them, which is the number of step sizes.
        horizon: the time horizon T > 0.
        activation: σ of each layer, see `activation_of`.
        field: `field(width)` makes a hidden layer (B, width) -> (B, width) of one's own, σ and all.
        scheme: Euler's method (2.1) where it is None.
        tau: makes the time steps.

    Raises:
        InputError: for a size below 1, T <= 0, or an activation that cannot be made.
    """
    parts = _parts(in_shape, classes, width, hidden_layers, horizon, activation, field)
    return TimeVariableNetwork(*parts, scheme or Euler(), tau, horizon)


class TimeVariableResNet(TimeVariableNetwork):
    """The simplified ResNet, equation (2.1): `perceptron` with Euler's method.

    Args:
        in_features: size of an input, n(0), once it is flattened.
        width: size of every hidden state.
        hidden_layers: their number, L-1.
        out_features: number of outputs, n(L).
        horizon: as in `perceptron`.
        tau: as in `perceptron`.
        activation: as in `perceptron`.
        field: as in `perceptron`.
    """

    def __init__(
        self,
        in_features: int,
        width: int,
        hidden_layers: int,
        out_features: int,
        horizon: float = 1.0,
        tau: Rule = Learned,
        activation: Activation = "ReLU",
        field: Callable[[int], nn.Module] | None = None,
    ) -> None:
        check("TimeVariableResNet", in_features=in_features, out_features=out_features)
        parts = _parts(
            [in_features], out_features, width, hidden_layers, horizon, activation, field
        )
        super().__init__(*parts, Euler(), tau, horizon)


class FractionalDNN(TimeVariableNetwork):
    """The Fractional DNN, equation (2.2): `perceptron` with the scheme `Fractional`.

    Args:
        in_features: size of an input, n(0), once it is flattened.
        width: size of every hidden state.
        hidden_layers: their number, L-1.
        out_features: number of outputs, n(L).
        horizon: as in `perceptron`.
        tau: as in `perceptron`.
        activation: as in `perceptron`.
        field: as in `perceptron`.
        scheme: the arguments of `Fractional`: `gamma`, `history_start`, ...
    """

    scheme: Fractional

    def __init__(
        self,
        in_features: int,
        width: int,
        hidden_layers: int,
        out_features: int,
        horizon: float = 1.0,
        tau: Rule = Learned,
        activation: Activation = "ReLU",
        field: Callable[[int], nn.Module] | None = None,
        **scheme: Any,
    ) -> None:
        check("FractionalDNN", in_features=in_features, out_features=out_features)
        parts = _parts(
            [in_features], out_features, width, hidden_layers, horizon, activation, field
        )
        super().__init__(*parts, Fractional(**scheme), tau, horizon)

    def history_coefficients(self) -> Tensor:
        """The coefficients a(l, j) of (2.2) for the τ in use, shape (L-1, L-1), 0 where j >= l."""
        return self.scheme.history_coefficients(self.tau)


def _parts(
    in_shape: Sequence[int],
    classes: int,
    width: int,
    hidden_layers: int,
    horizon: float,
    activation: Activation,
    field: Callable[[int], nn.Module] | None,
) -> tuple[list[list[nn.Module]], nn.Module]:
    """The one stage, and the decoder."""
    check("sizes", in_shape=in_shape, classes=classes)
    check("perceptron", width=width, hidden_layers=hidden_layers, horizon=horizon)

    def dense(width: int) -> nn.Module:
        return DenseField(width, width, activation)

    make = field or dense
    lift = nn.Sequential(nn.Flatten(), DenseField(math.prod(in_shape), width, activation))
    stage = [lift, *(make(width) for _ in range(hidden_layers - 1))]
    return [stage], nn.Linear(width, classes, bias=False)


def activation_of(activation: Activation, dims: int = 2) -> nn.Module:
    """A new activation: by the name of one of `torch.nn`'s, or from what makes a module.

    Args:
        activation: the name, or what makes it.
        dims: of the tensors that it will be given.

    Raises:
        InputError: for an unknown name, one that needs arguments or changes the shape of a tensor,
            or what makes no module.
    """
    by_name = isinstance(activation, str)
    if isinstance(activation, str):
        if activation not in torch.nn.modules.activation.__all__:
            raise InputError(
                f"activation={activation}: must be one of torch.nn's, say ReLU, Tanh or GELU"
            )
        activation = getattr(nn, activation)
    try:
        made = activation()  # type: ignore[operator]
    except TypeError:
        made = None
    if not isinstance(made, nn.Module):
        raise InputError(
            f"activation={getattr(activation, '__name__', activation)}: must make a module without "
            "arguments, as torch.nn.ReLU does"
        )
    if by_name and not _keeps_shape(made, dims):
        raise InputError(
            f"activation={type(made).__name__}: must keep the shape of a state with {dims} "
            "dimensions, as ReLU does"
        )
    return made


def _keeps_shape(activation: nn.Module, dims: int) -> bool:
    state = torch.empty([4] * dims, device="meta")
    try:
        kept = copy.deepcopy(activation).to("meta")(state)
    except Exception:  # of another number of dimensions, say
        return False
    return isinstance(kept, Tensor) and kept.shape == state.shape
