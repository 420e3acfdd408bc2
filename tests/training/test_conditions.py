"""What may go in chunks: all that Lightning and PyTorch have is gone through, by `inspect`."""

import inspect
import re
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch.callbacks as lightnings
import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.core.hooks import CheckpointHooks, DataHooks, ModelHooks
from lightning.pytorch.plugins import Precision
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch.optim.lr_scheduler import ExponentialLR, ReduceLROnPlateau
from torch.utils.data import DataLoader, TensorDataset

from tests.training.runs import (
    ITERATIONS,
    LIGHTNING,
    MOMENTUM,
    Blobs,
    Both,
    Fit,
    Loaders,
    Points,
    assert_same,
    quiet_trainer,
)
from tvl_lightning.cli.engine import Choice, choose_engine
from tvl_lightning.limits import InputError
from tvl_lightning.training import (
    AdaptivePruning,
    AtomicCheckpointIO,
    BestCheckpoint,
    ChunkedClassifier,
    EpochAverage,
    LastCheckpoint,
    MetricsTable,
    RunProgress,
    TauProjection,
    TauRecorder,
)
from tvl_lightning.training.conditions import (
    callback_obstacle,
    capture_obstacle,
    module_obstacle,
    optimizer_obstacle,
    trainer_obstacle,
)

# a value for every argument of Trainer that is not its default
ARGUMENTS: dict[str, Any] = {
    "accelerator": "cpu",
    "strategy": "ddp",
    "devices": 2,
    "num_nodes": 2,
    "precision": "64-true",
    "logger": False,
    "callbacks": [],
    "fast_dev_run": True,
    "max_epochs": 3,
    "min_epochs": 2,
    "max_steps": 30,
    "min_steps": 30,
    "max_time": "00:00:10:00",
    "limit_train_batches": 5,
    "limit_val_batches": 1,
    "limit_test_batches": 1,
    "limit_predict_batches": 1,
    "overfit_batches": 0.5,
    "val_check_interval": 0.5,
    "check_val_every_n_epoch": 2,
    "num_sanity_val_steps": -1,
    "log_every_n_steps": 3,
    "enable_checkpointing": True,
    "enable_progress_bar": True,
    "enable_model_summary": True,
    "accumulate_grad_batches": 2,
    "gradient_clip_val": 0.1,
    "gradient_clip_algorithm": "value",
    "deterministic": "warn",
    "benchmark": True,
    "inference_mode": False,
    "use_distributed_sampler": False,
    "profiler": "simple",
    "detect_anomaly": True,
    "barebones": True,
    "plugins": [Precision()],
    "sync_batchnorm": True,
    "reload_dataloaders_every_n_epochs": 1,
    "default_root_dir": "elsewhere",
    "enable_autolog_hparams": False,
    "model_registry": "a-name",
}
# ours, or what Lightning says of the arguments that it does not take with manual optimization
TAKES_IT = "TimeVariableClassifier, takes it$|not supported for manual optimization"
SEVERAL_PROCESSES = ("strategy", "devices", "num_nodes")


@pytest.fixture
def _global_settings() -> Iterator[None]:
    before = torch.backends.cudnn.benchmark
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = before


def choose(wanted: str = "auto", **changed: Any) -> Choice:
    parts: dict[str, Any] = {"data": Blobs(), "optimizer": MOMENTUM, "scheduler": None}
    parts |= {name: changed.pop(name) for name in parts if name in changed}
    return choose_engine(
        wanted, {"_target_": "lightning.Trainer", "devices": 1, **changed}, **parts
    )


def assert_refused_by_name(**changed: Any) -> None:
    for engine in ("eager", "compiled", "cuda_graph"):
        with pytest.raises(InputError, match=f"^engine={engine}: .*engine=auto takes it$") as info:
            choose(engine, **changed)
        assert "\n" not in str(info.value)
    assert choose(LIGHTNING, **changed).name == LIGHTNING


def test_every_argument_of_the_trainer_is_tried() -> None:
    parameters = inspect.signature(Trainer).parameters
    assert parameters.keys() == ARGUMENTS.keys(), "a new version of Lightning?"
    for name, value in ARGUMENTS.items():
        assert value != parameters[name].default


