"""Optimizer and scheduler of a configuration, or one line that says what is wrong with them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import SGD, AdamW
from torch.optim.lr_scheduler import ExponentialLR, LRScheduler, ReduceLROnPlateau, StepLR

from tests.cli.test_build import built, options
from tests.conftest import settings_in
from tvl_lightning.cli.learning import learning
from tvl_lightning.limits import InputError
from tvl_lightning.training import ChunkedClassifier, WarmupCosine

EXPONENTIAL = "_target_:torch.optim.lr_scheduler.ExponentialLR"


def schedule(folder: Path, *overrides: str) -> tuple[Any, list[float]]:
    """The scheduler of a run, and the rates of its first epochs."""
    parts = built(folder, *overrides)
    made: Any = parts.module.configure_optimizers()
    assert isinstance(made, (tuple, list))
    [optimizer], [scheduler] = made
    config = scheduler if isinstance(scheduler, dict) else {"scheduler": scheduler}
    rates = []
    for _ in range(4):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if isinstance(config["scheduler"], LRScheduler) and "monitor" not in config:
            config["scheduler"].step()
    return config, rates


def test_by_default_the_papers_sgd_has_one_group_and_no_schedule(tmp_path: Path) -> None:
    learns = learning(settings_in(tmp_path))
    assert learns.scheduler is None
    assert (learns.tau_lr, learns.tau_weight_decay) == (None, 0)
    optimizer: Any = built(tmp_path).module.configure_optimizers()
    assert isinstance(optimizer, SGD)
    [group] = optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.01, 0)


@pytest.mark.parametrize("option", options("scheduler"))
def test_every_schedule_builds_in_its_loop(tmp_path: Path, option: str) -> None:
    parts = built(tmp_path, f"scheduler={option}")
    assert parts.engine.name == ("lightning" if option == "plateau" else "eager")
    assert isinstance(parts.module, ChunkedClassifier) == (option != "plateau")


def test_the_curves_follow_the_epochs_of_the_run(tmp_path: Path) -> None:
    config, rates = schedule(tmp_path, "scheduler=cosine", "trainer.max_epochs=4")
    assert rates == pytest.approx([0.01, 0.00853553, 0.005, 0.00146447], rel=1e-5)
    assert (config["interval"], config["frequency"]) == ("epoch", 1)
    config, rates = schedule(
        tmp_path, "scheduler=warmup_cosine", "scheduler.warmup=2", "trainer.max_epochs=4"
    )
    assert isinstance(config["scheduler"], WarmupCosine)
    assert rates == pytest.approx([0.01 / 3, 0.02 / 3, 0.01, 0.005])
    config, rates = schedule(tmp_path, "scheduler=step", "scheduler.step_size=2")
    assert isinstance(config["scheduler"], StepLR)
    assert rates == pytest.approx([0.01, 0.01, 0.001, 0.001])


def test_a_plateau_has_its_metric_interval_and_frequency(tmp_path: Path) -> None:
    config, _ = schedule(tmp_path, "scheduler=plateau", "scheduler.frequency=2")
    assert isinstance(config["scheduler"], ReduceLROnPlateau)
    assert (config["monitor"], config["interval"], config["frequency"]) == ("val/acc", "epoch", 2)


@pytest.mark.parametrize(
    "overrides",
    [
        ["scheduler={" + EXPONENTIAL + ",_partial_:true,gamma:0.5,frequency:2}"],
        [
            "+scheduler._target_=torch.optim.lr_scheduler.ExponentialLR",
            "+scheduler.gamma=0.5",
            "+scheduler.frequency=2",
        ],
    ],
)
def test_a_schedule_of_ones_own_is_a_class_of_pytorch(tmp_path: Path, overrides: list[str]) -> None:
    config, rates = schedule(tmp_path, *overrides)
    assert isinstance(config["scheduler"], ExponentialLR)
    assert config["frequency"] == 2
    assert rates == pytest.approx([0.01, 0.005, 0.0025, 0.00125])


def test_iterations_are_left_to_lightnings_loop(tmp_path: Path) -> None:
    parts = built(tmp_path, "scheduler=step", "scheduler.interval=step")
    assert (parts.engine.name, parts.engine.reason) == (
        "lightning",
        "because of a scheduler with interval=step",
    )


def test_adamw_decays_all_but_tau(tmp_path: Path) -> None:
    optimizer: Any = built(tmp_path, "optimizer=adamw").module.configure_optimizers()
    assert isinstance(optimizer, AdamW)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0]
    module = built(tmp_path, "optimizer=sgd", "optimizer.tau.lr=0.1").module
    groups: Any = module.configure_optimizers().param_groups  # type: ignore[union-attr]
    assert [group["lr"] for group in groups] == [0.01, 0.1]
    assert [p.shape for p in groups[1]["params"]] == [(6,)]


def test_an_optimizer_of_ones_own_keeps_what_is_taus(tmp_path: Path) -> None:
    module = built(
        tmp_path,
        *("optimizer._target_=torch.optim.RMSprop", "+optimizer.weight_decay=0.1"),
    ).module
    groups: Any = module.configure_optimizers().param_groups  # type: ignore[union-attr]
    assert [group["weight_decay"] for group in groups] == [0.1, 0]


REFUSED = [
    (["optimizer.lr=-1"], "optimizer: Invalid learning rate: -1"),
    (["optimizer.lr=fast"], "optimizer: "),
    (["+optimizer.nonsense=1"], "optimizer.nonsense: SGD takes no nonsense"),
    (["+optimizer.momentum=abc"], "optimizer: "),
    (["optimizer=adam", "+optimizer.betas=[1]"], "optimizer: "),
    (["optimizer=adam", "+optimizer.betas=3"], "optimizer: "),
    (["optimizer._target_=torch.nn.ReLU", "~optimizer.lr"], "optimizer: "),
    (["optimizer.tau.lr=-1"], "optimizer.tau.lr=-1: must be a number of at least 0, or null"),
    (["optimizer.tau.weight_decay=null"], "optimizer.tau.weight_decay=None: must be"),
    (["+optimizer.tau.momentum=1"], "takes lr and weight_decay"),
    (["optimizer.tau=3"], "optimizer.tau=3: takes lr and weight_decay"),
    (["optimizer._target_=torch.optim.LBFGS", "optimizer.tau.lr=1"], "LBFGS has one for all"),
    (["scheduler=step", "scheduler.gamma=abc"], "scheduler: "),
    (["scheduler=step", "scheduler.step_size=0"], "scheduler: "),
    (["scheduler=cosine", "scheduler.T_max=null"], "scheduler: "),
    (["scheduler=plateau", "scheduler.mode=best"], "scheduler: mode best is unknown!"),
    (["scheduler=plateau", "scheduler.factor=2"], "scheduler: Factor should be < 1.0."),
    (["scheduler=plateau", "scheduler.monitor=null"], "scheduler.monitor: ReduceLROnPlateau needs"),
    (["scheduler=plateau", "scheduler.monitor=val/loss"], "the run has no such metric; it has val"),
    (
        ["scheduler=plateau", "scheduler.monitor=val/task_loss"],
        "val/task_loss is the better the sm",
    ),
    (
        ["scheduler=warmup_cosine", "trainer.max_epochs=5"],
        "warmup=5: must be below total",
    ),
    (["scheduler=step", "scheduler.interval=day"], "scheduler.interval=day: must be epoch or step"),
    (["scheduler=step", "scheduler.frequency=0"], "scheduler.frequency=0: must be a whole number"),
    (["scheduler={interval:epoch}"], "must name a class of torch.optim.lr_scheduler as _target_"),
    (
        ["scheduler={_target_:torch.optim.lr_scheduler.OneCycleLR,max_lr:1,total_steps:9}"],
        "scheduler: Tried to step 10 times. The specified number of total steps is 9",
    ),
]


@pytest.mark.parametrize(("overrides", "message"), REFUSED)
def test_what_pytorch_does_not_take_is_refused_in_one_line(
    tmp_path: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(InputError) as refused:
        built(tmp_path, *overrides)
    assert message in str(refused.value)
    assert "\n" not in " ".join(str(refused.value).split())


@pytest.mark.parametrize("group", ["optimizer", "scheduler"])
@pytest.mark.parametrize("value", [3, "nonsense", [1]])
def test_what_is_no_mapping_is_refused(tmp_path: Path, group: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"^{group}="):
        learning({**settings_in(tmp_path), group: value})


def test_an_optimizer_is_needed_and_a_scheduler_is_not(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    for none in (
        {**settings, "optimizer": None},
        {k: v for k, v in settings.items() if k != "optimizer"},
    ):
        with pytest.raises(InputError, match=r"^optimizer=None: must be sgd, adam"):
            learning(none)
    assert learning({k: v for k, v in settings.items() if k != "scheduler"}).scheduler is None


def own(parameters: Any) -> Any:
    raise TypeError("a mistake in code of one's own")


def test_an_error_in_code_of_ones_own_keeps_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="a mistake in code of one's own"):
        built(tmp_path, f"optimizer._target_={__name__}.own", "~optimizer.lr")


def test_a_rate_of_a_fixed_tau_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    built(tmp_path, "tau=fixed", "optimizer.tau.lr=0.1")
    assert "optimizer.tau.lr=0.1 moves nothing: no τ is learned" in caplog.text
    caplog.clear()
    built(tmp_path, "tau=fixed")
    built(tmp_path, "optimizer.tau.lr=0.1")
    assert "moves nothing" not in caplog.text


def test_no_weight_is_changed_by_trying(tmp_path: Path) -> None:
    torch.manual_seed(0)
    one = built(tmp_path).module.state_dict()
    torch.manual_seed(0)
    other = built(tmp_path, "scheduler=step", "optimizer=adamw").module.state_dict()
    assert all(torch.equal(v, other[k]) for k, v in one.items() if torch.is_tensor(v))
