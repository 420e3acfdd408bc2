"""Choices that do not exist, or of which one would drop another, are refused before anything is."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tvl_lightning.cli.choices import (
    CONFIG_PATH,
    check_choices,
    command_line,
    groups_in,
    nearest,
    suggestion,
    typed,
)
from tvl_lightning.limits import InputError


def refusal_of(line: str) -> str:
    with pytest.raises(InputError) as refused:
        check_choices(command_line(shlex.split(line)))
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("experiment=figure_44", "experiment=figure_4_4"),
        ("setup=horizn", "setup=horizon"),
        ("hparams_search=penalty", "hparams_search=penalties"),
        ("variant=author", "variant=authors"),
        ("model=resnt", "model=resnet"),
        ("reg=[l1,horizn]", "reg=horizon"),
        ("-m model=resnet,transfomer", "model=transformer"),
    ],
)
def test_a_misspelt_choice_is_answered_with_all_and_the_nearest(line: str, meant: str) -> None:
    group = meant.partition("=")[0]
    line = refusal_of(line)
    assert f"must be one of {', '.join(groups_in([Path(CONFIG_PATH)])[group])}" in line
    assert line.endswith(f"; did you mean {meant}?")


@pytest.mark.parametrize(
    "value", ["null", "3", "1.5", "true", "''", "[]", "[1]", "[null]", "[[l1]]"]
)
@pytest.mark.parametrize("group", groups_in([Path(CONFIG_PATH)]))
def test_no_group_takes_what_is_no_name(group: str, value: str) -> None:
    assert refusal_of(f"{group}={value}").startswith(f"{group}=")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("setup=l1 reg=horizon", "reg=horizon, and setup=l1, which sets reg=l1"),
        ("setup=fixed tau=learned", "tau=learned, and setup=fixed, which sets tau=fixed"),
        ("model=fractional scheme=heun", "which sets scheme=fractional"),
        ("setup=l1 hparams_search=penalties", "which sets reg=[l1,horizon]"),
        ("-m setup=l1,horizon reg=l1", "setup=horizon, which sets reg=horizon"),
        ("reg=l1 reg=horizon", "the second would drop the first; reg=[l1,horizon] is both"),
        ("model=conv model=resnet", "the second would drop the first; leave one out"),
        ("model=[resnet,conv]", "takes one choice; -m model=resnet,conv runs each"),
        ("reg=[l1,l1]", "must name each choice once"),
        ("reg=[none,l1]", "and none alone"),
        ("model=../data/mnist", "must be one of"),
    ],
)
def test_of_two_choices_none_is_dropped_without_a_word(line: str, told: str) -> None:
    assert told in refusal_of(line)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "setup=l1 tau=learned reg=l1",
        "reg=l1 reg=l1",
        "model=fractional projection=simplex",
        "experiment=figure_4_4 data=mnist setup=simplex model=fractional",
        "-m reg=none,l1,[l1,horizon] model=resnet,conv seed=0,1",
        "logger=[tensorboard,csv] callbacks=[swa,lr_monitor]",
        "hydra/launcher=joblib seed=nonsense ~reg model={width:3}",
        "-sc query=bash",
        "-cd model=resnt",
    ],
)
def test_what_agrees_passes_and_what_is_no_choice_is_left_to_others(line: str) -> None:
    check_choices(command_line(shlex.split(line)))


def test_choices_of_ones_own_are_choices(tmp_path: Path) -> None:
    (tmp_path / "reg" / "deep").mkdir(parents=True)
    (tmp_path / "reg" / "entropy.yaml").write_text("entropy: {_target_: mine.Entropy}")
    (tmp_path / "reg" / "deep" / "one.yaml").write_text("{}")
    for flag in ("--config-dir", "-cd"):
        line = [flag, str(tmp_path), "reg=[entropy,l1]"]
        check_choices(command_line(line))
        check_choices(command_line([*line[:2], "reg=deep/one"]))
    with pytest.raises(InputError, match="did you mean reg=entropy"):
        check_choices(command_line(["--config-dir", str(tmp_path), "reg=entrpy"]))
    with pytest.raises(InputError, match=r"^reg=entropy: must be one of horizon, l1, l2, none$"):
        check_choices(command_line(["reg=entropy"]))


def test_the_command_line_is_what_hydra_reads() -> None:
    line = command_line(["-m", "a=1", "--config-dir", "here", "+b=2", "-cn", "other", "~c"])
    assert line.overrides == ["a=1", "+b=2", "~c"]
    assert line.folders == [Path("here"), Path(CONFIG_PATH)]
    assert line.config == "other"


KNOWN = {"model", "model.width", "reg", "trainer", "trainer.max_epochs", "model.tau.initial"}


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("model.widht", "did you mean model.width?"),
        ("trainer.max_epoch", "did you mean trainer.max_epochs?"),
        ("trianer.max_epochs", "did you mean trainer.max_epochs?"),
        ("modle", "did you mean model?"),
        ("reg.l1.weight", "add reg=l1"),
        ("pruning.epsilon", "add pruning=adaptive"),
        ("initial", "did you mean model.tau.initial?"),
        (
            "model.learn_gamma",
            "scheme.learn_gamma comes with scheme=fractional or model=fractional",
        ),
        ("model.epsilom", "did you mean pruning.epsilon?"),
        ("model.nonsense", ""),
        ("nonsense", ""),
    ],
)
def test_a_key_that_does_not_exist_is_answered_with_what_leads_there(key: str, said: str) -> None:
    assert suggestion(key, KNOWN) == said


def test_nothing_is_suggested_that_is_not_near() -> None:
    assert nearest("resnt", ["resnet", "conv"]) == "resnet"
    assert nearest("cnn", ["resnet", "transformer"]) is None


def test_values_are_shown_as_they_are_typed() -> None:
    shown = [typed(v) for v in (None, True, "", "a b", [1, None], {"a": False}, 1e-4)]
    assert shown == ["null", "true", "''", "a b", "[1,null]", "{a: false}", "0.0001"]
    assert len(typed("x" * 1000)) == 80


def test_choices_are_judged_without_torch() -> None:
    code = "import sys, tvl_lightning.cli.choices; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