@pytest.mark.usefixtures("_global_settings")
@pytest.mark.parametrize("name", ARGUMENTS)
def test_an_argument_of_the_trainer_changes_no_number_or_needs_lightnings_loop(
    both: Both, fit: Fit, tmp_path: Path, name: str
) -> None:
    value = str(tmp_path / "elsewhere") if name == "default_root_dir" else ARGUMENTS[name]
    choice = choose(**{name: value})
    if choice.name == LIGHTNING:
        assert choice.reason.startswith(f"because of trainer.{name}")
        assert_refused_by_name(**{name: value})
    if name == "callbacks":  # each is looked at below
        assert choice.name == "eager"
        return
    trainer = quiet_trainer(tmp_path, **{name: value})
    trainer.datamodule = Blobs()  # type: ignore[attr-defined]
    if trainer_obstacle(trainer) is None:
        assert name not in SEVERAL_PROCESSES
        assert_same(*both(**{name: value}))
        return
    assert choice.name == LIGHTNING
    if name not in SEVERAL_PROCESSES:
        logger = {"logger": False} if name == "barebones" else {}
        with pytest.raises((InputError, MisconfigurationException), match=TAKES_IT):
            fit(loop="eager", **{name: value}, **logger)


def test_a_trainer_of_ones_own_needs_lightnings_loop() -> None:
    assert choose(_target_="mine.Trainer") == Choice(LIGHTNING, "because of trainer=mine.Trainer")
    assert choose(unheard_of=1).reason == "because of trainer.unheard_of=1"


def test_what_the_command_sets_goes_in_chunks(tmp_path: Path) -> None:
    ours = [
        AdaptivePruning(),
        BestCheckpoint(tmp_path),
        EpochAverage(),
        LastCheckpoint(tmp_path),
        MetricsTable(tmp_path / "metrics.csv"),
        RunProgress(),
        TauProjection(),
        TauRecorder(tmp_path / "tau.npz"),
    ]
    usual = {
        "accelerator": "auto",
        "callbacks": ours,
        "default_root_dir": str(tmp_path),
        "enable_model_summary": False,
        "log_every_n_steps": 10,
        "logger": [Points()],
        "max_epochs": 200,
        "num_sanity_val_steps": -1,
        "plugins": [AtomicCheckpointIO()],
    }
    assert choose(**usual) == Choice("eager", "every setting is known to allow chunks")
    assert choose("compiled", **usual) == Choice("compiled", "asked for by name")
    for name in ("eager", "cuda_graph", LIGHTNING):
        assert choose(name, **usual).name == name
    with pytest.raises(InputError, match=r"engine\.name=fast: must be one of auto, eager"):
        choose("fast")


HOOKS = [name for name in vars(Callback) if not name.startswith("_")]


@pytest.mark.parametrize("name", HOOKS)
def test_a_callback_with_a_hook_needs_lightnings_loop(name: str) -> None:
    for base in (Callback, TauRecorder, lightnings.EarlyStopping):
        own = type("Own", (base,), {name: lambda *args, **kwargs: None})
        callback = object.__new__(own)
        choice = choose(callbacks=[callback])
        assert choice == Choice(LIGHTNING, "because of the callback Own, which may act in any step")
        assert_refused_by_name(callbacks=[callback])


def test_the_hooks_are_found() -> None:
    assert {"setup", "on_train_batch_end", "on_before_zero_grad", "on_after_backward"} < set(HOOKS)


KNOWN = {
    "EarlyStopping",
    "ModelCheckpoint",
    "ModelSummary",
    "RichModelSummary",
    "RichProgressBar",
    "TQDMProgressBar",
}


def test_of_lightnings_callbacks_a_few_are_known_to_go_in_chunks() -> None:
    free = set()
    for name, kind in inspect.getmembers(lightnings, inspect.isclass):
        assert issubclass(kind, Callback)
        callback = kind() if name == "ModelCheckpoint" else object.__new__(kind)
        if callback_obstacle(callback) is None:
            free.add(name)
        else:
            assert choose(callbacks=[callback]).name == LIGHTNING
            assert_refused_by_name(callbacks=[callback])
    assert free == KNOWN
    assert choose(callbacks=[lightnings.LambdaCallback(setup=print)]).name == LIGHTNING


@pytest.mark.parametrize(
    "options", [{"every_n_train_steps": 5}, {"train_time_interval": timedelta(minutes=1)}]
)
def test_checkpoints_within_an_epoch_need_lightnings_loop(fit: Fit, options: Any) -> None:
    checkpoint = lightnings.ModelCheckpoint(**options)
    assert "every_n_train_steps or train_time_interval" in choose(callbacks=[checkpoint]).reason
    with pytest.raises(InputError, match="ModelCheckpoint with every_n_train_steps or"):
        fit(checkpoint, loop="eager", enable_checkpointing=True)


def test_checkpoints_are_saved_at_the_same_iterations(both: Both, tmp_path: Path) -> None:
    def callbacks() -> list[Callback]:
        return [lightnings.ModelCheckpoint(save_top_k=-1, monitor="val/acc", save_last=True)]

    runs = both(callbacks, epochs=3, enable_checkpointing=True)
    saved = []
    for run in runs:
        folder = Path(run.trainer.checkpoint_callback.dirpath)  # type: ignore[union-attr, arg-type]
        contents = {p.name: torch.load(p, weights_only=True) for p in folder.iterdir()}
        saved.append({name: c["global_step"] for name, c in contents.items()})
    assert saved[0] == saved[1]
    assert sorted(saved[0].values()) == [18, 36, 54, 54]
    assert_same(*runs)


