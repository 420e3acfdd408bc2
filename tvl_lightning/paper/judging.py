"""How a sentence is judged: by a number for each seed, under each reading of its words."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from tvl_lightning.paper.setups import Setup
from tvl_lightning.paper.study import EPOCHS, SEEDS, MeasuredRun, Study

HOLDS = "holds"
FAILS = "does not hold"
DEPENDS = "depends on the seed"
OPEN = "not decided"

Runs = Mapping[str, MeasuredRun]  # of one seed, by the part that each has in a comparison
See = Callable[[Runs], "Seen"]


@dataclass(frozen=True)
class Seen:
    """What was seen with one seed.

    Attributes:
        number: what is judged; None where it cannot be told.
        text: what it comes from, to read.
    """

    number: float | None
    text: str


@dataclass(frozen=True)
class Reading:
    """One way to read a word of the paper: the bounds of the numbers for which it holds.

    Attributes:
        label: the bounds, to read.
        low, high: the bounds.
        strict: whether they are excluded.
    """

    label: str
    low: float = -math.inf
    high: float = math.inf
    strict: bool = False

    def holds(self, number: float) -> bool:
        """Whether the number lies within."""
        if self.strict:
            return self.low < number < self.high
        return self.low <= number <= self.high


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper.

    Attributes:
        place: where it stands.
        sentence: what it says.
        measure: the number that is taken for it.
        subjects: the setups that it speaks of, in a variant: by name, and then by their part.
        see: takes the number from the runs of one subject and seed.
        readings: what the number has to be; several where the paper's word leaves it open.
        variants: `paper`, and `authors` where that makes a difference.
        way: the name of that number, where others may be meant, too.
        also: the others, by name; they are read as the first.
    """

    place: str
    sentence: str
    measure: str
    subjects: Callable[[str], dict[str, dict[str, Setup]]]
    see: See
    readings: Sequence[Reading]
    variants: tuple[str, ...] = ("paper", "authors")
    way: str = ""
    also: Mapping[str, See] = field(default_factory=dict)

    @property
    def ways(self) -> dict[str, See]:
        """All numbers that may be taken, by name."""
        return {self.way: self.see, **self.also}


@dataclass(frozen=True)
class Finding:
    """What was seen of one subject.

    Attributes:
        subject: its name.
        way: which of the claim's numbers was taken.
        seen: by seed.
        words: a verdict for each reading.
    """

    subject: str
    way: str
    seen: dict[int, Seen]
    words: list[str]

    @property
    def numbers(self) -> list[float]:
        """Those of the seeds that have a finite one."""
        numbers = (seen.number for seen in self.seen.values())
        return [n for n in numbers if n is not None and math.isfinite(n)]

    @property
    def mean(self) -> float | None:
        """Over the seeds."""
        return statistics.fmean(self.numbers) if self.numbers else None

    @property
    def spread(self) -> float | None:
        """The standard deviation over the seeds, of at least two."""
        return statistics.stdev(self.numbers) if len(self.numbers) > 1 else None


@dataclass(frozen=True)
class Verdict:
    """What comes of a claim in one variant.

    Attributes:
        word: one of `HOLDS`, `FAILS`, `DEPENDS`, `OPEN`.
        reason: why it is not `HOLDS`, in half a sentence; empty where it is.
        findings: of each number and subject.
        words: a verdict for each number and reading, of the runs that there are.
        complete: whether there are as many, and as long ones, as a verdict takes.
    """

    word: str
    reason: str
    findings: list[Finding]
    words: list[str]
    complete: bool = True


def judge(study: Study, claim: Claim) -> dict[str, Verdict]:
    """The verdict on a claim in each variant that it knows."""
    return {variant: _verdict(study, claim, claim.subjects(variant)) for variant in claim.variants}


