"""Measure on run directories what the paper says.

    python -m tvl_lightning.paper.claims FOLDER

writes FOLDER/claims.md and FOLDER/claims.json: each sentence, the number that is taken for it, that
number for each seed, its mean and spread, and a verdict. A sentence *holds* if it does for every
network, data set and seed that it speaks of; it *does not hold* if it fails in one of them with
every seed; else it *depends on the seed*. It is *not decided* where the study lacks runs or epochs,
and where its words allow readings that come to different verdicts.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from tvl_lightning.files import replacing
from tvl_lightning.paper.command import on_folder
from tvl_lightning.paper.judging import (
    Claim,
    Finding,
    Runs,
    Seen,
    Verdict,
    above,
    at_least,
    at_most,
    below,
    between,
    judge,
)
from tvl_lightning.paper.measures import EXCESSES, HORIZON, Measures
from tvl_lightning.paper.setups import Setup, setup
from tvl_lightning.paper.study import (
    EPOCHS,
    SEEDS,
    MeasuredRun,
    Study,
    accuracy,
    accuracy_at_the_end,
    accuracy_over_all,
    epochs,
    loss,
    read_study,
    train_loss,
)
from tvl_lightning.runs.markdown import in_figures, table
from tvl_lightning.runs.reading import Array

DATA = ("mnist", "fashion_mnist")
MODELS = ("resnet", "fractional")
VARIANTS = ("paper", "authors")
LEARNED = ("learned", "l1", "horizon", "final")
REGULARIZED = ("l1", "horizon")
TIED = (*REGULARIZED, "final")  # or tied to T
BELOW = (5.0, 2.0, 0.5)  # percentage points below what fixed τ comes to: levels to be reached
LAYER = 10_101  # variables of a hidden layer
EARLY = 100  # epochs

Subjects = dict[str, dict[str, Setup]]
Quantity = Callable[[MeasuredRun], float]


# What a sentence speaks of: by subject, the setups of one comparison.


def together(
    *choices: str, models: tuple[str, ...] = MODELS, data: tuple[str, ...] = DATA
) -> Callable[[str], Subjects]:
    """For each data set and network, the setups of all these choices."""
    return lambda variant: {
        f"{d}-{m}": {choice: setup(d, m, choice, variant=variant) for choice in choices}
        for d in data
        for m in models
    }


def each(
    *choices: str,
    models: tuple[str, ...] = MODELS,
    data: tuple[str, ...] = DATA,
    beside: tuple[str, ...] = (),
) -> Callable[[str], Subjects]:
    """For each data set, network and choice, its setup as `it`, and those `beside` it."""
    return lambda variant: {
        f"{d}-{m}-{choice}": {
            part: setup(d, m, name, variant=variant)
            for part, name in {"it": choice, **{other: other for other in beside}}.items()
        }
        for d in data
        for m in models
        for choice in choices
    }


fashion_resnet = partial(each, models=("resnet",), data=("fashion_mnist",))
fashion_fractional = partial(each, models=("fractional",), data=("fashion_mnist",))


def pruned(*choices: str) -> Callable[[str], Subjects]:
    """The ResNet with each of these choices on Fashion MNIST, pruned and whole."""
    return lambda variant: {
        f"fashion_mnist-resnet-{choice}": {
            "it": setup("fashion_mnist", "resnet", choice, True, variant),
            "whole": setup("fashion_mnist", "resnet", choice, variant=variant),
        }
        for choice in choices
    }


# The number that is taken for a sentence, from the runs of one seed.


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


TRAINING = {"training samples": partial(share_of_epochs_above, of=train_loss)}


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
    greatest = {part: max(_given(run.measures.greatest)) for part, run in runs.items()}
    others = [value for part, value in greatest.items() if part != "it"]
    text = ", ".join(f"{part} {value:.3f}" for part, value in greatest.items())
    return Seen(greatest["it"] / min(others), text)


def first_over_largest(runs: Runs, size: Callable[[float], float] = float) -> Seen:
    """τ(0) at the end over the largest other τ; infinite where no other is above 0."""
    first, *others = runs["it"].measures.end
    largest = max(map(size, _given(others)), default=0.0)
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
    return Seen(sorted(_given(measures.late_share))[place], f"below ε to the end: {text}")


def least_tau(runs: Runs) -> Seen:
    """The least τ of all layers and iterations."""
    least = _given(runs["it"].measures.least)
    return Seen(min(least), f"of each layer {_list(least)}")


def growth(runs: Runs) -> Seen:
    """The least ratio of τ(ℓ) at the end and after the first iteration."""
    start, end = (_given(values) for values in (runs["it"].measures.start, runs["it"].measures.end))
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
    share = ", ".join(f"{value:.0%}" for value in _given(on_floor))
    return Seen(max(_given(least)), f"on the floor in {share} of the iterations after 1,000")


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
    layers = runs["it"].summary["layers"]
    return Seen(float(len({0, 5} ^ set(layers))), ", ".join(f"τ({l})" for l in layers))


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


def _given(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _list(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


CLAIMS = [
    Claim(
        "Figure 4.1",
        "With learned τ, both networks attain higher accuracies more quickly than with fixed τ, on "
        "both data sets.",
        "Epochs to a level of accuracy, learned over fixed: the greatest such ratio over three "
        "levels, 5, 2 and 0.5 percentage points below what fixed τ comes to at the end.",
        together("learned", "fixed"),
        epochs_to_levels,
        below(1),
    ),
    Claim(
        "Figures 4.2, 4.3",
        "The accuracies are similar for all four setups with learned τ.",
        "Accuracies, at the end and over all epochs: the greatest less the least, in percentage "
        "points.",
        together(*LEARNED),
        points_apart,
        at_most(0.5, 1, 1.5, 2),
        way="at the end",
        also={"over all epochs": partial(points_apart, of=accuracy_over_all)},
    ),
    Claim(
        "Figure 4.2",
        "ResNet: with ℓ1 and with the horizon penalty the loss is larger than without an added "
        "term.",
        "The share of the epochs in which the loss, penalty included, is above that of learned τ "
        "and that of final τ: on the test set, as in the authors' figures, and on the training "
        "samples.",
        each("l1", "horizon", models=("resnet",), beside=("learned", "final")),
        share_of_epochs_above,
        at_least(0.5, 0.9, 1),
        way="test set",
        also=TRAINING,
    ),
    Claim(
        "Figure 4.3",
        "Fractional: with the horizon penalty the accuracy is slightly lower in the first 100 "
        "epochs.",
        "Mean accuracy of these epochs, less the least of the other three setups', in percentage "
        "points.",
        each("horizon", models=("fractional",), beside=("learned", "l1", "final")),
        early_points_below,
        [*below(0), *between((-2, 0), (-1, 0))],
    ),
    Claim(
        "Figure 4.3",
        "Fractional: with the horizon penalty the loss is larger throughout training.",
        "The share of the epochs in which the loss, penalty included, is above that of the other "
        "three setups: on the test set, as in the authors' figures, and on the training samples.",
        each("horizon", models=("fractional",), beside=("learned", "l1", "final")),
        share_of_epochs_above,
        at_least(0.5, 0.9, 1),
        way="test set",
        also=TRAINING,
    ),
    Claim(
        "Figures 4.3, 4.5",
        "Fractional: with the horizon penalty the τ remain smaller than in the other setups.",
        "The greatest τ of all iterations, over the least such value of the other three setups.",
        fashion_fractional("horizon", beside=("learned", "l1", "final")),
        greatest_tau,
        below(1),
    ),
    Claim(
        "Figures 4.1 to 4.3",
        "Even with a regularization or a constraint, learned τ has advantages over fixed τ.",
        "Accuracy, over all epochs and at the end, less that with fixed τ, in percentage points.",
        each(*TIED, beside=("fixed",)),
        partial(points_above, one="it", other="fixed", of=accuracy_over_all),
        above(0),
        way="over all epochs",
        also={"at the end": partial(points_above, one="it", other="fixed")},
    ),
    Claim(
        "Figure 4.4",
        "ResNet: τ(0) tends to be significantly larger than the other τ.",
        "τ(0) at the end over the largest other τ, and over the largest |τ| of the others.",
        fashion_resnet(*LEARNED),
        first_over_largest,
        at_least(1, 1.25, 1.5, 2),
        way="by value",
        also={"in size": partial(first_over_largest, size=abs)},
    ),
    Claim(
        "Figure 4.4",
        "ResNet: the horizon penalty ensures Σ τ = T in most iterations.",
        "The median of |Σ τ - T| over all iterations.",
        each("horizon", models=("resnet",)),
        distance_to_horizon,
        at_most(0.01, 0.02, 0.05, 0.1),
        ("paper",),
    ),
    Claim(
        "Figure 4.4",
        "ResNet, horizon and final: after a bit more than 100 iterations τ(ℓ) < 0 for ℓ ≥ 1.",
        "The first iteration with some τ(ℓ) < 0, ℓ ≥ 1; and that by which each has been so.",
        fashion_resnet("horizon", "final"),
        first_negative,
        between((100, 150), (100, 200), (100, 300), (100, 500)),
        way="some",
        also={"each": partial(first_negative, of=max)},
    ),
    Claim(
        "Figure 4.4",
        "ResNet: ℓ1 drives some τ to zero, where they remain.",
        "Of the τ that stays smallest, and of the next, the greatest |τ| / Σ|τ| in the second half "
        "of training; the pruning threshold is 0.01.",
        fashion_resnet("l1"),
        vanishing_share,
        at_most(0.003, 0.01, 0.03),
        ("paper",),
        way="one",
        also={"two": partial(vanishing_share, place=1)},
    ),
    Claim(
        "Section 3",
        "Setting the last τ to T less the others often results in a last τ < 0.",
        "The last τ at the end.",
        each("final"),
        last_at_the_end,
        below(0),
    ),
    Claim(
        "Figure 4.5",
        "Fractional, final τ: that τ passes through zero, and nothing blows up.",
        "The number of iterations whose loss is not finite. The networks take 0.0001 in place of a "
        "τ below it, in both variants.",
        each("final", models=("fractional",)),
        losses_not_finite,
        at_most(0),
    ),
    Claim(
        "Figure 4.5",
        "Fractional, no regularization: all τ increase.",
        "τ at the end over τ after the first iteration, the least of all layers.",
        fashion_fractional("learned"),
        growth,
        above(1),
    ),
    Claim(
        "Figure 4.5",
        "Fractional, no regularization: τ(0) is the largest.",
        "τ(0) at the end over the largest other τ.",
        fashion_fractional("learned"),
        first_over_largest,
        above(1),
    ),
    Claim(
        "Figure 4.5",
        "Fractional: ℓ1 and the horizon penalty hinder the growth.",
        "Σ τ at the end over that without a penalty.",
        fashion_fractional("l1", "horizon", beside=("learned",)),
        sum_over_learned,
        below(0.25, 0.5, 1),
    ),
    Claim(
        "Figure 4.5",
        "Fractional: with ℓ1 no τ approaches zero, other than for the ResNet.",
        "Of the τ that stays smallest, the greatest |τ| / Σ|τ| in the second half of training; and "
        "the least τ of all iterations.",
        fashion_fractional("l1"),
        vanishing_share,
        at_least(0.003, 0.01, 0.03),
        way="its share",
        also={"the least": least_tau},
    ),
    Claim(
        "Figure 4.5",
        "Fractional, horizon: Σ τ exceeds T at approximately iteration 1000.",
        "The iteration after which Σ τ stays above T until it is greatest; and, since it starts at "
        "T, above T + 0.01, 0.05, 0.1; and that after which it is greatest.",
        fashion_fractional("horizon"),
        exceeds_horizon,
        between((800, 1250), (500, 2000), (300, 3000)),
        way="at all",
        also={
            **{
                f"by {excess:g}": partial(exceeds_horizon, excess=excess) for excess in EXCESSES[1:]
            },
            "at its greatest": greatest_at,
        },
    ),
    Claim(
        "Figure 4.5",
        "Fractional, horizon: Σ τ then goes back down.",
        "Σ τ - T over its greatest value, at the end and as a mean over the last tenth.",
        fashion_fractional("horizon"),
        excess_left,
        at_most(0.5, 0.25, 0.1),
        way="at the end",
        also={"late": partial(excess_left, of=attrgetter("sum_late"))},
    ),
    Claim(
        "Figure 4.5",
        "Fractional, horizon: τ(1), τ(2), τ(3), τ(4) get close to zero.",
        "The greatest of their least values; the floor of the projection is 0.0001, T/6 is 0.167.",
        fashion_fractional("horizon"),
        inner_least,
        at_most(0.0001, 0.001, 0.01),
    ),
    Claim(
        "Section 4",
        "Fractional: it may be more beneficial to abstain from regularization of τ.",
        "Accuracy without, less that with it, in percentage points, at the end and over all "
        "epochs; and cross entropy on the test set, at the end, with it less without.",
        each(*REGULARIZED, models=("fractional",), beside=("learned",)),
        partial(points_above, one="learned", other="it"),
        above(0),
        way="at the end",
        also={
            "over all epochs": partial(
                points_above, one="learned", other="it", of=accuracy_over_all
            ),
            "cross entropy": cross_entropy_saved,
        },
    ),
    Claim(
        "Figure 4.6",
        "ResNet, pruned with ℓ1: the network becomes smaller.",
        "Hidden layers left, of 6.",
        pruned("l1"),
        layers_left,
        at_most(2, 3, 5),
    ),
    Claim(
        "Figure 4.6",
        "ResNet, pruned with ℓ1: only τ(0) and τ(5) remain.",
        "Hidden layers that are left and should not, or are gone and should not.",
        pruned("l1"),
        other_than_first_and_last,
        at_most(0),
    ),
    Claim(
        "Section 4",
        "Every hidden layer omitted takes 10,101 variables away.",
        "Variables over layers that are gone.",
        pruned("l1"),
        variables_a_layer,
        between((LAYER, LAYER)),
    ),
    Claim(
        "Section 3",
        "Pruning does not compromise the network.",
        "Accuracy at the end, pruned less whole, in percentage points.",
        pruned(*TIED),
        partial(points_above, one="it", other="whole"),
        at_least(-0.5, -0.25, 0),
    ),
]


def judge_all(study: Study) -> list[dict[str, Verdict]]:
    """The verdicts on all claims, by variant."""
    return [judge(study, claim) for claim in CLAIMS]


def as_json(verdicts: list[dict[str, Verdict]]) -> list[dict[str, Any]]:
    """The claims with all that was found, as plain data."""
    return [
        {
            "claim": number,
            "place": claim.place,
            "sentence": claim.sentence,
            "measure": claim.measure,
            "readings": [reading.label for reading in claim.readings],
            "ways": list(claim.ways),
            "variants": {variant: _plain(verdict) for variant, verdict in by_variant.items()},
        }
        for number, (claim, by_variant) in enumerate(zip(CLAIMS, verdicts, strict=True), start=1)
    ]


def _plain(verdict: Verdict) -> dict[str, Any]:
    content = asdict(verdict)
    for finding, plain in zip(verdict.findings, content["findings"], strict=True):
        plain |= {"mean": finding.mean, "spread": finding.spread}
        for seen in plain["seen"].values():
            if seen["number"] == math.inf:
                seen["number"] = "infinite"  # JSON knows no such number
    return content


INTRODUCTION = (
    "A sentence *holds* if it does for every network, data set and seed that it speaks of; it "
    "*does not hold* if it fails in one of them with every seed; else it *depends on the seed*. It "
    f"is *not decided* where fewer than {SEEDS} seeds have all their runs, where a run has fewer "
    f"than the paper's {EPOCHS} epochs, and where its words allow readings that come to different "
    "verdicts; each reading has a column. Accuracies at the end are means over the last tenth of "
    "the epochs. Spread is the standard deviation over the seeds."
)


def as_markdown(verdicts: list[dict[str, Verdict]]) -> str:
    """The claims with all that was found, to read."""
    lines = ["# What the paper says, measured", "", INTRODUCTION, "", *summary_table(verdicts), ""]
    for number, (claim, by_variant) in enumerate(zip(CLAIMS, verdicts, strict=True), start=1):
        lines += [f"## {number}. {claim.sentence}", "", f"{claim.place}. {claim.measure}", ""]
        for variant, verdict in by_variant.items():
            lines += [f"Variant `{variant}`: {in_words(verdict)}.", "", *_findings(claim, verdict)]
            lines += [""]
    return "\n".join(lines).rstrip() + "\n"


def in_words(verdict: Verdict) -> str:
    """The verdict, and why it is none or a bad one."""
    return f"**{verdict.word}**" + (f": {verdict.reason}" if verdict.reason else "")


def summary_table(verdicts: list[dict[str, Verdict]]) -> list[str]:
    """A row for each claim: the readings, the numbers of the paper's variant, the verdicts."""
    rows = []
    for number, (claim, by_variant) in enumerate(zip(CLAIMS, verdicts, strict=True), start=1):
        cells = [by_variant[v].word if v in by_variant else "the same" for v in VARIANTS]
        readings = ", ".join(reading.label for reading in claim.readings)
        seen = _ranges(claim, by_variant["paper"].findings)
        rows.append([str(number), claim.sentence, readings, seen, *cells])
    return table(["", "the paper says", "has to be", "is", *VARIANTS], rows)


