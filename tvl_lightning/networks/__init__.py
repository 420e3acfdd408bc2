"""Networks that are time discretisations with learnable step sizes. Needs torch only."""

from collections.abc import Mapping
from typing import Any

from tvl_lightning.limits import InputError
from tvl_lightning.networks.fractional import FractionalDNN, history_coefficients
from tvl_lightning.networks.removal import Removal
from tvl_lightning.networks.resnet import TimeVariableResNet
from tvl_lightning.networks.time_variable import TimeVariableNetwork

__all__ = [
    "FractionalDNN",
    "Removal",
    "TimeVariableNetwork",
    "TimeVariableResNet",
    "build_network",
    "history_coefficients",
]

_NETWORKS: dict[str, type[TimeVariableNetwork]] = {
    "TimeVariableResNet": TimeVariableResNet,
    "FractionalDNN": FractionalDNN,
}


def build_network(spec: Mapping[str, Any]) -> TimeVariableNetwork:
    """The network that `TimeVariableNetwork.spec` describes: plain data in, no code from it run.

    Raises:
        InputError: for a network this package does not have, or one whose hidden block or
            activation was the user's own, which plain data cannot name.
    """
    arguments = dict(spec)
    name = str(arguments.pop("network", None))
    if name not in _NETWORKS:
        raise InputError(f"network={name}: must be one of {', '.join(_NETWORKS)}")
    block, activation = arguments.pop("block", None), arguments.get("activation")
    if block is not None or not isinstance(activation, str):
        raise InputError(
            "this network has a hidden block or an activation of the user's own: build it, and "
            "pass it as `network`"
        )
    try:
        return _NETWORKS[name](**arguments)
    except TypeError:
        raise InputError(f"network={name} does not take these arguments: {arguments}") from None
