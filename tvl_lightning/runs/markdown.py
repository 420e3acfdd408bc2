"""Text and numbers as Markdown."""

import math
from collections.abc import Sequence

_MARKUP = "\\`*_{}[]()#+!|~<>&"


def escaped(text: str) -> str:
    """Text that comes from a run, so that none of it is markup."""
    marked = "".join("\\" + c if c in _MARKUP else c for c in text)
    return " ".join(marked.split())


def in_figures(number: float | None) -> str:
    """A number with three significant figures, whole from 1,000 on; a dash for None."""
    if number is None:
        return "–"
    if not math.isfinite(number):
        return "∞"
    return f"{number:,.0f}" if abs(number) >= 999.5 else f"{number:.3g}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]
