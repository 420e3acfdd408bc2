"""What version 0.1 came to where a τ that touched the floor stayed there for good."""

from tvl_lightning.paper.setups import setup
from tvl_lightning.paper.study import MeasuredRun, Study, loss
from tvl_lightning.runs.markdown import in_figures, table

SEED = 0
# accuracy in percent and loss after the last epoch, τ at the end
FROZEN = {
    ("fashion_mnist", "horizon", "paper"): (88.08, 0.3370, "0.692, 0, 0, 0, 0, 0.330"),
    ("fashion_mnist", "horizon", "authors"): (88.01, 0.3396, "0.580, 0, 0, 0, 0, 0.443"),
    ("fashion_mnist", "l1", "paper"): (88.24, 0.4036, "1.260, 0, 0, 0.060, 0.481, 0.866"),
    ("mnist", "horizon", "paper"): (97.70, 0.0755, "0.674, 0, 0, 0, 0, 0.349"),
    ("mnist", "horizon", "authors"): (97.62, 0.0771, "0.575, 0, 0, 0, 0, 0.451"),
    ("mnist", "l1", "paper"): (97.85, 0.0968, "0.952, 0, 0, 0.118, 0.426, 0.613"),
}


def frozen_table(study: Study) -> list[str]:
    """Accuracy, loss and τ of the runs that were frozen, and of those with the same seed now."""
    rows = []
    for (data, choice, variant), (accuracy, last_loss, tau) in FROZEN.items():
        shown = setup(data, "fractional", choice, variant=variant)
        run = study.runs.get(shown, {}).get(SEED)
        before = [f"{accuracy:.2f}%", f"{last_loss:.3f}", tau]
        rows.append([str(shown), *before, *(_now(run) if run else ["–"] * 3)])
    header = ["", "0.1: accuracy", "loss", "τ", "now: accuracy", "loss", "τ"]
    return table(header, rows)


def _now(run: MeasuredRun) -> list[str]:
    tau = ", ".join(in_figures(value) for value in run.measures.end)
    return [f"{run.metrics['test/acc'][-1]:.2%}", f"{loss(run)[-1]:.3f}", tau]