@pytest.mark.parametrize(
    "make",
    [
        partial(lightnings.EarlyStopping, "val/acc", mode="min", patience=1),
        partial(lightnings.EarlyStopping, "train/loss", min_delta=10.0, patience=1),
        lightnings.ModelSummary,
        partial(lightnings.TQDMProgressBar, refresh_rate=5),
        RunProgress,
    ],
    ids=["stop at val", "stop at train", "summary", "bar", "our bar"],
)
def test_known_callbacks_change_no_number(both: Both, make: Any) -> None:
    bar = (
        {"enable_progress_bar": True}
        if issubclass(make.func if isinstance(make, partial) else make, lightnings.ProgressBar)
        else {}
    )
    singly, chunked = both(lambda: [make()], epochs=4, **bar)
    assert_same(singly, chunked)
    stopped = isinstance(singly.trainer.callbacks[0], lightnings.EarlyStopping)  # type: ignore[attr-defined]
    assert (singly.trainer.current_epoch < 4) == stopped


METHODS = sorted(
    name
    for kind in (LightningModule, ModelHooks, DataHooks, CheckpointHooks)
    for name, value in vars(kind).items()
    if inspect.isfunction(value) and not name.startswith("_")
)
FREE = {"configure_optimizers", "forward", "lr_scheduler_step", "test_step", "validation_step"}


def overriding(name: str, calls: list[str]) -> type[ChunkedClassifier]:
    """A subclass with a method that does what it did before."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        return getattr(super(own, self), name)(*args, **kwargs)

    own: Any = type("Own", (ChunkedClassifier,), {name: method})
    return own  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", METHODS)
def test_a_method_of_ones_own_is_called_or_refused(fit: Fit, name: str) -> None:
    calls: list[str] = []
    own = overriding(name, calls)
    if name not in FREE:
        with pytest.raises(InputError, match=rf"Own\.{name}, which may act in any step"):
            fit(loop="eager", module_class=own)
        return
    decay = partial(ExponentialLR, gamma=0.5)
    run = fit(loop="eager", scheduler=decay, module_class=own)
    assert_same(run, fit(loop="eager", scheduler=decay))
    if name == "test_step":
        run.trainer.test(run.module, Blobs(), verbose=False)
    assert calls


def test_methods_of_a_mixin_and_of_torch_count_too() -> None:
    class Mixin:
        def on_after_backward(self) -> None:
            pass

    class Own(Mixin, ChunkedClassifier):
        pass

    class Frozen(ChunkedClassifier):
        def parameters(self, recurse: bool = True) -> Any:
            return super().parameters(recurse)

    class Described(ChunkedClassifier):
        """Does nothing else."""

        answer: int = 42

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

        def helper(self) -> int:
            return self.answer

    assert module_obstacle(Own) == "Mixin.on_after_backward, which may act in any step"
    assert module_obstacle(Frozen) == "Frozen.parameters, which may act in any step"
    assert module_obstacle(Described) is None
    assert module_obstacle(ChunkedClassifier) is None
    assert module_obstacle(LightningModule) is not None


OPTIMIZERS = [
    name
    for name, kind in inspect.getmembers(torch.optim, inspect.isclass)
    if issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_of_pytorch_takes_the_same_steps_or_needs_lightnings_loop(
    both: Both, fit: Fit, name: str
) -> None:
    kind = getattr(torch.optim, name)
    optimizer = partial(kind, lr=0.01)
    if optimizer_obstacle(kind):
        assert name not in ("SGD", "Adam", "AdamW", "NAdam", "RMSprop")
        assert choose(optimizer=optimizer).name == LIGHTNING
        return
    assert choose(optimizer=optimizer).name == "eager"
    try:
        singly, chunked = both(optimizer=optimizer, epochs=1)
    except (RuntimeError, ValueError):  # it does not take such parameters or gradients
        assert name in ("Muon", "SparseAdam")
        return
    assert_same(singly, chunked)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_that_counts_on_the_host_is_not_replayed(name: str) -> None:
    parameter = torch.nn.Parameter(torch.rand(2, 2))
    optimizer = getattr(torch.optim, name)([parameter], lr=0.1)
    counts = "capturable" not in optimizer.param_groups[0] and name != "SGD"
    assert (capture_obstacle(optimizer) is not None) == counts


class OwnPrecision(Precision):
    """May do anything with a gradient."""


def test_plugins_of_ones_own_are_refused(fit: Fit) -> None:
    with pytest.raises(InputError, match="the plugin OwnPrecision"):
        fit(loop="eager", plugins=[OwnPrecision()])


class OwnSGD(torch.optim.SGD):
    pass


class Own(torch.optim.Optimizer):
    """Needs the loss in its step."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, {})

    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter -= 0.01 * loss * parameter.grad
        return loss


