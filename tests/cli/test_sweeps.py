"""How the jobs of a sweep are called, and by what they are known again."""

import re
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from tvl_lightning.cli.jobs import STATE, State, has_ended, note, state_of, with_result
from tvl_lightning.cli.recipes import base_of, recipe
from tvl_lightning.cli.sweeps import axes_of, telling_name
from tvl_lightning.files import write_json


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        (["reg=l1", "seed=0"], "reg-l1_seed-0"),
        (["reg=[l1,horizon]"], "reg-l1+horizon"),
        (["+optimizer.momentum=0.9"], "optimizer.momentum-0.9"),
        (["data.root=/home/me/../data"], "data.root-home+me+..+data"),
        (["model.width=12", "data.batch_size=50"], "model.width-12_data.batch_size-50"),
        (["tau.initial=[-1e-3,1]"], "tau.initial--1e-3+1"),
        (["x=''"], "x-none"),
        (["x=größe"], "x-gr+e"),
        ([], "run"),
    ],
)
def test_a_name_tells_the_values(overrides: list[str], name: str) -> None:
    assert telling_name(overrides) == name


def test_a_long_name_ends_in_a_digest() -> None:
    one, other = (telling_name([f"x={'a' * 300}{end}"]) for end in "bc")
    assert len(one) == len(other) == 100
    assert one != other
    assert re.fullmatch(r"x-a+-[0-9a-f]{8}", one)


def test_no_name_leads_out_of_the_sweep(tmp_path: Path) -> None:
    for text in ("/etc/passwd", "../..", "..", ".", "a\\b", "\0", "~"):
        assert (tmp_path / telling_name([f"x={text}"])).resolve().parent == tmp_path


def test_axes_are_all_values_of_each_key_and_the_last_of_two_counts() -> None:
    given = [
        "reg=l1,l2",
        "seed=range(0,3)",
        "model.width=12",
        "tau=choice(fixed,final)",
        "seed=7,8",
    ]
    assert axes_of(OverridesParser.create().parse_overrides(given)) == {
        "reg": ["reg=l1", "reg=l2"],
        "seed": ["seed=7", "seed=8"],
        "model.width": ["model.width=12"],
        "tau": ["tau=fixed", "tau=final"],
    }


def test_an_interval_is_no_grid() -> None:
    with pytest.raises(HydraException, match="has no end of values"):
        axes_of(OverridesParser.create().parse_overrides(["optimizer.lr=interval(0,1)"]))


class Source:
    schema = "file"

    def __init__(self, path: Path) -> None:
        self.path = str(path)


def base(folder: Path) -> str | None:
    return base_of("train", [Source(folder)])


def test_what_jobs_are_composed_of_is_known_by_its_files(tmp_path: Path) -> None:
    (tmp_path / "reg").mkdir()
    (tmp_path / "reg" / "l1.yaml").write_text("weight: 1")
    first = base(tmp_path)
    assert first == base(tmp_path)
    (tmp_path / "reg" / "l1.yaml").write_text("weight: 2")
    second = base(tmp_path)
    (tmp_path / "reg" / "l1.yaml").rename(tmp_path / "reg" / "l3.yaml")
    third = base(tmp_path)
    assert len({first, second, third, base_of("evaluate", [Source(tmp_path)])}) == 4


def test_nothing_is_known_where_the_environment_has_a_say(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("width: ${oc.env:WIDTH}")
    assert base(tmp_path) is None
    assert recipe(None, ["seed=0"]) is None
    assert recipe("base", ["model.width=${oc.env:WIDTH}"]) is None


def test_a_recipe_is_the_same_in_another_order_where_that_makes_no_difference() -> None:
    assert recipe("base", ["reg=l1", "seed=0"]) == recipe("base", ["seed=0", "reg=l1"])
    assert recipe("base", ["seed=0"]) == recipe("base", ["seed=0", "resume=auto"])
    one, other = ["reg={}", "+reg.x=1"], ["+reg.x=1", "reg={}"]
    assert recipe("base", one) != recipe("base", other)
    assert recipe("base", ["seed=0"]) not in (
        recipe("other", ["seed=0"]),
        recipe("base", ["seed=1"]),
    )


def test_what_depends_on_the_order_does_not_keep_the_rest_in_order() -> None:
    nested = ["trainer=cpu", "trainer.max_epochs=1"]
    assert recipe("base", [*nested, "a=1", "b=2"]) == recipe("base", ["b=2", "a=1", *nested])
    assert recipe("base", [*nested, "a=1"]) != recipe("base", [*nested[::-1], "a=1"])


def test_a_run_has_ended_as_long_as_its_summary_is_that_of_its_end(tmp_path: Path) -> None:
    assert state_of(tmp_path) == State()
    write_json(tmp_path / "summary.json", {"status": "finished", "reason": None})
    state = with_result(State("sweep", "running", recipe="recipe"), tmp_path)
    note(tmp_path, state)
    assert state_of(tmp_path) == state
    assert has_ended(tmp_path, state)
    assert not has_ended(tmp_path, state._replace(status="stopped"))
    write_json(tmp_path / "summary.json", {"status": "finished", "reason": "trainer.max_steps"})
    assert not has_ended(tmp_path, state)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"status": "finished"}', '{"other": 1}', '{"recipe": [1], "status": {}}'],
)
def test_a_damaged_note_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / STATE).write_text(text)
    assert not has_ended(tmp_path, state_of(tmp_path))
