"""The runs as a data frame: a row a run, or a row for all that differ in, say, their seed only."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl

from tvl_lightning.limits import InputError
from tvl_lightning.runs.report.record import Record
from tvl_lightning.runs.table.rows import UNREADABLE, Row, name_of
from tvl_lightning.runs.table.settings import Column, has_setting, setting_columns

_WHOLE = ("layers", "parameters", "epochs")  # numbers
_ACCURACIES = ("best_val_acc", "last_val_acc", "best_test_acc", "last_test_acc", "test_acc")
_REST = ("layers", "parameters", "sum_of_tau", "epochs", "seconds", "iterations_per_second")
_OWN = {"run", "status", "reason", "runs", "finished", *_ACCURACIES, *_REST}


@dataclass(frozen=True)
class Table:
    """Runs, or groups of them.

    Attributes:
        frame: columns run, the settings, status, the results, reason; or of groups the settings,
            runs and finished (how many), and of each result `RESULT_mean`, `RESULT_std` (n - 1
            degrees of freedom) and `RESULT_n` over the finished runs that have it.
        settings: the columns of settings.
        results: the names of the results.
        counts: how many runs there are, in words.
    """

    frame: pl.DataFrame
    settings: list[str]
    results: list[str]
    counts: str

    @property
    def grouped(self) -> bool:
        """Whether a row is a group of runs."""
        return "runs" in self.frame.columns


def table_of(
    rows: Sequence[Row],
    over: Sequence[str] = (),
    accuracy: float | None = None,
    sort: str | None = None,
) -> Table:
    """The table of runs.

    Args:
        rows: the runs.
        over: settings: runs that differ in these only become one row.
        accuracy: as in `read_rows`.
        sort: a column, or a result; with a `-` before it the greatest comes first.

    Raises:
        InputError: for a setting or a column that there is not.
    """
    records = [row.record for row in rows]
    settings = {_free(name): column for name, column in setting_columns(records).items()}
    results = [*_ACCURACIES, *([name_of(accuracy)] if accuracy is not None else []), *_REST]
    frame = pl.DataFrame(
        [
            _texts("run", (r.path for r in records)),
            *(_typed(name, column) for name, column in settings.items()),
            _texts("status", (r.status for r in records)),
            *(_numbers(name, [row.results.get(name) for row in rows]) for name in results),
            _texts("reason", (r.reason or None for r in records)),
        ]
    )
    table = Table(frame, list(settings), results, _counts(records))
    if over:
        table = _grouped(table, records, over)
    return _sorted(table, sort) if sort else table


def _grouped(table: Table, records: Sequence[Record], over: Sequence[str]) -> Table:
    for name in over:
        if name not in table.settings and not has_setting(records, name):
            differ = ", ".join(table.settings) or "nothing"
            raise InputError(f"--over {name}: no such setting; the runs differ in {differ}")
    within = tuple(f"{name}." for name in over)
    keys = [name for name in table.settings if not f"{name}.".startswith(within)]
    finished = pl.col("status") == "finished"
    measured = [pl.len().alias("runs"), finished.sum().alias("finished")]
    for name in table.results:
        values = pl.col(name).filter(finished)
        measured.append(values.mean().alias(f"{name}_mean"))
        measured.append(values.std().alias(f"{name}_std"))
        measured.append(values.count().alias(f"{name}_n"))
    readable = table.frame.filter(pl.col("status") != UNREADABLE)
    groups = readable.group_by(keys, maintain_order=True).agg(measured) if keys else None
    frame = readable.select(measured) if groups is None else groups
    return Table(frame, keys, table.results, table.counts)


def _sorted(table: Table, sort: str) -> Table:
    wanted = sort.removeprefix("-")
    columns = table.frame.columns
    found = [name for name in (wanted, f"{wanted}_mean") if name in columns]
    if not found:
        raise InputError(f"--sort {sort}: no such column; there are {', '.join(columns)}")
    frame = table.frame.sort(
        found[0], descending=sort.startswith("-"), nulls_last=True, maintain_order=True
    )
    return Table(frame, table.settings, table.results, table.counts)


def _free(name: str) -> str:
    name = clean(name)
    taken = name in _OWN or name.rpartition("_")[0] in _OWN or name.startswith("epochs_to_")
    return f"setting {name}" if taken else name


def clean(text: str) -> str:
    """Text that comes from a run, in one line, without what would steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def _texts(name: str, values: Iterable[str | None]) -> pl.Series:
    return pl.Series(name, [None if v is None else clean(v) for v in values], dtype=pl.String)


def _typed(name: str, values: Column) -> pl.Series:
    """Numbers where all are."""
    texts = _texts(name, values)
    for kind in (pl.Int64, pl.Float64):
        numbers: pl.Series = texts.cast(kind, strict=False)
        if numbers.null_count() == texts.null_count():
            return numbers
    return texts


def _numbers(name: str, values: Sequence[float | None]) -> pl.Series:
    series = pl.Series(name, values, dtype=pl.Float64)
    whole = name in _WHOLE or name.startswith("epochs_to_")
    return series.cast(pl.Int64, strict=False) if whole else series


def _counts(records: Sequence[Record]) -> str:
    by_status = Counter(clean(record.status) for record in records)
    each = ", ".join(f"{n} {status}" for status, n in by_status.most_common())
    return f"{len(records)} run{'s' * (len(records) != 1)}: {each}"
