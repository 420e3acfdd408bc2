"""The memory of a fractional network: all past increments, weighted, as one operation a layer."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class PlainHistory:
    """Increments d(0), d(1), ... of one pass, each corrected by those before it.

    Plain operations, so that compilers, `torch.func` and second derivatives can follow them.
    """

    def __init__(self) -> None:
        self._increments: list[Tensor] = []

    def add(self, right_hand_side: Tensor, weights: Tensor) -> Tensor:
        """Append d(k) = right_hand_side - Σ_{j<k} weights[j] d(j), weights of shape (k,)."""
        with torch.autocast(weights.device.type, enabled=False):
            increment = right_hand_side.to(weights.dtype)
            if self._increments:
                increment = increment - torch.tensordot(weights, torch.stack(self._increments), 1)
        self._increments.append(increment)
        return increment


class FusedHistory:
    """`PlainHistory`, with one operation a layer and a derivative of its own.

    The increments share one buffer, so that the sum is one matrix-vector product and its
    derivative one rank-one update of a second buffer. As tensors of their own they would need k
    operations at layer k on the way back.

    Args:
        length: how many increments there will be.
        size: number of elements of an increment.
        like: a tensor with the type and device of the increments.
    """

    def __init__(self, length: int, size: int, like: Tensor) -> None:
        self._buffers = _Buffers(length, size, like)
        self._last: Tensor | None = None
        self._count = 0

    def add(self, right_hand_side: Tensor, weights: Tensor) -> Tensor:
        """Append d(k) = right_hand_side - Σ_{j<k} weights[j] d(j), weights of shape (k,)."""
        # autocast would have the product in one type and the sum in another
        with torch.autocast(weights.device.type, enabled=False):
            increment: Tensor = _Increment.apply(
                right_hand_side.to(weights.dtype), weights, self._last, self._buffers, self._count
            )
        self._last, self._count = increment, self._count + 1
        return increment


class _Buffers:
    def __init__(self, length: int, size: int, like: Tensor) -> None:
        self.increments = like.new_empty(length, size)
        self.gradients = self.increments[:0]
        self.reached = 0  # by the last backward pass, on its way down from any row


class _Increment(torch.autograd.Function):
    # `last`, the increment before, is an input whose gradient is not returned: the edge makes
    # autograd run the backward passes from the last increment to the first, so row k of the
    # gradient buffer is complete when the backward pass of d(k) reads it.

    @staticmethod
    def forward(
        ctx: Any, rhs: Tensor, weights: Tensor, last: Tensor | None, buffers: _Buffers, k: int
    ) -> Tensor:
        ctx.buffers, ctx.k = buffers, k
        ctx.save_for_backward(weights)
        earlier = buffers.increments[:k]
        increment = torch.addmv(rhs.reshape(-1), earlier.t(), weights, alpha=-1)
        buffers.increments[k] = increment
        return increment.view_as(rhs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        buffers, k = ctx.buffers, ctx.k
        (weights,) = ctx.saved_tensors
        if k >= buffers.reached:  # a new pass
            buffers.gradients = torch.zeros_like(buffers.increments)
        buffers.reached = k
        total = buffers.gradients[k].add_(gradient.reshape(-1))
        buffers.gradients[:k].addr_(weights, total, alpha=-1)
        return total.view_as(gradient), -(buffers.increments[:k] @ total), None, None, None
