"""The memory of a fractional network: all past increments, weighted, as one operation a layer."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class History:
    """Increments d(0), d(1), ... of one pass, each corrected by those before it.

    The increments share one buffer, so that d(k) = r(k) - Σ_{j<k} w(j) d(j) is one matrix-vector
    product and its derivative one rank-one update of a second buffer. As tensors of their own
    they would need k operations at layer k on the way back.

    Args:
        length: how many increments there will be.
        size: number of elements of an increment.
        like: a tensor with the type and device of the increments.
    """

    def __init__(self, length: int, size: int, like: Tensor) -> None:
        self._buffers = _Buffers(length, size, like)
        self._last: Tensor | None = None
        self._count = 0
        self._increments: list[Tensor] = []

    def add(self, right_hand_side: Tensor, weights: Tensor) -> Tensor:
        """Append d(k) = right_hand_side - Σ_{j<k} weights[j] d(j), weights of shape (k,)."""
        if torch.compiler.is_compiling():
            return self._add_plainly(right_hand_side, weights)
        # autocast would have the product in one type and the sum in another
        with torch.autocast(weights.device.type, enabled=False):
            increment: Tensor = _Increment.apply(
                right_hand_side.to(weights.dtype), weights, self._last, self._buffers, self._count
            )
        self._last, self._count = increment, self._count + 1
        return increment

    def _add_plainly(self, right_hand_side: Tensor, weights: Tensor) -> Tensor:
        # for the compiler, which cannot follow the buffers
        if self._increments:
            past = torch.stack(self._increments)
            right_hand_side = right_hand_side - torch.tensordot(weights, past, 1)
        self._increments.append(right_hand_side)
        return right_hand_side


class _Buffers:
    def __init__(self, length: int, size: int, like: Tensor) -> None:
        self.length = length
        self.increments = like.new_empty(length, size)
        self.gradients = self.increments[:0]


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
        if k == buffers.length - 1:
            buffers.gradients = torch.zeros_like(buffers.increments)
        total = buffers.gradients[k].add_(gradient.reshape(-1))
        buffers.gradients[:k].addr_(weights, total, alpha=-1)
        return total.view_as(gradient), -(buffers.increments[:k] @ total), None, None, None