PLATEAU = {"scheduler": partial(ReduceLROnPlateau, patience=0), "monitor": "val/task_loss"}
BY_ITERATION = {"scheduler": partial(ExponentialLR, gamma=0.9), "interval": "step"}


# what, the reason, and how many optimizer steps are taken in two epochs
class Flipped(Blobs):
    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        inputs, labels = batch
        return inputs.flip(-1), labels


class InOrder(Blobs):
    def train_dataloader(self) -> Any:
        return DataLoader(TensorDataset(*self.train), batch_size=self.batch_size)


class Longer(Blobs):
    def val_dataloader(self) -> Any:
        return super().test_dataloader()


def test_data_may_define_what_no_iteration_needs(fit: Fit) -> None:
    assert choose(data=Longer()).name == "eager"


NEEDS: dict[str, tuple[dict[str, Any], str, int]] = {
    "lbfgs": ({"optimizer": partial(torch.optim.LBFGS, lr=0.01, max_iter=2)}, "LBFGS", 36),
    "own optimizer": ({"optimizer": Own}, "the optimizer Own", 36),
    "own sgd": ({"optimizer": partial(OwnSGD, lr=0.1)}, "the optimizer OwnSGD", 36),
    "interval": ({"scheduler": BY_ITERATION}, "a scheduler with interval=step", 36),
    "plateau": ({"scheduler": PLATEAU}, "a scheduler with monitor|ReduceLROnPlateau", 36),
    "precision": ({"precision": "bf16-mixed"}, "trainer.precision=bf16-mixed", 36),
    "max_steps": ({"max_steps": 30}, "trainer.max_steps=30", 30),
    "fast_dev_run": ({"fast_dev_run": True}, "trainer.fast_dev_run=", 1),
    "limit_train_batches": ({"limit_train_batches": 5}, "trainer.limit_train_batches=5", 10),
    "clipping": ({"gradient_clip_val": 0.1}, "trainer.gradient_clip_val=0.1", 36),
    "accumulation": ({"accumulate_grad_batches": 3}, "trainer.accumulate_grad_batches=3", 12),
    "own hook of data": ({"data": Flipped(batch_size=10)}, r"Flipped.on_after_batch_transfer", 36),
    "own batches": ({"data": InOrder(batch_size=10)}, r"InOrder.train_dataloader", 36),
    "own data": ({"data": Loaders()}, r"data other than a TensorData \(Loaders\)", 36),
}


@pytest.mark.parametrize("need", NEEDS)
def test_what_needs_single_iterations_gets_them_or_is_refused(fit: Fit, need: str) -> None:
    options, reason, steps = NEEDS[need]
    choice = choose(**options)
    assert choice.name == LIGHTNING
    run = fit(**options)
    assert run.trainer.global_step == steps
    if need != "fast_dev_run":
        assert run.record["iteration"].tolist() == list(range(1, steps + 1))
    assert re.search(reason, choice.reason)
    assert_refused_by_name(**options)
    with pytest.raises((InputError, MisconfigurationException), match=TAKES_IT) as info:
        fit(loop="eager", **options)
    assert "\n" not in str(info.value)
    assert info.type is MisconfigurationException or re.search(reason, str(info.value))


def test_several_devices_need_lightnings_loop(tmp_path: Path) -> None:
    assert choose(devices=2).reason == "because of trainer.devices=2"
    assert choose(devices="auto").reason == "because of trainer.devices=auto"
    assert choose(devices="1").name == "eager"
    trainer = quiet_trainer(tmp_path, devices=2)
    assert trainer_obstacle(trainer) == "several processes"


class Several(ChunkedClassifier):
    def configure_optimizers(self) -> Any:
        steps, *others = self.parameters()
        return [torch.optim.SGD([steps], lr=0.1), torch.optim.SGD(others, lr=0.1)]


def test_several_optimizers_are_refused(fit: Fit) -> None:
    with pytest.raises(InputError, match="does not go with several optimizers"):
        fit(loop="eager", module_class=Several)


def test_no_step_is_taken_before_a_refusal(fit: Fit) -> None:
    with pytest.raises(InputError, match="LBFGS"):
        fit(loop="eager", optimizer=partial(torch.optim.LBFGS, lr=0.1))
    assert fit(epochs=1).record["iteration"][-1] == ITERATIONS
