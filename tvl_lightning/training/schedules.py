"""Learning rate schedules that PyTorch does not have."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from tvl_lightning.limits import InputError, check


class WarmupCosine(LambdaLR):
    """Rises in a line over `warmup` epochs, then falls along a half cosine to the last of `total`.

    In epoch e < warmup the rate is lr (e + 1) / (warmup + 1); in epoch warmup it is lr, and from
    there it falls towards `end` lr. Every group keeps its own lr. Where it is stepped once an
    iteration, read "iteration" for "epoch".

    Args:
        optimizer: whose learning rates it sets.
        warmup: epochs of the rise.
        total: epochs of the training.
        end: the fraction of lr that would be reached after the last epoch.
        last_epoch: as for every scheduler of PyTorch.

    Raises:
        InputError: for numbers out of range, or a rise that is as long as the training.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup: int,
        total: int,
        end: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        check("WarmupCosine", warmup=warmup, total=total, end=end)
        if warmup >= total:
            raise InputError(f"warmup={warmup}: must be below total, {total}")

        def factor(epoch: int) -> float:
            if epoch < warmup:
                return (epoch + 1) / (warmup + 1)
            done = min((epoch - warmup) / (total - warmup), 1.0)
            return end + (1 - end) * (1 + math.cos(math.pi * done)) / 2

        super().__init__(optimizer, factor, last_epoch)
