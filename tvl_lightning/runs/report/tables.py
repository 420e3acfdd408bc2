"""The tables of a folder: by setting, and of all its runs."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from tvl_lightning.runs.report.differing import Setting
from tvl_lightning.runs.report.record import Record, text

Table = dict[str, Any]


class Accuracy(NamedTuple):
    """The accuracy by which runs are compared."""

    name: str
    of: Callable[[Record], float | None]


def accuracy_of(records: Sequence[Record]) -> Accuracy:
    """That of the tested checkpoint where each finished run has one, or else the objective."""
    if all(record.test is not None for record in records if record.finished):
        return Accuracy("test accuracy", lambda record: record.test)
    return Accuracy("objective", lambda record: record.objective)


def values(records: Sequence[Record], of: Callable[[Record], float | None]) -> list[float]:
    """What finished runs have."""
    return [v for record in records if record.finished for v in [of(record)] if v is not None]


def mean(records: Sequence[Record], of: Callable[[Record], float | None]) -> float | None:
    """The mean over finished runs, None without one."""
    found = values(records, of)
    return sum(found) / len(found) if found else None


def table_of_settings(
    columns: Sequence[str],
    settings: Sequence[Setting],
    accuracy: Accuracy,
    along: Sequence[str],
) -> Table:
    """A row for each setting; its first entry is the setting's key.

    Args:
        columns, settings: how the runs differ.
        accuracy: that by which they are compared.
        along: names of what else differs.
    """
    head = [_words(name) for name in map(text, columns)]
    head += [_words("runs"), _words("seeds")]
    head += [_number(accuracy.name, 4), _number("least", 4), _number("greatest", 4)]
    head += [_number("layers", 1), _number("parameters", 0), _number("Σ τ", 3)]
    head += [_number("iterations / s", 0)]
    rows = []
    for i, setting in enumerate(settings):
        runs = setting.records
        reached = values(runs, accuracy.of)
        rows.append(
            [
                f"setting {i}",
                *map(text, setting.values),
                _finished(runs),
                _seeds(runs),
                mean(runs, accuracy.of),
                min(reached, default=None),
                max(reached, default=None),
                mean(runs, lambda r: r.layers),
                mean(runs, lambda r: r.parameters),
                mean(runs, lambda r: r.sum_of_tau),
                mean(runs, lambda r: r.rate),
            ]
        )
    table = {"title": "by setting: means over finished runs", "head": head, "rows": rows}
    if along:
        table["note"] = f"what differs along with these: {', '.join(map(text, along[:30]))}"
    return table


def table_of_runs(
    columns: Sequence[str],
    settings: Sequence[Setting],
    accuracy: Accuracy,
    unreadable: Sequence[tuple[str, str]],
) -> Table:
    """A row for each run, those without a result first."""
    head = [_words("run"), _words("status"), *(_words(text(name)) for name in columns)]
    head += [_words("seed"), _number(accuracy.name, 4), _number("layers", 0)]
    head += [_number("parameters", 0), _number("Σ τ", 3), _number("iterations", 0)]
    head += [_number("iterations / s", 0)]
    blank = [None] * (len(head) - 2)
    rows: list[list[Any]] = [
        [None, path, f"unreadable: {text(reason)}", *blank] for path, reason in unreadable
    ]
    for i, setting in enumerate(settings):
        rows += [
            [
                f"setting {i}",
                text(r.path),
                f"{r.status}: {r.reason}" if r.reason and not r.finished else r.status,
                *map(text, setting.values),
                r.seed,
                *(accuracy.of(r), r.layers, r.parameters, r.sum_of_tau, r.iterations, r.rate),
            ]
            for r in setting.records
        ]
    rows.sort(key=lambda row: row[2] == "finished")
    return {
        "title": "all runs",
        "head": head,
        "rows": rows,
        "folded": True,
        "open": bool(rows and rows[0][2] != "finished"),
    }


def _words(name: str) -> dict[str, Any]:
    return {"name": name}


def _number(name: str, digits: int) -> dict[str, Any]:
    return {"name": name, "digits": digits}


def _finished(records: Sequence[Record]) -> str:
    counts = Counter(text(r.status) for r in records)
    finished = counts.pop("finished", 0)
    others = "".join(f", {n} {status}" for status, n in counts.items())
    return f"{finished} of {len(records)}{others}" if others else str(finished)


def _seeds(records: Sequence[Record]) -> str:
    return ", ".join(_spans(sorted({r.seed for r in records}, key=lambda s: (len(s), s))))


def _spans(seeds: Sequence[str]) -> Iterator[str]:
    """`0 to 4` for 0, 1, 2, 3, 4."""
    start = 0
    for i in range(1, len(seeds) + 1):
        follows = i < len(seeds) and _follows(seeds[i - 1], seeds[i])
        if not follows:
            span = seeds[start:i]
            yield from span if len(span) < 3 else [f"{span[0]} to {span[-1]}"]
            start = i


def _follows(seed: str, other: str) -> bool:
    return seed.isdecimal() and other.isdecimal() and int(other) == int(seed) + 1
