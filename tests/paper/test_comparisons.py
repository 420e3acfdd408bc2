"""Differences between setups, paired by seed."""

import math

import numpy as np
import pytest

from tests.paper.made_up import ITERATIONS, measured_run, whole_study
from tvl_lightning.paper.comparisons import (
    BETWEEN_VARIANTS,
    COMPARISONS,
    Paired,
    coefficient_table,
    comparison_table,
    paired,
)
from tvl_lightning.paper.setups import setup

LEARNED, FIXED = (setup("mnist", "resnet", choice) for choice in ("learned", "fixed"))


def test_differences_are_between_runs_with_the_same_seed() -> None:
    study = whole_study()
    study.runs[LEARNED] = {s: measured_run(LEARNED, s, accuracy=[0.9 + s / 100]) for s in (1, 2, 3)}
    study.runs[FIXED] = {s: measured_run(FIXED, s, accuracy=[0.9]) for s in (0, 1, 2)}
    found = paired(study, LEARNED, FIXED)
    assert found is not None
    assert found.differences == pytest.approx({1: 0.01, 2: 0.02})


def test_the_interval_is_students() -> None:
    """The textbook's sleep data (Student 1908): the mean difference is 1.58, 0.70 to 2.46."""
    sleep = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    found = Paired(dict(enumerate(sleep)))
    assert found.mean == pytest.approx(1.58)
    assert found.mean - found.half_width == pytest.approx(0.7001, abs=1e-4)
    assert found.mean + found.half_width == pytest.approx(2.4599, abs=1e-4)
    assert found.telling


def test_three_seeds_have_an_interval_of_two_and_a_half_deviations() -> None:
    found = Paired({0: 1.0, 1: 2.0, 2: 3.0})
    assert found.half_width == pytest.approx(2.484, abs=1e-3)
    assert not found.telling


def test_one_seed_tells_nothing_and_two_too_little() -> None:
    found = Paired({0: 0.5})
    assert (found.half_width, found.telling) == (math.inf, False)
    found = Paired({0: 0.5, 1: 0.501})
    assert found.half_width < found.mean
    assert not found.telling


def test_a_setup_without_runs_is_not_compared() -> None:
    study = whole_study()
    del study.runs[FIXED]
    assert paired(study, LEARNED, FIXED) is None


def test_the_table_has_a_row_for_each_comparison_and_a_dash_where_there_is_none() -> None:
    study = whole_study()
    study.runs[LEARNED] = {
        s: measured_run(LEARNED, s, accuracy=[0.985 + s / 1000]) for s in range(3)
    }
    _, _, *rows = comparison_table(study, COMPARISONS, "paper")
    assert len(rows) == len(COMPARISONS)
    [learned] = [row for row in rows if row.startswith("| learned τ less fixed τ ")]
    assert learned.startswith("| learned τ less fixed τ | **+1.10 ± 0.25** |")
    [pruned] = [row for row in rows if row.startswith("| ℓ1 pruned less whole ")]
    assert pruned == "| ℓ1 pruned less whole | – | – | +0.00 ± 0.00 | – |"


def test_variants_are_compared_where_they_differ() -> None:
    rows = comparison_table(whole_study(), BETWEEN_VARIANTS, "paper")[2:]
    [learned] = [row for row in rows if row.startswith("| learned,")]
    assert learned.split(" | ")[1:] == ["–", "+0.00 ± 0.00", "–", "+0.00 ± 0.00 |"]
    [fixed] = [row for row in rows if row.startswith("| fixed,")]
    assert "–" not in fixed


def test_the_gradient_through_the_coefficients_has_its_own_table() -> None:
    study = whole_study()
    without = setup("mnist", "fractional", "horizon", variant="constant")
    tau = np.array([0.5, 0.1, 0.1, 0.1, 0.1, 0.1]) * np.ones((ITERATIONS, 1))
    study.runs[without] = {s: measured_run(without, s, tau=tau) for s in range(3)}
    rows = [row.split(" | ") for row in coefficient_table(study)]
    layers = [f"τ({layer})" for layer in range(6)]
    assert [cell.strip("| ") for cell in rows[0]] == ["", "accuracy, points", *layers, "Σ τ"]
    [changed] = [row for row in rows if row[0] == "| mnist-fractional-horizon"]
    with_it = study.runs[setup("mnist", "fractional", "horizon")][0].measures
    assert changed[2] == f"**{with_it.end[0] - 0.5:+.2f} ± 0.00**"
    assert changed[-1] == f"**{with_it.sum_end - 1:+.2f} ± 0.00** |"
    assert len(rows) == 2 + 4
