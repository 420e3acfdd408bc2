"""What the report of a folder of runs shows."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from tvl_lightning.runs.report.differing import Setting, differing, labels
from tvl_lightning.runs.report.gather import Found
from tvl_lightning.runs.report.over_seeds import add_curves
from tvl_lightning.runs.report.panels import Axes, Panel, key
from tvl_lightning.runs.report.record import text
from tvl_lightning.runs.report.tables import (
    Accuracy,
    accuracy_of,
    mean,
    table_of_runs,
    table_of_settings,
)

_MOST_DRAWN = 200  # settings; the tables have them all
_FIRST_SHOWN = 6  # of them, until others are ticked


def many_runs(found: Found, title: str) -> dict[str, Any]:
    """The report of a folder of runs as plain data.

    Args:
        found: what lies in it.
        title: its name.
    """
    compared = differing(found.records)
    columns, settings = compared.columns, compared.settings
    if compared.unknown:
        settings.append(Setting(("not known",) * len(columns), compared.unknown))
    accuracy = accuracy_of(found.records)
    best = _best_first(settings, accuracy)
    names = [text(name) or "all runs" for name in labels(columns, settings)]
    keys = {f"setting {i}": key(name, i) for i, name in enumerate(names)}
    axes = Axes()
    content: dict[str, Any] = {
        "title": title,
        "notes": [],
        "facts": [["runs", _counted(found)], ["settings", f"{len(settings):,}"]],
        "keys": keys,
        "hidden": [f"setting {i}" for i in best[_FIRST_SHOWN:]],
        "panels": [],
        "tables": [
            table_of_settings(columns, settings, accuracy, compared.along),
            table_of_runs(columns, settings, accuracy, found.unreadable),
        ],
    }
    if len(best) > _MOST_DRAWN:
        content["notes"].append(
            f"curves are drawn of the {_MOST_DRAWN} settings of the highest accuracy"
        )
    drawn = {f"setting {i}": settings[i].records for i in sorted(best[:_MOST_DRAWN])}
    add_curves(content, axes, drawn)
    content["panels"][2:2] = _against_parameters(settings, accuracy)
    return {**content, "x": axes.arrays}


def _counted(found: Found) -> str:
    counts = Counter(text(record.status) for record in found.records)
    counts["unreadable"] += len(found.unreadable)
    others = [f"{n:,} {status}" for status, n in counts.items() if n and status != "finished"]
    return f"{counts.total():,}" + (f" ({', '.join(others)})" if others else "")


def _best_first(settings: Sequence[Setting], accuracy: Accuracy) -> list[int]:
    reached = [mean(setting.records, accuracy.of) for setting in settings]
    return sorted(range(len(settings)), key=lambda i: reached[i] or 0.0, reverse=True)


def _against_parameters(settings: Sequence[Setting], accuracy: Accuracy) -> list[Panel]:
    points = [
        {
            "key": f"setting {i}",
            "x": record.parameters,
            "y": accuracy.of(record),
            "text": f"{record.path}, seed {record.seed}",
        }
        for i, setting in enumerate(settings)
        for record in setting.records
        if record.finished and record.parameters is not None and accuracy.of(record) is not None
    ]
    title = f"{accuracy.name} and parameters left, a point a run"
    panel = {"title": title, "kind": "points", "points": points, "label": "parameters"}
    return [panel] if points else []
