"""What is refused before torch is imported, and what is left to others to judge."""

from functools import cache
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from tests.conftest import Command, settings_in
from tvl_lightning.cli.settings import check_config
from tvl_lightning.limits import InputError

TRAIN = "tvl_lightning.train"

RICH = ["model=fractional", "projection=positive", "pruning=adaptive", "reg=l1"]
CONV, TRANSFORMER = ["model=conv"], ["model=transformer"]

REFUSED = [
    (RICH, "model.horizon=0", "must be a number above 0"),
    (RICH, "model.horizon=abc", "must be a number above 0"),
    (RICH, "model.hidden_layers=0", "must be a whole number of at least 1"),
    (CONV, "model.widths=[]", "must be a list of whole numbers of at least 1"),
    (TRANSFORMER, "model.heads=0", "must be a whole number of at least 1"),
    (RICH, "reg.l1.weight=-1", "must be a number of at least 0"),
    (RICH, "scheme.gamma=1.5", "must be a number in (0, 1]"),
    (RICH, "scheme.gamma=0", "must be a number in (0, 1]"),
    (RICH, "projection.eps=0", "must be a number above 0"),
    (RICH, "pruning.epsilon=1", "must be a number in [0, 1)"),
    (RICH, "data.val_size=1", "must be a number in [0, 1)"),
    (RICH, "engine.chunk=0", "must be a whole number of at least 1"),
    (RICH, "callbacks.recorder.interval=0", "must be a whole number of at least 1"),
    (RICH, "trainer.max_epochs=-1", "must be a whole number of at least 0"),
    (RICH, "seed=-1", "must be a whole number in [0, 2^32)"),
]


@cache
def composed(*overrides: str) -> DictConfig:
    return OmegaConf.create(settings_in(Path(), *overrides))


@pytest.mark.parametrize(("groups", "setting", "message"), REFUSED)
def test_a_value_outside_the_limits_of_its_class_is_named_as_it_is_typed(
    groups: list[str], setting: str, message: str
) -> None:
    cfg = OmegaConf.merge(composed(*groups), OmegaConf.from_dotlist([setting]))
    with pytest.raises(InputError) as refused:
        check_config(cfg)
    assert str(refused.value) == f"{setting}: {message}"


@pytest.mark.parametrize(
    "accepted",
    [
        ["scheduler={_target_:torch.optim.lr_scheduler.ExponentialLR,_partial_:true,gamma:1.05}"],
        ["optimizer=adam", "+optimizer.eps=0"],
        ["+optimizer.weight_decay=-1"],
        ["+projection={_target_: mine.Projection, eps: 0}"],
        ["+reg={mine: {_target_: mine.Penalty, weight: -1}}"],
        ["data={_target_: mine.Data, batch_size: 0.5}"],
    ],
)
def test_arguments_of_other_peoples_classes_are_theirs_to_judge(
    tmp_path: Path, accepted: list[str]
) -> None:
    check_config(OmegaConf.create(settings_in(tmp_path, *accepted)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("model.horizon=0", "model.horizon=0: must be a number above 0"),
        ("model=cnn", "Available options in 'model': conv fractional resnet transformer"),
    ],
)
def test_a_refusal_is_one_line_before_torch_is_imported(
    command: Command, tmp_path: Path, arguments: str, message: str
) -> None:
    (tmp_path / "torch.py").write_text("raise AssertionError('torch was imported')")
    done = command(TRAIN, arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("outputs/train/*/*/checkpoints"))


@pytest.mark.parametrize(
    ("arguments", "warned"),
    [(["tau=simplex", "reg=horizon"], True), (["reg=horizon"], False), (["tau=simplex"], False)],
)
def test_a_horizon_penalty_on_the_simplex_is_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, arguments: list[str], warned: bool
) -> None:
    check_config(OmegaConf.create(settings_in(tmp_path, *arguments)))
    assert ("reg=horizon has nothing to penalise" in caplog.text) is warned
