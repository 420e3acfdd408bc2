"""The numbers that the paper gives, beside those of a study."""

import statistics
from collections.abc import Iterable

from tvl_lightning.paper.setups import Setup, setup
from tvl_lightning.paper.study import MeasuredRun, Study
from tvl_lightning.runs.markdown import escaped, in_figures, table

LEARNED = setup("fashion_mnist", "resnet", "learned")
WHOLE = setup("fashion_mnist", "resnet", "l1")
FIXED = setup("fashion_mnist", "resnet", "fixed")
PRUNED = setup("fashion_mnist", "resnet", "l1", True)
ONCE_AN_EPOCH = setup("fashion_mnist", "resnet", "l1", True, "authors")


def number_table(study: Study) -> list[str]:
    """What the paper says in numbers, and what the runs have."""
    runs = study.every_run()
    of = study.runs.get
    rows = [
        ("epochs", "200", _values(run.summary["epochs"] for run in runs)),
        ("iterations", "120,000", _values(run.summary["iterations"] for run in runs)),
        ("iterations an epoch", "600", _values(_an_epoch(run) for run in runs)),
        ("images to train, to test", "60,000, 10,000", _images(runs)),
        ("variables, ResNet with learned τ", "130,006", _variables(of(LEARNED, {}))),
        ("of them τ", "6", _values(len(r.measures.start) for r in of(LEARNED, {}).values())),
        ("with fixed τ", "6 less", _variables(of(FIXED, {}))),
        (
            "variables a pruned layer takes away",
            "10,101",
            _values(map(_a_layer, of(PRUNED, {}).values())),
        ),
        ("layers left, ℓ1 and pruning", "τ(0), τ(5)", _layers(of(PRUNED, {}))),
        ("time of a run", "a few minutes, 7 in one case; RTX 3070", _minutes(runs)),
        ("time that pruning saves", "half a minute of 7 minutes, 7%", _saved(study)),
    ]
    return table(["", "the paper", "here"], rows)


def _values(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number:,.0f}" for number in sorted(set(numbers))) or "no run"


def _an_epoch(run: MeasuredRun) -> float:
    return float(run.summary["iterations"] / max(1, run.summary["epochs"]))


def _images(runs: list[MeasuredRun]) -> str:
    data = [run.summary.get("data") or {} for run in runs]
    counts = {(d.get("train_images"), d.get("test_images")) for d in data} - {(None, None)}
    return (
        "; ".join(escaped(f"{train:,}, {test:,}") for train, test in sorted(counts)) or "not said"
    )


def _variables(runs: dict[int, MeasuredRun]) -> str:
    return _values(run.summary["parameters_before"] for run in runs.values())


def _a_layer(run: MeasuredRun) -> float:
    summary = run.summary
    gone = len(run.measures.start) - len(summary["layers"])
    return float((summary["parameters_before"] - summary["parameters"]) / gone) if gone else 0.0


def _layers(runs: dict[int, MeasuredRun]) -> str:
    return (
        "; ".join(
            f"seed {seed}: " + ", ".join(f"τ({layer})" for layer in run.summary["layers"])
            for seed, run in sorted(runs.items())
        )
        or "no run"
    )


def _minutes(runs: list[MeasuredRun]) -> str:
    minutes = [run.summary["seconds"] / 60 for run in runs]
    devices = sorted({escaped(str(run.summary["device"])) for run in runs})
    return (
        f"{in_figures(statistics.median(minutes))} minutes, the median of {len(runs)} runs, two "
        f"side by side; {'; '.join(devices)}"
    )


def _saved(study: Study) -> str:
    texts = []
    for shown, when in ((PRUNED, "looked for every iteration"), (ONCE_AN_EPOCH, "once an epoch")):
        seeds = study.together([shown, WHOLE])
        ratios = [_rate(study, shown, seed) / _rate(study, WHOLE, seed) for seed in seeds]
        if ratios:
            texts.append(f"{', '.join(f'{1 - ratio:.0%}' for ratio in ratios)}, {when}")
    seen = f"{'; '.join(texts)}, on a machine that did other things, too; " if texts else ""
    return seen + "measured by itself: benchmarks/results/pruning_gain.md"


def _rate(study: Study, shown: Setup, seed: int) -> float:
    summary = study.runs[shown][seed].summary
    return float(summary["seconds"] / summary["iterations"])
