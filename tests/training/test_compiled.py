"""Losses and gradient as one compiled function, and whole chunks as CUDA graphs."""

from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch.callbacks as lightnings
import pytest
import torch
from lightning import seed_everything
from torch import Tensor, nn
from torch._dynamo.testing import CompileCounter

from tests.conftest import SMALL, Command
from tests.training.runs import (
    ITERATIONS,
    MOMENTUM,
    SLOW_SGD,
    Both,
    Fit,
    Run,
    assert_same,
    conv,
    fractional,
    resnet,
    with_small_taus,
)
from tvl_lightning.constraints import Positive
from tvl_lightning.limits import InputError
from tvl_lightning.networks import (
    Heun,
    Learned,
    Simplex,
    TimeVariableNetwork,
    TimeVariableResNet,
    perceptron,
)
from tvl_lightning.penalties import L1, Horizon
from tvl_lightning.training import AdaptivePruning, ChunkedClassifier, TauProjection
from tvl_lightning.training.compiled import compiled
from tvl_lightning.training.iterations import eager


def partly_frozen() -> TimeVariableNetwork:
    network = resnet()
    for name, parameter in network.named_parameters():
        parameter.requires_grad = not name.startswith(("stages.0.2.", "decoder."))
    return network


COMPILED: dict[str, dict[str, Any]] = {
    "resnet": {"penalties": {"l1": L1(0.1), "horizon": Horizon(1.0, 1.0)}},
    "fractional": {"network": partial(fractional, tau=Simplex)},
    "learned order": {"network": partial(fractional, learn_gamma=True)},
    "heun": {"network": partial(perceptron, (1, 6, 6), 4, 10, 5, scheme=Heun())},
    "conv": {"network": conv},
    "frozen": {"network": partly_frozen},
    "adam": {"optimizer": partial(torch.optim.Adam, lr=1e-3)},
}


