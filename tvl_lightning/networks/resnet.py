"""The simplified ResNet: explicit Euler steps of learned size."""

from torch import Tensor

from tvl_lightning.networks.time_variable import TimeVariableNetwork


class TimeVariableResNet(TimeVariableNetwork):
    """Explicit Euler's method with step sizes τ, equation (2.1).

    A layer whose τ is 0 is the identity, so it can be removed without changing the outputs.
    Arguments, attributes and errors are those of `TimeVariableNetwork`.
    """

    identity_at_zero_tau = True

    def propagate(self, inputs: Tensor, tau: Tensor) -> Tensor:
        """The state y[L-1], shape (B, width), from y[0], shape (B, in_features)."""
        first, *steps = tau.unbind()
        # f(0)(y) = τ(0) σ(W y + b)
        y = first * self.activation(self.input(inputs))
        for step, layer in zip(steps, self.hidden, strict=True):
            # (2.1): y[l] = y[l-1] + τ(l-1) σ(W(l-1) y[l-1] + b(l-1))
            y = y + step * self.activation(layer(y))
        return y
