"""The figures of one run, drawn from its directory."""

from pathlib import Path

from matplotlib.figure import Figure

from tvl_lightning.files import replacing
from tvl_lightning.runs.reading import Run, read_run

_LINE_STYLES = ["-", "--", "-.", ":"]  # told apart in grey, too


def draw_run(folder: str | Path) -> None:
    """Draw `figures/tau.png` and `figures/curves.png` into a run directory."""
    run = read_run(folder)
    if run.trajectory:
        _save(tau_figure(run), Path(folder) / "figures" / "tau.png")
    if run.metrics:
        _save(curves_figure(run), Path(folder) / "figures" / "curves.png")


def tau_figure(run: Run) -> Figure:
    """Every τ over the iterations; a layer's curve goes from its birth to its removal."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for layer, tau in enumerate(run.trajectory["tau"].T):
        style = _LINE_STYLES[layer % len(_LINE_STYLES)]
        axes.plot(run.trajectory["iteration"], tau, style, label=rf"$\tau^{{({layer})}}$")
    axes.set(xscale="log", xlabel="iteration", ylabel=r"$\tau$")
    axes.legend(ncols=2 if len(run.trajectory["tau"].T) <= 12 else 4, fontsize="small")
    return figure


def curves_figure(run: Run) -> Figure:
    """Accuracy and cross entropy over the epochs."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, metric, label in zip(
        figure.subplots(1, 2), ("acc", "task_loss"), ("accuracy", "cross entropy"), strict=True
    ):
        for stage, style in zip(("train", "val", "test"), _LINE_STYLES, strict=False):
            if f"{stage}/{metric}" in run.metrics:
                values = run.metrics[f"{stage}/{metric}"]
                axes.plot(run.metrics["epoch"] + 1, values, style, label=stage)
        axes.set(xlabel="epoch", ylabel=label)
        axes.legend()
    return figure


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as part:
        figure.savefig(part, dpi=150, format=path.suffix[1:])
