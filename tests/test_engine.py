"""Several steps a call, compiled or not, against Lightning's own loop."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Callback, Trainer, seed_everything
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR

from tests.conftest import Command, quiet_trainer
from tvl_lightning.callbacks import AdaptivePruning, LastCheckpoint, TauProjection, TauTrajectory
from tvl_lightning.data import ImageData
from tvl_lightning.engine import Engine
from tvl_lightning.limits import InputError
from tvl_lightning.module import TimeVariableClassifier
from tvl_lightning.networks import FractionalDNN, TimeVariableResNet
from tvl_lightning.regularizers import L1, Horizon

STEPS = 19  # of an epoch, the last of them with fewer images


class Counter(Callback):
    """Acts in every step, so that Lightning has to take them one by one."""

    def __init__(self) -> None:
        self.calls = 0

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        self.calls += 1


class Epochs(Callback):
    """What is logged for each epoch."""

    def __init__(self) -> None:
        self.metrics: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.metrics.append({k: float(v) for k, v in trainer.callback_metrics.items()})


def fit(
    folder: Path,
    engine: Engine | None = None,
    *callbacks: Callback,
    network: Any = None,
    epochs: int = 2,
    resume: Path | None = None,
    optimizer: Any = None,
    scheduler: Any = None,
    penalties: Any = None,
    module_class: type[TimeVariableClassifier] = TimeVariableClassifier,
    **trainer_options: Any,
) -> tuple[TimeVariableClassifier, dict[str, np.ndarray]]:
    """Train on 3,600 images; the module, and the record of every iteration."""
    seed_everything(1, verbose=False)
    module = module_class(
        network() if network else TimeVariableResNet(784, 10, 5, 10),
        penalties,
        optimizer or partial(torch.optim.SGD, lr=0.02, momentum=0.9),
        scheduler,
        engine,
    )
    folder.mkdir(exist_ok=True)
    trainer = Trainer(
        max_epochs=epochs,
        callbacks=[
            *callbacks,
            TauTrajectory(folder / "tau.npz"),
            LastCheckpoint(folder / "checkpoints"),
        ],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"accelerator": "cpu", **trainer_options},
    )
    trainer.fit(module, ImageData(batch_size=193), ckpt_path=resume, weights_only=True)
    with np.load(folder / "tau.npz") as file:
        return module, dict(file)


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


WAYS: dict[str, dict[str, Any]] = {
    "resnet": {},
    "fractional": {"network": partial(FractionalDNN, 784, 10, 5, 10)},
    "penalties": {"penalties": {"l1": L1(0.1), "horizon": Horizon(1.0, 1.0)}},
    "final": {"network": partial(TimeVariableResNet, 784, 10, 5, 10, tau="final")},
    "adam": {"optimizer": partial(torch.optim.Adam, lr=0.01)},
    "scheduler": {"scheduler": partial(ExponentialLR, gamma=0.5), "epochs": 3},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("steps", [7, 50])
def test_steps_of_one_call_are_those_of_lightnings_loop(
    tmp_path: Path, way: str, steps: int
) -> None:
    singly, logged, log = Counter(), Epochs(), Epochs()
    module, record = fit(tmp_path / "singly", None, singly, logged, **WAYS[way])
    epochs = WAYS[way].get("epochs", 2)
    assert singly.calls == STEPS * epochs

    fast, fast_record = fit(tmp_path / "calls", Engine(steps_per_call=steps), log, **WAYS[way])
    assert fast.block_size == steps
    assert fast_record["iteration"].tolist() == list(range(1, STEPS * epochs + 1))
    assert_same(record, fast_record)
    for one, other in zip(module.parameters(), fast.parameters(), strict=True):
        assert torch.equal(one, other)
    for mine, theirs in zip(log.metrics, logged.metrics, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize(
    "projection", [TauProjection("positive", eps=0.19), TauProjection("simplex", eps=0.01)]
)
def test_every_step_of_a_call_projects(tmp_path: Path, projection: TauProjection) -> None:
    strong = {"l1": L1(0.5)}
    _, record = fit(tmp_path / "singly", None, Counter(), projection, penalties=strong)
    _, fast = fit(tmp_path / "calls", Engine(), projection, penalties=strong)
    _, free = fit(tmp_path / "free", Engine(), penalties=strong)
    assert_same(record, fast)
    assert (fast["tau"][:10] != free["tau"][:10]).any()


@pytest.mark.parametrize(("interval", "calls"), [(None, 50), (1, 1), (6, 1), (19, 19)])
def test_pruning_looks_as_often_as_it_should(
    tmp_path: Path, interval: int | None, calls: int
) -> None:
    def prune() -> AdaptivePruning:
        return AdaptivePruning(epsilon=0.1, interval=interval)

    kind = {"penalties": {"l1": L1(0.4)}, "epochs": 4}
    module, record = fit(tmp_path / "singly", None, Counter(), prune(), **kind)
    fast, fast_record = fit(tmp_path / "calls", Engine(steps_per_call=50), prune(), **kind)
    assert fast.block_size == calls
    assert len(module.network.layers) < 5
    assert fast.network.layers == module.network.layers
    assert_same(record, fast_record)


@pytest.mark.parametrize("first", ["singly", "calls"])
def test_a_run_goes_on_whichever_way_its_steps_were_taken(tmp_path: Path, first: str) -> None:
    _, whole = fit(tmp_path / "whole", Engine(), epochs=3)
    counters = {"singly": [Counter()], "calls": []}
    second = "calls" if first == "singly" else "singly"
    fit(tmp_path / "run", Engine(), *counters[first], epochs=2)
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    module, resumed = fit(tmp_path / "run", Engine(), *counters[second], epochs=3, resume=last)
    assert module.trainer.global_step == 3 * STEPS
    assert_same(whole, resumed)


class Louder(TimeVariableClassifier):
    """Has a training step of its own."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        images, labels = batch
        return self.losses(images, 1 * labels)[0]


