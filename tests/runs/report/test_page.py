"""The page: what is in it, and that what a run wrote stays text."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runs.report.made_up import settings, time_steps, write_run
from tvl_lightning.limits import InputError
from tvl_lightning.runs.report import write_page, write_report
from tvl_lightning.runs.report.page import page

BOMBS = [
    "<script>bomb()</script>",
    "</script><script>bomb()</script>",
    "<img src=x onerror=bomb()>",
    "<!--<script>",
    "';bomb();'",
    "@SCRIPT@",
    "@DATA@",
]


def test_data_cannot_end_their_element() -> None:
    text = page({"title": " ".join(BOMBS), "panels": []})
    assert re.findall(r"<(/?script\b[^>]*)>", text) == [
        'script type="application/json" id="report"',
        "/script",
        "script",
        "/script",
    ]
    [data] = re.findall(r'id="report">(.*)</script>', text)
    assert json.loads(data)["title"] == " ".join(BOMBS)


def test_page_names_no_address_outside() -> None:
    text = page({"title": "", "panels": []})
    addresses = set(re.findall(r"https?://[^\s\"')]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "https://github.com/leeoniya/uPlot"}


def test_licence_of_what_is_vendored_lies_beside_it() -> None:
    from tvl_lightning.runs import report

    folder = Path(report.__file__).parent / "assets"
    assert "Leon Sorokin" in (folder / "uPlot.LICENSE").read_text()
    assert "v1.6.32" in (folder / "uPlot.iife.min.js").read_text()[:100]


def test_page_of_a_long_run_is_small(tmp_path: Path) -> None:
    draw = np.random.default_rng(0).normal(size=(120_001, 6)).cumsum(0)
    run = write_run(tmp_path / "run", 120_000, tau=0.2 + 1e-4 * draw)
    assert write_report(run).stat().st_size < 500_000


def test_page_of_64_layers_is_small(tmp_path: Path) -> None:
    draw = np.random.default_rng(0).normal(size=(12_001, 64)).cumsum(0)
    run = write_run(tmp_path / "run", 12_000, tau=0.2 + 1e-4 * draw, layers=64)
    assert write_report(run).stat().st_size < 700_000


def test_report_of_a_run_lies_in_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert write_report(str(run)) == run / "report.html"
    assert [p.name for p in run.iterdir() if p.name.startswith(".")] == []


def test_report_is_not_taken_for_a_run_and_is_replaced(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    (tmp_path / "report.html").write_text("old")
    first = write_report(tmp_path).read_text()
    assert write_report(tmp_path).read_text() == first != "old"


def test_refused_folder_gets_no_page(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_several_folders_are_one_page(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name) for name in "ab"]
    found = write_page(runs, tmp_path / "pages" / "both.html")
    assert len(found.records) == 2
    assert '"a"' in (tmp_path / "pages" / "both.html").read_text()


def bombed(folder: Path, bomb: str, seed: int) -> None:
    """A run with a bomb wherever a text may stand."""
    name = bomb.replace("/", "∕")
    chosen: dict[str, Any] = settings(seed=seed)
    chosen |= {bomb: bomb, "reg": {bomb: {"_target_": bomb}}, "optimizer": {"_target_": bomb}}
    run = write_run(
        folder / f"{name}{seed}",
        chosen=chosen,
        status=bomb if seed else "failed",
        reason=bomb,
        device=bomb,
        git_commit=bomb,
        started=bomb,
        engine={"name": bomb},
        choices={bomb: bomb, "reg": bomb},
        overrides=[f"{bomb}={bomb}", f"reg={bomb}{seed}"],
    )
    content = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps({**content, "seed": f"{bomb}{seed}"}))
    table = (run / "metrics.csv").read_text()
    quoted = bomb.replace('"', '""')
    (run / "metrics.csv").write_text(table.replace("penalty/l1", f'"penalty/{quoted}"'))
    recorded = np.load(run / "tau.npz")
    np.savez(run / "tau.npz", **recorded, **{name: np.ones(101)})


@pytest.mark.parametrize("bomb", BOMBS)
def test_text_from_a_stranger_runs_nothing_and_is_shown_as_it_is(
    tmp_path: Path, look: Any, bomb: str
) -> None:
    for seed in range(2):
        bombed(tmp_path / "study", bomb, seed)
    damaged = write_run(tmp_path / "study" / "damaged" / bomb.replace("/", "∕"))
    (damaged / "tau.npz").write_bytes(b"")
    one = next(p for p in (tmp_path / "study").iterdir() if p.name.endswith("0"))
    for folder in (one, tmp_path / "study"):
        seen = look(write_report(folder))
        seen.page.evaluate(
            "document.querySelectorAll('details').forEach((d) => { d.open = true; })"
        )
        seen.page.wait_for_timeout(50)
        assert seen.page.locator("script").count() == 2
        assert seen.page.locator("img").count() == 0
        assert bomb in seen.page.inner_text("body")


def test_page_is_drawn_within_a_second(tmp_path: Path, look: Any) -> None:
    tau = np.tile(time_steps(12_000, 6), (10, 1))
    seen = look(write_report(write_run(tmp_path / "run", 120_000, tau=tau)))
    drawn = [float(seen.page.evaluate("document.documentElement.dataset.drawn"))]
    for _ in range(2):  # a busy machine is no slow page
        seen.page.reload()
        seen.asked.pop()
        drawn.append(float(seen.page.evaluate("document.documentElement.dataset.drawn")))
    assert min(drawn) < 1000
