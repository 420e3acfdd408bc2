"""The claims, on run directories in which each is known to hold or known to fail."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.paper.made_up import ITERATIONS, paths, write_run
from tvl_lightning.paper.claims import CLAIMS, as_json, as_markdown, judge
from tvl_lightning.paper.measures import Finding
from tvl_lightning.paper.setups import Setup, setup
from tvl_lightning.paper.study import read_study
from tvl_lightning.runs.reading import Array

FASHION = "fashion_mnist"


def verdicts(folder: Path) -> dict[tuple[int, str], bool | None]:
    study = read_study(folder)
    return {
        (number, variant): verdict.holds
        for number, claim in enumerate(CLAIMS, start=1)
        for variant, verdict in judge(study, claim).items()
    }


def findings(folder: Path, number: int, variant: str = "paper") -> list[Finding]:
    return judge(read_study(folder), CLAIMS[number - 1])[variant].findings


def test_every_claim_holds_where_the_runs_bear_it_out(world: Path) -> None:
    assert verdicts(world) == {
        (number, variant): True
        for number in range(1, 10)
        for variant in ("paper", "authors")
        if (number, variant) not in ((3, "authors"), (6, "authors"))
    }


def with_column(shown: Setup, column: int, values: Any) -> Array:
    tau = paths(shown)
    tau[:, column] = values
    return tau


RESNET_L1 = setup(FASHION, "resnet", "l1")
PRUNED = setup(FASHION, "resnet", "l1", True)
FRACTIONAL = {c: setup(FASHION, "fractional", c) for c in ("learned", "l1", "horizon", "final")}
STEADY = np.full((ITERATIONS, 6), 1 / 6)
SLOW = [0.1, 0.5, 0.81, 0.86, 0.88]

FAILING = [
    (setup(FASHION, "resnet", "learned"), {"accuracy": SLOW}, {(1, "paper"), (1, "authors")}),
    (setup("mnist", "fractional", "fixed"), {"accuracy": [0.1, 0.91, 0.96, 0.98]}, {(1, "paper")}),
    (
        setup("mnist", "resnet", "l1"),
        {"accuracy": [0.1, 0.91, 0.96, 0.975, 0.9699]},
        {(2, "paper"), (2, "authors")},
    ),
    (setup("mnist", "resnet", "horizon"), {"tau": STEADY * 1.06}, {(3, "paper")}),
    (
        setup(FASHION, "resnet", "learned"),
        {"tau": np.array([1.0, 0.3, 0.3, 0.7, 0.3, 0.3]) * np.ones((ITERATIONS, 1))},
        {(4, "paper"), (4, "authors")},
    ),
    (
        setup(FASHION, "resnet", "final", variant="authors"),
        {"tau": STEADY},
        {(4, "authors"), (5, "authors")},
    ),
    (
        setup(FASHION, "resnet", "horizon"),
        {"tau": np.roll(paths(setup(FASHION, "resnet", "horizon")), 81, axis=0)},
        {(5, "paper"), (5, "authors")},
    ),
    (
        RESNET_L1,
        {"tau": np.array([1, 0.02, 0.02, 0.02, 0.02, 0.5]) * np.ones((ITERATIONS, 1))},
        {(6, "paper")},
    ),
    (FRACTIONAL["learned"], {"tau": with_column(FRACTIONAL["learned"], 3, 1 / 6)}, {(7, "paper")}),
    (FRACTIONAL["l1"], {"tau": with_column(FRACTIONAL["l1"], 3, 1e-4)}, {(7, "paper")}),
    (FRACTIONAL["horizon"], {"tau": STEADY * 0.99}, {(7, "paper")}),
    (
        FRACTIONAL["horizon"],
        {"tau": STEADY * np.interp(np.arange(ITERATIONS), [0, 1000, 1500], [0.9, 1, 1.3])[:, None]},
        {(7, "paper")},
    ),
    (PRUNED, {"tau": with_column(PRUNED, 1, 0.1), "parameters": 130_006 - 30_303}, set()),
    (PRUNED, {"tau": STEADY}, {(8, "paper")}),
    (PRUNED, {"parameters": 100_000}, {(8, "paper")}),
    (PRUNED, {"accuracy": [0.1, 0.82, 0.86, 0.88, 0.885]}, set()),
    (PRUNED, {"accuracy": [0.1, 0.82, 0.86, 0.88, 0.8849]}, {(8, "paper")}),
    (PRUNED, {"iterations_per_second": 99.0}, {(8, "paper")}),
    (FRACTIONAL["final"], {"tau": STEADY}, {(9, "paper")}),
    (FRACTIONAL["final"], {"loss": float("inf")}, {(9, "paper")}),
    (FRACTIONAL["final"], {"diverged_at": 300}, {(9, "paper")}),
]


@pytest.mark.parametrize(("shown", "changes", "fails"), FAILING)
def test_a_claim_fails_where_a_run_speaks_against_it(
    altered: Callable[..., Path], shown: Setup, changes: dict[str, Any], fails: set[tuple[int, str]]
) -> None:
    found = verdicts(altered(shown, **changes))
    assert {claim for claim, holds in found.items() if holds is not True} == fails


def test_each_claim_fails_somewhere() -> None:
    assert {number for _, _, fails in FAILING for number, _ in fails} == set(range(1, 10))


def test_epochs_are_counted_from_the_state_before_training(world: Path) -> None:
    seen = {f.subject: list(f.seen.values()) for f in findings(world, 1)}
    assert seen["fashion_mnist-resnet to 80%"] == [1, 2]
    assert seen["mnist-fractional to 97%"] == [3, 4]


def test_a_level_that_nobody_reaches_decides_nothing(altered: Callable[..., Path]) -> None:
    shown = setup("mnist", "resnet", "fixed")
    found = {
        f.subject: f for f in findings(altered(shown, accuracy=[0.1, 0.5, 0.92, 0.96, 0.96]), 1)
    }
    assert found["mnist-resnet to 97%"].seen == {"epochs, learned τ": 3, "epochs, fixed τ": None}
    assert found["mnist-resnet to 97%"].holds is True


def test_share_of_iterations_near_the_horizon_is_counted(altered: Callable[..., Path]) -> None:
    tau = STEADY.copy()
    tau[: ITERATIONS // 4] *= 1.5
    [mnist, _] = findings(altered(setup("mnist", "resnet", "horizon"), tau=tau), 3)
    assert mnist.seen == {"share of iterations": 0.75}


def test_iterations_of_the_findings_are_those_of_the_runs(world: Path) -> None:
    assert [f.seen for f in findings(world, 5)] == [
        {"first iteration with a negative τ(ℓ), ℓ ≥ 1": 121}
    ] * 2
    [vanished] = findings(world, 6)
    assert vanished.seen == {"zero from iteration": {f"τ({layer})": 121 for layer in range(1, 5)}}
    horizon = findings(world, 7)[-1].seen
    assert horizon["Σ τ passes T at iteration"] == 1001
    assert 1080 < horizon["0.05 above T at iteration"] < 1090
    assert horizon["greatest Σ τ"] == pytest.approx(1.3)
    assert 2500 < horizon["back within 0.05 of T at iteration"] < 3000


def test_a_tau_that_comes_back_has_not_vanished(altered: Callable[..., Path]) -> None:
    tau = paths(RESNET_L1)
    tau[-1, 1:5] = 0.1
    [finding] = findings(altered(RESNET_L1, tau=tau), 6)
    assert (finding.holds, finding.seen) == (False, {"zero from iteration": {}})


def test_runs_that_are_missing_are_named_and_leave_the_claim_open(tmp_path: Path) -> None:
    write_run(tmp_path, setup("mnist", "resnet", "horizon"))
    verdict = judge(read_study(tmp_path), CLAIMS[2])["paper"]
    assert verdict.holds is None
    assert verdict.missing == ["fashion_mnist-resnet-horizon"]
    assert len(verdict.findings) == 1


def test_a_claim_has_to_hold_for_every_seed(altered: Callable[..., Path]) -> None:
    shown = setup("mnist", "resnet", "horizon")
    folder = altered(shown)
    write_run(folder, shown, seed=1, tau=STEADY * 1.06)
    found = judge(read_study(folder), CLAIMS[2])["paper"]
    assert [(f.seed, f.holds) for f in found.findings[:2]] == [(0, True), (1, False)]
    assert found.holds is False


def test_markdown_and_json_say_the_same(altered: Callable[..., Path]) -> None:
    study = read_study(altered(FRACTIONAL["final"], tau=STEADY))
    found = [judge(study, claim) for claim in CLAIMS]
    text = as_markdown(found)
    for claim, entry in zip(CLAIMS, as_json(found), strict=True):
        assert claim.sentence == entry["sentence"]
        assert claim.sentence in text
        assert claim.measure in text
    assert as_json(found)[8]["variants"]["paper"]["holds"] is False
    assert "| fashion_mnist-fractional-final | 0 | last τ below zero from iteration: never;" in text
    assert "| 3 | " + CLAIMS[2].sentence + " | holds | the same |" in text


def test_the_command_writes_both_files(
    altered: Callable[..., Path], door: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = altered(PRUNED, iterations_per_second=99.0)
    door("claims", folder)
    entries = json.loads((folder / "claims.json").read_text())
    assert [entry["claim"] for entry in entries] == list(range(1, 10))
    assert "the run is faster" in (folder / "claims.md").read_text()
    assert "| does not hold | holds |" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["claims", "figures", "report"])
@pytest.mark.parametrize(
    ("make", "said"), [(False, "no such folder"), (True, "holds no run of the paper's setups")]
)
def test_a_folder_without_runs_is_refused_in_one_line(
    tmp_path: Path,
    door: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    name: str,
    make: bool,
    said: str,
) -> None:
    folder = tmp_path / "runs"
    if make:
        folder.mkdir()
    with pytest.raises(SystemExit) as end:
        door(name, folder)
    assert end.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {folder}: {said}")
