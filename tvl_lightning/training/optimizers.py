"""A learning rate and a weight decay of their own for the step sizes."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.optim import LBFGS, Optimizer

from tvl_lightning.limits import InputError, refusal


def with_time_steps(
    optimizer: Optimizer,
    steps: Iterable[Tensor],
    lr: float | None = None,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Give what is learned of τ a group of its own, in place, where it differs from the others'.

    A decay would pull every step size to 0, which is what penalties are for; so there is none
    unless it is asked for. Schedulers act on both groups.

    Args:
        optimizer: a new one over all parameters. Groups that it already has are left as they are.
        steps: the parameters of `network.time_steps`; there are none where τ is fixed.
        lr: the learning rate of τ; that of the others where it is None.
        weight_decay: that of τ.

    Raises:
        InputError: for numbers below 0, and for an optimizer that cannot do what is asked for.
    """
    for name, value in (("lr", lr), ("weight_decay", weight_decay)):
        complaint = refusal("optimizer.tau", name, value)
        if complaint:
            raise InputError(f"optimizer.tau.{name}={value}: {complaint}")
    asked: dict[str, Any] = {} if lr is None else {"lr": lr}
    group, kind = optimizer.param_groups[0], type(optimizer).__name__
    if "weight_decay" in group or weight_decay:
        asked["weight_decay"] = weight_decay
    if len(optimizer.param_groups) > 1:
        if lr is not None or weight_decay:
            raise InputError(f"optimizer.tau: this {kind} has groups of its own; set it there")
        return optimizer
    learned = {id(step) for step in steps}
    unknown = next((name for name in asked if name not in group), None)
    if unknown or (lr is not None and isinstance(optimizer, LBFGS)):
        raise InputError(f"optimizer.tau.{unknown or 'lr'}: {kind} has one for all parameters")
    if learned and any(group[name] != value for name, value in asked.items()):
        own = [p for p in group["params"] if id(p) in learned]
        group["params"][:] = [p for p in group["params"] if id(p) not in learned]
        optimizer.add_param_group({**group, **asked, "params": own})
    return optimizer
