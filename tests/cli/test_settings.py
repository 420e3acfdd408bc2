"""What is refused before torch is imported, and what is left to others to judge."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from tests.conftest import Command, settings_in
from tvl_lightning.cli.settings import NEEDED, check_config
from tvl_lightning.limits import InputError

TRAIN = "tvl_lightning.train"

RICH = ["model=fractional", "projection=positive", "pruning=adaptive", "reg=l1"]
CONV, TRANSFORMER = ["model=conv"], ["model=transformer"]

REFUSED = [
    (RICH, "model.horizon=0", "must be a number above 0"),
    (RICH, "model.horizon=abc", "must be a number above 0"),
    (RICH, "model.horizon=true", "must be a number above 0"),
    (RICH, "model.horizon=[1]", "must be a number above 0"),
    (RICH, "model.horizon={a: 1}", "must be a number above 0"),
    (RICH, "model.hidden_layers=0", "must be a whole number in 1 ... 1000"),
    (RICH, "model.activation=null", "must be the name of an activation in torch.nn"),
    (RICH, "model.field=3", "must be a mapping with a _target_, or null"),
    (CONV, "model.widths=[]", "must be a list of whole numbers of at least 1"),
    (TRANSFORMER, "model.heads=0", "must be a whole number of at least 1"),
    (RICH, "reg.l1.weight=-1", "must be a number of at least 0"),
    (RICH, "reg.l1=null", "must be a mapping with a _target_; ~reg.l1 is none"),
    (RICH, "scheme.gamma=1.5", "must be a number in (0, 1]"),
    (RICH, "scheme.gamma=0", "must be a number in (0, 1]"),
    (RICH, "variant.constant_coefficients=abc", "must be true or false"),
    (RICH, "projection.eps=0", "must be a number above 0"),
    (RICH, "pruning.epsilon=1", "must be a number in [0, 1)"),
    (RICH, "data.val_size=1", "must be a number in [0, 1)"),
    (RICH, "engine.chunk=0", "must be a whole number of at least 1"),
    (RICH, "callbacks.recorder.interval=null", "must be a whole number of at least 1"),
    (RICH, "trainer.max_epochs=0", "must be a whole number of at least 1, or -1 for no end"),
    (RICH, "trainer.max_epochs=-2", "must be a whole number of at least 1, or -1 for no end"),
    (RICH, "trainer.logger=true", "must be left out: loggers are the group logger"),
    (RICH, "seed=-1", "must be a whole number in [0, 2^32)"),
    (RICH, "threads=0", "must be a whole number in 1 ... 1024, or null"),
    (RICH, "optimizer.momentum=-1", "must be a number of at least 0"),
    (RICH, "optimizer.lr=abc", "must be a number of at least 0"),
    (RICH, "optimizer.tau.lr=-1", "must be a number of at least 0, or null"),
    (["optimizer=adam"], "optimizer.betas=[0.9,1]", "must be two numbers in [0, 1)"),
    (["scheduler=step"], "scheduler.step_size=0", "must be a whole number of at least 1"),
    ([], "tau.initial=[true,1,1,1,1,1]", "must be a list of finite numbers, or null"),
    ([], "tau.initial=[1,2]", "must be 6 finite numbers, one for each hidden layer"),
    ([], "model._target_=5", "must be the dotted name of a class"),
    ([], "model._partial_=true", "must be left out"),
    ([], "tau._partial_=false", "must be true"),
    ([], "model.gamma=0.5", "perceptron takes no gamma; "),
    ([], "model.widht=3", "perceptron takes no widht; did you mean model.width?"),
    ([], "engine.chunks=3", "nothing takes it; did you mean engine.chunk?"),
    (["projection=simplex"], "projection.horizon=5", "ScaledSimplex takes no horizon; "),
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
    assert str(refused.value).startswith(f"{setting}: {message}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("value", [1e400, float("nan"), 10**400, -(10**400)])
def test_no_number_is_too_large_to_be_refused(value: float) -> None:
    cfg = OmegaConf.merge(composed("reg=l1"), {"reg": {"l1": {"weight": value}}})
    with pytest.raises(InputError, match=r"^reg\.l1\.weight="):
        check_config(cfg)


@pytest.mark.parametrize("name", NEEDED)
def test_what_a_run_is_made_of_must_be_there(name: str) -> None:
    cfg = composed().copy()
    del cfg[name]
    with pytest.raises(InputError, match=f"^{name}: is needed"):
        check_config(cfg)


@pytest.mark.parametrize(
    ("added", "told"),
    [
        ({"trainr": {"max_epochs": 1}}, "trainr: there is no such setting; did you mean trainer?"),
        ({"reg": {"l1": {"weight": 0.1}}}, "reg.l1.weight: nothing takes it; add reg=l1"),
        ({"pruning": {"epsilon": 0.1}}, "pruning.epsilon: nothing takes it; add pruning=adaptive"),
        ({"reg": {"mine": {"weight": 1}}}, "reg.mine.weight: nothing takes it; "),
        ({"model": {"_convert_": "all"}}, "model._convert_: a checkpoint takes _target_ and"),
        ({"model": {"_args_": [1]}}, "model._args_: a checkpoint takes _target_ and"),
    ],
)
def test_what_was_added_and_nothing_takes_is_refused_with_what_leads_there(
    added: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputError) as refused:
        check_config(OmegaConf.merge(composed(), added))
    assert str(refused.value).startswith(told)


@pytest.mark.parametrize(
    ("groups", "setting"),
    [
        ([], "model.width=1000000000"),
        (["model=conv"], "model.widths=[100000]"),
        (["model=transformer"], "model.width=1000000"),
    ],
)
def test_a_network_that_no_memory_holds_is_refused(groups: list[str], setting: str) -> None:
    cfg = OmegaConf.merge(composed(*groups), OmegaConf.from_dotlist([setting]))
    with pytest.raises(InputError, match=r"^model: .* parameters are more than the \d+ GiB"):
        check_config(cfg)


@pytest.mark.parametrize(
    "accepted",
    [
        ["+scheduler={_target_:torch.optim.lr_scheduler.ExponentialLR,_partial_:true,gamma:1.05}"],
        ["optimizer=adam", "+optimizer.eps=0"],
        ["optimizer._target_=torch.optim.RAdam", "+optimizer.weight_decay=-1"],
        ["+projection={_target_: mine.Projection, eps: 0}"],
        ["+reg={mine: {_target_: mine.Penalty, weight: -1}}"],
        ["data={_target_: mine.Data, batch_size: 0.5}"],
        ["trainer.max_epochs=-1"],
        ["callbacks.progress_bar=null", "logger=none"],
        ["+alpha=0.3", "reg=l1", "reg.l1.weight=${alpha}"],
        ["model.field={_target_: mine.Field, _partial_: true}"],
        ["+trainer.strategy={_target_: mine.Strategy, width: -1}"],
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
        ("model=cnn", "must be one of conv, fractional, resnet, transformer"),
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
    ("arguments", "why"),
    [
        (["tau=simplex", "reg=horizon"], "reg=horizon has nothing to penalise: with tau=simplex"),
        (["tau=simplex", "reg=l1"], "reg=l1 has nothing to penalise: with tau=simplex"),
        (["tau=final", "reg=horizon"], "reg=horizon has nothing to penalise: with tau=final"),
        (["tau=fixed", "reg=l1"], "reg=l1 has nothing to penalise: with tau=fixed"),
        (["tau=fixed", "reg=l2"], "reg=l2 has nothing to penalise: with tau=fixed"),
        (["projection=simplex", "reg=horizon"], "with projection=simplex"),
        (["tau=fixed", "tau.first_only=true", "reg=l1"], ""),
        (["tau=simplex", "reg=l2"], ""),
        (["reg=horizon"], ""),
        (["tau=simplex"], ""),
    ],
)
def test_a_penalty_that_cannot_change_anything_is_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, arguments: list[str], why: str
) -> None:
    check_config(OmegaConf.create(settings_in(tmp_path, *arguments)))
    assert (why in caplog.text) if why else not caplog.text
