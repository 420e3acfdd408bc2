"""What docs/cluster.md and docs/sweeps.md show is understood; cli/test_launchers.py runs it."""

import importlib.util
import os
import re
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins

from tests.conftest import REPOSITORY, hydra_as_it_was
from tvl_lightning.cli.commands import CONFIG_PATH
from tvl_lightning.cli.folders import register_resolvers

FULL = Path(os.environ.get("TVL_DATA", REPOSITORY.parent / "shared" / "data")).resolve()
PAGE = (REPOSITORY / "docs" / "cluster.md").read_text()
STUDY = (REPOSITORY / "docs" / "sweeps.md").read_text()
COMMAND = re.compile(r"^    python -m tvl_lightning\.train (?:-m )?(.*)$", re.M)
TRAIN = [shlex.split(line) for line in COMMAND.findall(PAGE)]
GRIDS = [shlex.split(line) for line in COMMAND.findall(STUDY) if "interval(" not in line]
PACKAGES = {"ray": "hydra_ray_launcher", "submitit_slurm": "hydra_submitit_launcher"}
# settings of launchers, wherever the page names them
ASIDE = [
    ["hydra/launcher=ray" if ".ray." in text else "hydra/launcher=submitit_slurm", text]
    for text in re.findall(r"\+?hydra\.launcher\.[\w.]+=(?:\{.*?\}|[^\s`']+)", PAGE)
]


@pytest.mark.parametrize("overrides", [*TRAIN, *GRIDS, *ASIDE], ids=" ".join)
def test_settings_of_the_page_are_known(overrides: list[str]) -> None:
    for launcher, package in PACKAGES.items():
        found = importlib.util.find_spec(f"hydra_plugins.{package}")
        if f"hydra/launcher={launcher}" in overrides and found is None:
            pytest.skip(f"{package} is not installed")
    register_resolvers()
    Plugins.instance()
    with hydra_as_it_was(), initialize_config_dir(CONFIG_PATH, version_base="1.3"):
        first = [
            next(o.sweep_string_iterator())
            if o.is_sweep_override()
            else o.get_value_element_as_str()
            for o in OverridesParser.create().parse_overrides(overrides)
        ]
        keys = [text.partition("=")[0] for text in overrides]
        single = [f"{key}={value}" for key, value in zip(keys, first, strict=True)]
        cfg = compose("train", single, return_hydra_config=True)
    assert "_target_" in cfg.hydra.launcher


def test_the_page_shows_a_command_for_each_launcher() -> None:
    shown = {word for command in TRAIN for word in command if word.startswith("hydra/launcher=")}
    assert shown == {f"hydra/launcher={launcher}" for launcher in PACKAGES}
    assert len(ASIDE) >= 5


def test_the_data_of_the_page_are_prepared() -> None:
    [code] = re.findall(r'^    python -c "(.*)"$', PAGE, re.M)
    if not FULL.is_dir():
        pytest.skip(f"the full data sets are not in {FULL}; name their folder in TVL_DATA")
    exec(code.replace("/shared/data", str(FULL)), {})
