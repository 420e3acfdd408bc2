"""How training steps are run: one a call in Lightning's loop, or several a call in our own."""

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from torch._dynamo.exc import TorchDynamoException

from tvl_lightning.callbacks import AdaptivePruning
from tvl_lightning.data import Block
from tvl_lightning.engine.counting import after_steps
from tvl_lightning.engine.cuda_graph import Recorder
from tvl_lightning.engine.steps import Steps, compiled, plain, take_steps
from tvl_lightning.limits import InputError, check


class Engine:
    """Runs training steps: the loss, its gradient, the optimizer's step with the projection of τ.

    Several steps a call spare most of what a step costs beside the mathematics. The numbers are
    those of single steps. Callbacks see the end of a call, not of each step; where a setting, a
    callback or the module needs single steps, `eager` leaves them to Lightning, in whose loop
    everything works, and the other modes refuse.

    Args:
        mode: `eager`; `compiled`, by `torch.compile`; or `cuda_graph`, compiled and, with the
            optimizer's step, recorded once and replayed, on a GPU.
        steps_per_call: at most so many steps a call; fewer where pruning looks at τ more often.

    Raises:
        InputError: for another mode, or a number of steps below 1.
    """

    def __init__(self, mode: str = "eager", steps_per_call: int = 50) -> None:
        if mode not in ("eager", "compiled", "cuda_graph"):
            raise InputError(f"engine.mode={mode}: must be eager, compiled or cuda_graph")
        check("steps_per_call", steps_per_call)
        self.mode, self.steps_per_call = mode, steps_per_call
        self._layers: list[int] = []

    def begin(self, trainer: Any, single_steps: str | None) -> int | None:
        """Begin a training: the steps a call in it, None where Lightning takes them one by one.

        Args:
            trainer: the trainer, with its module.
            single_steps: what `needs_single_steps` says.

        Raises:
            InputError: where this engine cannot serve the trainer, with the one that can.
        """
        self._layers = []
        if single_steps and self.mode == "eager":
            return None
        if self.mode != "eager":
            _check_compilable(self.mode, trainer, single_steps)
        # that warning is about checkpoints within an epoch, which need single steps
        warnings.filterwarnings("ignore", "You're resuming from a checkpoint that ended before")
        intervals = [
            callback.interval
            for callback in trainer.callbacks
            if isinstance(callback, AdaptivePruning) and callback.interval
        ]
        if not intervals:
            return self.steps_per_call
        # a call ends wherever pruning looks at τ
        data = trainer.datamodule
        steps_per_epoch = -(-len(data.train.labels) // data.batch_size)
        common = math.gcd(steps_per_epoch, *intervals)
        return max(k for k in range(1, self.steps_per_call + 1) if common % k == 0)

    def run(self, module: Any, block: Block) -> Steps:
        """Take the steps of a block, in order."""
        if module.network.layers != self._layers:
            self._layers = list(module.network.layers)
            self._take = self._prepare(module)
        try:
            steps = self._take(block)
        except TorchDynamoException as error:
            reason = " ".join(str(error).split("\n")[:2])
            raise InputError(
                f"engine={self.mode}: torch.compile cannot take this network here ({reason}); "
                "engine=eager can"
            ) from error
        after_steps(module.trainer, len(steps.loss))
        return steps

    def _prepare(self, module: Any) -> Callable[[Block], Steps]:
        """The loop over steps for the layers that there are now."""
        [optimizer] = module.trainer.optimizers
        differentiate = plain(module) if self.mode == "eager" else compiled(module)
        take = partial(take_steps, module, optimizer, differentiate)
        return Recorder(take, optimizer) if self.mode == "cuda_graph" else take


def _check_compilable(mode: str, trainer: Any, single_steps: str | None) -> None:
    if single_steps:
        raise InputError(f"engine={mode}: does not go with {single_steps}; engine=eager does")
    device = trainer.strategy.root_device.type
    if mode == "cuda_graph" and device != "cuda":
        raise InputError(
            f"engine=cuda_graph: needs an NVIDIA GPU, and the trainer runs on {device}; "
            "engine=compiled runs there"
        )
