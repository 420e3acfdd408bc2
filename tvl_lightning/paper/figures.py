"""Draw the figures of the paper from run directories.

    python -m tvl_lightning.paper.figures FOLDER

writes figure_4_1 to figure_4_6, each as PNG and SVG, to FOLDER/figures. What goes beyond the paper,
the authors' variants and tau=simplex, stands below its panels. With several seeds a curve is their
mean, and a band reaches from the least to the greatest.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tvl_lightning.drawing.epochs import Curve, draw_epochs
from tvl_lightning.drawing.labels import End, label_ends
from tvl_lightning.drawing.page import blank_page, print_style, save
from tvl_lightning.drawing.palette import style
from tvl_lightning.drawing.tau import draw_mean_tau, draw_tau
from tvl_lightning.files import replacing
from tvl_lightning.paper.command import on_folder
from tvl_lightning.paper.setups import Setup, setup
from tvl_lightning.paper.study import Study, accuracy, epochs, loss, over_seeds, read_study, tau
from tvl_lightning.runs.reading import Array, Run

DATA = {"mnist": "MNIST", "fashion_mnist": "Fashion MNIST"}
MODELS = {"resnet": "ResNet", "fractional": "Fractional"}
VARIANTS = {"paper": "the paper", "authors": "authors' code"}
SETUPS = {
    "learned": "no regularization",
    "l1": r"$\ell^1$ regularization",
    "horizon": "time horizon regularization",
    "final": r"final $\tau$ dependency",
    "simplex": r"$\tau$ on the simplex, not in the paper",
}
BEYOND = "simplex"  # what the paper has not
# at the ends of curves
NAMES = {
    "learned": "none",
    "l1": r"$\ell^1$",
    "horizon": "horizon",
    "final": r"final $\tau$",
    "simplex": "simplex",
}

Quantity = tuple[str, Callable[[Run], Array]]
ACCURACY: Quantity = ("test accuracy", accuracy)
LOSS: Quantity = ("test loss", loss)  # the cross entropy and the penalties

_HEIGHT = 1.75  # inches, of a panel
_DPI, _BINS = 120, 300  # most panels are narrower than 300 pixels
_Panel = TypeVar("_Panel")


class Compared(NamedTuple):
    """A panel of curves over the epochs: a setup for each name."""

    title: str
    quantity: Quantity
    setups: Mapping[str, Setup]


def figure_4_1(study: Study) -> Figure:
    """Accuracies for learned and fixed τ; a column for each data set, a row for each variant."""
    return _over_epochs(
        study,
        [
            Compared(
                f"{name}, {title}",
                ACCURACY,
                {
                    network + of: setup(data, model, choice, variant=variant)
                    for model, network in MODELS.items()
                    for choice, of in (("learned", ""), ("fixed", ", fixed"))
                },
            )
            for variant, title in VARIANTS.items()
            for data, name in DATA.items()
        ],
    )


def figure_4_2(study: Study) -> Figure:
    """Accuracies and losses of the setups with learned τ, ResNet."""
    return _setups(study, "resnet")


def figure_4_3(study: Study) -> Figure:
    """Accuracies and losses of the setups with learned τ, Fractional DNN."""
    return _setups(study, "fractional")


def figure_4_4(study: Study) -> Figure:
    """τ of a ResNet over the iterations on Fashion MNIST."""
    return _time_steps(study, "resnet", pruned=False)


def figure_4_5(study: Study) -> Figure:
    """τ of a Fractional DNN over the iterations on Fashion MNIST."""
    return _time_steps(study, "fractional", pruned=False)


def figure_4_6(study: Study) -> Figure:
    """τ of a ResNet with adaptive pruning over the iterations on Fashion MNIST."""
    return _time_steps(study, "resnet", pruned=True)


FIGURES = [figure_4_1, figure_4_2, figure_4_3, figure_4_4, figure_4_5, figure_4_6]


def _setups(study: Study, model: str) -> Figure:
    """A row for each data set, accuracy and loss: the paper's variant, then the authors'."""
    return _over_epochs(
        study,
        [
            Compared(
                f"{name}, {title}",
                quantity,
                {
                    label: setup(data, model, choice, variant=variant)
                    for choice, label in NAMES.items()
                    if choice != BEYOND or variant == "paper"
                },
            )
            for variant, title in VARIANTS.items()
            for data, name in DATA.items()
            for quantity in (ACCURACY, LOSS)
        ],
    )


def _over_epochs(study: Study, panels: Sequence[Compared]) -> Figure:
    def draw(axes: Axes, panel: Compared) -> list[End]:
        label, values = panel.quantity
        curves = {}
        for number, (name, shown) in enumerate(panel.setups.items()):
            if runs := study.find(shown):
                mean, *band = over_seeds(runs, values)
                x, _, _ = over_seeds(runs, epochs)
                curves[name] = Curve(x, mean, style(number), (band[0], band[1]))
        axes.set_ylabel(label)
        return draw_epochs(axes, curves) or _say_that_there_is_none(axes)

    return _page(panels, [panel.title for panel in panels], draw)


def _time_steps(study: Study, model: str, *, pruned: bool) -> Figure:
    """The paper's four panels, then the authors' where they differ, then the simplex."""

    def panel(choice: str, variant: str = "paper") -> Setup:
        return setup("fashion_mnist", model, choice, pruned, variant)

    def draw(axes: Axes, shown: Setup) -> list[End]:
        runs = study.find(shown)
        if not runs:
            return _say_that_there_is_none(axes)
        paths = [_from_the_start(run) for run in runs.values()]
        left = [run.summary["layers"] for run in runs.values()]
        n = min(map(len, paths))
        if len(paths) == 1:
            return draw_tau(axes, range(n), paths[0], left=left[0], bins=_BINS)
        return draw_mean_tau(axes, range(n), [path[:n] for path in paths], left, _BINS)

    paper = [panel(choice) for choice in SETUPS if choice != BEYOND]
    theirs = [panel(shown.tau, "authors") for shown in paper]
    shown = [*paper, *(s for s in theirs if s not in paper), panel(BEYOND)]
    titles = [SETUPS[s.tau] + ", authors' code" * (s.variant == "authors") for s in shown]
    return _page(shown, titles, draw)


def _from_the_start(run: Run) -> Array:
    """τ after 0, 1, 2 ... iterations; the paper's setups begin with T/n each, where T is 1."""
    path = tau(run)
    if run.trajectory["iteration"][0] == 0:
        return path
    return np.concatenate((np.full((1, path.shape[1]), 1 / path.shape[1]), path))


