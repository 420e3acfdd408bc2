"""The number that is taken for a sentence of the paper, from the runs of one seed."""

import math
from collections.abc import Callable, Sequence
from operator import attrgetter

import numpy as np

from tvl_lightning.paper.judging import Runs, Seen
from tvl_lightning.paper.measures import EXCESSES, HORIZON, Measures, given
from tvl_lightning.paper.study import (
    MeasuredRun,
    accuracy,
    accuracy_at_the_end,
    epochs,
    loss,
)
from tvl_lightning.runs.markdown import in_figures
from tvl_lightning.runs.reading import Array

BELOW = (5.0, 2.0, 0.5)  # percentage points below what fixed τ comes to: levels to be reached
EARLY = 100  # epochs

Quantity = Callable[[MeasuredRun], float]


def epochs_to_levels(runs: Runs) -> Seen:
    """The greatest ratio of the epochs in which learned and fixed τ reach a level."""
    learned, fixed = runs["learned"], runs["fixed"]
    levels = [accuracy_at_the_end(fixed) - points / 100 for points in BELOW]
    pairs = [(_first_epoch(learned, level), _first_epoch(fixed, level)) for level in levels]
    text = "; ".join(
        f"{level:.1%} after {_epoch(one)} against {_epoch(other)}"
        for level, (one, other) in zip(levels, pairs, strict=True)
    )
    told = [pair for pair in pairs if min(pair) < math.inf and pair[1] > 0]
    return Seen(max((one / other for one, other in told), default=None), text)


def points_apart(runs: Runs, of: Quantity = accuracy_at_the_end) -> Seen:
    """The greatest difference of accuracies, in percentage points."""
    points = {choice: 100 * of(run) for choice, run in runs.items()}
    text = ", ".join(f"{choice} {value:.2f}%" for choice, value in points.items())
    return Seen(max(points.values()) - min(points.values()), text)


def share_of_epochs_above(runs: Runs, of: Callable[[MeasuredRun], Array] = loss) -> Seen:
    """The share of the epochs in which the loss of `it` is above that of all others."""
    losses = {part: of(run)[1:] for part, run in runs.items()}
    n = min(map(len, losses.values()))
    others = [values[:n] for part, values in losses.items() if part != "it"]
    above_all = losses["it"][:n] > np.max(others, axis=0)
    ends = ", ".join(f"{part} {in_figures(values[-1])}" for part, values in losses.items())
    return Seen(float(np.mean(above_all)), f"loss at the end: {ends}")


def early_points_below(runs: Runs) -> Seen:
    """Mean accuracy of `it` in the first 100 epochs, above the least of the others', in points."""
    means = {part: 100 * float(np.mean(accuracy(run)[1 : EARLY + 1])) for part, run in runs.items()}
    others = [mean for part, mean in means.items() if part != "it"]
    text = ", ".join(f"{part} {mean:.2f}%" for part, mean in means.items())
    return Seen(means["it"] - min(others), text)


def points_above(runs: Runs, one: str, other: str, of: Quantity = accuracy_at_the_end) -> Seen:
    """Accuracy of `one`, less that of `other`, in percentage points."""
    a, b = (100 * of(runs[part]) for part in (one, other))
    return Seen(a - b, f"{a:.2f}% against {b:.2f}%")


def cross_entropy_saved(runs: Runs) -> Seen:
    """Cross entropy on the test set of `it`, less that with learned τ and no penalty."""
    learned, it = (float(runs[part].metrics["test/task_loss"][-1]) for part in ("learned", "it"))
    return Seen(it - learned, f"{learned:.3f} against {it:.3f}")


def greatest_tau(runs: Runs) -> Seen:
    """The greatest τ of all iterations of `it`, over the least such of the others."""
    greatest = {part: max(given(run.measures.greatest)) for part, run in runs.items()}
    others = [value for part, value in greatest.items() if part != "it"]
    text = ", ".join(f"{part} {value:.3f}" for part, value in greatest.items())
    return Seen(greatest["it"] / min(others), text)


def first_over_largest(runs: Runs, size: Callable[[float], float] = float) -> Seen:
    """τ(0) at the end over the largest other τ; infinite where no other is above 0."""
    first, *others = runs["it"].measures.end
    largest = max(map(size, given(others)), default=0.0)
    ratio = math.inf if largest <= 0 else (first or 0.0) / largest
    return Seen(ratio, f"{first or 0:.3f} to {largest:.3f}")


def distance_to_horizon(runs: Runs) -> Seen:
    """The median of |Σ τ - T| over all iterations."""
    measures = runs["it"].measures
    return Seen(
        measures.off_horizon,
        f"at most {measures.furthest_off_horizon:.2f}, Σ τ at the end {measures.sum_end:.4f}",
    )


