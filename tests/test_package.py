"""The package as it is installed and imported."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import tvl_lightning
from tests.conftest import REPOSITORY, SMALL


def test_the_public_names_are_there() -> None:
    for name in tvl_lightning.__all__:
        assert getattr(tvl_lightning, name).__name__ == name
    with pytest.raises(AttributeError, match="nonsense"):
        tvl_lightning.nonsense  # noqa: B018


def test_torch_is_imported_only_with_what_needs_it() -> None:
    code = "import sys, tvl_lightning; print({'torch', 'lightning', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"


@pytest.mark.slow
def test_the_wheel_trains_outside_the_checkout(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    subprocess.run([*build, str(REPOSITORY)], check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "tvl_lightning/conf/train.yaml" in names
    assert "tvl_lightning/py.typed" in names

    # an environment with the wheel alone, which borrows the dependencies of this one
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    [site] = (tmp_path / "env").glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(site)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)

    python = tmp_path / "env" / "bin" / "python"
    work = tmp_path / "work"
    work.mkdir()
    where = [python, "-c", "import tvl_lightning; print(tvl_lightning.__file__)"]
    found = subprocess.run(where, cwd=work, check=True, capture_output=True, text=True).stdout
    assert found.startswith(str(site))
    train = [python, "-m", "tvl_lightning.train", *SMALL, "model=fractional", "reg=horizon"]
    subprocess.run([*train, "trainer.max_epochs=1"], cwd=work, check=True, capture_output=True)
    assert len(list(work.glob("outputs/train/*/*/summary.json"))) == 1
