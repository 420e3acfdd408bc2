"""What the callbacks need of a module: any LightningModule with this may have them."""

from typing import Protocol, runtime_checkable

from tvl_lightning.networks import TimeVariableNetwork
from tvl_lightning.training.classifier import Observables


@runtime_checkable
class TimeVariableModule(Protocol):
    """A module around a time-variable network."""

    network: TimeVariableNetwork


@runtime_checkable
class ObservedModule(TimeVariableModule, Protocol):
    """A module that says what its last iterations left behind."""

    def observables(self) -> Observables | None:
        """τ, losses and the like of the iterations since the last call of `training_step`."""
        ...
