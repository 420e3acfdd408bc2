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
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tvl_lightning.files import replacing
from tvl_lightning.paper.command import on_folder
from tvl_lightning.paper.judging import Claim, Finding, Verdict, judge
from tvl_lightning.paper.sentences import CLAIMS
from tvl_lightning.paper.study import EPOCHS, SEEDS, Study, read_study
from tvl_lightning.runs.markdown import in_figures, table

VARIANTS = ("paper", "authors")


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
