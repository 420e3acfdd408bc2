"""A table as a file."""

import re
from pathlib import Path

import polars as pl

from tvl_lightning.files import replacing
from tvl_lightning.limits import InputError
from tvl_lightning.runs import markdown
from tvl_lightning.runs.table.cells import columns_of
from tvl_lightning.runs.table.frame import Table

SUFFIXES = (".csv", ".parquet", ".md")

_FORMULA = ("=", "+", "-", "@")
_NUMBER = re.compile(r"[+-]?[0-9.]+(e[+-]?[0-9]+)?", re.ASCII | re.IGNORECASE)


def check_suffix(path: Path) -> None:
    """Refuse a file of another kind.

    Raises:
        InputError: in one line.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"--out {path}: must end in {', '.join(SUFFIXES)}")


def write_table(table: Table, path: Path) -> None:
    """Write CSV or Parquet with all digits, or Markdown, whole or not at all.

    In CSV a text that a spreadsheet would take for a formula begins with an apostrophe; in
    Markdown no text of a run is markup.
    """
    check_suffix(path)
    with replacing(path) as part:
        if path.suffix == ".parquet":
            table.frame.write_parquet(part)
        elif path.suffix == ".csv":
            _harmless(table.frame).write_csv(part)
        else:
            part.write_text("\n".join(_markdown(table)) + "\n", encoding="utf-8")


def _harmless(frame: pl.DataFrame) -> pl.DataFrame:
    columns = [_marked(c) if c.dtype == pl.String else c for c in frame.get_columns()]
    return pl.DataFrame([column.rename(_mark(column.name)) for column in columns])


def _marked(texts: pl.Series) -> pl.Series:
    return pl.Series(texts.name, [v and _mark(v) for v in texts.to_list()], dtype=pl.String)


def _mark(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text


def _markdown(table: Table) -> list[str]:
    columns = columns_of(table)
    head = [markdown.escaped(column.name) for column in columns]
    cells = ([markdown.escaped(cell) for cell in column.cells] for column in columns)
    return [
        *markdown.table(head, list(zip(*cells, strict=True))),
        "",
        markdown.escaped(table.counts),
    ]
