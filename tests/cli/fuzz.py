"""Command lines of nonsense: each is accepted, or refused in one line.

    python -m tests.cli.fuzz [FOLDER] [--sample N] [--seed S] [--only REGEX]

tries every key of the configuration x a dozen kinds of value, and every group x what is no choice
of it. What the checks before torch do not refuse is run for real, as a command in this process. It
prints what is wrong, and writes all of them to FOLDER/fuzz.csv. `test_fuzz.py` runs a sample.
"""

import argparse
import copy
import csv
import io
import os
import random
import re
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest.mock import patch

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HYDRA_FULL_ERROR"] = "1"

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tests.conftest import hydra_as_it_was, settings_in
from tvl_lightning import train
from tvl_lightning.cli.choices import CONFIG_PATH, check_choices, command_line, groups_in
from tvl_lightning.cli.folders import register_resolvers
from tvl_lightning.cli.hints import explained
from tvl_lightning.cli.settings import check_config
from tvl_lightning.limits import InputError

LIMIT = 30  # seconds of a command; what runs longer was accepted

# one small run; what a command line says instead is taken from it
SMALL = {
    "data": "digits",
    "data.batch_size": "400",
    "model.width": "4",
    "model.hidden_layers": "3",
    "trainer": "cpu",
    "trainer.max_epochs": "1",
    "logger": "none",
    "hydra.run.dir": "run",
}
# together they have every key that there is
BASES: list[list[str]] = [
    [],
    ["tau=fixed", "reg=[l1,l2,horizon]", "projection=positive", "pruning=adaptive"],
    ["tau=final", "optimizer=adam", "scheduler=step"],
    ["tau=simplex", "optimizer=adamw", "scheduler=cosine"],
    ["model=fractional", "projection=simplex", "scheduler=warmup_cosine", "trainer.max_epochs=7"],
    ["model=conv", "model.widths=[2,2]", "scheduler=plateau", "data=mnist_5k"],
    [
        "model=transformer",
        "model.patch=4",
        "model.blocks=1",
        "callbacks=[swa,lr_monitor]",
        "logger=csv",
    ],
    ["callbacks=[ema,early_stopping,model_summary]", "logger=[tensorboard,csv]"],
    ["data=mnist", "data.root=."],  # where it is not: it need not be read
]
_OWN_SIZES = ("model=conv", "model=transformer")

VALUES = [
    *("null", "true", "-1", "0", "3", "0.5", "1e400", "1e-400", str(10**30)),
    *("''", "'ünsinn'", "[]", "[1,2]", "{a:1}", "${nope}"),
]
CHOICES = ["null", "true", "3", "0.5", "''", "nonsense", "'ünsinn'", "[]", "[3]", "[nonsense]"]

