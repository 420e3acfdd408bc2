"""What the report of a folder shows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runs.report.made_up import settings, time_steps, write_run
from tvl_lightning.runs.report.gather import gather
from tvl_lightning.runs.report.many_runs import many_runs


def content(folder: Path) -> dict[str, Any]:
    return many_runs(gather([folder]), "runs")


def rows(shown: dict[str, Any], table: int = 0) -> list[dict[str, Any]]:
    head = ["key", *(column["name"] for column in shown["tables"][table]["head"])]
    return [dict(zip(head, row, strict=True)) for row in shown["tables"][table]["rows"]]


def panel(shown: dict[str, Any], title: str) -> dict[str, Any]:
    [found] = [p for p in shown["panels"] if p["title"] == title]
    return found  # type: ignore[no-any-return]


def write_study(folder: Path) -> None:
    """Two settings of three seeds."""
    for reg, bonus in (("l1", 0.0), ("l2", 0.05)):
        for seed in range(3):
            tau = time_steps(100, 6) * (1 + seed)
            chosen = settings(seed=seed, reg={reg: {"weight": 0.1}})
            write_run(
                folder / f"{reg}_{seed}",
                seed=seed,
                accuracy=0.8 + bonus + 0.01 * seed,
                tau=tau,
                chosen=chosen,
            )


def test_table_has_a_row_a_setting(tmp_path: Path) -> None:
    write_study(tmp_path)
    shown = content(tmp_path)
    assert shown["facts"] == [["runs", "6"], ["settings", "2"]]
    l1, l2 = rows(shown)
    assert (l1["reg"], l1["runs"], l1["seeds"]) == ("l1", "3", "0 to 2")
    assert [l1[c] for c in ("test accuracy", "least", "greatest")] == pytest.approx(
        [0.80, 0.79, 0.81]
    )
    assert l2["test accuracy"] == pytest.approx(0.85)
    assert (l1["layers"], l1["parameters"]) == (4, 89_602)
    assert l1["iterations / s"] == pytest.approx(123.4)


def test_curves_are_mean_least_and_greatest_over_seeds(tmp_path: Path) -> None:
    write_study(tmp_path)
    shown = content(tmp_path)
    tau = time_steps(100, 6)
    line = panel(shown, "τ: reg=l1")["series"][3]
    x = shown["x"][line["x"]]
    for name, factor in (("low", 1), ("y", 2), ("high", 3)):
        np.testing.assert_allclose(line[name][-1], factor * tau[-1, 3], rtol=1e-3)
        np.testing.assert_allclose(line[name][x.index(10)], factor * tau[10, 3], rtol=1e-3)
    total = panel(shown, "Σ τ and the horizon T")["series"][0]
    assert total["y"][-1] == pytest.approx(2 * np.nansum(tau[-1]), rel=1e-3)
    accuracy = panel(shown, "accuracy (val)")["series"][0]
    assert (accuracy["low"][-1], accuracy["high"][-1]) == (0.8, 0.82)
    assert accuracy["y"][-1] == pytest.approx(0.81)


def test_time_steps_of_all_settings_share_a_range(tmp_path: Path) -> None:
    write_study(tmp_path)
    shown = content(tmp_path)
    panels = [p for p in shown["panels"] if p["title"].startswith("τ: ")]
    assert [p["range"] for p in panels] == ["tau", "tau"]


def test_accuracy_against_parameters_has_a_point_a_run(tmp_path: Path) -> None:
    write_study(tmp_path)
    points = panel(content(tmp_path), "test accuracy and parameters left, a point a run")["points"]
    assert len(points) == 6
    assert {p["key"] for p in points} == {"setting 0", "setting 1"}


def test_run_that_did_not_finish_is_shown_as_such_and_counts_for_nothing(tmp_path: Path) -> None:
    write_study(tmp_path)
    for seed, status in enumerate(("failed", "stopped", "diverged"), 3):
        chosen = settings(seed=seed, reg={"l1": {"weight": 0.1}})
        write_run(
            tmp_path / status,
            seed=seed,
            accuracy=0.1,
            chosen=chosen,
            status=status,
            reason="<why>",
        )
    shown = content(tmp_path)
    assert shown["facts"][0] == ["runs", "9 (1 diverged, 1 failed, 1 stopped)"]
    l1, _ = rows(shown)
    assert l1["runs"] == "3 of 6, 1 diverged, 1 failed, 1 stopped"
    assert l1["least"] == pytest.approx(0.79)
    assert [row["status"] for row in rows(shown, 1)[:3]] == [
        "diverged: <why>",
        "failed: <why>",
        "stopped: <why>",
    ]


def test_damaged_run_is_listed_first_with_its_reason(tmp_path: Path) -> None:
    write_study(tmp_path)
    (tmp_path / "l2_1" / "summary.json").write_text('{"status"')
    shown = content(tmp_path)
    assert shown["facts"][0] == ["runs", "6 (1 unreadable)"]
    first = rows(shown, 1)[0]
    assert first["run"] == "l2_1"
    assert first["status"].startswith("unreadable: summary.json: cannot be read")
    assert [row["runs"] for row in rows(shown)] == ["3", "2"]


def test_folder_of_damaged_runs_only_has_a_page(tmp_path: Path) -> None:
    for name in "ab":
        (write_run(tmp_path / name) / "tau.npz").write_bytes(b"")
    shown = content(tmp_path)
    assert (shown["panels"], len(rows(shown, 1))) == ([], 2)


def test_diverged_runs_draw_no_curve(tmp_path: Path) -> None:
    write_run(tmp_path / "good")
    chosen = settings(optimizer={"lr": 100})
    write_run(tmp_path / "bad", status="diverged", tau=time_steps(9, 6) * 1e9, chosen=chosen)
    shown = content(tmp_path)
    assert len([p for p in shown["panels"] if p["title"].startswith("τ: ")]) == 1


def test_runs_of_different_lengths_have_their_values_at_their_iterations(tmp_path: Path) -> None:
    tau = np.linspace(0.1, 1, 1001)[:, None] * [1, 2]
    write_run(tmp_path / "long", tau=tau)
    write_run(tmp_path / "short", tau=tau[:400], seed=1)
    shown = content(tmp_path)
    line = panel(shown, "τ: all runs")["series"][0]
    x = np.array(shown["x"][line["x"]])
    there = x != x[x >= 399][0]  # the bin in which the short one ended
    np.testing.assert_allclose(np.array(line["y"])[there], tau[x[there], 0], rtol=1e-3)


def test_runs_without_a_row_before_training_are_not_shifted(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", seed=0)
    write_run(tmp_path / "b", seed=1)
    recorded = np.load(run / "tau.npz")
    np.savez(run / "tau.npz", **{name: values[1:] for name, values in recorded.items()})
    line = panel(content(tmp_path), "τ: all runs")["series"][5]
    np.testing.assert_allclose(line["y"], time_steps(100, 6)[:, 5], rtol=1e-3)


def test_two_hundred_settings_fit_on_a_page(tmp_path: Path) -> None:
    for i in range(100):
        for seed in range(2):
            chosen = settings(seed=seed, optimizer={"lr": i})
            write_run(tmp_path / f"{i}_{seed}", 2000, seed=seed, chosen=chosen)
    shown = content(tmp_path)
    assert len(rows(shown)) == 100
    assert len(shown["keys"]) - len(shown["hidden"]) == 6 + 6  # and the layers
    numbers = sum(
        len(line[name])
        for p in shown["panels"]
        for line in p.get("series", [])
        for name in ("y", "low", "high")
        if name in line
    )
    assert numbers < 200_000
