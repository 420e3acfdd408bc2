"""The write-up of a reproduction."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.paper.made_up import ITERATIONS, all_setups, measured_run, whole_study, write_run
from tvl_lightning.paper import report
from tvl_lightning.paper.figures import FIGURES
from tvl_lightning.paper.sentences import CLAIMS
from tvl_lightning.paper.setups import setup
from tvl_lightning.paper.study import Study

RESNET = setup("fashion_mnist", "resnet", "learned")
WRITTEN = "# The paper, reproduced"
SAYS = "What the paper says"

Sections = Callable[[Study], dict[str, str]]


@pytest.fixture
def sections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sections:
    """The sections of the page that is written of a study, without the figures."""

    def write(study: Study) -> dict[str, str]:
        missing: dict[str, list[str]] = {draw.__name__: [] for draw in FIGURES}
        monkeypatch.setattr(report, "draw_figures", lambda *_, **__: missing)
        monkeypatch.setattr(report, "read_study", lambda folder: study)
        report.report(tmp_path, tmp_path / "docs")
        parts = (tmp_path / "docs" / "reproduction.md").read_text().split("\n## ")
        return {part.partition("\n")[0]: part for part in parts}

    return write


def test_a_whole_study_has_its_verdicts_numbers_and_comparisons(
    sections: Sections, tmp_path: Path
) -> None:
    found = sections(whole_study())
    assert "- 153 runs of 51 setups; seeds: 0, 1, 2" in found[WRITTEN]
    assert "not complete" not in found[WRITTEN]
    assert found[SAYS].count("| holds |") == len(CLAIMS)
    assert "| variables a pruned layer takes away | 10,101 | 10,101 |" in found["Its numbers"]
    assert (
        "| learned τ less fixed τ | **+0.50 ± 0.00** |" in found["What is better, and by how much"]
    )
    text = (tmp_path / "docs" / "claims.md").read_text()
    assert "## The way of τ to T" in text
    assert "| learned, paper less authors | – |" in text
    for shown in all_setups():
        assert f"| {shown} | 2 | " in text


def test_the_page_is_three_screens(sections: Sections) -> None:
    page = "\n## ".join(sections(whole_study()).values())
    assert len(page.splitlines()) < 110


def test_table_and_prose_say_the_same_of_a_claim(sections: Sections, tmp_path: Path) -> None:
    tau = np.array([1.0, 0.3, 0.3, 0.7, 0.3, 0.3]) * np.ones((ITERATIONS, 1))
    text = sections(whole_study(changed=RESNET, tau=tau))[SAYS]
    [row] = [line for line in text.splitlines() if line.startswith("| 8 |")]
    assert row.endswith("| not decided | not decided |")
    prose = (tmp_path / "docs" / "claims.md").read_text().partition("## 8. ")[2]
    for variant in ("paper", "authors"):
        assert (
            f"Variant `{variant}`: **not decided**: it hangs on the reading, by value, ≥ 1 / "
            "≥ 1.25: holds; by value, ≥ 1.5 / ≥ 2: does not hold; in size, ≥ 1 / ≥ 1.25: holds; "
            "in size, ≥ 1.5 / ≥ 2: does not hold."
        ) in prose.partition("\n## ")[0]


def test_an_incomplete_study_says_so_and_has_no_verdicts(sections: Sections) -> None:
    study = whole_study(seeds=2)
    del study.runs[RESNET]
    found = sections(study)
    assert (
        "**The study is not complete.** Seeds with a run of each of these setups: 2 of 3. Setups "
        "without any run: 1 (fashion_mnist-resnet-learned)."
    ) in found[WRITTEN]
    assert "| holds |" not in found[SAYS]
    assert "| does not hold |" not in found[SAYS]


def test_short_runs_are_said_to_be_short(sections: Sections) -> None:
    study = whole_study(changed=RESNET, epochs=20)
    assert "**Some runs are shorter than the paper's 200 epochs.**" in sections(study)[WRITTEN]


def test_text_of_a_run_is_no_markup(sections: Sections) -> None:
    study = whole_study()
    study.runs[RESNET][0] = measured_run(
        RESNET,
        device="<script>alert(1)</script>",
        git_commit="![](https://example.org/x.png)",
        versions={"torch": "2 | **bold**"},
    )
    text = sections(study)[WRITTEN]
    assert r"\<script\>alert\(1\)\</script\>" in text
    assert "<script>" not in text
    assert "![](" not in text
    assert "**bold**" not in text


def test_what_version_0_1_froze_stands_beside_what_it_is_now(
    sections: Sections, tmp_path: Path
) -> None:
    sections(whole_study())
    text = (tmp_path / "docs" / "claims.md").read_text().partition("## What was frozen")[2]
    text = text.partition("\n## ")[0]
    [row] = [line for line in text.splitlines() if line.startswith("| fashion_mnist-fractional-l1")]
    assert row == (
        "| fashion_mnist-fractional-l1-paper | 88.24% | 0.404 | 1.260, 0, 0, 0.060, 0.481, 0.866 "
        "| 89.00% | 0.750 | 1, 0.3, 0.3, 0.3, 0.3, 0.3 |"
    )


def test_what_a_reader_has_learned_is_taken_in(sections: Sections, tmp_path: Path) -> None:
    assert "What is learned" not in sections(whole_study())
    (tmp_path / "docs" / "learned.md").write_text("A penalty hinders.\n")
    assert "A penalty hinders." in sections(whole_study())["What is learned"]


def test_a_part_of_the_runs_makes_a_report_with_all_figures(
    tmp_path: Path, door: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, RESNET)
    door("report", tmp_path)
    assert str(tmp_path / "report" / "reproduction.md") in capsys.readouterr().out
    text = (tmp_path / "report" / "reproduction.md").read_text()
    assert "Runs are missing: fashion_mnist-resnet-final-authors," in text
    for number in range(1, 7):
        image = f"figures/figure_4_{number}.png"
        assert f"({image})" in text
        assert (tmp_path / "report" / image).stat().st_size < 300_000
