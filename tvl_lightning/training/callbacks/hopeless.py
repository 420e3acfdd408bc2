"""Ends a run early that does worse than others did."""

import json
from pathlib import Path
from typing import Any

from lightning import Callback, Trainer

from tvl_lightning.files import write_json


class StopHopeless(Callback):
    """Ends a run whose best epoch so far is worse than what it must reach by then.

    That is Optuna's median rule, where a study wrote the medians of its earlier trials down; the
    run notes in the file that it was stopped, and why. A run without the file is left alone, and so
    is the last epoch.

    Args:
        path: a JSON file with the name `monitor`, and in `least` pairs of an epoch and a value,
            which `.../acc` must not be below, and other metrics not above.

    Attributes:
        reason: why training was ended, None where it was not.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.reason: str | None = None
        self._best: float | None = None
        self._asked: dict[str, Any] = {}

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Read what is asked."""
        self._asked = json.loads(self.path.read_text()) if self.path.is_file() else {}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Look whether the run is as good as it must be."""
        name = self._asked.get("monitor")
        if name not in trainer.callback_metrics:
            return
        value, better = float(trainer.callback_metrics[name]), max if _rises(name) else min
        self._best = value if self._best is None else better(self._best, value)
        epoch, least = trainer.current_epoch, dict(self._asked["least"])
        last = trainer.max_epochs is not None and epoch + 1 == trainer.max_epochs
        if last or epoch not in least or better(self._best, least[epoch]) == self._best:
            return
        found = f"{name} {self._best:.4g} by epoch {epoch}, where the median is {least[epoch]:.4g}"
        self.reason = f"pruned by the study: {found}"
        trainer.should_stop = True
        if trainer.is_global_zero:
            write_json(self.path, {**self._asked, "stopped": self.reason})

    def state_dict(self) -> dict[str, Any]:
        """The best so far, for a checkpoint."""
        return {"best": self._best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._best = state_dict["best"]


def _rises(name: str) -> bool:
    return name.endswith("/acc")