def assert_close(one: Run, other: Run, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    """Equal to float32 rounding: records, weights, and the statistics of normalisations."""
    close = partial(torch.testing.assert_close, rtol=rtol, atol=atol, equal_nan=True)
    assert one.record.keys() == other.record.keys()
    for name, values in one.record.items():
        close(torch.from_numpy(values), torch.from_numpy(other.record[name]))
    assert one.trainer.global_step == other.trainer.global_step
    assert one.layers == other.layers
    first, second = one.module.state_dict(), other.module.state_dict()
    assert first.keys() == second.keys()
    for name, value in first.items():
        if isinstance(value, Tensor):
            close(value.cpu(), second[name].cpu(), msg=lambda text, name=name: f"{name}: {text}")


@pytest.fixture
def _quick_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced as always, but no machine code is made, which takes most of the time."""
    real = torch.compile
    monkeypatch.setattr(torch, "compile", partial(real, backend="eager"))


@pytest.mark.slow
@pytest.mark.parametrize("way", COMPILED)
def test_compiled_iterations_are_the_eager_ones_to_rounding(fit: Fit, way: str) -> None:
    options = {"optimizer": MOMENTUM, **COMPILED[way]}
    projection = TauProjection(Positive(0.05))
    one = fit(projection, loop="eager", **options)
    other = fit(projection, loop="compiled", **options)
    assert_close(one, other, rtol=1e-4, atol=1e-5)
    if way == "frozen":
        begun = fit(projection, loop="eager", network=partly_frozen, epochs=0)
        for name, parameter in begun.module.named_parameters():
            same = torch.equal(parameter, other.module.get_parameter(name))
            assert same != parameter.requires_grad, name


@pytest.mark.slow
def test_statistics_of_a_step_are_the_eager_ones() -> None:
    results = []
    for engine, differentiable in (("eager", eager), ("compiled", compiled)):
        seed_everything(1, verbose=False)
        module = ChunkedClassifier(conv(), engine=engine)
        differentiate = differentiable(module)
        inputs, labels = torch.randn(10, 1, 6, 6), torch.arange(10) % 4
        values = [*differentiate(inputs, labels), *differentiate(2 * inputs, labels)]
        gradients = [p.grad for p in module.parameters()]
        results.append((values, gradients, dict(module.named_buffers())))
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-6)
    assert {int(v) for k, v in results[1][2].items() if k.endswith("tracked")} == {2}


@pytest.mark.slow
def test_two_hundred_compiled_iterations_stay_close(fit: Fit) -> None:
    options = {**COMPILED["resnet"], "optimizer": partial(torch.optim.SGD, lr=0.01), "epochs": 12}
    projection = TauProjection(Positive(0.05))
    one = fit(projection, loop="eager", **options)
    other = fit(projection, loop="compiled", **options)
    assert len(one.record["iteration"]) == 12 * ITERATIONS
    assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_compiled_iterations_go_on_with_the_layers_that_are_left(fit: Fit) -> None:
    options: dict[str, Any] = {"network": with_small_taus, "optimizer": SLOW_SGD}
    one = fit(AdaptivePruning(interval=9), loop="eager", **options)
    other = fit(AdaptivePruning(interval=9), loop="compiled", **options)
    assert other.layers == [0, 2, 4]
    assert_close(one, other)


@pytest.mark.slow
@pytest.mark.usefixtures("_quick_compiler")
def test_ten_layers_leave_one_by_one(fit: Fit) -> None:
    taus = [1.0, *[1e-4 * l for l in range(1, 11)], 0.5]
    network = partial(TimeVariableResNet, 36, 10, 12, 4, tau=partial(Learned, initial=taus))
    options: dict[str, Any] = {"network": network, "optimizer": SLOW_SGD}
    runs = [
        fit(AdaptivePruning(interval=3, smallest_only=True), loop=loop, **options)
        for loop in ("eager", "compiled")
    ]
    assert runs[1].layers == [0, 11]
    assert runs[1].trainer.global_step == 2 * ITERATIONS
    assert_close(*runs)


@pytest.mark.slow
@pytest.mark.usefixtures("_quick_compiler")
def test_more_runs_than_the_compiler_keeps_forms_of_a_function(fit: Fit) -> None:
    for width in range(4, 4 + torch._dynamo.config.recompile_limit + 2):
        network = partial(perceptron, (1, 6, 6), 4, width, 2)
        run = fit(loop="compiled", epochs=1, network=network, recorder=False)
        assert run.trainer.global_step == ITERATIONS


@pytest.mark.slow
@pytest.mark.usefixtures("_quick_compiler")
def test_what_the_user_compiled_stays_compiled(fit: Fit) -> None:
    counter, settings = CompileCounter(), torch._dynamo.config.get_config_copy()

    @partial(torch.compile, backend=counter)
    def doubled(x: Tensor) -> Tensor:
        return 2 * x

    doubled(torch.ones(3))
    assert counter.frame_count == 1
    fit(AdaptivePruning(interval=6), loop="compiled", network=with_small_taus, optimizer=SLOW_SGD)
    doubled(torch.ones(3))
    assert counter.frame_count == 1
    assert torch._dynamo.config.get_config_copy() == settings


@pytest.mark.slow
@pytest.mark.usefixtures("_quick_compiler")
def test_an_epoch_of_compiled_iterations_compiles_once_a_shape(
    fit: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = CompileCounter()
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda *a, **k: real(*a, **{**k, "backend": counter}))
    run = fit(loop="compiled", epochs=3, chunk=7, network=conv)
    assert run.trainer.global_step == 3 * ITERATIONS
    assert counter.frame_count == 2  # one for batches of 10, and one for the last of 7


class Undecided(nn.Linear):
    """Looks at a number on the host, which a compiler cannot follow."""

    def __init__(self, width: int) -> None:
        super().__init__(width, width)

    def forward(self, y: Tensor) -> Tensor:
        return super().forward(y) if y.sum().item() > 0 else -super().forward(y)


def test_what_the_compiler_cannot_follow_is_refused_in_one_line(fit: Fit) -> None:
    network = partial(resnet, field=Undecided)
    with pytest.raises(
        InputError,
        match=r"^engine=compiled: torch\.compile cannot take this .*; engine=eager can$",
    ) as info:
        fit(loop="compiled", network=network)
    assert "\n" not in str(info.value)
    assert fit(loop="eager", network=network, epochs=1).trainer.global_step == ITERATIONS


def without_momentum(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width, momentum=None))


def test_a_count_on_the_host_is_refused_in_one_line(fit: Fit, both: Both) -> None:
    network = partial(resnet, field=without_momentum)
    with pytest.raises(
        InputError, match=r"^engine=compiled: .*momentum=None, .*; engine=eager does$"
    ) as info:
        fit(loop="compiled", network=network)
    assert "\n" not in str(info.value)
    assert_same(*both(network=network))


@pytest.mark.skipif(torch.cuda.is_available(), reason="the trainer finds a GPU")
@pytest.mark.parametrize("accelerator", ["cpu", "auto"])
def test_graphs_are_refused_without_a_gpu_in_one_line(fit: Fit, accelerator: str) -> None:
    with pytest.raises(
        InputError,
        match=r"^engine=cuda_graph: needs an NVIDIA GPU, .* runs on cpu; engine=compiled runs",
    ) as info:
        fit(loop="cuda_graph", accelerator=accelerator)
    assert "\n" not in str(info.value)


@pytest.mark.slow
def test_a_missing_compiler_is_named(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", "no-such-compiler")
    done = command("tvl_lightning.train", "engine=compiled", "trainer=cpu", *SMALL)
    assert done.returncode == 2
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "no-such-compiler" in line
    assert line.endswith("engine=eager can")


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
ON_GPU: dict[str, Any] = {"accelerator": "gpu"}


@pytest.mark.slow
@needs_gpu
@pytest.mark.parametrize("way", COMPILED)
def test_replayed_iterations_are_the_compiled_ones(fit: Fit, way: str) -> None:
    options = {"optimizer": MOMENTUM, **COMPILED[way], **ON_GPU, "epochs": 4}
    projection = TauProjection(Positive(0.05))
    one = fit(projection, loop="compiled", **options)
    other = fit(projection, loop="cuda_graph", **options)
    assert other.trainer.global_step == 4 * ITERATIONS
    assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@needs_gpu
def test_replayed_iterations_count_and_checkpoints_appear(fit: Fit, tmp_path: Path) -> None:
    saving = lightnings.ModelCheckpoint(tmp_path / "saved", save_top_k=-1, monitor="val/acc")
    pruning = AdaptivePruning(interval=ITERATIONS, warmup=2 * ITERATIONS)
    run = fit(
        saving,
        pruning,
        loop="cuda_graph",
        network=with_small_taus,
        optimizer=SLOW_SGD,
        epochs=6,
        enable_checkpointing=True,
        **ON_GPU,
    )
    assert run.trainer.global_step == 6 * ITERATIONS
    assert run.layers == [0, 2, 4]
    assert run.record["iteration"].tolist() == list(range(1, 6 * ITERATIONS + 1))
    contents = [torch.load(path, weights_only=True) for path in (tmp_path / "saved").iterdir()]
    assert sorted(c["global_step"] for c in contents) == [ITERATIONS * k for k in range(1, 7)]


@pytest.mark.slow
@needs_gpu
def test_a_new_learning_rate_reaches_the_graphs(fit: Fit) -> None:
    decay = partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5)
    options: dict[str, Any] = {"scheduler": decay, "epochs": 5, **ON_GPU}
    one = fit(loop="compiled", **options)
    other = fit(loop="cuda_graph", **options)
    assert_close(one, other, rtol=1e-4, atol=1e-5)
