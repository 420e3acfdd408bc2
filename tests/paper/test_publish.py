"""A study made small enough to be kept with the code."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.paper.made_up import paths, write_run
from tvl_lightning.paper.claims import as_json, judge_all
from tvl_lightning.paper.setups import setup
from tvl_lightning.paper.study import read_study, tau

SETUPS = [
    setup("fashion_mnist", "fractional", "horizon"),
    setup("fashion_mnist", "resnet", "l1"),
    setup("fashion_mnist", "resnet", "l1", True),
    setup("fashion_mnist", "fractional", "learned"),
    setup("fashion_mnist", "fractional", "l1"),
]
WEAVING = np.tile([[0.4, 0.6], [0.6, 0.4]], (60_000, 3))[:, :6]


@pytest.fixture
def both(tmp_path: Path, door: Callable[..., None]) -> tuple[Path, Path]:
    """A folder of runs and what was published of it."""
    runs, published = tmp_path / "runs", tmp_path / "published"
    for number, shown in enumerate(SETUPS):
        write_run(runs, shown, epochs=200, loss=1 / (3 + number))  # with all the digits there are
    door("publish", runs, published)
    return runs, published


def test_what_is_published_is_judged_alike(both: tuple[Path, Path]) -> None:
    runs, published = map(read_study, both)
    assert as_json(judge_all(published)) == as_json(judge_all(runs))


def test_tau_is_thinned_and_stands_for_the_iterations_left_out(both: tuple[Path, Path]) -> None:
    full, thin = map(read_study, both)
    for shown in SETUPS:
        one, other = tau(full.runs[shown][0]), tau(thin.runs[shown][0])
        assert one.shape == other.shape
        np.testing.assert_allclose(other[[0, -1]], one[[0, -1]], rtol=1e-6)
        gap = np.nanmax(np.abs(np.diff(paths(shown)[200:], axis=0)))  # beyond the jump at 121
        np.testing.assert_allclose(other[200:], one[200:], atol=20 * gap + 1e-6)


def test_a_published_run_is_small_and_says_no_path(
    tmp_path: Path, door: Callable[..., None]
) -> None:
    data = {"source": "/home/somebody/data", "train_images": 60_000}
    write_run(tmp_path / "runs", SETUPS[0], tau=WEAVING, epochs=200, data=data)
    door("publish", tmp_path / "runs")
    [run] = (tmp_path / "runs-published").iterdir()
    assert sum(path.stat().st_size for path in run.iterdir()) < 30_000
    text = (run / "summary.json").read_text()
    assert "somebody" not in text
    assert '"root"' not in text
    assert "60000" in text


def test_measures_that_are_not_a_runs_are_refused(
    both: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    _, published = both
    (published / f"{SETUPS[0]}-seed0" / "measures.json").write_text('{"tau": 1}')
    assert SETUPS[0] not in read_study(published).runs
    assert "not the measures of a run" in caplog.text