def _verdict(study: Study, claim: Claim, subjects: dict[str, dict[str, Setup]]) -> Verdict:
    findings = [
        _finding(study, claim.readings, way, see, name, parts)
        for way, see in claim.ways.items()
        for name, parts in subjects.items()
    ]
    words = [
        _of_all(found)
        for way in claim.ways
        for found in zip(*(f.words for f in findings if f.way == way), strict=True)
    ]
    setups = {setup for parts in subjects.values() for setup in parts.values()}
    if lacking := what_is_lacking(study, setups):
        return Verdict(OPEN, lacking, findings, words, complete=False)
    if len(set(words)) > 1:
        reason = f"it hangs on the reading, {_by_reading(claim, words)}"
        return Verdict(OPEN, reason, findings, words)
    [word] = set(words)
    concerned = dict.fromkeys(f.subject for f in findings if word in f.words)
    return Verdict(word, "" if word == HOLDS else f"for {', '.join(concerned)}", findings, words)


def what_is_lacking(study: Study, setups: set[Setup]) -> str:
    """Why a study decides nothing on these setups, in half a sentence; empty where it does."""
    seeds = study.together(setups)
    if len(seeds) < SEEDS:
        without = [str(setup) for setup in sorted(setups) if setup not in study.runs]
        named = f", and there is none of {', '.join(without)}" if without else ""
        return f"{len(seeds)} of {SEEDS} seeds have all its runs{named}"
    runs = [study.runs[setup][seed] for setup in setups for seed in seeds]
    ended = [run.summary["epochs"] for run in runs if run.summary["diverged_at"] is None]
    least = min(ended, default=EPOCHS)
    return f"runs of {least} epochs, the paper's have {EPOCHS}" if least < EPOCHS else ""


def _finding(
    study: Study,
    readings: Sequence[Reading],
    way: str,
    see: See,
    name: str,
    parts: dict[str, Setup],
) -> Finding:
    seen = {
        seed: see({part: study.runs[setup][seed] for part, setup in parts.items()})
        for seed in study.together(parts.values())
    }
    numbers = [s.number for s in seen.values()]
    words = [_over_seeds(reading, numbers) for reading in readings]
    return Finding(name, way, seen, words)


def _over_seeds(reading: Reading, numbers: list[float | None]) -> str:
    told = [reading.holds(number) for number in numbers if number is not None]
    if not told or len(told) < len(numbers):
        return OPEN
    return (HOLDS if all(told) else DEPENDS) if any(told) else FAILS


def _of_all(words: Sequence[str]) -> str:
    """A sentence holds if it holds of every subject that can be told."""
    for word in (FAILS, DEPENDS, HOLDS):
        if word in words:
            return word
    return OPEN


def _by_reading(claim: Claim, words: list[str]) -> str:
    groups: dict[tuple[str, str], list[str]] = {}
    for (way, reading), word in zip(product(claim.ways, claim.readings), words, strict=True):
        groups.setdefault((way, word), []).append(reading.label)
    parts = []
    for (way, word), labels in groups.items():
        which = "" if len(labels) == len(claim.readings) else " / ".join(labels)
        parts.append(f"{', '.join(filter(None, (way, which)))}: {word}")
    return "; ".join(parts)


def above(*limits: float) -> list[Reading]:
    """Readings in which the number is greater than a limit."""
    return [Reading(f"> {limit:g}", low=limit, strict=True) for limit in limits]


def at_least(*limits: float) -> list[Reading]:
    """Readings in which the number is a limit or greater."""
    return [Reading(f"≥ {limit:g}", low=limit) for limit in limits]


def below(*limits: float) -> list[Reading]:
    """Readings in which the number is less than a limit."""
    return [Reading(f"< {limit:g}", high=limit, strict=True) for limit in limits]


def at_most(*limits: float) -> list[Reading]:
    """Readings in which the number is a limit or less."""
    return [Reading(f"≤ {limit:g}", high=limit) for limit in limits]


def between(*limits: tuple[float, float]) -> list[Reading]:
    """Readings in which the number is within bounds."""
    return [Reading(f"{low:g} to {high:g}", low, high) for low, high in limits]
