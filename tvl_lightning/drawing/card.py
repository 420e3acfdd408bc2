"""A picture of all τ that is read at the size of a card on TensorBoard's first tab."""

from collections.abc import Collection
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import ArrayLike, NDArray

from tvl_lightning.drawing.labels import label_ends
from tvl_lightning.drawing.tau import draw_tau

WIDTH, HEIGHT = 360, 215  # pixels that TensorBoard shows unscaled in windows of 1366 to 1920
_DPI = 100
_STYLE: Any = {
    "font.size": 7.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
}
_SHORT_NAMES, _LONG_NAMES = 48, 100  # pixels that the names right of the axes take


def tau_card(iterations: ArrayLike, tau: ArrayLike, left: Collection[int]) -> NDArray[np.uint8]:
    """The pixels (215, 360, 3) of all τ over the logarithm of the iteration.

    It is drawn while a network trains, so what takes time is left out: a layout that is computed,
    minor ticks.

    Args:
        iterations: shape (n,), n > 0, increasing.
        tau: shape (n, layers), NaN before a layer's birth and after its removal.
        left: the layers that are there after the last row.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure((WIDTH / _DPI, HEIGHT / _DPI), dpi=_DPI)
        canvas: Any = FigureCanvasAgg(figure)
        axes = figure.subplots()
        ends = draw_tau(axes, iterations, tau, left=left, bins=WIDTH)
        axes.xaxis.set_minor_locator(NullLocator())
        if ends:
            axes.set_ylabel("")  # the names say it
        removed = bool(ends) and len(ends) > len(left)
        right = 1 - (_LONG_NAMES if removed else _SHORT_NAMES) / WIDTH
        figure.subplots_adjust(left=0.12, right=right, bottom=0.165, top=0.92)
        label_ends(figure, {axes: ends})
        canvas.draw()
    return np.array(canvas.buffer_rgba(), np.uint8)[..., :3]
