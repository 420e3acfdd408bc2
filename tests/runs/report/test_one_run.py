"""What the report of one run shows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runs.report.made_up import settings, time_steps, write_run
from tvl_lightning.runs.reading import read_run
from tvl_lightning.runs.report.gather import read_record, trajectory_of
from tvl_lightning.runs.report.one_run import one_run


def content(run: Path) -> dict[str, Any]:
    return one_run(read_record(run, "."), trajectory_of(read_run(run)))


def titles(shown: dict[str, Any]) -> list[str]:
    return [panel["title"] for panel in shown["panels"]]


def panel(shown: dict[str, Any], title: str) -> dict[str, Any]:
    [found] = [p for p in shown["panels"] if p["title"] == title]
    return found  # type: ignore[no-any-return]


def test_panels_of_a_pruned_run(tmp_path: Path) -> None:
    assert titles(content(write_run(tmp_path / "run"))) == [
        "time steps τ",
        "share |τ| / Σ|τ|",
        "Σ τ and the horizon T",
        "hidden layers",
        "batch loss, mean and extremes",
        "accuracy",
        "loss of an epoch, without penalties",
        "penalties",
    ]


def test_facts_are_those_of_the_summary(tmp_path: Path) -> None:
    assert dict(content(write_run(tmp_path / "run", seed=7))["facts"]) == {
        "test accuracy": "0.8900",
        "best validation accuracy": "0.9000",
        "layers": "4 of 6",
        "parameters": "89,602 of 130,006",
        "Σ τ": "2.6667 (T = 1)",
        "iterations": "100 at 123 a second",
        "device": "cpu, 1 threads",
        "seed": "7",
        "commit": "0123456789ab-dirty",
        "started": "2026-01-31 12:00",
    }


def test_curves_have_every_value_of_a_short_run(tmp_path: Path) -> None:
    shown = content(write_run(tmp_path / "run"))
    expected = time_steps(100, 6)
    for layer, line in enumerate(panel(shown, "time steps τ")["series"]):
        assert line["key"] == f"layer {layer}"
        assert shown["x"][line["x"]] == list(range(101))
        drawn = np.array(line["y"], float)
        np.testing.assert_allclose(drawn, expected[:, layer], rtol=5e-4)


def test_no_extreme_of_a_long_run_is_lost(tmp_path: Path) -> None:
    tau = time_steps(50_000, 2 + 1)
    tau[31_415, 0] = 9.0
    line = panel(content(write_run(tmp_path / "run", 50_000, tau=tau)), "time steps τ")["series"][0]
    assert max(line["high"]) == 9.0
    assert len(line["y"]) <= 800


def test_what_was_removed_is_named_with_iteration_τ_and_share(tmp_path: Path) -> None:
    tau = time_steps(100, 6)
    shares = np.abs(tau) / np.nansum(np.abs(tau), 1, keepdims=True)
    shown = content(write_run(tmp_path / "run"))
    assert [c[:3] for c in shown["changes"]] == [[50, 1, "removed"], [51, 2, "removed"]]
    for iteration, layer, _, last, share in shown["changes"]:
        assert last == pytest.approx(tau[iteration, layer], rel=1e-3)
        assert share == pytest.approx(shares[iteration, layer], rel=1e-3)
    marks = panel(shown, "share |τ| / Σ|τ|")["marks"]
    assert [(m["key"], m["x"], m["kind"]) for m in marks] == [
        ("layer 1", 50, "removed"),
        ("layer 2", 51, "removed"),
    ]


def test_layer_that_was_inserted_is_marked(tmp_path: Path) -> None:
    tau = np.full((20, 3), 0.25)
    tau[:10, 2] = np.nan
    shown = content(write_run(tmp_path / "run", tau=tau, stage_sizes=[2]))
    assert shown["changes"] == [[10, 2, "inserted", 0.25, 0.3333]]


def test_thresholds_are_T_and_ε(tmp_path: Path) -> None:  # noqa: N802
    shown = content(write_run(tmp_path / "run"))
    assert panel(shown, "Σ τ and the horizon T")["levels"] == [[1.0, "T = 1"]]
    assert panel(shown, "share |τ| / Σ|τ|")["levels"] == [[0.05, "ε = 0.05"]]
    plain = content(write_run(tmp_path / "plain", chosen=settings(pruning=None), horizon=None))
    assert panel(plain, "share |τ| / Σ|τ|")["levels"] == []


def test_shares_are_those_of_a_stage(tmp_path: Path) -> None:
    tau = np.tile([1.0, 3.0, 0.1, 0.3], (5, 1))
    shown = content(write_run(tmp_path / "run", tau=tau, stage_sizes=[2, 2]))
    drawn = panel(shown, "share |τ| / Σ|τ| of a stage")["series"]
    assert [line["y"][0] for line in drawn] == [0.25, 0.75, 0.25, 0.75]
    assert shown["notes"] == []


def test_stages_that_are_not_known_are_said_to_be_so(tmp_path: Path) -> None:
    model = {"_target_": "my.network"}
    [note] = content(write_run(tmp_path / "run", chosen=settings(model=model)))["notes"]
    assert "stages of this network are not known" in note


def test_many_layers_are_a_map_beside_their_lines(tmp_path: Path) -> None:
    shown = content(write_run(tmp_path / "run", layers=64))
    assert titles(shown)[:4] == [
        "time steps τ by layer",
        "share by layer",
        "time steps τ",
        "share |τ| / Σ|τ|",
    ]
    assert len(shown["panels"][0]["rows"]) == 64
    assert [shown["keys"][f"layer {layer}"]["depth"] for layer in (0, 63)] == [0, 1]


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    [
        ("stopped", "SIGTERM", "stopped: SIGTERM"),
        ("failed", "ValueError: no", "failed: ValueError: no"),
        ("diverged", None, "diverged"),
        ("finished", "trainer.max_steps", "ended by trainer.max_steps"),
    ],
)
def test_run_that_did_not_come_to_its_end_says_so(
    tmp_path: Path, status: str, reason: str | None, said: str
) -> None:
    shown = content(write_run(tmp_path / "run", status=status, reason=reason))
    assert shown["notes"] == [said]


def test_what_is_missing_is_not_shown(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "tau.npz").unlink()
    assert titles(content(run)) == [
        "accuracy",
        "loss of an epoch, without penalties",
        "penalties",
    ]
    (run / "metrics.csv").write_text("")
    assert titles(content(run)) == []
    (run / "summary.json").unlink()
    (run / "tau.npz").write_bytes((write_run(tmp_path / "other") / "tau.npz").read_bytes())
    assert titles(content(run))[0] == "time steps τ"


def test_whatever_else_was_recorded_has_a_panel(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    np.savez(run / "tau.npz", **np.load(run / "tau.npz"), gamma=np.linspace(0.5, 0.4, 101))
    assert "γ" in titles(content(run))


def test_losses_without_a_penalty_are_one_line(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    recorded = dict(np.load(run / "tau.npz"))
    np.savez(run / "tau.npz", **{**recorded, "loss": recorded["task_loss"]})
    [line] = panel(content(run), "batch loss, mean and extremes")["series"]
    assert line["key"] == "task_loss"


def test_losses_over_decades_have_a_logarithmic_axis(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    recorded = dict(np.load(run / "tau.npz"))
    np.savez(run / "tau.npz", **{**recorded, "loss": np.geomspace(1e-3, 1e30, 101)})
    assert panel(content(run), "batch loss, mean and extremes")["log"] is True


def test_line_of_the_batch_loss_is_the_mean_of_its_bin(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", iterations=20_000)
    recorded = dict(np.load(run / "tau.npz"))
    loss = np.tile([0.0, 2.0], 10_001)[:20_001]
    np.savez(run / "tau.npz", **{**recorded, "loss": loss, "task_loss": loss + 1})
    line = panel(content(run), "batch loss, mean and extremes")["series"][1]
    assert line["y"][-1] == pytest.approx(1, abs=0.03)
    assert (line["low"][-1], line["high"][-1]) == (0, 2)
