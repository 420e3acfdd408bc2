"""What the report does in a real browser. (Every page here asks for nothing: see `look`.)"""

from pathlib import Path
from typing import Any

import pytest

from tests.runs.report.made_up import settings, write_run
from tvl_lightning.runs.report import write_report

TAU, SHARE = "time steps τ", "share |τ| / Σ|τ|"


@pytest.fixture
def one(tmp_path: Path, look: Any) -> Any:
    return look(write_report(write_run(tmp_path / "run", 1000)))


@pytest.fixture
def deep(tmp_path: Path, look: Any) -> Any:
    return look(write_report(write_run(tmp_path / "deep", 1000, layers=64)))


@pytest.fixture
def study(tmp_path: Path, look: Any) -> Any:
    for i, reg in enumerate(("l1", "l2", "horizon")):
        for seed in range(2):
            chosen = settings(seed=seed, reg={reg: {"weight": 0.1}})
            write_run(
                tmp_path / "study" / f"{reg}_{seed}",
                seed=seed,
                accuracy=0.9 - 0.1 * i,
                chosen=chosen,
                parameters=1000 * (5 - i),
            )
    return look(write_report(tmp_path / "study"))


def value(panel: Any, name: str) -> str:
    key = panel.locator(".key", has=panel.page.get_by_text(name, exact=True))
    return str(key.locator(".value").inner_text())


def test_page_says_what_came_out(one: Any) -> None:
    text = one.page.inner_text("body")
    for said in ("0.8900", "4 of 6", "89,602 of 130,006", "cpu, 1 threads", "0123456789ab"):
        assert said in text
    assert one.page.title() == "run"


def test_hover_shows_values_in_all_panels_and_moves_nothing(one: Any) -> None:
    before, ended = one.boxes(), value(one.panel(TAU), "τ(5)")
    one.over(TAU).hover(position={"x": 300, "y": 60})
    one.page.wait_for_timeout(50)
    reading = one.page.locator(".bar output").inner_text()
    assert reading not in ("iteration 1,000", "")
    assert value(one.panel(TAU), "τ(5)") not in ("", ended)
    assert value(one.panel(TAU), "τ(1)") != "–"  # it was still there
    assert value(one.panel(SHARE), "τ(1)") != "–"
    lines = [box["x"] for box in cursors(one)]
    assert len(lines) == 8
    assert max(lines) - min(lines) > 300  # in both columns
    assert one.boxes() == before
    one.page.mouse.move(5, 5)
    one.page.wait_for_timeout(50)
    assert one.page.locator(".bar output").inner_text() == "iteration 1,000"
    assert value(one.panel(TAU), "τ(1)") == "–"
    assert one.boxes() == before


def cursors(seen: Any) -> list[Any]:
    lines = seen.page.locator(".u-cursor-x")
    return [lines.nth(i).bounding_box() for i in range(lines.count())]


def test_hiding_a_layer_hides_it_in_all_panels(one: Any) -> None:
    before = {title: one.ink(title) for title in (TAU, SHARE, "accuracy")}
    network = one.page.locator(".network rect").first
    one.panel(TAU).get_by_role("button", name="τ(0)").click()
    for title in (TAU, SHARE):
        button = one.panel(title).get_by_role("button", name="τ(0)")
        assert button.get_attribute("aria-pressed") == "false"
        assert one.ink(title) != before[title]
    assert one.ink("accuracy") == before["accuracy"]
    assert float(network.get_attribute("opacity")) < 1
    one.panel(SHARE).get_by_role("button", name="τ(0)").click()
    assert {title: one.ink(title) for title in before} == before


def test_slider_moves_by_keyboard_and_the_network_follows(one: Any) -> None:
    slider = one.page.get_by_role("slider")
    slider.focus()
    before = one.boxes()
    assert "4 of 6 layers" in one.page.inner_text(".network")
    one.page.keyboard.press("Home")
    assert slider.get_attribute("aria-valuetext") == "iteration 0"
    assert "6 of 6 layers: Σ τ = 1" in one.page.inner_text(".network")
    assert value(one.panel(TAU), "τ(5)") == "0.1667"
    for _ in range(3):
        one.page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "iteration 3"
    assert one.boxes() == before


def test_everything_is_reached_by_the_tabulator(one: Any) -> None:
    reached = set()
    for _ in range(60):
        one.page.keyboard.press("Tab")
        reached.add(
            one.page.evaluate("document.activeElement.innerText || document.activeElement.type")
        )
    assert {"radio", "range", "settings"} <= reached
    assert any(str(name).startswith("τ(5)") for name in reached)
    one.panel(TAU).get_by_role("button", name="τ(2)").focus()
    one.page.keyboard.press("Space")
    hidden = one.panel(SHARE).get_by_role("button", name="τ(2)").get_attribute("aria-pressed")
    assert hidden == "false"


def test_axis_is_logarithmic_until_it_is_made_linear(one: Any) -> None:
    before, drawn = one.boxes(), one.ink(TAU)
    one.page.get_by_label("linear").check()
    assert one.ink(TAU) != drawn
    one.page.get_by_label("logarithmic").check()
    assert one.ink(TAU) == drawn
    assert one.boxes() == before


