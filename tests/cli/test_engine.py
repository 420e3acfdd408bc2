"""Which loop takes the iterations is chosen once, and said with its reason."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import ExponentialLR, ReduceLROnPlateau

from tests.conftest import SMALL, Command, settings_in
from tvl_lightning.cli.build import build_parts
from tvl_lightning.cli.engine import Choice, choose_engine
from tvl_lightning.data import MNIST5k
from tvl_lightning.limits import InputError
from tvl_lightning.training import ChunkedClassifier

TRAIN = "tvl_lightning.train"
PLAIN: dict[str, Any] = {"_target_": "lightning.Trainer", "max_epochs": 1}
STEP = "scheduler={_target_:torch.optim.lr_scheduler.ExponentialLR,_partial_:true,"


def chosen(wanted: str = "auto", **changes: Any) -> Choice:
    given: dict[str, Any] = {"trainer": PLAIN, "data": MNIST5k(), "optimizer": SGD}
    return choose_engine(wanted, **{**given, "scheduler": None, **changes})


def own_optimizer(parameters: Any) -> SGD:
    return SGD(parameters)


def own_scheduler(optimizer: Any) -> ExponentialLR:
    return ExponentialLR(optimizer, 0.9)


def test_chunks_are_taken_where_every_setting_is_known_to_allow_them() -> None:
    assert chosen() == Choice("eager", "every setting is known to allow chunks")
    assert chosen(optimizer=partial(SGD, lr=1.0)).name == "eager"
    by_epoch = {"scheduler": partial(ExponentialLR, gamma=0.9), "frequency": 2}
    assert chosen(scheduler=by_epoch).name == "eager"


OBSTACLES: list[tuple[dict[str, Any], str]] = [
    ({"trainer": {**PLAIN, "gradient_clip_val": 0.5}}, "trainer.gradient_clip_val=0.5"),
    ({"trainer": {**PLAIN, "_target_": "mine.Trainer"}}, "trainer=mine.Trainer"),
    ({"data": object()}, "data other than a TensorData (object)"),
    ({"optimizer": torch.optim.LBFGS}, "the optimizer LBFGS"),
    ({"optimizer": own_optimizer}, "the optimizer that own_optimizer makes"),
    ({"scheduler": own_scheduler}, "the scheduler that own_scheduler makes"),
    ({"scheduler": partial(ReduceLROnPlateau, patience=1)}, "ReduceLROnPlateau"),
    ({"scheduler": {"scheduler": ExponentialLR, "interval": "step"}}, "interval=step"),
    ({"scheduler": {"scheduler": ExponentialLR, "monitor": "val/acc"}}, "a scheduler with monitor"),
    ({"scheduler": {"scheduler": own_scheduler}}, "the scheduler that own_scheduler makes"),
]


@pytest.mark.parametrize(("changes", "reason"), OBSTACLES)
def test_all_else_goes_to_lightnings_loop_or_is_refused(
    changes: dict[str, Any], reason: str
) -> None:
    name, because = chosen(**changes)
    assert name == "lightning"
    assert because.startswith("because of ")
    assert reason in because
    for wanted in ("eager", "compiled", "cuda_graph"):
        with pytest.raises(InputError, match=f"^engine={wanted}: does not go with") as refused:
            chosen(wanted, **changes)
        assert reason in str(refused.value)
        assert "engine=auto takes it" in str(refused.value)
    assert chosen("lightning", **changes) == Choice("lightning", "asked for by name")


def test_an_engine_is_taken_by_its_name() -> None:
    for name in ("eager", "compiled", "cuda_graph", "lightning"):
        assert chosen(name) == Choice(name, "asked for by name")
    with pytest.raises(InputError, match=r"engine\.name=nonsense: must be one of auto, eager"):
        chosen("nonsense")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ([], "eager"),
        (["engine=compiled"], "compiled"),
        (["engine=lightning"], "lightning"),
        (["+trainer.gradient_clip_val=0.5"], "lightning"),
        (["+trainer.accumulate_grad_batches=2"], "lightning"),
        (["+trainer.precision=bf16-mixed"], "lightning"),
        (["+callbacks.x={_target_:lightning.pytorch.callbacks.LearningRateMonitor}"], "lightning"),
        (["callbacks=early_stopping"], "eager"),
        (["callbacks=swa"], "eager"),
        (["callbacks=ema"], "lightning"),
        (["scheduler=warmup_cosine"], "eager"),
        (["scheduler=plateau"], "lightning"),
        (["optimizer=adamw", "optimizer.tau.lr=0.1"], "eager"),
        (["debug=profiler"], "lightning"),
        (["trainer=ddp", "trainer.accelerator=cpu"], "lightning"),
        ([STEP + "gamma:0.9,interval:step}"], "lightning"),
        ([STEP + "gamma:0.9,frequency:2}"], "eager"),
    ],
)
def test_the_module_is_of_the_class_that_the_engine_needs(
    tmp_path: Path, arguments: list[str], name: str
) -> None:
    parts = build_parts(settings_in(tmp_path, *SMALL, "trainer=cpu", *arguments), tmp_path)
    assert parts.engine.name == name
    assert isinstance(parts.module, ChunkedClassifier) == (name != "lightning")


@pytest.mark.parametrize(
    ("arguments", "engine", "said"),
    [
        (
            [],
            {"name": "eager", "reason": "every setting is known to allow chunks"},
            "engine       eager, in chunks: every setting is known to allow chunks",
        ),
        (
            ["+trainer.gradient_clip_val=0.5"],
            {"name": "lightning", "reason": "because of trainer.gradient_clip_val=0.5"},
            "Lightning's loop: because of trainer.gradient_clip_val=0.5",
        ),
    ],
)
def test_a_run_says_its_engine_and_why(
    call: Command, tmp_path: Path, arguments: list[str], engine: dict[str, str], said: str
) -> None:
    done = call(TRAIN, *SMALL, *arguments, "trainer.max_epochs=1", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    assert said in (tmp_path / "run" / "train.log").read_text()
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["engine"] == engine


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["engine=compiled", "+trainer.gradient_clip_val=0.5"],
            "engine=compiled: does not go with trainer.gradient_clip_val=0.5; engine=auto takes it",
        ),
        (["engine=nonsense"], "engine=nonsense: must be one of auto, compiled"),
        (["engine=cuda_graph", "trainer=cpu"], "engine=cuda_graph: needs an NVIDIA GPU"),
    ],
)
def test_an_engine_that_cannot_be_had_is_refused_in_one_line(
    call: Command, arguments: list[str], message: str
) -> None:
    done = call(TRAIN, *SMALL, *arguments)
    [line] = done.stderr.splitlines()
    assert done.returncode == 2
    assert message in line


@pytest.mark.parametrize(
    ("settings", "factor"),
    [("gamma:0.9,interval:step}", 0.9**18), ("gamma:0.9,frequency:2}", 1.0)],
)
def test_a_scheduler_in_a_mapping_is_stepped_as_lightning_does(
    call: Command, tmp_path: Path, settings: str, factor: float
) -> None:
    done = call(TRAIN, *SMALL, STEP + settings, "trainer.max_epochs=1", "hydra.run.dir=run")
    assert done.returncode == 0, done.stderr
    content = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    rate = content["optimizer_states"][0]["param_groups"][0]["lr"]
    assert rate == pytest.approx(0.01 * factor)
