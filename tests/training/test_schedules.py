"""The rate rises in a line and falls along a cosine, in either loop."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau

from tests.training.runs import Both, Fit, assert_same, assert_same_record
from tvl_lightning.limits import InputError
from tvl_lightning.training import WarmupCosine


def rates(warmup: int, total: int, end: float = 0.0, steps: int | None = None) -> list[float]:
    first, second = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    optimizer = SGD([{"params": [first], "lr": 1.0}, {"params": [second], "lr": 10.0}])
    schedule = WarmupCosine(optimizer, warmup, total, end)
    found = []
    for _ in range(total if steps is None else steps):
        one, other = (group["lr"] for group in optimizer.param_groups)
        assert other == pytest.approx(10 * one)
        found.append(one)
        optimizer.step()
        schedule.step()
    return found


def test_the_curve_is_the_one_that_is_described() -> None:
    found = rates(3, 9, end=0.1)
    assert found[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert found[4:] == pytest.approx(
        [0.1 + 0.9 * (1 + math.cos(math.pi * k / 6)) / 2 for k in range(1, 6)]
    )
    assert rates(3, 9, end=0.1, steps=12)[9:] == pytest.approx([0.1] * 3)


def test_without_a_rise_it_is_the_cosine_of_pytorch() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = SGD([parameter], lr=1.0)
    cosine, expected = CosineAnnealingLR(optimizer, T_max=7), []
    for _ in range(7):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        cosine.step()
    assert rates(0, 7) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 5), r"^warmup=-1: must be a whole number of at least 0"),
        ((5, 5), r"^warmup=5: must be below total, 5"),
        ((0, 0), r"^total=0: must be a whole number of at least 1"),
        ((0, -1), r"^total=-1: must be"),
        ((0, None), r"^total=None: must be"),
        ((0, 5, 2.0), r"^end=2.0: must be a number in \[0, 1\]"),
        ((0, 5, "low"), r"^end=low: must be"),
    ],
)
def test_what_is_no_curve_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        WarmupCosine(SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0), *arguments)


CURVE = partial(WarmupCosine, warmup=2, total=6)


def test_both_loops_take_it_with_the_same_bits(both: Both) -> None:
    for run in (runs := both(scheduler=CURVE, epochs=6)):
        found = [rate / 0.02 for rate in run.points.of("lr").values()]
        assert found == pytest.approx(rates(2, 6), rel=1e-6)
    assert_same(*runs)


@pytest.mark.parametrize("loop", ["lightning", "eager"])
def test_a_stopped_run_goes_on_along_the_same_curve(fit: Fit, loop: str) -> None:
    whole = fit(scheduler=CURVE, loop=loop, epochs=6)
    half = fit(scheduler=CURVE, loop=loop, epochs=3)
    resumed = fit(scheduler=CURVE, loop=loop, epochs=6, resume=half.last_checkpoint)
    assert_same_record(whole.record, resumed.record)


def test_a_plateau_reduces_both_rates_when_its_metric_stands_still(fit: Fit) -> None:
    stands = partial(ReduceLROnPlateau, mode="max", factor=0.1, patience=1, threshold=10.0)
    run = fit(scheduler={"scheduler": stands, "monitor": "val/acc"}, epochs=6)
    # the first epoch is the best; the rate falls after every second one that is no better
    assert list(run.points.of("lr").values()) == pytest.approx(
        [0.02, 0.02, 0.02, 0.002, 0.002, 0.0002]
    )
