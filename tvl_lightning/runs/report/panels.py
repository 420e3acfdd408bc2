"""Panels as plain data, which `assets/*.js` draw.

A panel is a mapping with `title`, `kind` and

- `lines`: `series` over `x`: each with `key`, `y`, and perhaps a band from `low` to `high`;
- `map`: `rows`, the values of each key over `x`, in colours;
- `points`: `points`, each with `key`, `x`, `y` and a `text`.

`x` is the number of an array in `Axes`. A key names what is shown or hidden in all panels at once.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tvl_lightning.drawing.palette import COLOURS
from tvl_lightning.runs.reading import Array

Panel = dict[str, Any]
_MANY = 8  # lines that can be told apart; beyond, layers are rows of a map


def too_many(layers: int) -> bool:
    """Whether so many layers are drawn as a map, not as lines."""
    return layers > _MANY


class Axes:
    """The arrays that panels are drawn over, each kept once."""

    def __init__(self) -> None:
        self.arrays: list[list[float | None]] = []

    def number(self, values: Array) -> int:
        """The number of the array with these values."""
        plain = rounded(values, 16)
        if plain not in self.arrays:
            self.arrays.append(plain)
        return self.arrays.index(plain)


def rounded(values: Array, digits: int = 4) -> list[float | None]:
    """Values as JSON has them, to some significant digits; null where they are not finite."""
    plain = np.asarray(values, float).tolist()
    return [_short(float(f"{v:.{digits}g}")) if abs(v) < np.inf else None for v in plain]


def _short(value: float) -> float:
    return int(value) if value.is_integer() else value


def key(label: str, number: int, dash: int | None = None) -> dict[str, Any]:
    """How what has a key is called and drawn: colour and dash `number` of the palette."""
    again, colour = divmod(number, len(COLOURS))
    return {"label": label, "colour": colour, "dash": again if dash is None else dash}


def layer_keys(layers: int) -> dict[str, Any]:
    """A key for each layer; too many for the palette have a colour by their depth."""
    keys = {f"layer {layer}": key(f"τ({layer})", layer) for layer in range(layers)}
    if too_many(layers):
        for layer, each in enumerate(keys.values()):
            each |= {"depth": round(layer / (layers - 1), 4), "dash": 0}
    return keys


def series(
    key: str, x: int, y: Array, low: Array | None = None, high: Array | None = None
) -> dict[str, Any]:
    """One line, and the band around it where there is one."""
    digits = _digits(y)
    line = {"key": key, "x": x, "y": rounded(y, digits)}
    if low is None or high is None:
        return line
    return {**line, "low": rounded(low, digits), "high": rounded(high, digits)}


def _digits(values: Array) -> int:
    """How many digits it takes to see what changes: 4 of the span, and of the values."""
    finite = values[np.isfinite(values)]
    size, span = (np.abs(finite).max(), np.ptp(finite)) if len(finite) else (0, 0)
    return 4 + int(np.clip(np.log10(size / span), 0, 6)) if span > 0 else 4


def lines(title: str, drawn: Sequence[dict[str, Any]], **more: Any) -> Panel:
    """A panel of lines.

    Args:
        title: what it shows.
        drawn: its series.
        more: `log`, whether y is logarithmic; `levels`, pairs of a height and its name; `marks`,
            with `key`, `x`, `y` and `kind`; `range`, the name of a y range that panels share.
    """
    return {"title": title, "kind": "lines", "series": list(drawn), **more}


def heat_map(title: str, x: int, values: Array, start: float, log: bool = False) -> Panel:
    """A panel of colours, layer by iteration.

    Args:
        title: what it shows.
        x: the last iteration of each bin.
        values: shape (bins, layers).
        start: the first iteration.
        log: whether colours follow the logarithm.
    """
    rows = [rounded(column) for column in values.T]
    return {"title": title, "kind": "map", "x": x, "rows": rows, "start": start, "log": log}