def test_dragging_zooms_all_panels_and_a_button_goes_back(one: Any) -> None:
    drawn = {title: one.ink(title) for title in (TAU, SHARE, "accuracy")}
    whole = one.page.get_by_role("button", name="whole run")
    assert whole.is_disabled()
    box = one.over(TAU).bounding_box()
    one.page.mouse.move(box["x"] + 200, box["y"] + 50)
    one.page.mouse.down()
    one.page.mouse.move(box["x"] + 400, box["y"] + 50, steps=4)
    one.page.mouse.up()
    for title, ink in drawn.items():
        assert one.ink(title) != ink, title
    whole.click()
    one.page.mouse.move(5, 5)
    assert {title: one.ink(title) for title in drawn} == drawn
    assert whole.is_disabled()


def test_what_was_removed_stands_in_a_table(one: Any) -> None:
    rows = one.page.get_by_role("region", name="layers that came and went").locator("tbody tr")
    assert rows.count() == 2
    assert rows.first.inner_text().split("\t")[:3] == ["500", "τ(1)", "removed"]


def test_64_layers_are_maps_with_a_button_for_each(deep: Any) -> None:
    assert deep.page.locator(".chip").count() == 64
    before, drawn = deep.boxes(), {t: deep.ink(t) for t in ("time steps τ by layer", TAU, SHARE)}
    deep.over("time steps τ by layer").hover(position={"x": 100, "y": 100})
    deep.page.wait_for_timeout(50)
    assert deep.boxes() == before
    assert "layer " in deep.panel("time steps τ by layer").inner_text()
    deep.page.locator(".chip", has_text="17").click()
    for title, ink in drawn.items():
        assert deep.ink(title) != ink, title
    deep.page.get_by_role("button", name="none", exact=True).click()
    assert deep.page.locator('.chip[aria-pressed="true"]').count() == 0
    deep.page.get_by_role("button", name="all", exact=True).click()
    deep.page.mouse.move(5, 5)
    assert {title: deep.ink(title) for title in drawn} == drawn


def test_everything_fits_into_the_window(one: Any, deep: Any, study: Any) -> None:
    for seen in (one, deep, study):
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 1366
        seen.page.set_viewport_size({"width": 700, "height": 768})
        seen.page.wait_for_timeout(400)
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 700


def test_dark_page_is_dark(one: Any) -> None:
    def paper() -> str:
        return str(one.page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light, drawn = paper(), one.ink(TAU)
    one.page.emulate_media(color_scheme="dark")
    one.page.wait_for_timeout(50)
    assert paper() != light
    assert one.ink(TAU) != drawn


def column(table: Any, number: int) -> list[str]:
    return [str(cell) for cell in table.locator(f"tbody td:nth-child({number})").all_inner_texts()]


def test_table_is_sorted_by_its_heads(study: Any) -> None:
    table = study.page.locator("table").first
    assert [reg.strip() for reg in column(table, 1)] == ["horizon", "l1", "l2"]
    head = table.get_by_role("button", name="test accuracy")
    head.click()
    assert column(table, 4) == ["0.8900", "0.7900", "0.6900"]
    head.click()
    assert column(table, 4) == ["0.6900", "0.7900", "0.8900"]
    table.get_by_role("button", name="reg", exact=True).click()
    assert [reg.strip() for reg in column(table, 1)] == ["horizon", "l1", "l2"]


def test_box_in_the_table_hides_a_setting_everywhere(study: Any) -> None:
    accuracy, points = "accuracy (val)", "test accuracy and parameters left, a point a run"
    drawn = {title: study.ink(title) for title in (accuracy, points, "hidden layers")}
    assert study.panel("τ: reg=l1").is_visible()
    box = study.page.get_by_label("show reg=l1")
    box.focus()
    study.page.keyboard.press("Space")
    assert not study.panel("τ: reg=l1").is_visible()
    assert study.panel("τ: reg=l2").is_visible()
    for title in (accuracy, points):
        assert study.ink(title) != drawn[title]
    box.check()
    assert study.panel("τ: reg=l1").is_visible()
    assert {title: study.ink(title) for title in drawn} == drawn


def test_hover_in_a_folder_shows_values_and_moves_nothing(study: Any) -> None:
    before = study.boxes()
    study.over("accuracy (val)").hover(position={"x": 300, "y": 60})
    study.page.wait_for_timeout(50)
    assert value(study.panel("Σ τ and the horizon T"), "reg=l1") not in ("", "–")
    assert value(study.panel("τ: reg=l1"), "τ(1)") not in ("", "–")
    assert study.boxes() == before


def test_run_in_which_nothing_was_recorded_has_a_page(tmp_path: Path, look: Any) -> None:
    run = write_run(tmp_path / "run", status="failed", reason="ValueError: no")
    (run / "tau.npz").unlink()
    (run / "metrics.csv").unlink()
    assert "failed: ValueError: no" in look(write_report(run)).page.inner_text("body")


def test_folder_with_a_damaged_run_says_which_and_why(tmp_path: Path, look: Any) -> None:
    for name in "abc":
        write_run(tmp_path / name)
    (tmp_path / "b" / "tau.npz").write_bytes(b"cut")
    seen = look(write_report(tmp_path))
    rows = seen.page.locator("details tbody tr")
    assert rows.first.inner_text().startswith("b\tunreadable: tau.npz: cannot be read")
    assert rows.count() == 3
