"""Differences between setups, paired by seed, with an interval for their mean."""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from scipy.stats import t as student

from tvl_lightning.paper.setups import Setup, setup
from tvl_lightning.paper.study import SEEDS, MeasuredRun, Study, accuracy_at_the_end
from tvl_lightning.runs.markdown import table

CONFIDENCE = 0.95
COLUMNS = [
    (data, model) for data in ("mnist", "fashion_mnist") for model in ("resnet", "fractional")
]


@dataclass(frozen=True)
class Paired:
    """The differences of two setups, each between runs with the same seed.

    Attributes:
        differences: by seed.
    """

    differences: dict[int, float]

    @property
    def mean(self) -> float:
        """Of the differences."""
        return statistics.fmean(self.differences.values())

    @property
    def half_width(self) -> float:
        """Of the t interval of the mean; infinite for a single seed."""
        n = len(self.differences)
        return in_deviations(n) * statistics.stdev(self.differences.values()) if n > 1 else math.inf

    @property
    def telling(self) -> bool:
        """Whether the interval leaves out 0, and is of as many seeds as a verdict takes."""
        return len(self.differences) >= SEEDS and abs(self.mean) > self.half_width


def in_deviations(n: int) -> float:
    """Half a t interval of the mean of n > 1 numbers, in their standard deviations."""
    return float(student.ppf((1 + CONFIDENCE) / 2, n - 1)) / math.sqrt(n)


def paired(
    study: Study,
    one: Setup,
    other: Setup,
    quantity: Callable[[MeasuredRun], float] = accuracy_at_the_end,
) -> Paired | None:
    """`one` less `other` in a quantity; None where no seed has a run of both."""
    seeds = study.together([one, other])
    if not seeds:
        return None
    return Paired(
        {
            seed: quantity(study.runs[one][seed]) - quantity(study.runs[other][seed])
            for seed in seeds
        }
    )


# What is compared, by label: two setups of a data set and a network in a variant, or None.
Pair = Callable[[str, str, str], tuple[Setup, Setup] | None]


def _choices(one: str, other: str) -> Pair:
    return lambda data, model, variant: (
        setup(data, model, one, variant=variant),
        setup(data, model, other, variant=variant),
    )


def _pruned(choice: str) -> Pair:
    return lambda data, model, variant: (
        (setup(data, model, choice, True, variant), setup(data, model, choice, variant=variant))
        if (data, model) == ("fashion_mnist", "resnet")
        else None
    )


def _variants(choice: str) -> Pair:
    def pair(data: str, model: str, variant: str) -> tuple[Setup, Setup] | None:
        one, other = (setup(data, model, choice, variant=v) for v in ("paper", "authors"))
        return None if one == other else (one, other)

    return pair


COMPARISONS: dict[str, Pair] = {
    "learned τ less fixed τ": _choices("learned", "fixed"),
    "ℓ1 less learned": _choices("l1", "learned"),
    "horizon penalty less learned": _choices("horizon", "learned"),
    "final τ less learned": _choices("final", "learned"),
    "simplex less learned": _choices("simplex", "learned"),
    "simplex less horizon penalty": _choices("simplex", "horizon"),
    "simplex less final τ": _choices("simplex", "final"),
    "simplex less fixed τ": _choices("simplex", "fixed"),
    "ℓ1 pruned less whole": _pruned("l1"),
    "horizon pruned less whole": _pruned("horizon"),
    "final pruned less whole": _pruned("final"),
    "learned pruned less whole": _pruned("learned"),
}
BETWEEN_VARIANTS: dict[str, Pair] = {
    f"{choice}, paper less authors": _variants(choice)
    for choice in ("learned", "fixed", "l1", "horizon", "final")
}


def _end(run: MeasuredRun, layer: int) -> float:
    return run.measures.end[layer] or 0.0


# What is compared of runs with and without the gradient through a(ℓ, j): scale and quantity.
QUANTITIES: dict[str, tuple[float, Callable[[MeasuredRun], float]]] = {
    "accuracy, points": (100, accuracy_at_the_end),
    **{f"τ({l})": (1, partial(_end, layer=l)) for l in range(6)},
    "Σ τ": (1, lambda run: run.measures.sum_end),
}


def coefficient_table(study: Study) -> list[str]:
    """What the gradient through a(ℓ, j) adds, at the end: the paper's runs less those without it.

    An interval that leaves out 0 is set in bold.
    """
    rows = []
    for data in ("mnist", "fashion_mnist"):
        for choice in ("learned", "horizon"):
            one, other = (
                setup(data, "fractional", choice, variant=v) for v in ("paper", "constant")
            )
            cells = [
                _cell(paired(study, one, other, quantity), scale)
                for scale, quantity in QUANTITIES.values()
            ]
            rows.append([f"{data}-fractional-{choice}", *cells])
    return table(["", *QUANTITIES], rows)


def comparison_table(study: Study, pairs: dict[str, Pair], variant: str) -> list[str]:
    """A row for each comparison: accuracy at the end, in percentage points.

    An interval that leaves out 0 is set in bold.
    """
    rows = []
    for label, pair in pairs.items():
        cells = []
        for data, model in COLUMNS:
            setups = pair(data, model, variant)
            cells.append(_cell(setups and paired(study, *setups)))
        rows.append([label, *cells])
    return table(["", *(f"{data}-{model}" for data, model in COLUMNS)], rows)


def _cell(found: Paired | None, scale: float = 100) -> str:
    if found is None:
        return "–"
    mean, half = scale * found.mean, scale * found.half_width
    if half == math.inf:
        return f"{mean:+.2f} (one seed)"
    text = f"{mean:+.2f} ± {half:.2f}"
    return f"**{text}**" if found.telling else text
