"""Long curves thinned to what a picture can show, without losing an extreme."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Thinned(NamedTuple):
    """Bins of consecutive rows, in order; together they hold every row.

    Attributes:
        end: the index of each bin's last row, shape (b,).
        last: the value in that row, shape (b, ...).
        least: of the bin's values that are not NaN, shape (b, ...); NaN where all are.
        greatest: likewise.
    """

    end: NDArray[np.intp]
    last: Array
    least: Array
    greatest: Array


def thinned(values: Array, bins: int = 400) -> Thinned:
    """Thin `values`, a row for each iteration, for a linear and for a logarithmic axis.

    The bins are `bins` even in the iteration together with `bins` even in its logarithm: from its
    first row to its last, none is wider than a pixel of a picture of `bins` pixels on either axis.
    Fewer rows than that stay as they are. A line through `last` and a band from `least` to
    `greatest` is what all rows would have drawn.

    Args:
        values: shape (n, ...).
        bins: on each axis.
    """
    values = np.asarray(values)
    n = len(values)
    if n == 0:
        return Thinned(np.zeros(0, np.intp), values, values, values)
    even = np.linspace(0, n, bins + 1)[:-1]
    logarithmic = np.geomspace(1, n + 1, bins + 1)[:-1] - 1
    starts = np.unique(np.concatenate((even, logarithmic)).astype(np.intp))
    end = np.append(starts[1:], n) - 1
    least, greatest = (f.reduceat(values, starts, axis=0) for f in (np.fmin, np.fmax))
    return Thinned(end, values[end], least, greatest)