# what means something, by key, besides what BASES say; of all other values of a key none does
_NUMBER = {"3", "0.5", "1e-400", "0"}
_COUNT, _INDEX, _POSITIVE = {"3"}, {"3", "0"}, {"3", "0.5"}
_FLAG, _SEED, _TEXT = {"true"}, {"3", "0"}, {"'ünsinn'"}
MEANS: list[tuple[str, set[str]]] = [
    (r"seed|data\.seed", _SEED),
    (r"threads", {*_COUNT, "null"}),
    (r"resume", {"null"}),
    (r"variant\.(history_start)", {"0"}),
    (r"variant\.prune_interval|pruning\.interval", {*_COUNT, "null"}),
    (r"variant\..*", _FLAG),
    (r"tau\.initial", {"null"}),
    (r"tau\.(first_only|detach)|pruning\.(smallest_only|force)", _FLAG),
    (r"reg\..*\.weight|projection\.eps|optimizer\.(lr|weight_decay|tau\.weight_decay)", _NUMBER),
    (r"optimizer\.tau\.lr", {*_NUMBER, "null"}),
    (r"optimizer\.tau", {"null"}),
    (r"(model|reg)\..*horizon", _POSITIVE),
    (r"model\.(width|hidden_layers|blocks|heads|patch)", _COUNT),
    (r"model\.fields", _INDEX),
    (r"model\.widths", {"[1,2]"}),
    (r"model\.(in_shape|classes|field|scheme)", {"null"}),
    (r"scheme\.gamma", {"0.5"}),
    (r"scheme\.tau_floor", _POSITIVE),
    (r"scheme\.(learn_gamma|constant_coefficients)", _FLAG),
    (r"scheme\.history_start", {"0"}),
    (r"pruning\.epsilon|data\.val_size", {"0.5", "0", "1e-400"}),
    (r"pruning\.warmup", {*_INDEX}),
    (r"pruning\.min_hidden_layers", {*_COUNT}),
    (r"data\.batch_size", _COUNT),
    (r"data\.root", _TEXT),
    (r"engine\.chunk|callbacks\.recorder\.interval", {*_COUNT}),
    (r"trainer\.max_epochs", {*_COUNT, "-1", "null"}),
    (r"trainer\.num_sanity_val_steps", {*_INDEX, "-1"}),
    (r"trainer\.enable_model_summary", _FLAG),
    (r"trainer\.log_every_n_steps", {*_INDEX}),
    (r"callbacks\.[^.]*|logger\.[^.]*|scheduler", {"null"}),
    (r"callbacks\.lr_monitor\.logging_interval", {"null"}),
    (r"callbacks\.model_summary\.max_depth", {*_INDEX, "-1"}),
    (r"callbacks\..*\.(path|dirpath)", _TEXT),
    (r"callbacks\.best_checkpoint\.save_top_k", {*_INDEX, "-1"}),
    (r"callbacks\.ema\.decay|callbacks\.swa\.start", {"0.5", "0", "1e-400", "3"}),
    (r"scheduler\.(step_size|T_max|total|frequency|patience|warmup)", {*_COUNT}),
    (r"scheduler\.(patience|warmup)", _INDEX),
    (r"scheduler\.(gamma|factor|end|eta_min)", _NUMBER),
    (r"scheduler\.monitor", {"null"}),
    (r"~(debug|experiment|hparams_search|setup)", {""}),
    (r".*\._partial_", _FLAG),
]
# whose classes are not ours: they judge their arguments, in one line, or take what they like
_THEIRS = re.compile(
    r"logger\..*|callbacks\.(early_stopping|lr_monitor|model_summary)\..*|trainer\..*"
)


class Outcome(NamedTuple):
    """What a command line came to: `ok`, `refused`, `long`, or `traceback`."""

    line: list[str]
    kind: str
    text: str
    seconds: float


def command_lines() -> Iterator[tuple[list[str], str, str]]:
    """Each command line, with the key that it sets, and to what."""
    groups = sorted(groups_in([Path(CONFIG_PATH)]))
    seen = set(groups)
    for base in BASES:
        for key in _keys(_composed(tuple(base))):
            if key not in seen:
                seen.add(key)  # several devices would be several processes
                for value in VALUES if key != "trainer.devices" else ("0", "true", "{a:1}"):
                    yield [*base, f"{key}={value}"], key, value
    for group in groups:
        for value in CHOICES:
            yield [f"{group}={value}"], group, value
        yield [f"+{group}.nonsense=1"], f"{group}.nonsense", "1"
        yield [f"~{group}"], f"~{group}", ""


@cache
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    register_resolvers()
    with initialize_config_dir(CONFIG_PATH, version_base="1.3"):
        return compose("train", list(overrides))


@cache
def _small(base: tuple[str, ...]) -> DictConfig:
    """The configuration of a base, without what only a running command has."""
    settings = settings_in(Path("run"), *_with_small(base))
    return OmegaConf.create(settings)


def judged(line: Sequence[str]) -> str | None:
    """What is refused of the last override of a line before torch is imported.

    It is set in the composed rest, which takes a hundredth of the time of the command.
    """
    *base, last = line
    try:
        check_choices(command_line(line))
        [override] = OverridesParser.create().parse_overrides([last])
        if last.startswith(("+", "~")):
            return None
        cfg = copy.deepcopy(_small(tuple(base)))
        OmegaConf.update(cfg, override.key_or_group, override.value(), merge=True)
        check_config(cfg)
    except (HydraException, InputError, OmegaConfBaseException) as refused:
        return f"error: {explained(refused)}"
    return None


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for name in map(str, node):
        key = f"{prefix}{name}"
        yield key
        if not OmegaConf.is_interpolation(node, name) and isinstance(node[name], DictConfig):
            yield from _keys(node[name], f"{key}.")