class Watched(TimeVariableClassifier):
    """Looks at gradients."""

    def on_after_backward(self) -> None:
        assert self.tau.grad is not None


NEEDS: dict[str, dict[str, Any]] = {
    "trainer.gradient_clip_val=0.5": {"gradient_clip_val": 0.5},
    "trainer.accumulate_grad_batches=3": {"accumulate_grad_batches": 3},
    "trainer.max_steps=5": {"max_steps": 5},
    "trainer.limit_train_batches=4": {"limit_train_batches": 4},
    "trainer.val_check_interval=0.5": {"val_check_interval": 0.5},
    "trainer.precision=bf16-mixed": {"precision": "bf16-mixed"},
    "LBFGS": {"optimizer": partial(torch.optim.LBFGS, lr=0.01, max_iter=2)},
    "Watched.on_after_backward": {"module_class": Watched},
}


@pytest.mark.parametrize("need", NEEDS)
def test_what_needs_single_steps_gets_them_or_is_refused(tmp_path: Path, need: str) -> None:
    module, _ = fit(tmp_path / "eager", Engine(), epochs=1, **NEEDS[need])
    assert module.block_size is None
    with pytest.raises(InputError, match=rf"engine=compiled: .*{need}.*engine=eager does"):
        fit(tmp_path / "compiled", Engine("compiled"), epochs=1, **NEEDS[need])


def test_a_training_step_of_ones_own_is_used(tmp_path: Path) -> None:
    seed_everything(0, verbose=False)
    module = Louder(TimeVariableResNet(784, 10, 5, 10), engine=Engine())
    trainer = quiet_trainer(tmp_path)
    before = module.tau.detach().clone()
    trainer.fit(module, ImageData(batch_size=200))
    assert module.block_size is None
    assert (module.tau != before).all()


def test_a_module_can_be_trained_again(tmp_path: Path) -> None:
    def twice(*callbacks: Callback) -> torch.Tensor:
        seed_everything(0, verbose=False)
        module = TimeVariableClassifier(TimeVariableResNet(784, 10, 5, 10))
        for _ in range(2):
            trainer = quiet_trainer(tmp_path, *callbacks)
            trainer.fit(module, ImageData(batch_size=200))
        return module.tau.detach()

    assert torch.equal(twice(), twice(Counter()))


