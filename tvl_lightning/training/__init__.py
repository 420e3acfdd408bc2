"""Training with Lightning: two modules with the same numbers, and what acts on τ beside them."""

from tvl_lightning.training.callbacks import (
    AdaptivePruning,
    BestCheckpoint,
    IterationBar,
    LastCheckpoint,
    MetricsTable,
    TauProjection,
    TauRecorder,
)
from tvl_lightning.training.checkpoints import AtomicCheckpointIO, load_classifier, read_checkpoint
from tvl_lightning.training.chunks import ENGINES, ChunkedClassifier
from tvl_lightning.training.classifier import Observables, TimeVariableClassifier

__all__ = [
    "ENGINES",
    "AdaptivePruning",
    "AtomicCheckpointIO",
    "BestCheckpoint",
    "ChunkedClassifier",
    "IterationBar",
    "LastCheckpoint",
    "MetricsTable",
    "Observables",
    "TauProjection",
    "TauRecorder",
    "TimeVariableClassifier",
    "load_classifier",
    "read_checkpoint",
]