def _page(
    panels: Sequence[_Panel], titles: Sequence[str], draw: Callable[[Axes, _Panel], list[End]]
) -> Figure:
    """The panels in two columns; a last one without a neighbour takes both."""
    numbers = range(len(panels))
    rows: list[Any] = [[n, min(n + 1, numbers[-1])] for n in numbers[::2]]
    with print_style():
        figure = blank_page(_HEIGHT * len(rows))
        grid = figure.subplot_mosaic(rows)
        ends = {}
        for number, panel, title in zip(numbers, panels, titles, strict=True):
            axes = grid[number]
            ends[axes] = draw(axes, panel)
            axes.set_title(title, fontsize=8)
            if number not in rows[-1]:
                axes.set_xlabel("")
        label_ends(figure, ends)
    return figure


def _say_that_there_is_none(axes: Axes) -> list[End]:
    axes.text(0.5, 0.5, "no run", ha="center", va="center", transform=axes.transAxes)
    axes.set(xticks=[], yticks=[])
    return []


def draw_figures(
    study: Study, folder: Path, endings: tuple[str, ...] = ("png", "svg")
) -> dict[str, list[str]]:
    """Draw all figures into `folder`, and return the missing setups of each by name."""
    missing = {}
    for draw in FIGURES:
        study.missing.clear()
        figure = draw(study)
        missing[draw.__name__] = sorted(map(str, study.missing))
        for ending in endings:
            with print_style(), replacing(folder / f"{draw.__name__}.{ending}") as part:
                save(figure, part, ending, _DPI)
    return missing


def figures(folder: Path) -> None:
    """Draw the figures of the runs under `folder` into it, and name what is missing."""
    for name, missing in draw_figures(read_study(folder), folder / "figures").items():
        for shown in missing:
            print(f"{name}: no run of {shown}")
    print(f"drawn: {folder / 'figures'}")


if __name__ == "__main__":
    on_folder(__doc__, figures)
