"""What acts on τ while Lightning trains."""

from tvl_lightning.callbacks.checkpoints import BestCheckpoint, LastCheckpoint
from tvl_lightning.callbacks.projection import TauProjection, project_positive, project_simplex
from tvl_lightning.callbacks.pruning import AdaptivePruning
from tvl_lightning.callbacks.trajectory import TauTrajectory

__all__ = [
    "AdaptivePruning",
    "BestCheckpoint",
    "LastCheckpoint",
    "TauProjection",
    "TauTrajectory",
    "project_positive",
    "project_simplex",
]
