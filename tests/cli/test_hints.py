"""Whose mistake an error is: a setting's in one line, code's with its traceback."""

import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, MissingConfigException
from hydra.utils import instantiate
from lightning import Trainer
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import nn
from torch.optim import SGD

from tests.conftest import hydra_as_it_was
from tvl_lightning.cli.choices import CONFIG_PATH
from tvl_lightning.cli.folders import register_resolvers
from tvl_lightning.cli.hints import blaming, explained
from tvl_lightning.limits import InputError

MINE = """
from tvl_lightning.limits import InputError

class Part:
    def __init__(self, size=1, word="x"):
        if word == "KeyError":
            raise KeyError("labels")
        if word == "TypeError":
            self.make(1, 2, 3)
        if word == "ImportError":
            import a_package_that_is_not_there
        if word == "AttributeError":
            self.nothing.at_all
        if word == "InputError":
            raise InputError("size=1: must be 2")
        if word == "torch":
            import torch
            torch.zeros(2) @ torch.zeros(3)

    def make(self, one):
        pass
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module of the user's own, and two that cannot be imported."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "misspelt.py").write_text("import a_package_that_is_not_there")
    (tmp_path / "unfinished.py").write_text("class Part(:")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in ("mine", "misspelt", "unfinished"):
        sys.modules.pop(name, None)


def made(**config: Any) -> str | None:
    """What is said about an instantiation that fails; None where it keeps its traceback."""
    with pytest.raises(Exception) as failed:  # noqa: PT011
        instantiate(OmegaConf.create({"data": config}))
    return explained(failed.value)


@pytest.mark.parametrize(
    "word", ["KeyError", "TypeError", "ImportError", "AttributeError", "torch"]
)
def test_a_bug_in_the_users_own_code_keeps_its_traceback(mine: Path, word: str) -> None:
    assert made(_target_="mine.Part", word=word) is None


def test_what_the_users_own_code_refuses_is_one_line(mine: Path) -> None:
    assert made(_target_="mine.Part", word="InputError") == "size=1: must be 2"


def test_arguments_that_do_not_fit_the_users_own_code_are_one_line(mine: Path) -> None:
    line = made(_target_="mine.Part", siz=3)
    assert line == "data.siz: Part takes no siz; did you mean data.size?"


@pytest.mark.parametrize("module", ["misspelt", "unfinished"])
def test_a_module_that_cannot_be_imported_keeps_its_traceback(mine: Path, module: str) -> None:
    assert made(_target_=f"{module}.Part") is None


@pytest.mark.parametrize(
    "target", ["mine.Prt", "nowhere.Part", "tvl_lightning.netwrks.perceptron", "torch.optim.SDG"]
)
def test_a_class_that_is_not_there_is_one_line(mine: Path, target: str) -> None:
    line = made(_target_=target)
    assert line is not None
    assert line.startswith(f"data._target_={target}: cannot be found (")


def test_what_a_class_needs_is_said() -> None:
    assert made(_target_="tvl_lightning.penalties.L1") == "data: L1 needs weight"


def test_a_bug_in_our_own_code_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tvl_lightning.penalties.check", None)
    assert made(_target_="tvl_lightning.penalties.L1", weight=1) is None


def blamed(key: str, target: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    with pytest.raises(InputError) as refused, blaming(key, target):
        target(*args, **kwargs)
    return str(refused.value)


def test_what_a_library_refuses_is_a_line_with_its_setting() -> None:
    weights = nn.Linear(2, 2).parameters()
    assert blamed("optimizer", SGD, weights, lr=-1.0) == "optimizer: Invalid learning rate: -1.0"
    assert blamed("trainer", Trainer, accelerator="abc").startswith("trainer: You selected an inv")
    assert (
        blamed("trainer", Trainer, max_epoch=1)
        == "trainer.max_epoch: Trainer takes no max_epoch; did you mean trainer.max_epochs?"
    )
    line = blamed("trainer", Trainer, fast_dev_run=True, overfit_batches=-1)
    assert line.startswith("trainer: ")
    partial = instantiate({"_target_": "torch.optim.SGD", "_partial_": True, "momentun": 1})
    assert (
        blamed("optimizer", partial, nn.Linear(2, 2).parameters())
        == "optimizer.momentun: SGD takes no momentun; did you mean optimizer.momentum?"
    )


def test_what_the_users_own_optimizer_raises_goes_on(mine: Path) -> None:
    import mine as module  # type: ignore[import-not-found]

    with pytest.raises(KeyError, match="labels"), blaming("optimizer", module.Part):
        module.Part(word="KeyError")


def composed(line: str) -> str | None:
    """What is said about a command line that Hydra does not compose."""
    arguments = shlex.split(line)
    register_resolvers()
    with (
        hydra_as_it_was(),
        pytest.raises(HydraException) as failed,
        initialize_config_dir(CONFIG_PATH, version_base="1.3"),
    ):
        compose("train", arguments)
    return explained(failed.value, arguments)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "trainer.max_epoch=3",
            "trainer.max_epoch: there is no such setting; did you mean trainer.max_epochs?",
        ),
        ("model.widht=3", "model.widht: there is no such setting; did you mean model.width?"),
        ("modle=resnet", "modle: there is no such setting; did you mean model?"),
        (
            "model=conv model.width=3",
            "model.width: there is no such setting; did you mean model.widths?",
        ),
        ("reg.l1.weight=0.1", "reg.l1.weight: there is no such setting; add reg=l1"),
        (
            "reg=[l1,l2] reg.l1.wieght=0.1",
            "reg.l1.wieght: there is no such setting; did you mean reg.l1.weight?",
        ),
        (
            "trainer.max_steps=5",
            "trainer.max_steps: there is no such setting; "
            "+trainer.max_steps=5 hands it to lightning.Trainer",
        ),
        ("seed=[1", "seed=[1: cannot be read: no viable alternative at input '[1'"),
        ("reg=l1,l2", "reg=l1,l2: is a sweep, for -m; for a list, reg=[l1,l2]"),
    ],
)
def test_what_hydra_refuses_is_answered_with_what_leads_there(line: str, said: str) -> None:
    assert composed(line) == said


def test_an_interpolation_that_leads_nowhere_is_named() -> None:
    cfg = OmegaConf.create({"model": {"tau": "${tau}"}})
    with pytest.raises(OmegaConfBaseException) as failed:
        OmegaConf.to_container(cfg, resolve=True)
    assert explained(failed.value) == "model.tau: refers to tau, which is not there"


def test_a_setting_of_another_model_is_answered_with_that_model() -> None:
    line = composed("model.gamma=0.5")
    assert line is not None
    assert "scheme.gamma comes with scheme=fractional or model=fractional" in line


def test_a_launcher_that_does_not_exist_is_answered_with_the_nearest() -> None:
    line = composed("hydra/launcher=bsic")
    assert line is not None
    assert line.endswith("; did you mean basic?")


def test_the_keys_of_ones_own_configuration_are_known(tmp_path: Path) -> None:
    (tmp_path / "reg").mkdir()
    (tmp_path / "reg" / "entropy.yaml").write_text("entropy: {_target_: mine.Entropy, scale: 1}")
    error = HydraException("Could not override 'reg.entropy.scael'.\nTo append use +reg...")
    line = explained(error, ["--config-dir", str(tmp_path), "reg=entropy", "reg.entropy.scael=2"])
    assert line == "reg.entropy.scael: there is no such setting; did you mean reg.entropy.scale?"


def test_an_input_error_is_its_own_line_however_deep_it_lies() -> None:
    error = HydraException("Error in call to target")
    error.__cause__ = ValueError("between")
    error.__cause__.__cause__ = InputError("model.width=0:\n  must be 1")
    assert explained(error) == "model.width=0: must be 1"


def test_any_other_error_keeps_its_traceback() -> None:
    for error in (ZeroDivisionError(), KeyError("x"), RuntimeError("mat1 and mat2 shapes")):
        assert explained(error) is None


@pytest.mark.parametrize(
    ("launcher", "extra"), [("joblib", "parallel"), ("ray", "ray"), ("submitit_slurm", "slurm")]
)
def test_a_launcher_that_hydra_does_not_find_names_what_brings_it(
    launcher: str, extra: str
) -> None:
    with (
        initialize_config_dir(CONFIG_PATH, version_base="1.3"),
        pytest.raises(MissingConfigException) as info,
    ):
        compose("train", ["hydra/launcher=nowhere"])
    assert "nowhere" in str(explained(info.value))
    error = MissingConfigException(str(info.value).replace("nowhere", launcher))
    assert explained(error) == (
        f"hydra/launcher={launcher}: is not installed; pip install 'tvl-lightning[{extra}]'"
    )
