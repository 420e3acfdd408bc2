"""The claims, on studies in which each is known to hold or known to fail."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.paper.made_up import ITERATIONS, measured_run, paths, whole_study, write_run
from tvl_lightning.paper.claims import as_json, as_markdown, judge_all, summary_table
from tvl_lightning.paper.judging import DEPENDS, FAILS, HOLDS, OPEN, Verdict
from tvl_lightning.paper.sentences import CLAIMS
from tvl_lightning.paper.setups import Setup, setup
from tvl_lightning.paper.study import Study
from tvl_lightning.runs.reading import Array

FASHION = "fashion_mnist"


def words(study: Study) -> dict[tuple[int, str], str]:
    return {
        (number, variant): verdict.word
        for number, by_variant in enumerate(judge_all(study), start=1)
        for variant, verdict in by_variant.items()
    }


def verdict(study: Study, number: int, variant: str = "paper") -> Verdict:
    return judge_all(study)[number - 1][variant]


def test_every_claim_holds_where_the_runs_bear_it_out() -> None:
    found = words(whole_study())
    assert set(found.values()) == {HOLDS}
    assert len(found) == 2 * len(CLAIMS) - 2  # two speak of setups that both variants share


def with_column(shown: Setup, column: int, values: Any) -> Array:
    tau = paths(shown)
    tau[:, column] = values
    return tau


RESNET = {c: setup(FASHION, "resnet", c) for c in ("learned", "l1", "horizon", "final")}
FRACTIONAL = {c: setup(FASHION, "fractional", c) for c in ("learned", "l1", "horizon", "final")}
PRUNED = setup(FASHION, "resnet", "l1", True)
STEADY = np.full((ITERATIONS, 6), 1 / 6)
SLOW = [0.1, 0.5, 0.81, 0.86, 0.88]
BOTH = ("paper", "authors")

FAILING = [
    (RESNET["learned"], {"accuracy": SLOW}, {(1, v) for v in BOTH}),
    (
        setup("mnist", "resnet", "l1"),
        {"accuracy": [0.1, 0.95]},
        {(n, v) for n in (2, 7) for v in BOTH},
    ),
    (setup("mnist", "resnet", "l1"), {"loss": 0.2}, {(3, v) for v in BOTH}),
    (FRACTIONAL["horizon"], {"accuracy": [0.1, 0.89]}, {(4, "paper")}),
    (FRACTIONAL["horizon"], {"loss": 0.4}, {(5, "paper")}),
    (
        FRACTIONAL["horizon"],
        {"tau": with_column(FRACTIONAL["horizon"], 0, 3.0)},
        {(6, "paper"), (18, "paper"), (19, "paper")},
    ),
    (FRACTIONAL["l1"], {"accuracy": [0.1, 0.5]}, {(n, "paper") for n in (2, 4, 7)}),
    (
        RESNET["learned"],
        {"tau": np.array([1.0, 0.3, 0.3, 1.1, 0.3, 0.3]) * np.ones((ITERATIONS, 1))},
        {(8, v) for v in BOTH},
    ),
    (setup("mnist", "resnet", "horizon"), {"tau": STEADY * 1.2}, {(9, "paper")}),
    (
        RESNET["horizon"],
        {"tau": np.roll(paths(RESNET["horizon"]), 500, axis=0)},
        {(10, v) for v in BOTH},
    ),
    (
        RESNET["l1"],
        {"tau": np.array([1, 0.1, 0.1, 0.1, 0.1, 0.5]) * np.ones((ITERATIONS, 1))},
        {(11, "paper")},
    ),
    (setup("mnist", "fractional", "final"), {"tau": STEADY}, {(12, "paper")}),
    (FRACTIONAL["final"], {"loss": float("inf")}, {(5, "paper"), (13, "paper")}),
    (
        FRACTIONAL["learned"],
        {"tau": with_column(FRACTIONAL["learned"], 3, 1 / 6)},
        {(14, "paper")},
    ),
    (
        FRACTIONAL["learned"],
        {"tau": with_column(FRACTIONAL["learned"], 3, np.linspace(0.1, 9.0, ITERATIONS))},
        {(15, "paper")},
    ),
    (FRACTIONAL["l1"], {"tau": STEADY * 60}, {(16, "paper")}),
    (
        FRACTIONAL["l1"],
        {"tau": np.array([1.0, 0.001, 0.3, 0.3, 0.3, 0.3]) * np.ones((ITERATIONS, 1))},
        {(17, "paper")},
    ),
    (
        FRACTIONAL["horizon"],
        {"tau": paths(FRACTIONAL["horizon"]) + np.array([-0.05, 0, 0.05, 0, 0, 0])},
        {(20, "paper")},
    ),
    (
        FRACTIONAL["l1"],
        {"accuracy": [0.1, 0.83, 0.87, 0.885, 0.8935], "loss": 0.4},
        {(21, "paper")},
    ),
    (PRUNED, {"tau": STEADY}, {(22, "paper"), (23, "paper")}),
    (
        PRUNED,
        {"tau": np.where(np.arange(6) < 2, 0.5, np.nan) * np.ones((ITERATIONS, 1))},
        {(23, "paper")},
    ),
    (PRUNED, {"parameters": 100_000}, {(24, "paper")}),
    (PRUNED, {"accuracy": [0.1, 0.82, 0.86, 0.88, 0.8849]}, {(25, "paper")}),
]


@pytest.mark.parametrize(("shown", "changes", "fails"), FAILING)
def test_a_claim_fails_where_a_run_speaks_against_it(
    shown: Setup, changes: dict[str, Any], fails: set[tuple[int, str]]
) -> None:
    found = words(whole_study(changed=shown, **changes))
    assert {claim for claim, word in found.items() if word == FAILS} == fails
    assert DEPENDS not in found.values()


def test_each_claim_fails_somewhere() -> None:
    assert {number for _, _, fails in FAILING for number, _ in fails} == set(
        range(1, len(CLAIMS) + 1)
    )


def test_a_claim_that_fails_with_one_seed_depends_on_the_seed() -> None:
    study = whole_study()
    study.runs[FRACTIONAL["learned"]][1] = measured_run(
        FRACTIONAL["learned"], 1, tau=with_column(FRACTIONAL["learned"], 3, 1 / 6)
    )
    found = verdict(study, 14)
    assert (found.word, found.reason) == (DEPENDS, "for fashion_mnist-fractional-learned")
    [finding] = found.findings
    numbers = [seen.number for seen in finding.seen.values()]
    assert numbers[1] == pytest.approx(1)
    assert finding.mean == pytest.approx(np.mean(numbers))
    assert finding.spread == pytest.approx(np.std(numbers, ddof=1))


def test_a_claim_whose_readings_come_to_different_verdicts_is_not_decided() -> None:
    """τ(0) is 1.47 times the next: larger, and not one and a half times as large."""
    tau = np.array([1.47, 0.3, 0.3, 1.0, 0.3, 0.3]) * np.ones((ITERATIONS, 1))
    found = verdict(whole_study(changed=RESNET["learned"], tau=tau), 8)
    assert found.word == OPEN
    assert found.complete
    assert found.reason == "it hangs on the reading, " + "; ".join(
        f"{way}, ≥ 1 / ≥ 1.25: holds; {way}, ≥ 1.5 / ≥ 2: does not hold"
        for way in ("by value", "in size")
    )
    [finding, _] = [f for f in found.findings if f.subject == "fashion_mnist-resnet-learned"]
    assert finding.seen[0].text == "1.470 to 1.000"
    assert finding.words == [HOLDS, HOLDS, FAILS, FAILS]


def test_a_seed_that_tells_nothing_leaves_a_claim_open() -> None:
    """Of three seeds one never exceeds T, and so has no excess that could go down."""
    study = whole_study()
    study.runs[FRACTIONAL["horizon"]][1] = measured_run(FRACTIONAL["horizon"], 1, tau=STEADY * 0.9)
    found = verdict(study, 19)
    assert found.word == OPEN
    assert [seen.number is None for seen in found.findings[0].seen.values()] == [False, True, False]
    assert verdict(study, 18).word == DEPENDS  # while that one does not exceed it


def turning(*steps: tuple[int, float]) -> Array:
    """τ of six layers, 0.5 each; layer l goes to a value after an iteration."""
    tau = np.full((ITERATIONS, 6), 0.5)
    for layer, (after, value) in enumerate(steps):
        tau[after:, layer] = value
    return tau


EARLY_BETTER = [0.1, *[0.9] * 100, *[0.8] * 100]
WAYS = [
    (2, RESNET["l1"], {"accuracy": EARLY_BETTER}, {"at the end": 9, "over all epochs": 3.945}),
    (7, RESNET["l1"], {"accuracy": EARLY_BETTER}, {"at the end": -8, "over all epochs": -2.765}),
    (8, RESNET["final"], {"tau": turning((0, 3), (0, -2))}, {"by value": 6, "in size": 1.5}),
    (
        10,
        RESNET["horizon"],
        {"tau": turning((0, 1), (9, -1), (8, -1), (7, -1), (6, -1), (5, -1))},
        {"some": 6, "each": 10},
    ),
    (11, RESNET["l1"], {"tau": turning((0, 0), (0, 0.1))}, {"one": 0, "two": 0.1 / 2.1}),
    (
        17,
        FRACTIONAL["l1"],
        {"tau": turning((0, 0.1), (0, 0.01), (9, 0.5))},
        {"its share": 0.01 / 2.11, "the least": 0.01},
    ),
    (
        19,
        FRACTIONAL["horizon"],
        {"tau": turning((ITERATIONS - 1, -1.5), (0, 0), (0, 0), (0, 0))},
        {"at the end": -3, "late": 0.99},
    ),
    (
        21,
        FRACTIONAL["l1"],
        {"accuracy": EARLY_BETTER, "loss": 0.7},
        {"at the end": 9.2, "over all epochs": 4.145, "cross entropy": 0.21},
    ),
]


@pytest.mark.parametrize(("number", "shown", "changes", "expected"), WAYS)
def test_each_number_that_may_be_meant_is_taken(
    number: int, shown: Setup, changes: dict[str, Any], expected: dict[str, float]
) -> None:
    found = verdict(whole_study(changed=shown, **changes), number)
    numbers = {
        finding.way: finding.seen[0].number
        for finding in found.findings
        if finding.subject in (str(shown).removesuffix("-paper"), "fashion_mnist-resnet")
    }
    assert numbers == pytest.approx(expected, abs=1e-6)


def test_a_claim_of_which_two_numbers_may_be_meant_is_judged_by_both() -> None:
    """Larger on the training samples, and not on the test set."""
    study = whole_study(changed=FRACTIONAL["horizon"], loss=0.4, train_loss=0.9)
    found = verdict(study, 5)
    assert found.word == OPEN
    assert found.complete
    assert found.reason == (
        "it hangs on the reading, test set: does not hold; training samples: holds"
    )
    text = as_markdown(judge_all(study))
    assert "| fashion_mnist-fractional-horizon, training samples | 1 (loss at the end: " in text
    assert "| test set 0 to 1; training samples 1 |" in summary_table(judge_all(study))[6]


def test_where_a_sum_exceeds_the_horizon_is_asked_for_several_excesses() -> None:
    """It goes from 1 to 1.3 between the iterations 1,000 and 1,200."""
    at = {finding.way: finding.seen[0].number for finding in verdict(whole_study(), 18).findings}
    expected = {"at all": 1000, "by 0.01": 1007, "by 0.05": 1034, "by 0.1": 1067}
    assert at == pytest.approx({**expected, "at its greatest": 1200}, abs=1)


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_decide_nothing(seeds: int) -> None:
    study = whole_study(seeds)
    assert set(words(study).values()) == {OPEN}
    found = verdict(study, 14)
    assert (found.reason, found.complete) == (f"{seeds} of 3 seeds have all its runs", False)
    assert found.words == [HOLDS]  # what was seen so far is there
    assert sorted(found.findings[0].seen) == list(range(seeds))


def test_a_study_that_lacks_a_run_names_it_and_leaves_the_claim_open() -> None:
    study = whole_study()
    del study.runs[setup("mnist", "resnet", "horizon")]
    found = verdict(study, 9)
    assert found.word == OPEN
    assert found.reason == (
        "0 of 3 seeds have all its runs, and there is none of mnist-resnet-horizon"
    )
    assert [len(finding.seen) for finding in found.findings] == [0, 3]
    assert verdict(study, 14).word == HOLDS


def test_a_seed_of_which_a_run_is_missing_does_not_count() -> None:
    study = whole_study()
    del study.runs[setup("mnist", "resnet", "horizon")][2]
    assert verdict(study, 9).reason == "2 of 3 seeds have all its runs"


def test_runs_shorter_than_the_papers_decide_nothing() -> None:
    found = verdict(whole_study(changed=FRACTIONAL["learned"], epochs=20), 14)
    assert (found.word, found.reason) == (OPEN, "runs of 20 epochs, the paper's have 200")


def test_a_run_that_diverged_is_not_called_short() -> None:
    tau = with_column(FRACTIONAL["learned"], 3, 1 / 6)
    study = whole_study(changed=FRACTIONAL["learned"], tau=tau, epochs=20, diverged_at=9000)
    assert verdict(study, 14).word == FAILS


def test_epochs_to_a_level_are_counted_from_the_state_before_training() -> None:
    [finding] = [
        f for f in verdict(whole_study(), 1).findings if f.subject == "fashion_mnist-resnet"
    ]
    assert finding.seen[0].text == (
        "83.0% after 2 against 3; 86.0% after 2 against 3; 87.5% after 3 against 4"
    )
    assert finding.seen[0].number == 0.75


def test_a_level_that_neither_reaches_decides_nothing() -> None:
    """Both fall at the end, so that the levels, which are below it, are reached by all."""
    study = whole_study(changed=setup(FASHION, "resnet", "learned"), accuracy=[0.1, 0.2])
    [finding] = [f for f in verdict(study, 1).findings if f.subject == "fashion_mnist-resnet"]
    assert "83.0% after never against 3" in finding.seen[0].text
    assert finding.seen[0].number == float("inf")


def test_a_tau_that_comes_back_has_not_vanished() -> None:
    tau = paths(RESNET["l1"])
    tau[-1, 1:5] = 0.1
    found = verdict(whole_study(changed=RESNET["l1"], tau=tau), 11)
    assert found.word == FAILS
    assert found.findings[0].seen[0].text == "below ε to the end: none"


def test_markdown_json_and_the_summary_say_the_same() -> None:
    verdicts = judge_all(whole_study(changed=FRACTIONAL["final"], tau=STEADY))
    text, rows = as_markdown(verdicts), summary_table(verdicts)[2:]
    for claim, entry, row, by_variant in zip(
        CLAIMS, as_json(verdicts), rows, verdicts, strict=True
    ):
        assert claim.sentence == entry["sentence"]
        assert f"## {entry['claim']}. {claim.sentence}" in text
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[1] == claim.sentence
        for variant, cell in zip(BOTH, cells[4:], strict=True):
            if variant in by_variant:
                assert cell == entry["variants"][variant]["word"] == by_variant[variant].word
            else:
                assert cell == "the same"
    assert "| 12 | Setting the last τ" in rows[11]
    assert "| does not hold | holds |" in rows[11]
    assert "Variant `paper`: **does not hold**: for fashion_mnist-fractional-final." in text


def test_json_has_no_number_that_json_does_not_know() -> None:
    tau = np.array([1.0, -0.3, -0.3, -0.1, -0.3, -0.3]) * np.ones((ITERATIONS, 1))
    entries = as_json(judge_all(whole_study(changed=RESNET["learned"], tau=tau)))
    json.dumps(entries, allow_nan=False)
    seen = entries[7]["variants"]["paper"]["findings"][0]["seen"]
    assert seen[0]["number"] == "infinite"


def test_the_command_writes_both_files(
    tmp_path: Path, door: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, FRACTIONAL["learned"], epochs=200)
    door("claims", tmp_path)
    entries = json.loads((tmp_path / "claims.json").read_text())
    assert [entry["claim"] for entry in entries] == list(range(1, len(CLAIMS) + 1))
    assert "1 of 3 seeds have all its runs" in (tmp_path / "claims.md").read_text()
    assert "14 paper   not decided: 1 of 3 seeds have all its runs" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["claims", "figures", "report", "publish"])
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


def test_a_level_that_is_reached_before_training_decides_nothing() -> None:
    study = whole_study(changed=setup(FASHION, "resnet", "fixed"), accuracy=[0.1])
    [finding] = [f for f in verdict(study, 1).findings if f.subject == "fashion_mnist-resnet"]
    assert finding.seen[0].number is None
    assert "9.5% after 0 against 0" in finding.seen[0].text
    assert finding.words == [OPEN]
