"""Figures of one size and style, and files that are the same each time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

WIDTH = 6.3  # inches, of the text on A4
_DPI = 200

_STYLE: Any = {
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.titlesize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "hatch.linewidth": 0.4,
    "lines.scale_dashes": True,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "tvl_lightning",
}


@contextmanager
def print_style() -> Iterator[None]:
    """Draw and save what is within as it is printed: letters of 8 and 9 points, thin axes."""
    with mpl.rc_context(_STYLE):
        yield


def blank_page(height: float, width: float = WIDTH) -> Figure:
    """A figure of that many inches, whose parts make room for each other."""
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, hspace=0.04, wspace=0.04)  # type: ignore[union-attr, call-arg]
    return figure


def save(figure: Figure, path: Path, ending: str, dpi: int = _DPI) -> None:
    """Write a figure, as `png` or `svg`; the same figure gives the same bytes."""
    nothing: dict[str, Any] = {"svg": {"Date": None}, "png": {"Software": None}}
    figure.savefig(path, dpi=dpi, format=ending, metadata=nothing[ending])
