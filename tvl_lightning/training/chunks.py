"""The fast loop: several iterations a call of `training_step`."""

import math
from collections.abc import Callable
from typing import Any

from torch._dynamo.exc import TorchDynamoException

from tvl_lightning.data import Chunk, TensorData
from tvl_lightning.limits import InputError, check
from tvl_lightning.training.callbacks.pruning import AdaptivePruning
from tvl_lightning.training.classifier import Observables, TimeVariableClassifier
from tvl_lightning.training.compiled import compiled
from tvl_lightning.training.conditions import (
    capture_obstacle,
    module_obstacle,
    optimizer_obstacle,
    scheduler_obstacle,
    trainer_obstacle,
)
from tvl_lightning.training.counting import count_iterations
from tvl_lightning.training.cuda_graph import Recorder
from tvl_lightning.training.iterations import Taken, eager, take_iterations

ENGINES = ("eager", "compiled", "cuda_graph")


class ChunkedClassifier(TimeVariableClassifier):
    """`TimeVariableClassifier`, with several iterations a call: the same numbers, faster.

    That spares most of what an iteration costs beside the mathematics. Callbacks see the end of a
    chunk, not of each iteration; what needs more is refused, and `TimeVariableClassifier` takes it.
    The data must be a `TensorData`.

    Args:
        *args: as for `TimeVariableClassifier`.
        engine: `eager`; `compiled`, losses and gradient by `torch.compile`; or `cuda_graph`,
            compiled and, with the optimizer's step, recorded once and replayed, on a GPU.
        chunk: at most so many iterations a call; fewer where pruning looks at τ more often.
        **kwargs: as for `TimeVariableClassifier`.

    Raises:
        InputError: for another engine, a chunk below 1, and before training for a trainer,
            callback, optimizer or scheduler that needs single iterations.
    """

    def __init__(self, *args: Any, engine: str = "eager", chunk: int = 50, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if engine not in ENGINES:
            raise InputError(f"engine={engine}: must be one of {', '.join(ENGINES)}")
        check("ChunkedClassifier", chunk=chunk)
        self.automatic_optimization = False
        self.engine, self.longest_chunk, self.chunk = engine, chunk, chunk
        self._prepared_for: list[int] = []
        self._take: Callable[[Chunk], Taken]

    def setup(self, stage: str) -> None:
        """Refuse what needs single iterations."""
        if stage == "fit":
            self._refuse(trainer_obstacle(self.trainer) or module_obstacle(type(self)))
            device = self.trainer.strategy.root_device.type
            if self.engine == "cuda_graph" and device != "cuda":
                raise InputError(
                    f"engine=cuda_graph: needs an NVIDIA GPU, and the trainer runs on {device}; "
                    "engine=compiled runs there"
                )

    def _refuse(self, obstacle: str | None) -> None:
        if obstacle:
            raise InputError(
                f"engine={self.engine}: does not go with {obstacle}; engine=auto, or in Python "
                "TimeVariableClassifier, takes it"
            )

    def on_fit_start(self) -> None:
        """Let a chunk end wherever pruning looks at τ."""
        self._prepared_for = []
        intervals = [
            callback.interval
            for callback in self.trainer.callbacks  # type: ignore[attr-defined]
            if isinstance(callback, AdaptivePruning) and callback.interval
        ]
        self.chunk = self.longest_chunk
        if intervals:
            common = math.gcd(self._data().iterations_per_epoch, *intervals)
            self.chunk = max(k for k in range(1, self.longest_chunk + 1) if common % k == 0)

    def _data(self) -> TensorData:
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        assert isinstance(data, TensorData)  # trainer_obstacle has seen to it
        return data

    @property
    def iterations_per_epoch(self) -> int:
        """Iterations in an epoch, where `Trainer.num_training_batches` counts chunks."""
        return self._data().iterations_per_epoch

    def on_train_start(self) -> None:
        """Refuse optimizers and schedulers that need single iterations."""
        for optimizer in self.trainer.optimizers:
            self._refuse(optimizer_obstacle(type(optimizer)))
            if self.engine == "cuda_graph":
                self._refuse(capture_obstacle(optimizer))
        if len(self.trainer.optimizers) != 1:
            self._refuse("several optimizers")
        for config in self.trainer.lr_scheduler_configs:
            self._refuse(scheduler_obstacle(type(config.scheduler), config.interval))

    def training_step(self, batch: Chunk, batch_idx: int) -> dict[str, Any]:  # type: ignore[override]
        """Take the iterations of a chunk, in order; the losses of the last one."""
        if self._prepared_for != self.network.layers:
            self._prepared_for = list(self.network.layers)
            self._take = self._prepare()
        try:
            taken = self._take(batch)
        except TorchDynamoException as error:
            reason = " ".join(str(error).split("\n")[:2])
            raise InputError(
                f"engine={self.engine}: torch.compile cannot take this network here ({reason}); "
                "engine=eager can"
            ) from error
        losses = {"loss": taken.loss, "task_loss": taken.task_loss}
        self._observables = Observables(self._prepared_for, {**taken.observables, **losses})
        self.train_means.update(taken.loss, taken.task_loss, taken.logits, taken.labels)
        if self.trainer.is_last_batch:
            self._step_schedulers()
        return {name: values[-1] for name, values in losses.items()}

    def _prepare(self) -> Callable[[Chunk], Taken]:
        """The loop over iterations for the layers that there are now."""
        lightnings: Any = self.optimizers()
        differentiate = eager(self) if self.engine == "eager" else compiled(self)
        if self.engine != "cuda_graph":
            return lambda chunk: take_iterations(
                self.network, differentiate, lightnings.step, chunk
            )
        optimizer = lightnings.optimizer
        recorder = Recorder(
            lambda chunk: take_iterations(self.network, differentiate, optimizer.step, chunk),
            optimizer,
        )

        def take(chunk: Chunk) -> Taken:
            taken = recorder(chunk)
            count_iterations(self.trainer, len(taken.loss))
            return taken

        return take

    def _step_schedulers(self) -> None:
        """As Lightning does at the end of an epoch, which manual optimization leaves to us."""
        for config in self.trainer.lr_scheduler_configs:
            if (self.current_epoch + 1) % config.frequency == 0:
                self.lr_scheduler_step(config.scheduler, None)
