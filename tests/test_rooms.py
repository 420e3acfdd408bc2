"""The rooms of the package: imports point down, and the ground stays light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tvl_lightning
from tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "tvl_lightning"

# from the ground up; a room may import from those before it, and from itself
FLOORS = [
    {"limits"},
    {"files"},
    {"networks"},
    {"penalties", "constraints"},
    {"drawing"},
    {"data"},
    {"training"},
    {"runs"},
    {"cli"},
    {"train", "evaluate", "table", "report"},
    {"paper"},
]
TORCH_ONLY = {"networks", "penalties", "constraints"}
WHAT_TORCH_ONLY_IS = {"torch", "tvl_lightning"} | sys.stdlib_module_names

FILES = sorted(PACKAGE.rglob("*.py"))
IDS = [str(path.relative_to(PACKAGE)) for path in FILES]
every_file = pytest.mark.parametrize("path", FILES, ids=IDS)


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor_of(room: str) -> int:
    [floor] = [number for number, rooms in enumerate(FLOORS) if room in rooms]
    return floor


def rooms_imported(path: Path) -> set[str]:
    parts = (name.split(".") for name in imports(path))
    return {p[1] for p in parts if p[0] == "tvl_lightning" and len(p) > 1} - {"__version__"}


@every_file
def test_imports_point_down(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":  # the public names, imported lazily
        return
    above = {
        other
        for other in rooms_imported(path)
        if other != room and floor_of(other) >= floor_of(room)
    }
    assert not above, f"{room} imports {above}"


def test_every_room_has_its_floor() -> None:
    rooms = {room_of(path) for path in FILES} - {"__init__"}
    assert rooms <= set().union(*FLOORS)


def test_nothing_imports_the_paper() -> None:
    assert not [p for p in FILES if room_of(p) != "paper" and "paper" in rooms_imported(p)]


@every_file
def test_networks_penalties_and_constraints_need_torch_only(path: Path) -> None:
    if room_of(path) in TORCH_ONLY:
        needed = {name.split(".")[0] for name in imports(path)}
        assert needed <= WHAT_TORCH_ONLY_IS


@every_file
def test_drawing_needs_numpy_and_matplotlib_only(path: Path) -> None:
    if room_of(path) == "drawing":
        assert rooms_imported(path) <= {"drawing"}
        needed = {name.split(".")[0] for name in imports(path)}
        assert needed <= {"numpy", "matplotlib", "tvl_lightning"} | sys.stdlib_module_names


@every_file
def test_no_private_name_of_lightning_or_hydra_is_imported(path: Path) -> None:
    private = [
        name
        for name in imports(path)
        if name.split(".")[0] in ("lightning", "hydra", "omegaconf")
        and any(part.startswith("_") for part in name.split("."))
    ]
    assert not private


def test_every_public_name_is_there() -> None:
    for name in tvl_lightning.__all__:
        assert getattr(tvl_lightning, name).__name__ == name
    with pytest.raises(AttributeError, match="nonsense"):
        _ = tvl_lightning.nonsense


def test_importing_the_package_imports_neither_torch_nor_lightning_nor_hydra() -> None:
    code = "import sys, tvl_lightning; print({'torch', 'lightning', 'hydra'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
