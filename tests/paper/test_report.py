"""The write-up of a reproduction."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.paper.made_up import ITERATIONS, all_setups, paths, write_run
from tvl_lightning.paper import report
from tvl_lightning.paper.figures import FIGURES
from tvl_lightning.paper.setups import setup

RESNET = setup("fashion_mnist", "resnet", "learned")


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes seconds."""
    missing: dict[str, list[str]] = {draw.__name__: [] for draw in FIGURES}
    monkeypatch.setattr(report, "draw_figures", lambda *_, **__: missing)


def sections(folder: Path, docs: Path) -> dict[str, str]:
    report.report(folder, docs)
    parts = (docs / "reproduction.md").read_text().split("\n## ")
    return {part.partition("\n")[0]: part for part in parts}


def test_the_report_has_figures_claims_and_all_runs(world: Path, tmp_path: Path) -> None:
    found = sections(world, tmp_path)
    assert "- 47 runs of 47 setups, seeds: 0" in found["# The paper, reproduced"]
    assert found["Claims"].count(" | holds | ") == 9
    for number in range(1, 7):
        image = f"figures/figure_4_{number}.png"
        assert f"({image})" in found["Figures"]
        assert 10_000 < (tmp_path / image).stat().st_size < 300_000
    for shown in all_setups():
        assert f"| {shown} | 0 | " in found["Runs"]
    assert "holds" in (tmp_path / "claims.md").read_text()
    assert "does not hold" not in found["Claims"]


@pytest.mark.usefixtures("without_figures")
def test_a_claim_that_fails_has_a_paragraph_with_what_was_seen(
    altered: Callable[..., Path], tmp_path: Path
) -> None:
    tau = np.array([1.0, 0.3, 0.3, 0.7, 0.3, 0.3]) * np.ones((ITERATIONS, 1))
    text = sections(altered(RESNET, tau=tau), tmp_path / "docs")["Claims that do not hold"]
    assert "**Claim 4, variant `paper`.** ResNet: τ(0) is clearly the largest." in text
    assert "1 of 4 findings" in text
    assert "fashion_mnist-resnet-learned (seed 0): τ(0): 1.0; largest other τ: 0.7" in text
    assert "Claim 5" not in text


@pytest.mark.usefixtures("without_figures")
def test_variants_stand_beside_each_other(altered: Callable[..., Path], tmp_path: Path) -> None:
    shown = setup("fashion_mnist", "resnet", "fixed", variant="authors")
    changes: dict[str, Any] = {"accuracy": [0.1, 0.85], "tau": paths(RESNET)}
    text = sections(altered(shown, **changes), tmp_path / "docs")[
        "Where the paper and its authors' code differ"
    ]
    assert (
        "- fashion_mnist-resnet-fixed, seed 0: accuracy 88.00%, "
        "τ = (0.167, 0.167, 0.167, 0.167, 0.167, 0.167); against accuracy 85.00%, "
        "τ = (1.000, 0.300, 0.300, 0.300, 0.300, 0.300)"
    ) in text
    pruned = "τ = (1.000, pruned, pruned, pruned, pruned, 0.500)"
    assert f"- fashion_mnist-resnet-l1-pruned, seed 0: accuracy 89.00%, {pruned}" in text


def test_a_part_of_the_runs_makes_a_report_that_names_the_rest(
    tmp_path: Path, door: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, RESNET)
    door("report", tmp_path)
    assert str(tmp_path / "report" / "reproduction.md") in capsys.readouterr().out
    text = (tmp_path / "report" / "reproduction.md").read_text()
    assert "No setup was run in both variants." in text
    assert "Runs are missing: fashion_mnist-resnet-final-authors," in text
    assert "cannot be told" in text


@pytest.mark.usefixtures("without_figures")
def test_a_layer_that_the_last_iteration_pruned_is_called_pruned(tmp_path: Path) -> None:
    tau = paths(RESNET)
    write_run(
        tmp_path, setup("fashion_mnist", "resnet", "l1", True), tau=tau, layers=[0, 1, 2, 3, 4]
    )
    write_run(tmp_path, setup("fashion_mnist", "resnet", "l1", True, "authors"), tau=tau)
    found = sections(tmp_path, tmp_path / "docs")
    text = found["Where the paper and its authors' code differ"]
    assert "τ = (1.000, 0.300, 0.300, 0.300, 0.300, pruned); against" in text
    assert (
        "| fashion_mnist-resnet-l1-pruned-paper | 0 | 89.00% | 89.00% | 0.7500 | 2.200 |"
        in (found["Runs"])
    )
