"""The time step sizes τ of a network, and the rules that tie them to the horizon T.

Each rule is a module whose call gives τ as a tensor of shape (L-1,), and whose parameter `free`
holds what is learned of it (None where nothing is).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tvl_lightning.limits import InputError, check


class TimeSteps(nn.Module):
    """The vector τ.

    Args:
        initial: the first values, shape (L-1,).
        horizon: the time horizon T > 0.
    """

    free: nn.Parameter | None

    def __init__(self, initial: Tensor, horizon: float) -> None:
        super().__init__()
        self.horizon = horizon

    def forward(self) -> Tensor:
        """The step sizes in use, shape (L-1,), differentiable with respect to `free`."""
        raise NotImplementedError

    def free_positions(self, keep: list[int]) -> list[int]:
        """Entries of `free` that live on where only the positions `keep` of τ do."""
        return keep

    def keep(self, positions: list[int]) -> None:
        """Shorten τ to the given positions; `free` becomes a new parameter."""
        if self.free is not None:
            kept = self.free.detach()[self.free_positions(positions)]
            self.free = nn.Parameter(kept, requires_grad=self.free.requires_grad)


class Learned(TimeSteps):
    """Every τ is a parameter."""

    def __init__(self, initial: Tensor, horizon: float) -> None:
        super().__init__(initial, horizon)
        self.free = nn.Parameter(initial)

    def forward(self) -> Tensor:
        assert self.free is not None
        return self.free


class Fixed(TimeSteps):
    """No τ is a parameter: the baseline of Figure 4.1.

    Args:
        first_only: fix τ(0) alone and learn the others, as the authors' code does for ResNets.
    """

    constant: Tensor

    def __init__(self, initial: Tensor, horizon: float, first_only: bool = False) -> None:
        super().__init__(initial, horizon)
        self.register_buffer("constant", initial[:1] if first_only else initial)
        self.free = nn.Parameter(initial[1:]) if first_only else None

    def forward(self) -> Tensor:
        return self.constant if self.free is None else torch.cat((self.constant, self.free))

    def free_positions(self, keep: list[int]) -> list[int]:
        return [position - 1 for position in keep[1:]]

    def keep(self, positions: list[int]) -> None:
        if self.free is None:
            self.constant = self.constant[positions]
        super().keep(positions)


class Final(TimeSteps):
    """τ(L-2) = T - Σ of the others (Section 3), which are parameters; it may become negative.

    After a removal the last remaining step takes this part, so the sum stays T.

    Args:
        detach: stop the gradient through τ(L-2), as the authors' code does.
    """

    def __init__(self, initial: Tensor, horizon: float, detach: bool = False) -> None:
        super().__init__(initial, horizon)
        _require_sum(initial, horizon)
        self.free = nn.Parameter(initial[:-1])
        self.detach = detach

    def forward(self) -> Tensor:
        assert self.free is not None
        last = self.horizon - self.free.sum(0, keepdim=True)
        return torch.cat((self.free, last.detach() if self.detach else last))

    def free_positions(self, keep: list[int]) -> list[int]:
        return keep[:-1]


class Simplex(TimeSteps):
    """τ = T softmax(z): τ > 0 and Σ τ = T at every step, to floating point rounding.

    The logits z are the parameters. After a removal the remaining steps grow by a common factor,
    so both hold again. (In float32 a τ underflows to 0 once its logit is about 100 below the
    largest.)
    """

    def __init__(self, initial: Tensor, horizon: float) -> None:
        super().__init__(initial, horizon)
        _require_sum(initial, horizon)
        if not bool((initial > 0).all()):
            raise InputError(f"tau.initial={initial.tolist()}: must be above 0 for tau=simplex")
        self.free = nn.Parameter((initial / horizon).log())

    def forward(self) -> Tensor:
        assert self.free is not None
        return self.horizon * self.free.softmax(0)


RULES: dict[str, type[TimeSteps]] = {
    "learned": Learned,
    "fixed": Fixed,
    "final": Final,
    "simplex": Simplex,
}


def build_time_steps(
    rule: str | Mapping[str, Any], hidden_layers: int, horizon: float
) -> TimeSteps:
    """The time steps that a description asks for.

    Args:
        rule: a key of `RULES`, or a mapping with it under `rule`, the initial values under
            `initial` (L-1 numbers; T/(L-1) each where missing or None), and the rule's own options.
        hidden_layers: the number of step sizes, L-1.
        horizon: the time horizon T > 0.

    Raises:
        InputError: for an unknown rule or option, or initial values that the rule cannot take.
    """
    options = rule_options(rule)
    name, initial = options.pop("rule", None), options.pop("initial", None)
    if name not in RULES:
        raise InputError(f"tau={name}: must be one of {', '.join(RULES)}")
    try:
        return RULES[name](_initial(initial, hidden_layers, horizon), horizon, **options)
    except TypeError:
        raise InputError(f"tau={name} does not take these options: {options}") from None


def rule_options(rule: str | Mapping[str, Any]) -> dict[str, Any]:
    """A description of time steps, long or short, as a new mapping with the rule under `rule`."""
    return {"rule": rule} if isinstance(rule, str) else dict(rule)


def _initial(values: Sequence[float] | None, hidden_layers: int, horizon: float) -> Tensor:
    check("horizon", horizon)
    if values is None:
        values = [horizon / hidden_layers] * hidden_layers
    try:
        initial = torch.tensor(values, dtype=torch.get_default_dtype())
        right = initial.shape == (hidden_layers,) and bool(initial.isfinite().all())
    except (TypeError, ValueError):
        right = False
    if not right:
        raise InputError(
            f"tau.initial={values}: must be {hidden_layers} finite numbers, "
            "one for each hidden layer"
        )
    return initial


def _require_sum(initial: Tensor, horizon: float) -> None:
    if not math.isclose(float(initial.sum()), horizon, rel_tol=1e-5):
        raise InputError(
            f"tau.initial={initial.tolist()}: must sum to the horizon, {horizon}, "
            "for tau=final and tau=simplex"
        )
