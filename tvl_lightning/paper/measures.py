"""What a run comes to in numbers that need every one of its iterations."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tvl_lightning.runs.reading import Array, Run

HORIZON = 1.0  # T
FLOOR = 1e-4 * (1 + 1e-6)  # where the projection puts τ, as float32 or float64
EPSILON = 0.01  # ε, the pruning threshold
EXCESSES = (0.0, 0.01, 0.05, 0.1)  # over T: from where on Σ τ is said to exceed it
WARMED_UP = 1_000  # iterations, after which a τ that lies on the floor is counted

PerLayer = list[float | None]


@dataclass(frozen=True)
class Measures:
    """Numbers of a run, fit for JSON. A list has an entry for every layer there ever was.

    Attributes:
        start: τ after the first iteration.
        end: τ after the last one, None for a layer that was pruned.
        least: the least τ of all iterations.
        greatest: the greatest.
        late_share: the greatest |τ| / Σ|τ| in the second half of the iterations; None for a layer
            that was pruned before.
        vanished_at: the iteration from which on |τ| / Σ|τ| is below ε; None where it is not so at
            the end.
        negative_at: the first iteration with τ < 0, or None.
        on_floor: the share of the iterations after the first 1,000 with τ at most 1e-4.
        sum_end: Σ τ after the last iteration.
        sum_late: the mean of Σ τ over the last tenth of the iterations.
        sum_greatest: the greatest Σ τ.
        sum_greatest_at: the iteration after which it is so.
        sum_exceeds: the iteration after which Σ τ stays above T + 0, 0.01, 0.05, 0.1 until it is
            greatest, or None.
        off_horizon: the median of |Σ τ - T| over all iterations.
        furthest_off_horizon: the greatest |Σ τ - T|.
        not_finite: the number of iterations whose loss is not finite.
    """

    start: PerLayer
    end: PerLayer
    least: PerLayer
    greatest: PerLayer
    late_share: PerLayer
    vanished_at: list[int | None]
    negative_at: list[int | None]
    on_floor: PerLayer
    sum_end: float
    sum_late: float
    sum_greatest: float
    sum_greatest_at: int
    sum_exceeds: list[int | None]
    off_horizon: float
    furthest_off_horizon: float
    not_finite: int


def given(values: PerLayer) -> list[float]:
    """Those of the layers that have one."""
    return [value for value in values if value is not None]


def measured(run: Run) -> Measures:
    """The measures of a run, from τ and the loss after each of its iterations."""
    trained = run.trajectory["iteration"] > 0  # the state before training may have a row
    tau, iteration, loss = (run.trajectory[name][trained] for name in ("tau", "iteration", "loss"))
    tau = tau.astype(float)
    alive = np.isin(np.arange(tau.shape[1]), run.summary["layers"])
    total = np.nansum(tau, axis=1)
    size = np.abs(tau)
    share = size / np.nansum(size, axis=1, keepdims=True)
    warm = tau[iteration > WARMED_UP]
    return Measures(
        start=_numbers(tau[0]),
        end=_numbers(np.where(alive, tau[-1], np.nan)),
        least=_numbers(np.fmin.reduce(tau)),
        greatest=_numbers(np.fmax.reduce(tau)),
        late_share=_numbers(np.fmax.reduce(share[len(share) // 2 :])),
        vanished_at=[_since(iteration, column) for column in (share < EPSILON).T],
        negative_at=[_first(iteration, column) for column in (tau < 0).T],
        on_floor=_numbers(np.mean(warm <= FLOOR, axis=0) if len(warm) else tau[0] * 0),
        sum_end=float(np.nansum(tau[-1, alive])),
        sum_late=float(total[-max(1, len(total) // 10) :].mean()),
        sum_greatest=float(total.max()),
        sum_greatest_at=int(iteration[total.argmax()]),
        sum_exceeds=[_passes(iteration, total, HORIZON + excess) for excess in EXCESSES],
        off_horizon=float(np.median(np.abs(total - HORIZON))),
        furthest_off_horizon=float(np.abs(total - HORIZON).max()),
        not_finite=int(np.sum(~np.isfinite(loss))),
    )


def _numbers(values: Array) -> PerLayer:
    return [float(value) if np.isfinite(value) else None for value in values]


def _first(iteration: Array, condition: Array) -> int | None:
    rows = np.flatnonzero(condition)
    return int(iteration[rows[0]]) if len(rows) else None


def _since(iteration: Array, condition: Array) -> int | None:
    """From which iteration on the condition is true to the end; a NaN counts as false."""
    rows = np.flatnonzero(~condition)
    row = rows[-1] + 1 if len(rows) else 0
    return int(iteration[row]) if row < len(iteration) else None


def _passes(iteration: Array, total: Array, level: float) -> int | None:
    peak: Any = total.argmax()
    if total[peak] <= level:
        return None
    below = np.flatnonzero(total[:peak] <= level)
    return int(iteration[below[-1] + 1]) if len(below) else int(iteration[0])
