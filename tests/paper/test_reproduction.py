"""From real runs to figures, claims and write-up."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., "subprocess.CompletedProcess[str]"]

SWEEPS = [["figure_4_1"], ["figure_4_2"], ["figure_4_3"], ["figure_4_6", "setup=l1,simplex"]]
TARGETS = {
    "mnist": "tvl_lightning.data.MNIST",
    "fashion_mnist": "tvl_lightning.data.FashionMNIST",
}


@pytest.mark.slow
def test_tiny_runs_of_the_figures_are_drawn_judged_and_written_up(
    command: Command, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    for figure, *overrides in SWEEPS:
        done = command(
            "tvl_lightning.train",
            f"experiment={figure}",
            *overrides,
            "data=mnist_5k",
            "trainer.max_epochs=2",
            f"hydra.sweep.dir={runs}",
            timeout=200,
        )
        assert done.returncode == 0, done.stderr
    assert len(list(runs.glob("*/summary.json"))) == 12

    # the figures show the full data sets; what was trained on mnist_5k stands in for both
    for data in ("mnist", "fashion_mnist"):
        for run in runs.glob("mnist_5k-*"):
            copy = tmp_path / "study" / run.name.replace("mnist_5k", data)
            shutil.copytree(run, copy)
            summary = json.loads((copy / "summary.json").read_text())
            summary["settings"]["data"]["_target_"] = TARGETS[data]
            (copy / "summary.json").write_text(json.dumps(summary))
    study = tmp_path / "study"
    drawn = command("tvl_lightning.paper.figures", str(study))
    assert drawn.returncode == 0, drawn.stderr
    lacking = {line.split()[-1] for line in drawn.stdout.splitlines() if "no run of" in line}
    assert {name for name in lacking if not name.endswith("-authors")} == {
        *(
            f"{data}-{model}-simplex" + "-paper" * (model == "fractional")
            for data in ("mnist", "fashion_mnist")
            for model in ("resnet", "fractional")
        ),
        *(
            f"fashion_mnist-resnet-{choice}-pruned-paper"
            for choice in ("learned", "horizon", "final")
        ),
    }

    judged = command("tvl_lightning.paper.claims", str(study))
    assert judged.returncode == 0, judged.stderr
    claims = json.loads((study / "claims.json").read_text())
    paper = [claim["variants"]["paper"] for claim in claims]
    # one seed of two epochs decides nothing, and says what it has seen
    assert {verdict["word"] for verdict in paper} == {"not decided"}
    unseen = [
        (number, finding["subject"])
        for number, verdict in enumerate(paper, start=1)
        for finding in verdict["findings"]
        if "0" not in finding["seen"]
    ]
    assert unseen == [(25, f"fashion_mnist-resnet-{choice}") for choice in ("horizon", "final")]
    assert paper[7]["words"][-1] == "does not hold"  # τ(0) does not grow to twice the others

    written = command("tvl_lightning.paper.report", str(study), str(tmp_path / "docs"))
    assert written.returncode == 0, written.stderr
    text = (tmp_path / "docs" / "reproduction.md").read_text()
    assert "- epochs: 2; engine:" in text
    assert "The study is not complete." in text
    assert "Some runs are shorter" in text

    # what is published of it says the same
    small = command("tvl_lightning.paper.publish", str(study), str(tmp_path / "small"))
    assert small.returncode == 0, small.stderr
    again = command("tvl_lightning.paper.claims", str(tmp_path / "small"))
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "small" / "claims.json").read_text()) == claims
