"""A report as one page that asks for nothing: script, style and data are in it.

What comes from a run directory is in the page as JSON only, which no browser runs, and reaches the
screen as text. The page's policy names the hashes of its own script and style: any other is not
run, and nothing is fetched.
"""

import base64
import hashlib
import json
from importlib.resources import files
from typing import Any

from tvl_lightning.drawing.palette import COLOURS

_ASSETS = files(__package__) / "assets"
_SCRIPTS = (
    "uPlot.iife.min.js",
    *("view.js", "colours.js", "plots.js", "lines.js", "map.js", "points.js"),
    *("network.js", "tables.js", "page.js"),
)
_STYLES = ("uPlot.min.css", "page.css")


def page(content: dict[str, Any]) -> str:
    """The page that shows `content`, which is plain data: see `panels`."""
    script, style = (_joined(names) for names in (_SCRIPTS, _STYLES))
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    shown = {**content, "palette": COLOURS}
    data = json.dumps(shown, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    text = _text("page.html")
    for name, value in {"POLICY": policy, "STYLE": style, "SCRIPT": script}.items():
        text = text.replace(f"@{name}@", value)
    before, after = text.split("@DATA@")  # last, and once: data may hold any of these words
    return before + data + after


def _joined(names: tuple[str, ...]) -> str:
    return "\n".join(_text(name) for name in names)


def _text(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