def first_negative(runs: Runs, of: Callable[[list[float]], float] = min) -> Seen:
    """The first iteration with τ(ℓ) < 0 for some ℓ ≥ 1, or that after which each has been so."""
    at = [math.inf if i is None else i for i in runs["it"].measures.negative_at[1:]]
    text = ", ".join(f"τ({l}) at {i:,}" for l, i in enumerate(at, start=1) if i < math.inf)
    return Seen(of(at), text or "none is negative")


def vanishing_share(runs: Runs, place: int = 0) -> Seen:
    """Of the τ(ℓ) that stays smallest: its greatest |τ(ℓ)| / Σ|τ| in the second half."""
    measures = runs["it"].measures
    since = {l: i for l, i in enumerate(measures.vanished_at) if i is not None}
    text = ", ".join(f"τ({l}) from {i:,}" for l, i in since.items()) or "none"
    return Seen(sorted(given(measures.late_share))[place], f"below ε to the end: {text}")


def least_tau(runs: Runs) -> Seen:
    """The least τ of all layers and iterations."""
    least = given(runs["it"].measures.least)
    return Seen(min(least), f"of each layer {_list(least)}")


def growth(runs: Runs) -> Seen:
    """The least ratio of τ(ℓ) at the end and after the first iteration."""
    start, end = (given(values) for values in (runs["it"].measures.start, runs["it"].measures.end))
    return Seen(min(b / a for a, b in zip(start, end, strict=True)), _list(end))


def sum_over_learned(runs: Runs) -> Seen:
    """Σ τ at the end over that without a penalty."""
    it, learned = runs["it"].measures.sum_end, runs["learned"].measures.sum_end
    return Seen(it / learned, f"{it:.3f} against {learned:.3f}")


def exceeds_horizon(runs: Runs, excess: float = 0.0) -> Seen:
    """The iteration after which Σ τ stays above T + `excess` until it is greatest."""
    measures = runs["it"].measures
    at = measures.sum_exceeds[EXCESSES.index(excess)]
    text = f"greatest Σ τ {measures.sum_greatest:.4f}"
    return Seen(math.inf if at is None else float(at), text)


def greatest_at(runs: Runs) -> Seen:
    """The iteration after which Σ τ is greatest."""
    measures = runs["it"].measures
    return Seen(float(measures.sum_greatest_at), f"{measures.sum_greatest:.4f}")


def excess_left(runs: Runs, of: Callable[[Measures], float] = attrgetter("sum_end")) -> Seen:
    """Σ τ - T, at the end or late, over its greatest value."""
    measures = runs["it"].measures
    greatest, late = measures.sum_greatest - HORIZON, of(measures) - HORIZON
    text = f"Σ τ {measures.sum_greatest:.4f}, then {HORIZON + late:.4f}"
    return Seen(late / greatest if greatest > 0 else None, text)


def inner_least(runs: Runs) -> Seen:
    """The greatest of the least τ(ℓ) of all iterations, ℓ = 1 ... 4."""
    least, on_floor = runs["it"].measures.least[1:5], runs["it"].measures.on_floor[1:5]
    share = ", ".join(f"{value:.0%}" for value in given(on_floor))
    return Seen(max(given(least)), f"on the floor in {share} of the iterations after 1,000")


def last_at_the_end(runs: Runs) -> Seen:
    """The last τ at the end of training."""
    measures = runs["it"].measures
    at = measures.negative_at[-1]
    return Seen(measures.end[-1], "never below 0" if at is None else f"below 0 from {at:,}")


def losses_not_finite(runs: Runs) -> Seen:
    """The number of iterations whose loss is not finite."""
    run = runs["it"]
    end = f"accuracy {accuracy_at_the_end(run):.2%}"
    return Seen(float(run.measures.not_finite), end)


def layers_left(runs: Runs) -> Seen:
    """Hidden layers after pruning."""
    layers = runs["it"].summary["layers"]
    return Seen(float(len(layers)), ", ".join(f"τ({l})" for l in layers))


def other_than_first_and_last(runs: Runs) -> Seen:
    """Hidden layers in which those that are left differ from τ(0) and τ(5)."""
    layers = set(runs["it"].summary["layers"])
    return Seen(float(len({0, 5} ^ layers)), layers_left(runs).text)


def variables_a_layer(runs: Runs) -> Seen:
    """Variables that pruning took away, over layers."""
    summary = runs["it"].summary
    layers = len(runs["whole"].summary["layers"]) - len(summary["layers"])
    variables = summary["parameters_before"] - summary["parameters"]
    return Seen(variables / layers if layers else None, f"{variables:,} of {layers} layers")


def _first_epoch(run: MeasuredRun, level: float) -> float:
    reached = np.flatnonzero(np.round(accuracy(run), 6) >= round(level, 6))
    return float(epochs(run)[reached[0]]) if len(reached) else math.inf


def _epoch(epoch: float) -> str:
    return "never" if epoch == math.inf else f"{epoch:.0f}"


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)
