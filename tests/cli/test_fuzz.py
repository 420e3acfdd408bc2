"""A sample of the fuzz: nonsense is refused in one line, and nothing ends in a traceback."""

import random
from pathlib import Path

import pytest

from tests.cli import fuzz

SAMPLE = random.Random(0).sample(list(fuzz.command_lines()), 40)


@pytest.mark.slow
def test_nonsense_is_refused_in_one_line(tmp_path: Path) -> None:
    wrong = []
    for number, (line, key, value) in enumerate(SAMPLE):
        folder = tmp_path / str(number)
        folder.mkdir()
        outcome = fuzz.run(line, folder)
        accepted = outcome.kind in ("ok", "long")
        if outcome.kind == "traceback" or (accepted and fuzz.is_nonsense(key, value)):
            wrong.append(outcome)
    assert not wrong


def test_the_fuzz_reaches_every_key_and_every_group() -> None:
    keys = {key for _, key, _ in fuzz.command_lines()}
    assert len(keys) > 150
    assert {"model.width", "reg.l1.weight", "callbacks.swa.start", "scheme", "debug"} <= keys


def test_the_fuzz_sees_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fuzz.is_nonsense("model.width", "0.5")
    assert not fuzz.is_nonsense("model.width", "3")
    assert fuzz.run(["model.width=0.5"], tmp_path).kind == "refused"
    monkeypatch.setattr("tvl_lightning.train.check_config", lambda cfg: 1 / 0)
    outcome = fuzz.run(["model.width=0.5"], tmp_path)
    assert outcome.kind == "traceback"
    assert "ZeroDivisionError" in outcome.text
