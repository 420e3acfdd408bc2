"""The figures of one run, drawn from its directory."""

from pathlib import Path

from matplotlib.figure import Figure

from tvl_lightning.drawing.epochs import Curve, draw_epochs
from tvl_lightning.drawing.labels import label_ends
from tvl_lightning.drawing.page import blank_page, print_style, save
from tvl_lightning.drawing.palette import style
from tvl_lightning.drawing.tau import MOST_CURVES, draw_shares, draw_sum, draw_tau
from tvl_lightning.files import replacing
from tvl_lightning.runs.reading import Run, read_run
from tvl_lightning.runs.time_steps import TauOfRun, tau_of


def draw_run(folder: str | Path) -> None:
    """Draw `figures/tau` and `figures/curves`, PNG and SVG, of what there is in a run directory.

    Raises:
        InputError: for a file that is damaged, or that no run wrote.
    """
    run = read_run(folder)
    steps = tau_of(run)
    if steps:
        _save(tau_figure(steps), run.folder / "figures" / "tau")
    if "epoch" in run.metrics:
        _save(curves_figure(run), run.folder / "figures" / "curves")


def tau_figure(steps: TauOfRun) -> Figure:
    """Every τ, with pruning the shares and ε, and Σ τ beside T, over the iterations."""
    over, tau, left = steps.iteration, steps.tau, steps.left
    epsilon, shares = steps.epsilon, steps.shares()
    pruned = epsilon is not None and shares is not None and tau.shape[1] <= MOST_CURVES
    heights = {"tau": 2.4, **({"share": 1.5} if pruned else {}), "sum": 1.0}
    with print_style():
        figure = blank_page(sum(heights.values()) + 0.5)
        axes = figure.subplot_mosaic(
            [[name] for name in heights], sharex=True, height_ratios=list(heights.values())
        )
        ends = {axes["tau"]: draw_tau(axes["tau"], over, tau, left=left)}
        if "share" in axes and epsilon is not None and shares is not None:
            ends[axes["share"]] = draw_shares(axes["share"], over, shares, epsilon, left=left)
        ends[axes["sum"]] = draw_sum(axes["sum"], over, tau, horizon=steps.horizon)
        for panel in ends:
            panel.label_outer()
        figure.align_ylabels()
        label_ends(figure, ends)
    return figure


def curves_figure(run: Run) -> Figure:
    """Accuracy and cross entropy, which is the loss without penalties, over the epochs."""
    with print_style():
        figure = blank_page(2.4)
        ends = {}
        for axes, metric, label in zip(
            figure.subplots(1, 2), ("acc", "task_loss"), ("accuracy", "cross entropy"), strict=True
        ):
            curves = {
                stage: Curve(run.metrics["epoch"] + 1, run.metrics[f"{stage}/{metric}"], style(i))
                for i, stage in enumerate(("train", "val", "test"))
                if f"{stage}/{metric}" in run.metrics
            }
            ends[axes] = draw_epochs(axes, curves)
            axes.set_ylabel(label)
        label_ends(figure, ends)
    return figure


def _save(figure: Figure, path: Path) -> None:
    with print_style():
        for ending in ("png", "svg"):
            with replacing(path.with_suffix(f".{ending}")) as part:
                save(figure, part, ending)
