"""A run's τ, and what it is held against."""

from dataclasses import dataclass
from itertools import accumulate, pairwise

from tvl_lightning.runs.reading import Array, Run
from tvl_lightning.runs.report.gather import read_record, trajectory_of
from tvl_lightning.runs.report.shares import shares


@dataclass(frozen=True)
class TauOfRun:
    """τ of a run.

    Attributes:
        iteration: shape (n,), n > 0; 0 is before training.
        tau: shape (n, layers ever alive), NaN before a birth and after a removal.
        left: the layers that are there at the end; None where that is not known.
        horizon: T, where it is known.
        epsilon: the share below which a layer is removed; None without pruning.
        stages: the columns of each stage; None where that is not known.
    """

    iteration: Array
    tau: Array
    left: list[int] | None
    horizon: float | None
    epsilon: float | None
    stages: list[list[int]] | None

    def shares(self) -> Array | None:
        """|τ| / Σ|τ| over a layer's own stage, shape (n, layers); None without stages."""
        if self.stages is None:
            return None
        return shares(self.tau, [len(stage) for stage in self.stages])


def tau_of(run: Run) -> TauOfRun | None:
    """What `tau.npz` and the settings say; None where nothing was recorded.

    Of a layer that was inserted into one of several stages nobody wrote down which.

    Raises:
        InputError: for a file that is damaged.
    """
    trajectory = trajectory_of(run)
    if not trajectory:
        return None
    record = read_record(run.folder, run.folder.name)
    left, columns = run.summary.get("layers"), trajectory["tau"].shape[1]
    return TauOfRun(
        trajectory["iteration"],
        trajectory["tau"],
        left if isinstance(left, list) else None,
        record.horizon,
        record.epsilon or None,
        _stages(record.stage_sizes, columns),
    )


def _stages(sizes: list[int] | None, columns: int) -> list[list[int]] | None:
    if sizes is None or (len(sizes) > 1 and sum(sizes) != columns):
        return None
    bounds = [0, columns] if len(sizes) == 1 else accumulate(sizes, initial=0)
    return [list(range(*pair)) for pair in pairwise(bounds)]
