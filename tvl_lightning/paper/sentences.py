"""The sentences of the paper that can be checked, and what is taken for each."""

from collections.abc import Callable
from functools import partial
from operator import attrgetter

from tvl_lightning.paper.judging import (
    Claim,
    above,
    at_least,
    at_most,
    below,
    between,
)
from tvl_lightning.paper.measures import EXCESSES
from tvl_lightning.paper.seeing import (
    cross_entropy_saved,
    distance_to_horizon,
    early_points_below,
    epochs_to_levels,
    exceeds_horizon,
    excess_left,
    first_negative,
    first_over_largest,
    greatest_at,
    greatest_tau,
    growth,
    inner_least,
    last_at_the_end,
    layers_left,
    least_tau,
    losses_not_finite,
    other_than_first_and_last,
    points_above,
    points_apart,
    share_of_epochs_above,
    sum_over_learned,
    vanishing_share,
    variables_a_layer,
)
from tvl_lightning.paper.setups import Setup, setup
from tvl_lightning.paper.study import accuracy_over_all, train_loss

DATA = ("mnist", "fashion_mnist")
MODELS = ("resnet", "fractional")
LEARNED = ("learned", "l1", "horizon", "final")
REGULARIZED = ("l1", "horizon")
TIED = (*REGULARIZED, "final")  # or tied to T
LAYER = 10_101  # variables of a hidden layer

Subjects = dict[str, dict[str, Setup]]


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


TRAINING = {"training samples": partial(share_of_epochs_above, of=train_loss)}

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
