"""Write up a reproduction of the paper: what came of it, to read, and all that was measured.

    python -m tvl_lightning.paper.report FOLDER [DOCS]

reads the runs under FOLDER and writes reproduction.md, claims.md and the six figures to DOCS, which
is FOLDER/report where it is not given. DOCS/learned.md, where there is one, is what a reader has
learned from the runs: it is taken in as it is.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tvl_lightning.files import replacing
from tvl_lightning.paper.claims import (
    INTRODUCTION,
    as_markdown,
    judge_all,
    summary_table,
)
from tvl_lightning.paper.command import on_folder
from tvl_lightning.paper.comparisons import (
    BETWEEN_VARIANTS,
    COMPARISONS,
    coefficient_table,
    comparison_table,
    in_deviations,
)
from tvl_lightning.paper.figures import FIGURES, draw_figures
from tvl_lightning.paper.frozen import SEED, frozen_table
from tvl_lightning.paper.judging import Verdict
from tvl_lightning.paper.measures import given
from tvl_lightning.paper.numbers import number_table
from tvl_lightning.paper.setups import study_setups
from tvl_lightning.paper.study import (
    EPOCHS,
    SEEDS,
    MeasuredRun,
    Study,
    accuracy_at_the_end,
    loss,
    read_study,
)
from tvl_lightning.runs.markdown import escaped, in_figures, table

Verdicts = list[dict[str, Verdict]]

# Where the authors' code does something else than the paper says; conf/variant has the options.
DIFFERENCES = [
    ("learning rate, optimizer", "mini-batch SGD, rate not given", "0.01, no momentum", "theirs"),
    ("fractional order γ", "not given", "0.5", "theirs"),
    ("projection", "a step that ensures τ > 0", "τ ≥ 0.0001 before each forward pass", "theirs"),
    ("first term of the fractional history", "j = 1", "j = 0, y[0] taken as 0", "both"),
    ("gradient through a(ℓ, j)", "that of (P)", "none", "both"),
    ("gradient through the last τ, final", "that of (P)", "none", "both"),
    (
        "fractional, last τ below the floor",
        "not said",
        "the forward pass takes the floor",
        "theirs",
    ),
    ("fixed τ, ResNet", "all", "τ(0) alone; the others are learned", "both"),
    ("pruning", "whenever |τ| < ε Σ|τ|", "once an epoch, one layer", "both"),
    ("weight of the horizon penalty, of ℓ1", "1/2, 0.01", "0.5, 0.01", "the same"),
    ("the recorded τ", "after every iteration", "before the projection", "after the projection"),
]


def report(folder: Path, docs: Path | None = None) -> None:
    """Write `reproduction.md`, `claims.md` and the figures of the runs under `folder`."""
    docs = docs or folder / "report"
    study = read_study(folder)
    missing = draw_figures(study, docs / "figures", endings=("png",))
    verdicts = judge_all(study)
    learned = docs / "learned.md"
    sections = {
        "# The paper, reproduced": _conditions(study),
        "## What is learned": learned.read_text().splitlines() if learned.is_file() else [],
        "## What the paper says": [*_verdicts(verdicts)],
        "## Its numbers": number_table(study),
        "## What is better, and by how much": [*_comparisons(study)],
        "## Figures": _figures(missing),
    }
    _write(docs / "reproduction.md", {title: body for title, body in sections.items() if body})
    tables = {
        "": as_markdown(verdicts).splitlines(),
        "## The way of τ to T": _ties(study),
        "## Where the authors' code differs": _differences(study),
        "## What was frozen": [
            "In version 0.1 a τ that touched the floor got no gradient any more. Its runs and "
            f"these, seed {SEED}, after the last epoch.",
            "",
            *frozen_table(study),
        ],
        "## Runs": _runs(study),
    }
    _write(docs / "claims.md", tables)
    print(f"written: {docs / 'reproduction.md'}, {docs / 'claims.md'}")


def _write(path: Path, sections: dict[str, list[str]]) -> None:
    blocks = [
        "\n".join([*([title, ""] if title else []), *body]) for title, body in sections.items()
    ]
    with replacing(path) as part:
        part.write_text("\n\n".join(block.strip() for block in blocks) + "\n", encoding="utf-8")


def _conditions(study: Study) -> list[str]:
    runs = study.every_run()
    seeds = sorted({seed for found in study.runs.values() for seed in found})
    whole = study.together(study.runs)

    def all_of(name: str) -> str:
        return ", ".join(sorted({escaped(str(_known(run.summary, name))) for run in runs}))

    versions = {
        escaped(f"{name} {version}")
        for run in runs
        for name, version in run.summary["versions"].items()
    }
    lines = [
        "Made by `python -m tvl_lightning.paper.report` from the run directories that "
        "`make reproduce` leaves. Every number is taken from them. [claims.md](claims.md) has them "
        "all: each sentence by seed, the ways of τ to T, where the authors' code differs and what "
        "that changes, what version 0.1 had frozen, and every run.",
        "",
        f"- {len(runs)} runs of {len(study.runs)} setups; seeds: {', '.join(map(str, seeds))}",
        f"- epochs: {all_of('epochs')}; engine: {all_of('engine')}; {all_of('device')} a run",
        f"- commit {all_of('git_commit')}; {', '.join(sorted(versions))}",
        f"- {sum(run.summary['seconds'] for run in runs) / 3600:.1f} hours of training, runs side "
        "by side counted one by one",
    ]
    lacking = [str(shown) for shown in study_setups() if shown not in study.runs]
    if len(whole) < SEEDS or lacking:
        named = f" ({', '.join(lacking)})" if 0 < len(lacking) < 10 else ""
        lines += [
            "",
            "> **The study is not complete.** Seeds with a run of each of these setups: "
            f"{len(whole)} of {SEEDS}. Setups without any run: {len(lacking)}{named}. What is said "
            "below is what was seen so far.",
        ]
    if any(run.summary["epochs"] < EPOCHS and not run.summary["diverged_at"] for run in runs):
        lines += ["", f"> **Some runs are shorter than the paper's {EPOCHS} epochs.**"]
    return lines


def _known(summary: dict[str, Any], name: str) -> Any:
    value = summary.get(name, "not said")
    return value.get("name", value) if isinstance(value, dict) else value


def _verdicts(verdicts: Verdicts) -> Iterator[str]:
    yield f"{INTRODUCTION} [claims.md](claims.md) has the readings of each, by its number."
    yield ""
    yield from summary_table(verdicts)


def _comparisons(study: Study) -> Iterator[str]:
    yield (
        "Accuracy at the end, in percentage points: the mean over the seeds of the differences "
        f"between runs with the same seed, and its 95% t interval, with {SEEDS} seeds "
        f"{in_deviations(SEEDS):.1f} of their standard deviations to either side. Bold are those "
        f"of at least {SEEDS} seeds that leave out 0; of so many, one or two do by chance. "
        "It is the spread over seeds, for one test set: an accuracy on its 10,000 images is itself "
        "known to 0.3 points, 0.15 for MNIST. Variant `paper`."
    )
    yield ""
    yield from comparison_table(study, COMPARISONS, "paper")


def _ties(study: Study) -> list[str]:
    """Penalty, final and simplex, and no tie at all, side by side."""
    rows = []
    for shown in sorted(study.runs):
        if shown.pruned or shown.variant not in ("", "paper") or shown.data != "fashion_mnist":
            continue
        found = list(study.runs[shown].values())
        rows.append(
            [
                str(shown),
                _mean(100 * accuracy_at_the_end(run) for run in found) + "%",
                _mean(loss(run)[-1] for run in found),
                _mean(run.measures.sum_end for run in found),
                _mean(min(given(run.measures.least)) for run in found),
                _mean(max(given(run.measures.on_floor)) for run in found),
                _mean(run.measures.off_horizon for run in found),
            ]
        )
    header = ["", "accuracy", "loss", "Σ τ", "least τ", "on the floor", "median |Σ τ - T|"]
    return [
        "Means over the seeds, Fashion MNIST, at the end or over all iterations; the floor: of the "
        "τ that lies there most, the share of the iterations.",
        "",
        *table([cell.replace("|", "\\|") for cell in header], rows),
    ]


def _mean(values: Any) -> str:
    return in_figures(float(np.mean(list(values))))


def _differences(study: Study) -> list[str]:
    return [
        *table(
            ["", "the paper", "its authors' code", "here"],
            [[cell.replace("|", "\\|") for cell in row] for row in DIFFERENCES],
        ),
        "",
        "What it changes: accuracy at the end, the paper's variant less the authors'.",
        "",
        *comparison_table(study, BETWEEN_VARIANTS, "paper"),
        "",
        "Of that, the gradient through a(ℓ, j) alone: at the end, the paper's runs less those of "
        "`variant=constant`, which have all the paper's mathematics but that gradient.",
        "",
        *coefficient_table(study),
    ]


def _figures(missing: dict[str, list[str]]) -> list[str]:
    """Two in a row, each a link to itself in full size."""
    cells = []
    for draw in FIGURES:
        name = draw.__name__
        number = name.removeprefix("figure_").replace("_", ".")
        lacking = f" Runs are missing: {', '.join(missing[name])}." if missing[name] else ""
        image = f"[![Figure {number}](figures/{name}.png)](figures/{name}.png)"
        cells.append(f"{image}<br>Figure {number}. {(draw.__doc__ or '').strip()}{lacking}")
    rows = [cells[i : i + 2] for i in range(0, len(cells), 2)]
    return [
        "Means over the seeds; a band reaches from the least to the greatest.",
        "",
        *table(["", ""], rows),
    ]


def _runs(study: Study) -> list[str]:
    header = ["setup", "seed", "accuracy at the end", "last", "loss", "τ at the end", "Σ τ"]
    rows = [
        [str(shown), str(seed), *_row(run)]
        for shown in sorted(study.runs)
        for seed, run in sorted(study.runs[shown].items())
    ]
    return table([*header, "parameters", "minutes"], rows)


def _row(run: MeasuredRun) -> list[str]:
    tau = ", ".join("pruned" if value is None else f"{value:.3f}" for value in run.measures.end)
    return [
        f"{accuracy_at_the_end(run):.2%}",
        f"{run.metrics['test/acc'][-1]:.2%}",
        f"{loss(run)[-1]:.4f}",
        tau,
        f"{run.measures.sum_end:.3f}",
        f"{run.summary['parameters']:,}",
        f"{run.summary['seconds'] / 60:.1f}",
    ]


if __name__ == "__main__":
    on_folder(__doc__, report, "docs")
