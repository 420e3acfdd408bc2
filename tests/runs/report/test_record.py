"""What a run says of itself."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runs.report.made_up import TARGET, settings, write_run
from tvl_lightning.runs.report.gather import read_record
from tvl_lightning.runs.report.record import Record


def record(tmp_path: Path, **options: Any) -> Record:
    return read_record(write_run(tmp_path / "run", **options), "run")


def test_summary_is_what_is_believed(tmp_path: Path) -> None:
    said = record(tmp_path, seed=7)
    assert (said.status, said.finished, said.seed) == ("finished", True, "7")
    assert (said.test, said.objective) == (0.89, 0.9)
    assert (said.layers, said.layers_before) == (4, 6)
    assert (said.parameters, said.parameters_before) == (89_602, 130_006)
    assert (said.horizon, said.epsilon, said.stage_sizes) == (1.0, 0.05, [6])
    assert (said.iterations, said.rate, said.last_recorded) == (100, 123.4, 100)


def test_without_a_summary_the_tables_are_asked(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", iterations=200)
    (run / "summary.json").unlink()
    said = read_record(run, "run")
    assert (said.status, said.finished) == ("unfinished", False)
    assert (said.iterations, said.rate) == (200, 40)
    assert (said.layers, said.layers_before, said.objective) == (4, 6, 0.9)
    assert said.settings == {}


@pytest.mark.parametrize("status", ["stopped", "failed", "diverged"])
def test_run_that_did_not_finish_says_why(tmp_path: Path, status: str) -> None:
    said = record(tmp_path, status=status, reason="out of memory")
    assert (said.status, said.reason, said.finished) == (status, "out of memory", False)


def test_summary_of_version_0_1_has_no_status(tmp_path: Path) -> None:
    assert record(tmp_path, status=None, diverged_at=None).status == "finished"
    assert read_record(write_run(tmp_path / "b", status=None, diverged_at=7), "b").status == (
        "diverged"
    )


@pytest.mark.parametrize(
    ("model", "layers", "sizes"),
    [
        ({"_target_": TARGET, "hidden_layers": 6}, 6, [6]),
        (
            {"_target_": "tvl_lightning.networks.convolutional", "widths": [4, 8], "fields": 2},
            6,
            [3, 3],
        ),
        ({"_target_": "tvl_lightning.networks.transformer", "blocks": 3}, 7, [7]),
        ({"_target_": "my.own.network", "hidden_layers": 6}, 6, None),
        ({"_target_": TARGET, "hidden_layers": 5}, 6, None),
        ({"_target_": TARGET, "hidden_layers": -6}, 6, None),
        ({"_target_": TARGET, "hidden_layers": "six"}, 6, None),
    ],
)
def test_stages_are_those_of_the_settings_where_they_fit(
    tmp_path: Path, model: dict[str, Any], layers: int, sizes: list[int] | None
) -> None:
    said = record(tmp_path, layers=layers, chosen=settings(model=model))
    assert said.stage_sizes == sizes


def test_stages_that_a_run_recorded_come_first(tmp_path: Path) -> None:
    assert record(tmp_path, stage_sizes=[2, 4]).stage_sizes == [2, 4]


def test_layer_born_into_one_of_several_stages_has_an_unknown_one(tmp_path: Path) -> None:
    tau = np.full((4, 5), 0.2)
    tau[:2, 4] = np.nan
    assert record(tmp_path, tau=tau, stage_sizes=[2, 2]).stage_sizes is None
    assert read_record(write_run(tmp_path / "b", tau=tau, stage_sizes=[4]), "b").stage_sizes == [4]


WEIRD: list[Any] = [
    *(None, True, "<b>", [], {}, [None], {"a": 1}, -1, 0, 1e308, 10**400, float("nan")),
    *([float("inf"), "x"], {"_target_": 3}, {"_target_": "a.perceptron", "hidden_layers": 10**30}),
]


@pytest.mark.parametrize("value", WEIRD, ids=repr)
def test_whatever_stands_in_a_summary_the_record_has_its_types(tmp_path: Path, value: Any) -> None:
    run = write_run(tmp_path / "run")
    content = json.loads((run / "summary.json").read_text())
    variants = [{**content, name: value} for name in content]
    for group in content["settings"]:
        variants.append({**content, "settings": {**content["settings"], group: value}})
    for other in ("choices", "overrides", "stage_sizes"):
        variants.append({**content, other: value})
    for variant in variants:
        (run / "summary.json").write_text(json.dumps(variant))
        said = read_record(run, "run")
        for name in ("status", "reason", "seed", "device", "commit", "started"):
            assert isinstance(getattr(said, name), str)
        for name in ("test", "objective", "parameters", "sum_of_tau", "rate", "horizon"):
            found = getattr(said, name)
            assert found is None or np.isfinite(found)
        assert said.stage_sizes is None or sum(said.stage_sizes) == 6