def run(line: Sequence[str], folder: Path) -> Outcome:
    """Run `python -m tvl_lightning.train LINE` in this process, in a folder."""
    out, start = io.StringIO(), time.perf_counter()
    kind, text = "ok", ""
    with (
        _quietly(out),
        chdir(folder),
        hydra_as_it_was(),
        patch.object(sys, "argv", ["tvl-train", *_with_small(line)]),
        patch("tvl_lightning.runs.figures.draw_run", lambda *_: None),
    ):
        try:
            with _alarm():
                train.command()
        except TooLong:
            kind = "long"
        except SystemExit as end:
            errors = [said for said in out.getvalue().splitlines() if said.startswith("error: ")]
            refused = end.code == 2 and len(errors) == 1
            kind = "refused" if refused else "ok" if end.code in (0, None, 3) else "traceback"
            text = errors[0] if errors else f"exit status {end.code}"
        except BaseException as error:
            kind, text = "traceback", "".join(traceback.format_exception(error, limit=-4))
    return Outcome(list(line), kind, text, time.perf_counter() - start)


def _with_small(line: Sequence[str]) -> list[str]:
    said = {override.partition("=")[0].lstrip("+~") for override in line}
    own_sizes = any(override in _OWN_SIZES for override in line)
    small = [
        f"{key}={value}"
        for key, value in SMALL.items()
        if key not in said and not (own_sizes and key.startswith("model."))
    ]
    return [*small, *line]


class TooLong(BaseException):
    """A command takes longer than `LIMIT`."""


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(*_: Any) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(LIMIT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _quietly(out: io.StringIO) -> Iterator[None]:
    with redirect_stdout(out), redirect_stderr(out):
        yield


def is_nonsense(key: str, value: str) -> bool:
    """Whether an accepted value of a key of ours means nothing."""
    if _THEIRS.fullmatch(key) and not any(re.fullmatch(p, key) for p, _ in MEANS):
        return False
    return not any(re.fullmatch(pattern, key) and value in good for pattern, good in MEANS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them all; the number of those that went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("."))
    parser.add_argument("--sample", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="a regular expression for the key")
    asked = parser.parse_args(arguments)
    lines = [entry for entry in command_lines() if re.search(asked.only, entry[1])]
    if asked.sample:
        lines = random.Random(asked.seed).sample(lines, min(asked.sample, len(lines)))
    counts: Counter[str] = Counter()
    slow = 0.0
    with (asked.folder / "fuzz.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["line", "outcome", "seconds", "text"])
        for line, key, value in lines:
            start, refused = time.perf_counter(), judged(line)
            with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                outcome = (
                    Outcome(line, "refused", refused, time.perf_counter() - start)
                    if refused
                    else run(line, Path(folder))
                )
                left = [path for path in Path(folder).rglob("*") if outcome.kind == "refused"]
            kind = outcome.kind
            if kind in ("ok", "long") and is_nonsense(key, value):
                kind = "accepted nonsense"
            elif left:
                kind = "left a folder"
            counts[kind] += 1
            slow = max(slow, outcome.seconds if kind == "refused" else 0)
            table.writerow([" ".join(line), kind, f"{outcome.seconds:.2f}", outcome.text])
            file.flush()
            if kind not in ("ok", "refused", "long"):
                print(f"{kind}: {' '.join(line)}\n    {outcome.text}", flush=True)
    print(f"{len(lines)} command lines:", dict(counts), f"slowest refusal {slow:.2f} s")
    return sum(n for kind, n in counts.items() if kind not in ("ok", "refused", "long"))


if __name__ == "__main__":
    sys.exit(min(main(), 1))
