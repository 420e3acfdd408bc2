"""What the time-variable networks share: their layers, their step sizes, and how layers leave."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from tvl_lightning.limits import InputError, check
from tvl_lightning.networks.removal import Removal
from tvl_lightning.networks.time_steps import build_time_steps, rule_options

Activation = Callable[[Tensor], Tensor]


class TimeVariableNetwork(nn.Module):
    """A network of L layers that is a time discretisation with step sizes τ(0) ... τ(L-2).

    f(0) maps the input to `width` features, f(1) ... f(L-2) are the time steps that a subclass
    defines in `propagate`, and f(L-1) is linear without a bias (Section 2 of the paper).

    Args:
        in_features: size of an input, n(0), once it is flattened.
        width: size of every hidden state, n(1) = ... = n(L-1).
        hidden_layers: their number, L-1, which is also the number of step sizes.
        out_features: number of outputs, n(L).
        horizon: the time horizon T > 0.
        tau: how the step sizes are held, see `build_time_steps`.
        activation: σ, the name of an activation of `torch.nn` or any function of a tensor.
        block: makes one hidden layer (B, width) -> (B, width), to which σ is applied;
            `nn.Linear(width, width)` where it is None.

    Raises:
        InputError: for a size below 1, T <= 0, or an unknown activation or rule for τ.
    """

    identity_at_zero_tau: bool

    def __init__(
        self,
        in_features: int,
        width: int,
        hidden_layers: int,
        out_features: int,
        horizon: float = 1.0,
        tau: str | Mapping[str, Any] = "learned",
        activation: str | Activation = "ReLU",
        block: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        sizes = {
            "in_features": in_features,
            "width": width,
            "hidden_layers": hidden_layers,
            "out_features": out_features,
            "horizon": horizon,
        }
        for name, value in sizes.items():
            check(name, value)
        self.spec: dict[str, Any] = {
            "network": type(self).__name__,
            **sizes,
            "tau": tau if isinstance(tau, str) else dict(tau),
            "activation": activation if isinstance(activation, str) else None,
            "block": None if block is None else "custom",
        }
        self.layers = list(range(hidden_layers))
        self.block = block or partial(nn.Linear, width, width)
        self.activation = _activation(activation) if isinstance(activation, str) else activation
        self.time_steps = build_time_steps(tau, hidden_layers, horizon)
        self.input = nn.Linear(in_features, width)
        self.hidden = nn.ModuleList(self.block() for _ in range(hidden_layers - 1))
        if len(set(self.hidden)) < hidden_layers - 1:
            raise InputError("block: must make a new hidden layer at every call")
        self.output = nn.Linear(width, out_features, bias=False)

    @property
    def tau(self) -> Tensor:
        """The step sizes in use, shape (L-1,), first to last, differentiable."""
        return self.time_steps()  # type: ignore[no-any-return]

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs (B, ...) that flatten to (B, in_features) to outputs (B, out_features)."""
        return self.output(self.propagate(inputs.flatten(1), self.tau))  # type: ignore[no-any-return]

    def propagate(self, inputs: Tensor, tau: Tensor) -> Tensor:
        """The state y[L-1], shape (B, width), from y[0], shape (B, in_features)."""
        raise NotImplementedError

    def remove_layers(self, positions: Iterable[int]) -> Removal:
        """Delete hidden layers with all their variables, in place.

        Args:
            positions: indices into τ as it is now. 0, the input layer, cannot go.

        Returns:
            What an optimizer needs to follow, see `Removal.apply_to`.

        Raises:
            InputError: for a position that is 0 or not there.
        """
        gone = set(positions)
        if not gone <= set(range(1, len(self.layers))):
            raise InputError(
                f"remove_layers({sorted(gone)}): positions must be in 1 ... {len(self.layers) - 1} "
                "(0 is the input layer, which stays)"
            )
        keep = [position for position in range(len(self.layers)) if position not in gone]
        removed = [p for position in gone for p in self.hidden[position - 1].parameters()]
        old_tau = self.time_steps.free
        self.hidden = nn.ModuleList(self.hidden[position - 1] for position in keep[1:])
        self.time_steps.keep(keep)
        self.layers = [self.layers[position] for position in keep]
        return Removal(removed, old_tau, self.time_steps.free, self.time_steps.free_positions(keep))

    def get_extra_state(self) -> dict[str, Any]:
        """The structure, as plain data: which of the first hidden layers are still there."""
        return {"layers": list(self.layers)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take on the structure of a saved network before its tensors are loaded.

        PyTorch calls this first, so `load_state_dict` fits a pruned network into one of any
        depth, and the other way round.
        """
        layers = state.get("layers")
        if not layers or layers[0] != 0 or layers != sorted(set(layers)):
            raise InputError(f"layers={layers}: must be 0 and, ascending, the others that are left")
        if layers == self.layers:
            return
        like = self.output.weight
        self.hidden = nn.ModuleList(self.block().to(like) for _ in layers[1:])
        self.time_steps = build_time_steps(
            {**rule_options(self.spec["tau"]), "initial": None}, len(layers), self.spec["horizon"]
        ).to(like)
        self.train(self.training)
        self.layers = layers


def _activation(name: str) -> Activation:
    known = torch.nn.modules.activation.__all__
    if name not in known:
        raise InputError(f"activation={name}: must be one of torch.nn's, say ReLU, Tanh or GELU")
    try:
        return getattr(nn, name)()  # type: ignore[no-any-return]
    except TypeError:
        raise InputError(f"activation={name}: takes arguments, so it cannot stand here") from None
