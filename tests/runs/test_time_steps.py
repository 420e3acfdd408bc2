"""A run's τ, and what it is held against."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tvl_lightning.runs.reading import read_run
from tvl_lightning.runs.time_steps import TauOfRun, tau_of

PERCEPTRON = {"_target_": "tvl_lightning.networks.perceptron", "hidden_layers": 3, "horizon": 2.0}
CONV = {"_target_": "tvl_lightning.networks.convolutional", "widths": [4, 8], "fields": 1}


def recorded(folder: Path, tau: Any, **summary: Any) -> TauOfRun:
    np.savez(folder / "tau.npz", iteration=np.arange(1, len(tau) + 1), tau=np.array(tau))
    if summary:
        (folder / "summary.json").write_text(json.dumps(summary))
    found = tau_of(read_run(folder))
    assert found is not None
    return found


def test_horizon_and_epsilon_are_those_of_the_settings(tmp_path: Path) -> None:
    settings = {"model": PERCEPTRON, "pruning": {"epsilon": 0.05}}
    found = recorded(tmp_path, np.ones((4, 3)), settings=settings, layers=[0, 2])
    assert (found.horizon, found.epsilon, found.left) == (2.0, 0.05, [0, 2])


def test_a_run_without_a_summary_has_the_settings_that_it_began_with(tmp_path: Path) -> None:
    (tmp_path / ".hydra").mkdir()
    text = f"model: {json.dumps(PERCEPTRON)}\npruning: {{epsilon: 0.05}}\n"
    (tmp_path / ".hydra" / "config.yaml").write_text(text)
    found = recorded(tmp_path, np.ones((4, 3)))
    assert (found.horizon, found.epsilon, found.left) == (2.0, 0.05, None)


def test_without_pruning_there_is_no_epsilon(tmp_path: Path) -> None:
    settings = {"model": PERCEPTRON, "pruning": {}}
    assert recorded(tmp_path, np.ones((4, 3)), settings=settings).epsilon is None


def test_a_share_is_one_of_all_layers_of_a_perceptron(tmp_path: Path) -> None:
    settings = {"model": PERCEPTRON}
    found = recorded(tmp_path, [[1.0, -2.0, 1.0], [1.0, np.nan, 3.0]], settings=settings)
    np.testing.assert_array_equal(found.shares(), [[0.25, 0.5, 0.25], [0.25, np.nan, 0.75]])


def test_a_share_is_one_of_the_layers_own_stage(tmp_path: Path) -> None:
    found = recorded(tmp_path, [[1.0, 3.0, 1.0, 1.0]], settings={"model": CONV})
    assert found.stages == [[0, 1], [2, 3]]
    np.testing.assert_array_equal(found.shares(), [[0.25, 0.75, 0.5, 0.5]])


def test_a_stage_without_a_step_has_no_shares(tmp_path: Path) -> None:
    found = recorded(tmp_path, [[0.0, 0.0, 1.0, 1.0]], settings={"model": CONV})
    np.testing.assert_array_equal(found.shares(), [[np.nan, np.nan, 0.5, 0.5]])


@pytest.mark.parametrize(
    ("model", "layers"),
    [({"_target_": "mine.network"}, 3), (CONV, 5), ({}, 3)],
    ids=["a network of one's own", "a layer born in one of two stages", "nothing known"],
)
def test_shares_that_are_not_certain_are_left_out(tmp_path: Path, model: Any, layers: int) -> None:
    assert recorded(tmp_path, np.ones((2, layers)), settings={"model": model}).shares() is None


def test_nothing_recorded_is_nothing(tmp_path: Path) -> None:
    assert tau_of(read_run(tmp_path)) is None
