"""The share of each layer in its stage, and when layers came and went."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tvl_lightning.runs.reading import Array


class Change(NamedTuple):
    """A layer that was inserted or removed.

    Attributes:
        row: of the trajectory: the first or the last one with the layer.
        layer: its id.
        kind: `inserted` or `removed`.
    """

    row: int
    layer: int
    kind: str


def shares(tau: Array, stage_sizes: Sequence[int] | None) -> Array:
    """|τ| / Σ|τ|, the sum over the layer's own stage, as pruning compares it with ε.

    Args:
        tau: shape (n, layers), NaN where a layer is not there.
        stage_sizes: the number of layers of each stage; one stage where it is None.

    Returns:
        Shape (n, layers); NaN where a layer is not there, or its stage is 0.
    """
    size = np.abs(tau)
    ends = np.cumsum(stage_sizes or [0])[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [part / np.nansum(part, 1, keepdims=True) for part in np.split(size, ends, axis=1)]
    return np.concatenate(parts, axis=1)


def changes(tau: Array) -> list[Change]:
    """Which layers came and went after the first row and before the last, in order."""
    there = np.isfinite(tau)
    born = np.argwhere(there[1:] & ~there[:-1])
    gone = np.argwhere(there[:-1] & ~there[1:])
    found = [Change(int(row) + 1, int(layer), "inserted") for row, layer in born]
    found += [Change(int(row), int(layer), "removed") for row, layer in gone]
    return sorted(found)
