"""Writes down what there is to see of every iteration: every τ, γ, the losses."""

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning import Callback, Trainer
from torch import Tensor

from tvl_lightning.files import replacing
from tvl_lightning.limits import InputError, check
from tvl_lightning.networks import TimeVariableNetwork
from tvl_lightning.training.protocols import ObservedModule, is_observed

_WAITING = 1000  # records kept on the device before they move to the host
_SHARE = 0.01  # of the time of training that writing the file may take
_POINTS_A_DECADE = 20


class Rows(NamedTuple):
    """Consecutive iterations, the layers that τ belonged to, and values of shape (k, ...)."""

    iterations: Sequence[int]
    layers: list[int]
    values: dict[str, Tensor]


class TauRecorder(Callback):
    """Records a module's observables in every iteration, to `tau.npz` and to the loggers.

    The file holds `iteration` (n,), `tau` (n, layers ever alive), `loss` and `task_loss` (n,), and
    whatever else is observed. Row i is τ after i iterations, before layers are removed, and the
    losses that led to it; row 0, before training, has none, and is NaN there. The column of a layer
    is NaN before its birth and after its removal. The records wait on the device, so no iteration
    waits for the host, and they are part of a checkpoint, so that a resumed run has them all.

    The loggers get, of iterations that are even in their logarithm, of every `interval`-th, and of
    those before and after a change of layers: each τ, the losses, and under `Time steps` Σ τ, the
    least share |τ|/Σ|τ| of a field in its stage, which is what adaptive pruning looks at, the
    number of layers, and what the scheme learns.

    Args:
        path: the file. It is written at the end of an epoch, unless that would take more than a
            hundredth of the time, and whenever training ends.
        interval: iterations between two points in the loggers.

    Raises:
        InputError: before training, for a module that cannot be observed.
    """

    def __init__(self, path: str | Path, interval: int = 50) -> None:
        check("TauRecorder", interval=interval)
        self.path, self.interval = Path(path), interval
        self.record: dict[str, Tensor] = {}
        self._waiting: list[Rows] = []
        self._stages: dict[int, int] = {}  # by layer
        self._lifts: set[int] = set()
        self._of_the_network: set[str] = set()  # names of values
        self._rows_written, self._written_at, self._writing_took = 0, 0.0, 0.0

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Refuse a module that cannot be observed."""
        if not is_observed(pl_module):
            raise InputError(
                f"TauRecorder: needs a module with `network` and `observables()`, as "
                f"TimeVariableClassifier; {type(pl_module).__name__} has none"
            )

    @torch.no_grad()
    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Keep what there is before the first iteration."""
        network: TimeVariableNetwork = pl_module.network
        values = {name: value.clone()[None] for name, value in network.observables().items()}
        self._of_the_network = set(values)
        self._know_stages(network)
        if trainer.global_step == 0 and not self.record:
            self._waiting.append(Rows([0], list(network.layers), values))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, *args: Any, **kwargs: Any
    ) -> None:
        """Keep the values of the last iterations, on the device."""
        module: ObservedModule = pl_module
        observed = module.observables()
        last = trainer.global_step
        if observed is None or last == self._newest():  # no optimizer step was taken
            return
        k, layers = len(observed.values["tau"]), list(observed.layers)
        if not self._stages.keys() >= set(layers):
            self._know_stages(module.network)
        if len(self._waiting) >= _WAITING:
            self._collect(trainer, layers)
        self._waiting.append(Rows(range(last - k + 1, last + 1), layers, observed.values))

    def _know_stages(self, network: TimeVariableNetwork) -> None:
        self._stages |= {layer: i for i, stage in enumerate(network.ids) for layer in stage}
        self._lifts |= {stage[0] for stage in network.ids}

    def _newest(self) -> int:
        if self._waiting:
            return self._waiting[-1].iterations[-1]
        return int(self.record["iteration"][-1]) if self.record else 0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Write the file anew, if that is cheap."""
        self.collect(trainer, pl_module)
        if (time.monotonic() - self._written_at) * _SHARE >= self._writing_took:
            self._write(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Write all that was recorded."""
        self.collect(trainer, pl_module)
        self._write(trainer)

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Write what is on the host, which is all until the end of the last epoch."""
        self._write(trainer)

    def _write(self, trainer: Trainer) -> None:
        rows = len(self.record.get("iteration", ()))
        if not trainer.is_global_zero or rows == self._rows_written:
            return
        start = time.monotonic()
        with replacing(self.path) as part, part.open("wb") as file:
            np.savez(file, **{k: v.numpy() for k, v in self.record.items()})  # type: ignore[arg-type]
        self._rows_written, self._written_at = rows, time.monotonic()
        self._writing_took = self._written_at - start

    def state_dict(self) -> dict[str, Any]:
        """All that was recorded, for a checkpoint."""
        return self.record

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint's records."""
        self.record = state_dict

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """Bring what waits into the checkpoint, and what was logged into the loggers' files.

        A killed run goes on from the checkpoint, and would miss for good what was not written.
        """
        self.collect(trainer, pl_module)
        for logger in trainer.loggers:
            logger.save()

    def collect(self, trainer: Trainer, module: ObservedModule) -> None:
        """Bring `record` up to the last iteration. To be called where all callbacks have acted."""
        self._collect(trainer, list(module.network.layers))

    def _collect(self, trainer: Trainer, following: list[int]) -> None:
        """Move what waits on the device to the host, one transfer for all of one structure.

        `following` are the layers of the iteration that comes next.
        """
        waiting, self._waiting = self._waiting, []
        blocks = [
            _joined(list(same))
            for _, same in groupby(waiting, key=lambda rows: (rows.layers, rows.values.keys()))
        ]
        structures = [*(block.layers for block in blocks), following]
        for block, next_layers in zip(blocks, structures[1:], strict=True):
            if trainer.is_global_zero:
                self._show(trainer, block, next_layers)
            self.record = _longer(self.record, block)

    def _show(self, trainer: Trainer, rows: Rows, following: list[int]) -> None:
        """Give the loggers those of the rows that they are to have."""
        shown = {i for i, n in enumerate(rows.iterations) if _is_shown(n, self.interval)}
        if rows.layers != self._layers_before():
            shown.add(0)
        if rows.layers != following:
            shown.add(len(rows.iterations) - 1)
        for i in sorted(shown):
            points = self._points(rows.layers, {name: v[i] for name, v in rows.values.items()})
            for logger in trainer.loggers:
                logger.log_metrics(points, step=rows.iterations[i])

    def _layers_before(self) -> list[int]:
        return self.record["tau"][-1].isfinite().nonzero().flatten().tolist() if self.record else []

    def _points(self, layers: list[int], values: dict[str, Tensor]) -> dict[str, float]:
        """The points of one iteration."""
        tau = dict(zip(layers, values["tau"].tolist(), strict=True))
        whole: dict[int | None, float] = defaultdict(float)  # by stage
        for layer, value in tau.items():
            whole[self._stages.get(layer)] += abs(value)
        shares = [
            abs(value) / whole[self._stages.get(layer)]
            for layer, value in tau.items()
            if layer not in self._lifts and whole[self._stages.get(layer)]
        ]
        points = {f"tau/{layer:02d}": value for layer, value in tau.items()}
        points |= {"Time steps/sum of tau": sum(tau.values()), "Time steps/hidden layers": len(tau)}
        if shares:
            points["Time steps/least share"] = min(shares)
        for name, value in values.items():
            if value.dim() == 0:
                group = "Time steps" if name in self._of_the_network else "iteration"
                points[f"{group}/{name}"] = float(value)
        return points


