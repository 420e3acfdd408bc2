"""Training with Lightning: two modules with the same numbers, and what acts on τ beside them."""

from tvl_lightning.training.callbacks import (
    AdaptivePruning,
    BestCheckpoint,
    EpochAverage,
    ExponentialAverage,
    IterationRate,
    LastCheckpoint,
    MetricsTable,
    OwnSignals,
    RunProgress,
    SameBatches,
    StopHopeless,
    TauProjection,
    TauRecorder,
    TensorBoardCards,
)
from tvl_lightning.training.checkpoints import AtomicCheckpointIO, load_classifier, read_checkpoint
from tvl_lightning.training.chunks import ENGINES, ChunkedClassifier
from tvl_lightning.training.classifier import Observables, TimeVariableClassifier
from tvl_lightning.training.optimizers import with_time_steps
from tvl_lightning.training.schedules import WarmupCosine

__all__ = [
    "ENGINES",
    "AdaptivePruning",
    "AtomicCheckpointIO",
    "BestCheckpoint",
    "ChunkedClassifier",
    "EpochAverage",
    "ExponentialAverage",
    "IterationRate",
    "LastCheckpoint",
    "MetricsTable",
    "Observables",
    "OwnSignals",
    "RunProgress",
    "SameBatches",
    "StopHopeless",
    "TauProjection",
    "TauRecorder",
    "TensorBoardCards",
    "TimeVariableClassifier",
    "WarmupCosine",
    "load_classifier",
    "read_checkpoint",
    "with_time_steps",
]
