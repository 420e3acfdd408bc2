"""The runs of sweeps as one table."""

import shutil
from pathlib import Path

from tvl_lightning.limits import InputError
from tvl_lightning.runs.table.cells import columns_of, fitted
from tvl_lightning.runs.table.files import check_suffix, write_table
from tvl_lightning.runs.table.frame import Table, table_of
from tvl_lightning.runs.table.rows import read_rows

__all__ = ["check_suffix", "in_lines", "read_rows", "short_table", "table_of", "write_table"]

_MOST = 40  # rows of a short table
_UNLIMITED = (10_000, 24)  # where no terminal says how wide it is


def in_lines(table: Table) -> list[str]:
    """The table, as wide as the terminal at most, and how many runs there are."""
    width = shutil.get_terminal_size(_UNLIMITED).columns
    return [*fitted(columns_of(table), width), table.counts]


def short_table(folder: Path) -> str:
    """The first runs in `folder`, to be shown where a sweep ends; empty where there is none."""
    try:
        table = table_of(read_rows([folder]))
    except InputError:
        return ""
    more = table.frame.height - _MOST
    lines = in_lines(Table(table.frame.head(_MOST), table.settings, table.results, table.counts))
    if more > 0:
        lines.insert(-1, f"... {more} more: python -m tvl_lightning.table {folder}")
    return "\n".join(lines)
