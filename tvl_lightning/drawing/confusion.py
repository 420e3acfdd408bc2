"""What was taken for what: the confusion matrix of a classifier as a picture."""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

# One hue (CIELAB, 262 degrees) whose lightness falls evenly from 98 to 24.
_BLUES = (
    *("#F6FAFF", "#CFE1F6", "#A7C8ED", "#7EB0E1", "#5399D2"),
    *("#1A82C0", "#076A9F", "#02537E", "#033D5D"),
)
BLUES = LinearSegmentedColormap.from_list("blues", _BLUES)

_MOST_NUMBERS = 20  # classes whose counts can be read in the cells
_SHARES = (0.0, 0.01, 0.1, 0.25, 0.5, 1.0)  # marked beside the colours


def confusion_figure(counts: NDArray[np.int64]) -> Figure:
    """The matrix, and each class's accuracy beside its row.

    A cell's colour is its share of the row, on a scale of square roots, so that one error in a
    hundred is seen; up to 20 classes its number is written in it. The row of a class without
    samples stays white.

    Args:
        counts: shape (n, n); samples of class i that were taken for class j.
    """
    n = len(counts)
    samples = counts.sum(1)
    shares = counts / np.maximum(samples, 1)[:, None]
    side = 5.5 if n <= _MOST_NUMBERS else 7.5  # inches
    figure = Figure(figsize=(1.45 * side, side), layout="constrained")
    matrix, bars = figure.subplots(1, 2, sharey=True, width_ratios=(4, 1))

    image = matrix.imshow(shares, BLUES, PowerNorm(0.5, 0, 1), aspect="auto")
    matrix.set(xlabel="predicted class", ylabel="class")
    if n <= _MOST_NUMBERS:
        matrix.set(xticks=range(n), yticks=range(n))
        size = min(9.0, 110 / n)
        for row, column in zip(*counts.nonzero(), strict=True):
            colour = "white" if shares[row, column] > 0.25 else "black"
            text = f"{counts[row, column]}"
            matrix.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
    else:
        matrix.xaxis.set_major_locator(MaxNLocator(integer=True))
        matrix.yaxis.set_major_locator(MaxNLocator(integer=True))
    bars.barh(
        range(n), shares.diagonal(), height=0.8 if n <= _MOST_NUMBERS else 1, color=BLUES(0.6)
    )
    correct = counts.trace() / max(counts.sum(), 1)
    bars.axvline(correct, color="black", linewidth=1, linestyle="--")
    bars.set_title(f"all: {correct:.4g}", fontsize="medium")
    bars.set(xlabel="accuracy", xlim=(0, 1), xticks=(0, 0.5, 1))
    bars.tick_params(left=False)
    colours = figure.colorbar(image, ax=bars, ticks=_SHARES, format="%g", fraction=0.3, pad=0.1)
    colours.set_label("share of the class")
    return figure
