"""Write up a reproduction of the paper: figures, claims, and what the runs came to.

    python -m tvl_lightning.paper.report FOLDER [DOCS]

reads the runs under FOLDER and writes reproduction.md, claims.md and the six figures to DOCS, which
is FOLDER/report where it is not given.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tvl_lightning.files import replacing
from tvl_lightning.paper.claims import (
    CLAIMS,
    Verdict,
    as_markdown,
    in_words,
    judge,
    summary_table,
)
from tvl_lightning.paper.command import on_folder
from tvl_lightning.paper.figures import FIGURES, draw_figures
from tvl_lightning.paper.setups import Setup, setup
from tvl_lightning.paper.study import Study, accuracy, last_tau, loss, read_study, tau
from tvl_lightning.runs.reading import Run

# Where the authors' code differs from the paper: what differs, and in which setups it shows.
DIFFERENCES: dict[str, tuple[str, Callable[[Setup], bool]]] = {
    "History and gradient of the Fractional DNN": (
        "The authors' sum in (2.2) starts at j = 0 with y[0] taken as 0, and no gradient passes "
        "through a(ℓ, j).",
        lambda s: s.model == "fractional",
    ),
    "Final τ of the ResNet": (
        "In the authors' code no gradient passes through the last τ.",
        lambda s: s.model == "resnet" and s.tau == "final" and not s.pruned,
    ),
    "Fixed τ of the ResNet": (
        "In the authors' code only τ(0) is fixed, the others are learned.",
        lambda s: s.model == "resnet" and s.tau == "fixed",
    ),
    "Pruning": (
        "The paper prunes whenever a layer is under the threshold, which is read here as: after "
        "every iteration, all such layers. The authors prune once an epoch, one layer at a time.",
        lambda s: s.pruned,
    ),
}


def report(folder: Path, docs: Path | None = None) -> None:
    """Write `reproduction.md`, `claims.md` and the figures of the runs under `folder`."""
    docs = docs or folder / "report"
    study = read_study(folder)
    missing = draw_figures(study, docs / "figures", endings=("png",))
    verdicts = [judge(study, claim) for claim in CLAIMS]
    sections = [
        ["# The paper, reproduced"],
        _conditions(study),
        ["## Claims", *summary_table(verdicts), "", "[claims.md](claims.md) has every figure."],
        ["## Claims that do not hold", *_failures(verdicts)],
        ["## Figures", *_figures(missing)],
        ["## Where the paper and its authors' code differ", *_differences(study)],
        ["## Beyond the paper", *_simplex(study)],
        ["## Runs", *_runs(study)],
    ]
    with replacing(docs / "reproduction.md") as part:
        part.write_text("\n".join("\n".join([s[0], "", *s[1:], ""]) for s in sections))
    with replacing(docs / "claims.md") as part:
        part.write_text(as_markdown(verdicts))
    print(f"written: {docs / 'reproduction.md'}")


def _conditions(study: Study) -> list[str]:
    runs = [run for found in study.runs.values() for run in found.values()]
    seeds = sorted({run.summary["seed"] for run in runs})
    hours = sum(_seconds(run) for run in runs) / 3600

    def all_of(name: str) -> str:
        values = {str(run.summary[name]) for run in runs}
        return ", ".join(sorted(values))

    versions = {
        f"{name} {version}" for run in runs for name, version in run.summary["versions"].items()
    }
    return [
        "Made by `python -m tvl_lightning.paper.report` from the run directories that "
        "`make reproduce` leaves; nothing is typed in. Settings: Section 4 of the paper, and where "
        "it is silent its authors' code.",
        "",
        f"- {len(runs)} runs of {len(study.runs)} setups, seeds: {', '.join(map(str, seeds))}",
        f"- epochs: {all_of('epochs')}",
        f"- machine: {all_of('device')} a run",
        f"- versions: {', '.join(sorted(versions))}",
        f"- time: {hours:.1f} hours of training in all, runs side by side counted one by one",
    ]


def _seconds(run: Run) -> float:
    return float(run.summary["iterations"] / run.summary["iterations_per_second"])


def _failures(verdicts: list[dict[str, Verdict]]) -> Iterator[str]:
    for number, (claim, by_variant) in enumerate(zip(CLAIMS, verdicts, strict=True), start=1):
        for variant, verdict in by_variant.items():
            against = [finding for finding in verdict.findings if finding.holds is False]
            if not against:
                continue
            told = [finding for finding in verdict.findings if finding.holds is not None]
            seen = "; ".join(f"{f.subject} (seed {f.seed}): {in_words(f.seen)}" for f in against)
            yield (
                f"**Claim {number}, variant `{variant}`.** {claim.sentence} Read as: "
                f"{claim.measure} Against it: {len(against)} of {len(told)} findings. {seen}."
            )
            yield ""


def _figures(missing: dict[str, list[str]]) -> Iterator[str]:
    for draw in FIGURES:
        name = draw.__name__
        number = name.removeprefix("figure_").replace("_", ".")
        yield f"![Figure {number}](figures/{name}.png)"
        yield ""
        yield f"Figure {number}. {draw.__doc__}"
        if missing[name]:
            yield f"Runs are missing: {', '.join(missing[name])}."
        yield ""


def _differences(study: Study) -> Iterator[str]:
    for title, (text, concerns) in DIFFERENCES.items():
        pairs = [
            (shown, other)
            for shown in sorted(study.runs)
            if shown.variant == "paper" and concerns(shown)
            for other in [setup(shown.data, shown.model, shown.tau, shown.pruned, "authors")]
            if other in study.runs
        ]
        yield f"**{title}.** {text} " + (
            "Seen at the end of training, the paper's variant against the authors':"
            if pairs
            else "No setup was run in both variants."
        )
        yield ""
        for shown, other in pairs:
            one, two = study.runs[shown], study.runs[other]
            for seed in sorted(one.keys() & two.keys()):
                yield (
                    f"- {str(shown).removesuffix('-paper')}, seed {seed}: {_end(one[seed])}; "
                    f"against {_end(two[seed])}"
                )
        if pairs:
            yield ""


def _end(run: Run) -> str:
    last = ", ".join("pruned" if np.isnan(value) else f"{value:.3f}" for value in last_tau(run))
    return f"accuracy {accuracy(run)[-1]:.2%}, τ = ({last})"


def _simplex(study: Study) -> Iterator[str]:
    yield (
        "`tau=simplex` keeps τ > 0 and Σ τ = T by parametrisation, so that neither a negative last "
        "τ nor a penalty against the projection can arise."
    )
    yield ""
    for shown in sorted(study.runs):
        for seed, run in sorted(study.runs[shown].items()):
            if shown.tau == "simplex":
                deviation = np.nanmax(np.abs(np.nansum(tau(run), axis=1) - 1))
                yield (
                    f"- {shown}, seed {seed}: {_end(run)}; least τ of all iterations "
                    f"{np.nanmin(tau(run)):.2g}, greatest |Σ τ - T| {deviation:.1g}"
                )


def _runs(study: Study) -> Iterator[str]:
    yield (
        "| setup | seed | accuracy | best | loss | Σ τ | layers | parameters | minutes |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    for shown in sorted(study.runs):
        for seed, run in sorted(study.runs[shown].items()):
            yield f"| {shown} | {seed} | {_row(run)} |"


def _row(run: Run) -> str:
    return " | ".join(
        [
            f"{accuracy(run)[-1]:.2%}",
            f"{np.nanmax(accuracy(run)):.2%}",
            f"{loss(run)[-1]:.4f}",
            f"{np.nansum(last_tau(run)):.3f}",
            str(len(run.summary["layers"])),
            f"{run.summary['parameters']:,}",
            f"{_seconds(run) / 60:.1f}",
        ]
    )


if __name__ == "__main__":
    on_folder(__doc__, report, "docs")
