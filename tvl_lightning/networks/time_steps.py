"""The time step sizes τ of a network, and the rules that tie them to the horizon T.

A rule is a module whose call gives τ as a tensor of shape (n,), lifts counted. Its parameter `free`
holds what is learned of it (None where nothing is).
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tvl_lightning.limits import InputError, check


class TimeSteps(nn.Module):
    """The vector τ; a rule is a subclass, made by `rule(n, horizon)`.

    Args:
        n: the number of step sizes.
        horizon: the time horizon T > 0.

    Attributes:
        free: what is learned, shape (m,), or None.
        free_is_tau: whether the entries of `free` are step sizes themselves, so that a projection
            of τ may act on them. Not so for a rule that computes every τ from something else.

    Raises:
        InputError: for T <= 0.
    """

    free: nn.Parameter | None
    free_is_tau = False

    def __init__(self, n: int, horizon: float) -> None:
        super().__init__()
        check("TimeSteps", horizon=horizon)
        self.horizon = horizon

    def forward(self) -> Tensor:
        """The step sizes in use, shape (n,), differentiable with respect to `free`."""
        raise NotImplementedError

    def free_positions(self, positions: Sequence[int | None]) -> Sequence[int | None]:
        """The entries of `free` that `rearrange(positions)` takes over."""
        return positions

    def rearrange(self, positions: Sequence[int | None]) -> None:
        """Let τ(l) be what τ(positions[l]) was, or a new one, 0, for None.

        `free` becomes a new parameter.
        """
        if self.free is not None:
            taken = _taken(self.free.detach(), self.free_positions(positions))
            self.free = nn.Parameter(taken, requires_grad=self.free.requires_grad)


class Learned(TimeSteps):
    """Every τ is a parameter.

    Args:
        n: the number of step sizes.
        horizon: the time horizon T > 0.
        initial: n numbers; T/n each where it is None.

    Raises:
        InputError: for `initial` of another length, or not finite.
    """

    free_is_tau = True

    def __init__(self, n: int, horizon: float, initial: Sequence[float] | None = None) -> None:
        super().__init__(n, horizon)
        self.free = nn.Parameter(_tensor(_values(initial, n, horizon)))

    def forward(self) -> Tensor:
        assert self.free is not None
        return self.free


class Fixed(TimeSteps):
    """No τ is a parameter: the baseline of Figure 4.1.

    Args:
        n: the number of step sizes.
        horizon: the time horizon T > 0.
        initial: n numbers; T/n each where it is None.
        first_only: fix τ(0) alone and learn the others, as the authors' code does for ResNets.

    Raises:
        InputError: for `initial` of another length, or not finite.
    """

    free_is_tau = True
    constant: Tensor

    def __init__(
        self,
        n: int,
        horizon: float,
        initial: Sequence[float] | None = None,
        first_only: bool = False,
    ) -> None:
        super().__init__(n, horizon)
        check("Fixed", first_only=first_only)
        values = _values(initial, n, horizon)
        self.register_buffer("constant", _tensor(values[:1] if first_only else values))
        self.free = nn.Parameter(_tensor(values[1:])) if first_only else None

    def forward(self) -> Tensor:
        return self.constant if self.free is None else torch.cat((self.constant, self.free))

    def free_positions(self, positions: Sequence[int | None]) -> Sequence[int | None]:
        return [None if position is None else position - 1 for position in positions[1:]]

    def rearrange(self, positions: Sequence[int | None]) -> None:
        if self.free is None:
            self.constant = _taken(self.constant, positions)
        super().rearrange(positions)


class Final(TimeSteps):
    """The last τ = T - Σ of the others (Section 3), which are parameters; it may become negative.

    After a removal the last remaining step takes this part, so the sum stays T.

    Args:
        n: the number of step sizes.
        horizon: the time horizon T > 0.
        initial: n numbers that sum to T; T/n each where it is None.
        detach: stop the gradient through the last τ, as the authors' code does.

    Raises:
        InputError: for `initial` of another length or sum, or not finite.
    """

    free_is_tau = True

    def __init__(
        self,
        n: int,
        horizon: float,
        initial: Sequence[float] | None = None,
        detach: bool = False,
    ) -> None:
        super().__init__(n, horizon)
        check("Final", detach=detach)
        values = _summing_to(horizon, _values(initial, n, horizon), "final")
        self.free = nn.Parameter(_tensor(values)[:-1])
        self.detach = detach

    def forward(self) -> Tensor:
        assert self.free is not None
        last = self.horizon - self.free.sum(0, keepdim=True)
        return torch.cat((self.free, last.detach() if self.detach else last))

    def free_positions(self, positions: Sequence[int | None]) -> Sequence[int | None]:
        held = 0 if self.free is None else len(self.free)
        # what was computed before is no entry of `free`
        return [None if p is None or p >= held else p for p in positions[:-1]]


class Simplex(TimeSteps):
    """τ = T softmax(z): τ > 0 and Σ τ = T at every iteration, to floating point rounding.

    The logits z are the parameters. After a removal the remaining steps grow by a common factor,
    so both hold again. (In float32 a τ underflows to 0 once its logit is about 100 below the
    largest.)

    Args:
        n: the number of step sizes.
        horizon: the time horizon T > 0.
        initial: n numbers above 0 that sum to T; T/n each where it is None.

    Raises:
        InputError: for `initial` of another length or sum, or with a number that is not above 0.
    """

    def __init__(self, n: int, horizon: float, initial: Sequence[float] | None = None) -> None:
        super().__init__(n, horizon)
        values = _summing_to(horizon, _values(initial, n, horizon), "simplex")
        if min(values) <= 0:
            raise InputError(f"tau.initial={values}: must be above 0 for tau=simplex")
        self.free = nn.Parameter((_tensor(values) / horizon).log())

    def forward(self) -> Tensor:
        assert self.free is not None
        return self.horizon * self.free.softmax(0)


def _taken(values: Tensor, positions: Sequence[int | None]) -> Tensor:
    """The entries of `values` at `positions`, 0 for None."""
    taken = values.new_zeros(len(positions))
    new = [i for i, position in enumerate(positions) if position is not None]
    taken[new] = values[[position for position in positions if position is not None]]
    return taken


def _tensor(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.get_default_dtype())


def _values(initial: Sequence[float] | None, n: int, horizon: float) -> list[float]:
    if initial is None:
        return [horizon / n] * n
    given: Any = initial
    if (
        not isinstance(given, Sequence)
        or len(given) != n
        or not all(type(value) in (int, float) and math.isfinite(value) for value in given)
    ):
        raise InputError(
            f"tau.initial={initial}: must be {n} finite numbers, one for each hidden layer"
        )
    return list(initial)


def _summing_to(horizon: float, values: list[float], rule: str) -> list[float]:
    if not math.isclose(sum(values), horizon, rel_tol=1e-5):
        raise InputError(
            f"tau.initial={values}: must sum to the horizon, {horizon}, for tau={rule}"
        )
    return values
