"""A table of metrics with one row an epoch."""

import csv
from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from tvl_lightning.files import replacing


class MetricsTable(Logger):
    """Writes what is logged in an epoch as one row of a CSV file.

    Lightning's `CSVLogger` gives training and validation a row each, and begins the file anew where
    a run is resumed.

    Args:
        path: the file. Where it exists, its rows stay until their epoch is logged again.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self.path = Path(path)
        self.rows: dict[int, dict[str, Any]] = {}
        if self.path.is_file():
            with self.path.open(newline="") as file:
                self.rows = {int(row["epoch"]): dict(row) for row in csv.DictReader(file)}

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @property
    def version(self) -> str:
        """There is one version."""
        return ""

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any) -> None:
        """The configuration lies beside the table, in `.hydra`."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add to the row of the epoch that `metrics` names, and write the file."""
        if "epoch" not in metrics:
            return
        row = self.rows.setdefault(int(metrics["epoch"]), {})
        row.update({**metrics, "epoch": int(metrics["epoch"]), "step": step})
        names = {name for row in self.rows.values() for name in row}
        columns = ["epoch", "step", *sorted(names - {"epoch", "step"})]
        with replacing(self.path) as part, part.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(row for _, row in sorted(self.rows.items()))