def test_engines_refuse_what_they_cannot_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"engine\.mode=fast: must be eager, compiled or"):
        Engine("fast")
    with pytest.raises(InputError, match=r"steps_per_call=0: must be a whole number"):
        Engine(steps_per_call=0)
    with pytest.raises(
        InputError, match=r"cuda_graph: needs an NVIDIA GPU, .* runs on cpu; engine=c"
    ):
        fit(tmp_path, Engine("cuda_graph"))
    with pytest.raises(InputError, match=r"torch\.compile cannot take this .*; engine=eager can"):
        fit(tmp_path, Engine("compiled"), network=partial(with_blocks, Norm))


@pytest.mark.slow
def test_a_missing_compiler_is_named(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", "no-such-compiler")
    done = command("tvl_lightning.train", "engine=compiled", "trainer=cpu")
    assert done.returncode == 2
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "no-such-compiler" in line
    assert line.endswith("engine=eager can")


class Norm(nn.Sequential):
    """A hidden layer with batch normalisation."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(10, 10), nn.BatchNorm1d(10))


def with_blocks(block: Any) -> TimeVariableResNet:
    return TimeVariableResNet(784, 10, 5, 10, block=block)


def test_a_block_with_buffers_trains_as_in_lightnings_loop(tmp_path: Path) -> None:
    network = partial(with_blocks, Norm)
    _, record = fit(tmp_path / "singly", None, Counter(), network=network)
    _, fast = fit(tmp_path / "calls", Engine(), network=network)
    assert_same(record, fast)


def assert_close(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    """Equal to float32 rounding, in the sense of torch.testing.assert_close."""
    for name in ("tau", "loss", "task_loss"):
        torch.testing.assert_close(
            torch.from_numpy(one[name]), torch.from_numpy(other[name]), equal_nan=True
        )


COMPILED: dict[str, dict[str, Any]] = {
    "resnet": {"penalties": {"l1": L1(0.1)}},
    "fractional": {"network": partial(FractionalDNN, 784, 10, 5, 10, tau="simplex")},
}


@pytest.mark.slow
@pytest.mark.parametrize("way", COMPILED)
def test_compiled_steps_agree_over_200_iterations(tmp_path: Path, way: str) -> None:
    kind = {**COMPILED[way], "epochs": 11, "optimizer": partial(torch.optim.SGD, lr=0.01)}
    projection = TauProjection("positive", eps=0.05)
    _, eager = fit(tmp_path / "eager", Engine(), projection, **kind)
    _, compiled = fit(tmp_path / "compiled", Engine("compiled"), projection, **kind)
    assert len(eager["iteration"]) == 209
    assert_close(eager, compiled)


@pytest.mark.slow
def test_compiled_steps_go_on_with_the_layers_that_are_left(tmp_path: Path) -> None:
    kind: dict[str, Any] = {"penalties": {"l1": L1(0.4)}, "epochs": 6}
    pruned, eager = fit(tmp_path / "eager", Engine(), AdaptivePruning(0.1), **kind)
    module, compiled = fit(tmp_path / "compiled", Engine("compiled"), AdaptivePruning(0.1), **kind)
    assert 1 < len(pruned.network.layers) < 5
    assert module.network.layers == pruned.network.layers
    assert_close(eager, compiled)


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("way", COMPILED)
def test_replayed_graphs_agree_over_200_iterations(tmp_path: Path, way: str) -> None:
    kind = {**COMPILED[way], "epochs": 11, "optimizer": partial(torch.optim.SGD, lr=0.01)}
    _, eager = fit(tmp_path / "eager", Engine(), accelerator="gpu", **kind)
    _, graph = fit(tmp_path / "graph", Engine("cuda_graph"), accelerator="gpu", **kind)
    assert_close(eager, graph)


def test_the_command_takes_an_engine_and_names_the_one_that_can(command: Command) -> None:
    done = command("tvl_lightning.train", "engine=cuda_graph", "trainer=cpu")
    assert done.returncode == 2
    assert done.stderr.startswith("error: engine=cuda_graph: needs an NVIDIA GPU")
    done = command("tvl_lightning.train", "engine.steps_per_call=0")
    assert done.returncode == 2
    assert "engine.steps_per_call=0: must be a whole number of at least 1" in done.stderr
