"""Measure on run directories what the paper says.

    python -m tvl_lightning.paper.claims FOLDER

writes FOLDER/claims.md and FOLDER/claims.json: each sentence, how it is measured, what was seen for
each seed, and whether it holds. A claim holds if it holds for every network, data set and seed that
it speaks of. Where the paper gives no number for a word ("clearly", "few", "a bit more than 100"),
the reading taken is written in the claim.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tvl_lightning.files import replacing
from tvl_lightning.paper.command import on_folder
from tvl_lightning.paper.measures import (
    Finding,
    Findings,
    faster_than_fixed,
    final_passes_zero,
    first_is_largest,
    fractional_time_steps,
    keeps_the_horizon,
    pruning_pays,
    same_accuracy,
    some_vanish,
    turns_negative,
)
from tvl_lightning.paper.study import Study, read_study


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper.

    Attributes:
        sentence: what it says.
        measure: how that is measured.
        judge: makes the findings from a study and a variant.
        variants: `paper`, and `authors` where that makes a difference.
    """

    sentence: str
    measure: str
    judge: Callable[[Study, str], Findings]
    variants: tuple[str, ...] = ("paper", "authors")


@dataclass(frozen=True)
class Verdict:
    """The findings on a claim in one variant, and the setups that it lacks runs of."""

    findings: list[Finding]
    missing: list[str]

    @property
    def holds(self) -> bool | None:
        """None where runs are missing or nothing could be told."""
        told = [finding.holds for finding in self.findings if finding.holds is not None]
        return None if self.missing or not told else all(told)


CLAIMS = [
    Claim(
        "Learned τ reaches a given accuracy in fewer epochs than fixed τ, for both networks and "
        "both data sets.",
        "The first epoch with that accuracy on the test set, which must come earlier with learned "
        "τ; a level that neither reaches decides nothing.",
        faster_than_fixed,
    ),
    Claim(
        "The four setups with learned τ end within one percentage point of each other.",
        "The test accuracies after the last epoch: greatest minus least.",
        same_accuracy,
    ),
    Claim(
        "ResNet, horizon penalty: Σ τ is T in most iterations.",
        "The share of iterations with |Σ τ - T| < 0.05, which must be over one half.",
        keeps_the_horizon,
        ("paper",),
    ),
    Claim(
        "ResNet: τ(0) is clearly the largest.",
        "At the end of training τ(0) is at least 1.5 times the next largest τ, in each setup of "
        "Figure 4.4.",
        first_is_largest,
    ),
    Claim(
        "ResNet, horizon and final: some τ(ℓ), ℓ ≥ 1, is negative after a bit more than 100 "
        "iterations.",
        "The first iteration with such a τ lies in (100, 200].",
        turns_negative,
    ),
    Claim(
        "ResNet, ℓ1: some τ go to zero and stay.",
        "|τ(ℓ)| < 0.01 Σ|τ|, the pruning threshold, in every iteration of the second half of "
        "training, for some ℓ.",
        some_vanish,
        ("paper",),
    ),
    Claim(
        "Fractional: without a penalty every τ grows; with ℓ1 none goes to zero; with the horizon "
        "penalty Σ τ passes T near iteration 1000 and comes back.",
        "Grows: larger at the end than after the first iteration. Zero: as for the ResNet. Passes: "
        "the last upward crossing of T before the greatest Σ τ, between iterations 500 and 2000; "
        "comes back: |Σ τ - T| < 0.05 at some later iteration.",
        fractional_time_steps,
    ),
    Claim(
        "Pruning with ℓ1 on Fashion MNIST leaves few layers; every layer takes 10,101 variables "
        "away; accuracy is not lost; the run is faster.",
        "At most 3 of the 6 hidden layers; the accuracy after the last epoch is at most half a "
        "percentage point below the unpruned run's; iterations a second over the unpruned run's, "
        "which depend on what else the machine did.",
        pruning_pays,
    ),
    Claim(
        "Fractional, final τ: the last τ passes through zero, and nothing blows up.",
        "The last τ is negative at some iteration, and every loss is finite.",
        final_passes_zero,
    ),
]


def judge(study: Study, claim: Claim) -> dict[str, Verdict]:
    """The verdict on a claim in each variant that it knows."""
    verdicts = {}
    for variant in claim.variants:
        study.missing.clear()
        findings = list(claim.judge(study, variant))
        verdicts[variant] = Verdict(findings, sorted(map(str, study.missing)))
    return verdicts


def as_json(verdicts: list[dict[str, Verdict]]) -> list[dict[str, Any]]:
    """The claims with all that was found, as plain data."""
    return [
        {
            "claim": number,
            "sentence": claim.sentence,
            "measure": claim.measure,
            "variants": {
                variant: {"holds": verdict.holds, **asdict(verdict)}
                for variant, verdict in by_variant.items()
            },
        }
        for number, (claim, by_variant) in enumerate(zip(CLAIMS, verdicts, strict=True), start=1)
    ]


WORDS = {True: "holds", False: "does not hold", None: "cannot be told"}


def as_markdown(verdicts: list[dict[str, Verdict]]) -> str:
    """The claims with all that was found, to read."""
    lines = ["# What the paper says, measured", "", *summary_table(verdicts), ""]
    for number, (claim, by_variant) in enumerate(zip(CLAIMS, verdicts, strict=True), start=1):
        lines += [f"## {number}. {claim.sentence}", "", f"Measured: {claim.measure}", ""]
        for variant, verdict in by_variant.items():
            lines += [f"Variant `{variant}`: **{WORDS[verdict.holds]}**.", ""]
            if verdict.missing:
                lines += [f"Runs are missing: {', '.join(verdict.missing)}.", ""]
            if verdict.findings:
                lines += ["| what | seed | seen | |", "| --- | --- | --- | --- |"]
                lines += [
                    f"| {f.subject} | {f.seed} | {in_words(f.seen)} | {WORDS[f.holds]} |"
                    for f in verdict.findings
                ]
                lines += [""]
    return "\n".join(lines).rstrip() + "\n"


def summary_table(verdicts: list[dict[str, Verdict]]) -> list[str]:
    """A Markdown table with a row for each claim and a column for each variant."""
    lines = ["| | claim | paper | authors |", "| --- | --- | --- | --- |"]
    for number, (claim, by_variant) in enumerate(zip(CLAIMS, verdicts, strict=True), start=1):
        cells = [
            WORDS[by_variant[v].holds] if v in by_variant else "the same"
            for v in ("paper", "authors")
        ]
        lines.append(f"| {number} | {claim.sentence} | {cells[0]} | {cells[1]} |")
    return lines


def in_words(seen: dict[str, Any]) -> str:
    """Figures by name, as one line."""
    return "; ".join(f"{name}: {_word(value)}" for name, value in seen.items())


def _word(value: Any) -> str:
    if value is None or value == {}:
        return "never"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_word(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(_word, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def claims(folder: Path) -> None:
    """Judge the claims on the runs under `folder`, and write them down there."""
    study = read_study(folder)
    verdicts = [judge(study, claim) for claim in CLAIMS]
    with replacing(folder / "claims.json") as part:
        part.write_text(json.dumps(as_json(verdicts), indent=2, ensure_ascii=False) + "\n")
    with replacing(folder / "claims.md") as part:
        part.write_text(as_markdown(verdicts))
    print("\n".join(summary_table(verdicts)))
    print(f"written: {folder / 'claims.md'}, {folder / 'claims.json'}")


if __name__ == "__main__":
    on_folder(__doc__, claims)
