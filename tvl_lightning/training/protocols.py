"""What the callbacks need of a module: any LightningModule with this may have them."""

from typing import Protocol, TypeGuard

from tvl_lightning.networks import TimeVariableNetwork
from tvl_lightning.training.classifier import Observables


class TimeVariableModule(Protocol):
    """A module around a time-variable network."""

    network: TimeVariableNetwork


class ObservedModule(TimeVariableModule, Protocol):
    """A module that says what its last iterations left behind."""

    def observables(self) -> Observables | None:
        """τ, losses and the like of the iterations since the last call of `training_step`."""
        ...


# not by isinstance: from Python 3.12 on it finds none of the submodules of a torch module
def has_time_steps(module: object) -> TypeGuard[TimeVariableModule]:
    """Whether it is a module around a time-variable network, itself or what wraps one."""
    network = getattr(module, "network", None)
    return all(hasattr(network, name) for name in ("tau", "layers"))


def is_observed(module: object) -> TypeGuard[ObservedModule]:
    """Whether it is one that says what its last iterations left behind."""
    return has_time_steps(module) and callable(getattr(module, "observables", None))
