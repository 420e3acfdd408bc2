"""Optimal time variable learning with PyTorch Lightning and Hydra."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0.dev0"

_HOMES = {
    "AdaptivePruning": "training",
    "ChunkedClassifier": "training",
    "Dataset": "data",
    "FractionalDNN": "networks",
    "InputError": "limits",
    "Samples": "data",
    "Sizes": "data",
    "TauProjection": "training",
    "TauRecorder": "training",
    "TensorData": "data",
    "TimeVariableClassifier": "training",
    "TimeVariableNetwork": "networks",
    "TimeVariableResNet": "networks",
    "convolutional": "networks",
    "perceptron": "networks",
    "transformer": "networks",
}

if TYPE_CHECKING:
    from tvl_lightning.data import Dataset, Samples, Sizes, TensorData
    from tvl_lightning.limits import InputError
    from tvl_lightning.networks import (
        FractionalDNN,
        TimeVariableNetwork,
        TimeVariableResNet,
        convolutional,
        perceptron,
        transformer,
    )
    from tvl_lightning.training import (
        AdaptivePruning,
        ChunkedClassifier,
        TauProjection,
        TauRecorder,
        TimeVariableClassifier,
    )

__all__ = [
    "AdaptivePruning",
    "ChunkedClassifier",
    "Dataset",
    "FractionalDNN",
    "InputError",
    "Samples",
    "Sizes",
    "TauProjection",
    "TauRecorder",
    "TensorData",
    "TimeVariableClassifier",
    "TimeVariableNetwork",
    "TimeVariableResNet",
    "convolutional",
    "perceptron",
    "transformer",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: torch takes seconds."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
