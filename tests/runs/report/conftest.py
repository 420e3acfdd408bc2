"""A real browser, which keeps what it is told and what it asks for."""

from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import pytest

CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")


class Looking:
    """An open page, what its console said, and what it asked for."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    def panel(self, title: str) -> Any:
        return self.page.get_by_role("region", name=title, exact=True)

    def over(self, title: str) -> Any:
        """What of a panel takes the mouse."""
        return self.panel(title).locator(".u-over")

    def boxes(self) -> list[Any]:
        """Where everything is but the line at the pointer."""
        return self.page.evaluate(
            """[...document.querySelectorAll("body *")]
               .filter((e) => !e.closest(".u-over") && !e.closest("svg"))
               .map((e) => { const b = e.getBoundingClientRect();
                             return [e.tagName, e.className, b.x, b.y, b.width, b.height]; })"""
        )

    def ink(self, title: str) -> str:
        """What is drawn in a panel."""
        canvas = self.panel(title).locator(".plot canvas")
        return str(canvas.evaluate("(canvas) => canvas.toDataURL()"))


@pytest.fixture(scope="module")  # two drivers do not live side by side
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def look(chromium: Any) -> Iterator[Any]:
    """`look(path)` opens a page at 1366 x 768; it must not complain, nor ask for anything."""
    opened: list[Looking] = []
    context = chromium.new_context(viewport={"width": 1366, "height": 768})

    def open_page(path: Path) -> Looking:
        looking = Looking(context.new_page())
        looking.page.goto(path.resolve().as_uri())
        opened.append(looking)
        return looking

    yield open_page
    for looking in opened:
        assert looking.said == []
        assert len(looking.asked) == 1  # itself
    context.close()
