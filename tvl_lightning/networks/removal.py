"""What an optimizer has to know once layers are gone."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.optim import Optimizer


@dataclass(frozen=True)
class Removal:
    """The parameters that `remove_layers` took out of a network, and what became of τ.

    Attributes:
        parameters: those of the removed layers.
        old_tau: the parameter that held τ before (None where τ is not learned).
        new_tau: the shorter one that took its place.
        kept: the entries of `old_tau` that live on in `new_tau`, in order.
    """

    parameters: Sequence[nn.Parameter]
    old_tau: nn.Parameter | None
    new_tau: nn.Parameter | None
    kept: Sequence[int]

    def apply_to(self, optimizer: Optimizer) -> None:
        """Make `optimizer` forget the removed parameters and follow τ, in place.

        Its groups stay, even an empty one, so schedulers go on undisturbed; every other
        parameter keeps its state, and τ keeps the entries of its momentum or moments that
        belong to the surviving layers.
        """
        gone = {id(parameter) for parameter in self.parameters}
        for group in optimizer.param_groups:
            group["params"][:] = [
                self.new_tau if p is self.old_tau else p
                for p in group["params"]
                if id(p) not in gone
            ]
        for parameter in self.parameters:
            optimizer.state.pop(parameter, None)
        if self.old_tau is None or self.new_tau is None:
            return
        state = optimizer.state.pop(self.old_tau, None)
        if state is not None:
            kept = list(self.kept)
            optimizer.state[self.new_tau] = {
                name: value[kept]
                if isinstance(value, Tensor) and value.shape == self.old_tau.shape
                else value
                for name, value in state.items()
            }