def _range(findings: list[Finding]) -> str:
    numbers = [s.number for f in findings for s in f.seen.values() if s.number is not None]
    if not numbers:
        return "–"
    least, greatest = in_figures(min(numbers)), in_figures(max(numbers))
    return least if least == greatest else f"{least} to {greatest}"


def _ranges(claim: Claim, findings: list[Finding]) -> str:
    by_way = {way: _range([f for f in findings if f.way == way]) for way in claim.ways}
    return "; ".join(f"{way} {numbers}".strip() for way, numbers in by_way.items())


def _findings(claim: Claim, verdict: Verdict) -> list[str]:
    seeds = sorted({seed for finding in verdict.findings for seed in finding.seen})
    if not seeds:
        return ["No seed has all the runs."]
    rows = []
    for finding in verdict.findings:
        seen = [finding.seen.get(seed) for seed in seeds]
        cells = [f"{in_figures(s.number)} ({s.text})" if s else "no run" for s in seen]
        spread = [in_figures(finding.mean), in_figures(finding.spread)]
        name = f"{finding.subject}, {finding.way}" if finding.way else finding.subject
        rows.append([name, *cells, *spread, *finding.words])
    labels = [reading.label for reading in claim.readings]
    return table(["", *(f"seed {s}" for s in seeds), "mean", "spread", *labels], rows)


def claims(folder: Path) -> None:
    """Judge the claims on the runs under `folder`, and write them down there."""
    verdicts = judge_all(read_study(folder))
    content = json.dumps(as_json(verdicts), indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(folder / "claims.json") as part:
        part.write_text(content + "\n", encoding="utf-8")
    with replacing(folder / "claims.md") as part:
        part.write_text(as_markdown(verdicts), encoding="utf-8")
    for number, by_variant in enumerate(verdicts, start=1):
        for variant, verdict in by_variant.items():
            reason = f": {verdict.reason}" if verdict.reason else ""
            print(f"{number:2} {variant:7} {verdict.word}{reason}")
    print(f"written: {folder / 'claims.md'}, {folder / 'claims.json'}")


if __name__ == "__main__":
    on_folder(__doc__, claims)
