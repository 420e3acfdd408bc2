"""How runs differ."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.runs.report.made_up import settings, write_run
from tvl_lightning.runs.report.differing import Differing, differing, labels
from tvl_lightning.runs.report.gather import read_record
from tvl_lightning.runs.report.record import Record


@pytest.fixture
def plain(tmp_path: Path) -> Record:
    return read_record(write_run(tmp_path / "run"), "run")


def runs(plain: Record, *groups: dict[str, Any], **common: Any) -> Differing:
    return differing([replace(plain, settings=settings(**g), seed="0", **common) for g in groups])


def shown(found: Differing) -> list[str]:
    return labels(found.columns, found.settings)


def test_any_setting_can_tell_runs_apart(plain: Record) -> None:
    found = runs(plain, {"optimizer": {"lr": 0.1}}, {"optimizer": {"lr": 0.01}})
    assert found.columns == ["optimizer.lr"]
    assert shown(found) == ["optimizer.lr=0.01", "optimizer.lr=0.1"]


def test_seeds_are_no_setting(plain: Record) -> None:
    found = runs(plain, {"seed": 0}, {"seed": 1}, {"seed": 2, "reg": {}})
    assert [len(s.records) for s in found.settings] == [2, 1]
    assert shown(found) == ["reg=l1", "reg=none"]


def test_where_a_run_lies_is_no_setting(plain: Record) -> None:
    callbacks = [{"callbacks": {"recorder": {"path": f"/runs/{i}/tau.npz"}}} for i in range(2)]
    assert runs(plain, *callbacks).columns == []


def test_what_a_user_typed_comes_first_and_all_of_it(plain: Record) -> None:
    rows = [
        (["reg=l1", "model.horizon=2"], {"reg": "l1"}, {"model": {"horizon": 2}}),
        (["reg=none", "model.horizon=6"], {"reg": "none"}, {"model": {"horizon": 6}, "reg": {}}),
    ]
    found = differing(
        [
            replace(plain, overrides=typed, choices=choices, settings=settings(**groups))
            for typed, choices, groups in rows
        ]
    )
    assert found.columns == ["reg", "model.horizon"]
    assert shown(found) == ["reg=l1 model.horizon=2", "model.horizon=6"]
    assert found.along == []  # reg.l1.weight is a part of reg


def test_what_differs_along_is_named(plain: Record) -> None:
    groups = ({"reg": {}, "optimizer": {"lr": 1}}, {"optimizer": {"lr": 2}})
    found = runs(plain, *groups)
    assert (found.columns, found.along) == (["reg"], ["optimizer.lr"])


def test_part_of_a_group_is_a_column_where_the_group_is_not_enough(plain: Record) -> None:
    weights = [{"reg": {"l1": {"weight": w}}} for w in (0.1, 0.01)]
    found = runs(plain, *weights, {"reg": {}})
    assert found.columns == ["reg", "reg.l1.weight"]
    assert shown(found) == ["reg=l1 reg.l1.weight=0.01", "reg=l1 reg.l1.weight=0.1", "reg=none"]


def test_setting_that_refers_to_another_is_none_of_its_own(plain: Record) -> None:
    resolved = {"model": {"_target_": "a.net", "tau": {"initial": 1}}, "tau": {"initial": 1}}
    waiting = {"model": {"_target_": "a.net", "tau": "${tau}"}, "tau": {"initial": 1}}
    assert runs(plain, resolved, waiting).columns == []


def test_settings_are_in_the_order_of_their_numbers(plain: Record) -> None:
    found = runs(plain, *({"optimizer": {"lr": n}} for n in (10, 9, 0.5)))
    assert [s.values[0] for s in found.settings] == ["0.5", "9", "10"]


def test_runs_without_settings_are_apart(plain: Record) -> None:
    found = differing([plain, replace(plain, settings={})])
    assert (found.columns, len(found.settings), len(found.unknown)) == ([], 1, 1)


def test_size_that_the_data_filled_in_is_no_setting(plain: Record) -> None:
    models = [{"_target_": "a.net", "classes": classes} for classes in (10, None)]
    assert runs(plain, *({"model": model} for model in models)).columns == []


def test_names_are_as_short_as_tells_settings_apart(plain: Record) -> None:
    found = runs(plain, {"reg": {}, "tau": {}}, {"reg": {}}, {"tau": {}})
    assert len(set(shown(found))) == 3


def test_part_of_a_group_that_tells_nothing_more_apart_is_no_column(plain: Record) -> None:
    typed = replace(
        plain,
        overrides=["pruning.epsilon=0.2", "pruning=adaptive"],
        choices={"pruning": "adaptive"},
        settings=settings(pruning={"epsilon": 0.2}),
    )
    other = replace(typed, overrides=[], choices={"pruning": "none"}, settings=settings(pruning={}))
    found = differing([typed, other])
    assert (found.columns, shown(found)) == (["pruning"], ["pruning=adaptive", "pruning=none"])
