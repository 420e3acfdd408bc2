"""Networks that are time discretisations with learnable step sizes. Needs torch only."""

from tvl_lightning.networks.convolutional import ConvField, convolutional
from tvl_lightning.networks.fractional import Fractional, history_coefficients
from tvl_lightning.networks.network import TimeVariableNetwork, count_parameters
from tvl_lightning.networks.perceptron import (
    DenseField,
    FractionalDNN,
    TimeVariableResNet,
    perceptron,
)
from tvl_lightning.networks.restructure import Removal
from tvl_lightning.networks.schemes import Euler, Heun, Scheme
from tvl_lightning.networks.time_steps import Final, Fixed, Learned, Simplex, TimeSteps
from tvl_lightning.networks.transformer import transformer

__all__ = [
    "ConvField",
    "DenseField",
    "Euler",
    "Final",
    "Fixed",
    "Fractional",
    "FractionalDNN",
    "Heun",
    "Learned",
    "Removal",
    "Scheme",
    "Simplex",
    "TimeSteps",
    "TimeVariableNetwork",
    "TimeVariableResNet",
    "convolutional",
    "count_parameters",
    "history_coefficients",
    "perceptron",
    "transformer",
]
