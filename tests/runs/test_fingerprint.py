"""A fingerprint is the same for the same run, and for no other."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvl_lightning.runs.same import differences, fingerprint

SETTINGS: dict[str, Any] = {
    "seed": 0,
    "model": {"width": 12, "in_shape": None},
    "reg": {"l1": {"weight": 1}},
    "data": {"root": "data", "batch_size": 100},
    "engine": {"name": "auto", "chunk": 10},
    "logger": {"csv": {"save_dir": "here"}},
    "trainer": {"max_epochs": 2, "devices": 1},
    "tau": {"initial": [1, 2]},
}


def changed(name: str, value: Any) -> dict[str, Any]:
    group, _, rest = name.partition(".")
    return {**SETTINGS, group: {**SETTINGS[group], rest: value} if rest else value}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", 1),
        ("seed", 0.0),
        ("seed", "0"),
        ("model.width", 12.5),
        ("model.in_shape", [1]),
        ("reg", None),
        ("reg", {}),
        ("reg.l1", {"weight": True}),
        ("data.root", "there"),
        ("data.batch_size", 50),
        ("engine.name", "eager"),
        ("engine.name", "compiled"),
        ("engine.chunk", 5),
        ("logger", {}),
        ("logger", {"wandb": {"project": "x"}}),
        ("trainer.max_epochs", 3),
        ("trainer.devices", 2),
        ("tau.initial", [1.0, 2.0]),
        ("tau.initial", [1, 2, 3]),
        ("callbacks", {"progress_bar": {"x": 1}}),
        ("callbacks", {"swa": {"x": 1}}),
    ],
)
def test_it_agrees_with_what_tells_two_runs_apart(name: str, value: Any) -> None:
    other = changed(name, value)
    same = not differences(SETTINGS, other)
    assert (fingerprint(SETTINGS) == fingerprint(other)) == same


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([0.0, 1.0, 0.5, "1"])
)
TREES = st.dictionaries(
    st.sampled_from(["seed", "logger", "a"]),
    st.one_of(LEAVES, st.dictionaries(st.sampled_from(["b", "c"]), LEAVES, max_size=2)),
    max_size=3,
)


@given(TREES, TREES)
def test_it_agrees_whatever_the_settings(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (fingerprint(one) == fingerprint(other)) == (not differences(one, other))


def test_what_is_swept_over_counts_in_any_case() -> None:
    for name, value in (("engine.name", "eager"), ("trainer.max_epochs", 3), ("logger", {})):
        other = changed(name, value)
        assert fingerprint(SETTINGS) == fingerprint(other)
        assert fingerprint(SETTINGS, [name.partition(".")[0]]) != fingerprint(
            other, [name.partition(".")[0]]
        )
