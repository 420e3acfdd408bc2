"""What a study varies, in Hydra's syntax of sweeps, as Optuna has it."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tvl_lightning.limits import InputError

_NOT_VARIED = {
    "seed": "hydra.sweeper.seeds=[0,1,2] takes the mean over seeds",
    "resume": "the same command with its hydra.sweep.dir goes on with a study",
}


class Space(NamedTuple):
    """What the trials of a study have in common, and what they differ in.

    Attributes:
        fixed: overrides, by their keys.
        varied: the distribution of each key.
    """

    fixed: dict[str, str]
    varied: dict[str, BaseDistribution]


def search_space(overrides: Sequence[Override]) -> Space:
    """The space that overrides describe; of two with one key the last counts.

    `interval(a, b)` holds real numbers, `int(interval(a, b))` whole ones; `range` has steps;
    `choice(...)` and `a,b,c` have no order; `tag(log, ...)` draws on a logarithmic scale.

    Raises:
        InputError: for a space that Optuna does not take, an empty one, or one over what a study
            has other words for.
    """
    space = Space({}, {})
    for override in overrides:
        key = override.get_key_element()
        for part in space:
            part.pop(key, None)
        if override.is_sweep_override():
            if key in _NOT_VARIED:
                raise InputError(f"{override.input_line}: {_NOT_VARIED[key]}")
            space.varied[key] = _distribution(override)
        else:
            space.fixed[key] = str(override.input_line)
    if not space.varied:
        raise InputError(
            "hydra.sweeper.params: nothing is varied; say for example "
            "optimizer.lr='tag(log, interval(1e-3, 1))'"
        )
    return space


def corners(space: Space) -> Iterator[list[str]]:
    """Overrides that name each choice once, and of each range its two ends."""
    values: dict[str, Sequence[Any]] = {
        key: d.choices if isinstance(d, CategoricalDistribution) else [d.low, d.high]  # type: ignore[attr-defined]
        for key, d in space.varied.items()
    }
    firsts = {key: f"{key}={each[0]}" for key, each in values.items()}
    for key, each in values.items():
        for value in each:
            yield [*{**firsts, key: f"{key}={value}"}.values()]


def _distribution(override: Override) -> BaseDistribution:
    sweep = override.value()
    try:
        if isinstance(sweep, (IntervalSweep, RangeSweep)):
            return _of_numbers(sweep)
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    except ValueError as error:
        raise InputError(f"{override.input_line}: {' '.join(str(error).split())}") from error


def _of_numbers(sweep: IntervalSweep | RangeSweep) -> BaseDistribution:
    log = "log" in sweep.tags
    if isinstance(sweep, RangeSweep):
        values = sorted(sweep.range())
        if not values:
            raise ValueError("holds no value")
        low, high, step = values[0], values[-1], abs(sweep.step)
    else:
        assert sweep.start is not None
        assert sweep.end is not None
        low, high, step = sweep.start, sweep.end, None
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log, step=int(step or 1))
    return FloatDistribution(float(low), float(high), log=log, step=step and float(step))
