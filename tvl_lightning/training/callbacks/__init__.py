"""What acts on τ while Lightning trains, and what writes down what came of it."""

from tvl_lightning.training.callbacks.checkpoints import BestCheckpoint, LastCheckpoint
from tvl_lightning.training.callbacks.iteration_bar import IterationBar
from tvl_lightning.training.callbacks.metrics_table import MetricsTable
from tvl_lightning.training.callbacks.projection import TauProjection
from tvl_lightning.training.callbacks.pruning import AdaptivePruning
from tvl_lightning.training.callbacks.recorder import TauRecorder

__all__ = [
    "AdaptivePruning",
    "BestCheckpoint",
    "IterationBar",
    "LastCheckpoint",
    "MetricsTable",
    "TauProjection",
    "TauRecorder",
]
