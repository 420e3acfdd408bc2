"""What acts on τ while Lightning trains, and what writes down what came of it."""

from tvl_lightning.training.callbacks.averaging import EpochAverage, ExponentialAverage
from tvl_lightning.training.callbacks.board import TensorBoardCards
from tvl_lightning.training.callbacks.checkpoints import BestCheckpoint, LastCheckpoint
from tvl_lightning.training.callbacks.hopeless import StopHopeless
from tvl_lightning.training.callbacks.iteration_rate import IterationRate
from tvl_lightning.training.callbacks.metrics_table import MetricsTable
from tvl_lightning.training.callbacks.own_signals import OwnSignals
from tvl_lightning.training.callbacks.progress import RunProgress
from tvl_lightning.training.callbacks.projection import TauProjection
from tvl_lightning.training.callbacks.pruning import AdaptivePruning
from tvl_lightning.training.callbacks.recorder import TauRecorder
from tvl_lightning.training.callbacks.same_batches import SameBatches

__all__ = [
    "AdaptivePruning",
    "BestCheckpoint",
    "EpochAverage",
    "ExponentialAverage",
    "IterationRate",
    "LastCheckpoint",
    "MetricsTable",
    "OwnSignals",
    "RunProgress",
    "SameBatches",
    "StopHopeless",
    "TauProjection",
    "TauRecorder",
    "TensorBoardCards",
]
