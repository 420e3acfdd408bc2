"""Draw the figures of the paper from run directories.

    python -m tvl_lightning.paper.figures FOLDER

writes figure_4_1 to figure_4_6, each as PNG and SVG, to FOLDER/figures. What goes beyond the paper,
the authors' variants and tau=simplex, stands beside or below its panels. With several seeds a curve
is their mean, and a band reaches from the least to the greatest.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tvl_lightning.files import replacing
from tvl_lightning.paper.command import on_folder
from tvl_lightning.paper.setups import Setup, setup
from tvl_lightning.paper.study import (
    Study,
    accuracy,
    epochs,
    loss,
    over_seeds,
    read_study,
    tau,
)
from tvl_lightning.runs.reading import Array, Run

DATA = {"mnist": "MNIST", "fashion_mnist": "Fashion MNIST"}
MODELS = {"resnet": "ResNet", "fractional": "Fractional DNN"}
LEARNED = {
    "learned": "no regularization",
    "l1": r"$\ell^1$ regularization",
    "horizon": "time horizon regularization",
    "final": r"final $\tau$ dependency",
}
SIMPLEX = {"simplex": r"$\tau$ on the simplex, not in the paper"}
VARIANTS = {"paper": "the paper", "authors": "its authors' code"}

_STYLES = ["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1))]
_GREYS = [0.0, 0.55, 0.25, 0.75, 0.4, 0.85]  # along a map that is ordered in print, too
_POINTS = 500  # of a curve over a logarithmic axis

Quantity = tuple[str, Callable[[Run], Array]]
ACCURACY: Quantity = ("accuracy", accuracy)
LOSS: Quantity = ("cross entropy", loss)


def figure_4_1(study: Study) -> Figure:
    """Accuracies for learned and fixed τ; a column for each data set, a row for each variant."""
    figure, grid = _grid(2, 2)
    for row, (variant, title) in zip(grid, VARIANTS.items(), strict=True):
        for axes, (data, name) in zip(row, DATA.items(), strict=True):
            curves = {
                f"{network}, {choice} $\\tau$": setup(data, model, choice, variant=variant)
                for model, network in MODELS.items()
                for choice in ("learned", "fixed")
            }
            _over_epochs(axes, study, curves, ACCURACY)
            _entitle(axes, f"{name}, {title}")
    return _with_legend(figure)


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
    """A row for each data set: accuracy and loss of the paper's variant, then of the authors'."""
    figure, grid = _grid(2, 4)
    for row, (data, name) in zip(grid, DATA.items(), strict=True):
        panels = [(variant, q) for variant in VARIANTS for q in (ACCURACY, LOSS)]
        for axes, (variant, quantity) in zip(row, panels, strict=True):
            curves = {
                label: setup(data, model, choice, variant=variant)
                for choice, label in (LEARNED | SIMPLEX).items()
                if choice in LEARNED or variant == "paper"
            }
            _over_epochs(axes, study, curves, quantity)
            _entitle(axes, f"{name}, {VARIANTS[variant]}")
    return _with_legend(figure)


def _time_steps(study: Study, model: str, *, pruned: bool) -> Figure:
    """The paper's four panels; right of them the authors' variant; below them the simplex."""

    def panel(choice: str, variant: str = "paper") -> Setup:
        return setup("fashion_mnist", model, choice, pruned, variant)

    def theirs(choice: str) -> Setup | None:
        return panel(choice, "authors") if panel(choice, "authors") != panel(choice) else None

    paper = (("learned", "l1"), ("horizon", "final"))
    rows = [[*map(panel, row), *map(theirs, row)] for row in paper]
    rows.append([panel("simplex"), None, None, None])
    columns = [column for column in zip(*rows, strict=True) if any(column)]
    figure = _figure(len(rows), len(columns))
    mosaic: Any = [list(row) for row in zip(*columns, strict=True)]
    for shown, axes in figure.subplot_mosaic(mosaic, empty_sentinel=None).items():
        _over_iterations(axes, study, shown)
        of = ", authors' code" if shown.variant == "authors" else ""
        _entitle(axes, (LEARNED | SIMPLEX)[shown.tau] + of)
    return _with_legend(figure)


def _figure(rows: int, columns: int) -> Figure:
    return Figure(figsize=(3.1 * columns, 2.5 * rows + 0.5), layout="constrained")


def _grid(rows: int, columns: int) -> tuple[Figure, list[list[Axes]]]:
    figure = _figure(rows, columns)
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, [list(row) for row in axes]


def _entitle(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize="medium")


def _over_epochs(axes: Axes, study: Study, curves: dict[str, Setup], quantity: Quantity) -> None:
    label, values = quantity
    for number, (name, shown) in enumerate(curves.items()):
        if runs := study.find(shown):
            x, _, _ = over_seeds(runs, epochs)
            _draw(axes, number, x, over_seeds(runs, values), name)
    axes.set(xlabel="epoch", ylabel=label)
    _leave_out_the_first_epochs(axes)
    _say_if_empty(axes, curves.values())


def _leave_out_the_first_epochs(axes: Axes) -> None:
    """Let the vertical axis span what follows the first twentieth, where the curves differ."""
    shown = [y[len(y) // 20 + 1 :] for y in (np.asarray(line.get_ydata()) for line in axes.lines)]
    values = np.concatenate([*shown, []])
    if np.isfinite(values).any():
        low, high = np.nanmin(values), np.nanmax(values)
        margin = 0.05 * (high - low) or 0.05
        axes.set_ylim(low - margin, high + margin)


def _over_iterations(axes: Axes, study: Study, shown: Setup) -> None:
    if runs := study.find(shown):
        statistics = over_seeds(runs, tau)
        n = len(statistics[0])
        kept = np.unique(np.geomspace(1, n, _POINTS).round().astype(int)) - 1
        for layer in range(statistics[0].shape[1]):
            name = rf"$\tau^{{({layer})}}$"
            _draw(axes, layer, kept + 1, [s[kept, layer] for s in statistics], name)
    axes.set(xscale="log", xlabel="iteration", ylabel=r"$\tau$")
    _say_if_empty(axes, [shown])


def _draw(axes: Axes, number: int, x: Array, band: Iterable[Array], label: str) -> None:
    mean, least, greatest = band
    colour = mpl.colormaps["viridis"](_GREYS[number % len(_GREYS)])
    style = _STYLES[number % len(_STYLES)]
    axes.plot(x, mean, color=colour, linestyle=style, linewidth=1.2, label=label)
    if not np.array_equal(least, greatest, equal_nan=True):
        axes.fill_between(x, least, greatest, color=colour, alpha=0.25, linewidth=0)


def _say_if_empty(axes: Axes, wanted: Iterable[Setup]) -> None:
    if not axes.lines:
        text = "no run of\n" + "\n".join(map(str, wanted))
        axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes, fontsize=6)


def _with_legend(figure: Figure) -> Figure:
    handles = {str(line.get_label()): line for axes in figure.axes for line in axes.lines}
    if handles:
        columns = min(3, int(figure.get_figwidth() // 3))  # a label takes up to three inches
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=columns)
    return figure


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
            with replacing(folder / f"{draw.__name__}.{ending}") as part:
                figure.savefig(part, dpi=110, format=ending)
    return missing


def figures(folder: Path) -> None:
    """Draw the figures of the runs under `folder` into it, and name what is missing."""
    for name, missing in draw_figures(read_study(folder), folder / "figures").items():
        for shown in missing:
            print(f"{name}: no run of {shown}")
    print(f"drawn: {folder / 'figures'}")


if __name__ == "__main__":
    on_folder(__doc__, figures)