def _is_shown(iteration: int, interval: int) -> bool:
    if iteration < 2 or iteration % interval == 0:
        return True
    now, before = (int(_POINTS_A_DECADE * math.log10(n)) for n in (iteration, iteration - 1))
    return now > before


def _joined(rows: list[Rows]) -> Rows:
    """Rows of one structure as one, on the host, in a type that numpy has."""
    values = {name: torch.cat([r.values[name] for r in rows]).cpu() for name in rows[0].values}
    iterations = [i for r in rows for i in r.iterations]
    return Rows(
        iterations,
        rows[0].layers,
        {
            name: v if v.dtype in (torch.float32, torch.float64) else v.float()
            for name, v in values.items()
        },
    )


def _longer(record: dict[str, Tensor], rows: Rows) -> dict[str, Tensor]:
    """The record with rows at its end, NaN where something was not observed."""
    columns = max([*rows.layers, record["tau"].shape[1] - 1 if record else 0]) + 1
    tau = rows.values["tau"].new_full((len(rows.iterations), columns), torch.nan)
    tau[:, rows.layers] = rows.values["tau"]
    new = {**rows.values, "iteration": torch.tensor(rows.iterations), "tau": tau}
    if not record:
        return {"iteration": new["iteration"], **new}
    missing = columns - record["tau"].shape[1]
    grown = torch.nn.functional.pad(record["tau"], (0, missing), value=torch.nan)
    old = {**record, "tau": grown}
    return {
        name: torch.cat([_or_nan(part, name, like) for part in (old, new)])
        for name, like in {**old, **new}.items()
    }


def _or_nan(part: dict[str, Tensor], name: str, like: Tensor) -> Tensor:
    if name in part:
        return part[name]
    return like.new_full((len(part["iteration"]), *like.shape[1:]), torch.nan)
