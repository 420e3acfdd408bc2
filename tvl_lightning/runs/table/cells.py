"""A table as text: numbers with four significant digits, and lines that fit a terminal."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from unicodedata import combining, east_asian_width

from tvl_lightning.runs.table.frame import Table

_NARROWEST = 12  # of a text that is cut
_FIRST_TO_GO = (
    *("epochs", "iterations_per_second", "last_test_acc", "last_val_acc", "seconds"),
    *("parameters", "sum_of_tau", "layers", "reason", "best_test_acc"),
)


class Column(NamedTuple):
    """A column of text.

    Attributes:
        name: its head.
        cells: below.
        numbers: whether they are set to the right.
    """

    name: str
    cells: list[str]
    numbers: bool


def columns_of(table: Table) -> list[Column]:
    """The table as text, without the results that no run has."""
    frame = table.frame
    settings = [
        Column(name, _settings(frame[name].to_list()), frame[name].dtype.is_numeric())
        for name in table.settings
    ]
    if table.grouped:
        head = [
            *settings,
            *(_counted(name, frame[name].to_list()) for name in ("runs", "finished")),
        ]
        finished, last = frame["finished"].to_list(), []
    else:
        head = [_words("run", frame["run"].to_list()), *settings]
        head.append(_words("status", frame["status"].to_list()))
        finished, last = [], [_words("reason", frame["reason"].to_list())]
    results = []
    for name in table.results:
        if table.grouped:
            parts = [frame[f"{name}_{part}"].to_list() for part in ("mean", "std", "n")]
            cells = [_spread(*cell) for cell in zip(*parts, finished, strict=True)]
        else:
            cells = ["" if v is None else in_figures(v) for v in frame[name].to_list()]
        results.append(Column(name, cells, True))
    return [*head, *(column for column in (*results, *last) if any(column.cells))]


def in_figures(value: float) -> str:
    """A number with four significant digits; a whole one as it is."""
    if isinstance(value, int) or not math.isfinite(value):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:#.4g}".removesuffix(".")


def _spread(mean: float | None, std: float | None, n: int, finished: int) -> str:
    """Mean ± standard deviation, and of how many where some of the finished runs have none."""
    if mean is None:
        return ""
    figures = in_figures(mean)
    some = f" ({n})" if n != finished else ""
    if std is None:
        return figures + some
    places = len(figures.partition(".")[2])
    return f"{figures} ± {f'{std:.2g}' if 'e' in figures else f'{std:.{places}f}'}{some}"


def _settings(values: list[object]) -> list[str]:
    """Four digits where they tell values apart, or else all."""
    short = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in values]
    whole = short if len(set(short)) == len(set(values)) else [str(value) for value in values]
    return ["" if v is None else cell for v, cell in zip(values, whole, strict=True)]


def _words(name: str, values: list[str | None]) -> Column:
    return Column(name, [value or "" for value in values], False)


def _counted(name: str, values: list[int]) -> Column:
    return Column(name, [str(value) for value in values], True)


def fitted(columns: Sequence[Column], width: int) -> list[str]:
    """The columns side by side in lines of at most `width`.

    Where they do not fit, their heads take two lines, then long texts are cut, then columns are
    left out, which the last line says.
    """
    there = [column.name for column in columns]
    order = [name for name in _FIRST_TO_GO if name in there]
    order += [name for name in reversed(there) if name not in order]
    bodies = {c.name: max(map(_width, c.cells), default=0) for c in columns}
    for gone in range(len(columns)):
        shown = [column for column in columns if column.name not in order[:gone]]
        heads, widths = _layout(shown, bodies, width)
        if _total(widths) <= width:
            break
    lines = max(map(len, heads))
    rows = list(zip(*([""] * (lines - len(head)) + head for head in heads), strict=True))
    rows += list(zip(*(column.cells for column in shown), strict=True))
    text = ["  ".join(map(_aligned, row, widths, shown)).rstrip() for row in rows]
    if gone:
        text.append(f"no room for {', '.join(order[:gone])}: widen the terminal, or use --out FILE")
    return text


def _layout(
    columns: Sequence[Column], bodies: Mapping[str, int], width: int
) -> tuple[list[list[str]], list[int]]:
    """The lines of each head, and the width of each column."""
    for split in (_whole, _halves):
        heads = [split(column.name) for column in columns]
        widths = [max(bodies[c.name], *map(_width, h)) for h, c in zip(heads, columns, strict=True)]
        if _total(widths) <= width:
            return heads, widths
    while _total(widths) > width:
        texts = [i for i, c in enumerate(columns) if not c.numbers and widths[i] > _NARROWEST]
        if not texts:
            break
        widths[max(texts, key=widths.__getitem__)] -= 1
    return heads, widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + 2 * (len(widths) - 1)


def _whole(name: str) -> list[str]:
    return [name]


def _halves(name: str) -> list[str]:
    """A head in two lines, cut after a separator, as evenly as can be."""
    cuts = [i + 1 for i, letter in enumerate(name[:-1]) if letter in "_./ "]
    at = min(cuts, key=lambda i: max(i, len(name) - i), default=0)
    return [name[:at], name[at:]] if at else [name]


def _aligned(text: str, width: int, column: Column) -> str:
    if _width(text) > width:
        text = (
            _shortened(text[::-1], width)[::-1] if column.name == "run" else _shortened(text, width)
        )
    gap = " " * (width - _width(text))
    return gap + text if column.numbers else text + gap


def _shortened(text: str, width: int) -> str:
    while _width(text) > width - 1:
        text = text[:-1]
    return text + "…"


def _width(text: str) -> int:
    """Columns of a terminal."""
    if text.isascii():
        return len(text)
    return sum(2 if east_asian_width(c) in "WF" else not combining(c) for c in text)
