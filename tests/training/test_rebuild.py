"""What the description of a network, a penalty or data in a stranger's file may and may not do."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from lightning import seed_everything

from tvl_lightning.limits import InputError
from tvl_lightning.networks import TimeVariableNetwork, TimeVariableResNet
from tvl_lightning.training.rebuild import OURS, build, without_memory

NETWORKS = "tvl_lightning.networks"

Config = dict[str, Any]


def called(target: str, **arguments: Any) -> Config:
    return {"_target_": target, **arguments}


def bound(target: str, **arguments: Any) -> Config:
    return {"_target_": target, "_partial_": True, **arguments}


def perceptron(**changes: Any) -> Config:
    return called(
        f"{NETWORKS}.perceptron",
        **{
            "in_shape": [1, 8, 8],
            "classes": 10,
            "width": 8,
            "hidden_layers": 3,
            "horizon": 1.0,
            "activation": bound("torch.nn.GELU", approximate="tanh"),
            "field": None,
            "scheme": called(f"{NETWORKS}.Fractional", gamma=0.5, learn_gamma=True),
            "tau": bound(f"{NETWORKS}.Simplex"),
            **changes,
        },
    )


CONVOLUTIONAL = called(
    f"{NETWORKS}.convolutional",
    in_shape=[1, 8, 8],
    classes=10,
    widths=[3, 5],
    fields=2,
    field=bound(f"{NETWORKS}.ConvField", out_channels=5),
    tau=bound(f"{NETWORKS}.Learned", initial=[0.1, 0.2, 0.3, 0.2, 0.1, 0.1]),
)
TRANSFORMER = called(f"{NETWORKS}.transformer", in_shape=[1, 8, 8], classes=10, patch=4, width=8)


@pytest.mark.parametrize(
    "config",
    [
        perceptron(),
        perceptron(field=bound("torch.nn.Linear", out_features=8)),
        {**CONVOLUTIONAL, "field": None},
        TRANSFORMER,
    ],
    ids=["perceptron", "linear fields", "convolutional", "transformer"],
)
def test_weights_are_those_of_hydras_instantiate_bit_for_bit(config: Config) -> None:
    seed_everything(3, verbose=False)
    expected = instantiate(config, _convert_="all").state_dict()
    seed_everything(3, verbose=False)
    found = build(config).state_dict()
    assert found.keys() == expected.keys()
    for name in expected.keys() - {"_extra_state"}:
        assert torch.equal(found[name], expected[name])


def test_shapes_are_known_without_memory_for_the_numbers() -> None:
    with without_memory():
        network = build(perceptron(width=10**8, field=bound("torch.nn.Identity")))
    assert isinstance(network, TimeVariableNetwork)
    assert network.decoder.weight.shape == (10, 10**8)
    assert all(parameter.is_meta for parameter in network.parameters())


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "posix.system",
        "",
        "...",
        "TimeVariableResNet",
        "torch.nn.parallel.distributed.os.system",
        "torch.nn.modules.module.itertools.count",
        "torch.nn.modules.activation.ReLU",
        "torch.nn.parallel.DistributedDataParallel",
        "torch.nn.factory_kwargs",
        "torch.nn.Transformer",
        "torch.nn.ZeroPad2d",
        "torch.nn.DataParallel",
        "torch.nn.Module",
        "torch.load",
        "torch.hub.load",
        f"{NETWORKS}.__import__",
        f"{NETWORKS}.__builtins__",
        f"{NETWORKS}.perceptron.__globals__",
        f"{NETWORKS}.network",
        f"{NETWORKS}.network.TimeVariableNetwork",
        f"{NETWORKS}.os",
        "tvl_lightning.penalties.dataclass",
        "tvl_lightning.penalties.check",
        "tvl_lightning.data.mnist.socket.socket",
        "tvl_lightning.__main__.main",
        "tvl_lightning.cli.folders.unique_folder",
        "tvl_lightning.files.replacing",
        "tvl_lightning.training.read_checkpoint",
        5,
        None,
        ["os", "system"],
    ],
    ids=str,
)
@pytest.mark.parametrize("partial", [False, True], ids=["called", "bound"])
def test_other_targets_are_refused_by_name_and_never_called(target: Any, partial: bool) -> None:
    with pytest.raises(InputError, match=r"^_target_=.*trust=\[PACKAGE\]"):
        build(perceptron(scheme={"_target_": target, "_partial_": partial, "command": "touch x"}))


def test_an_untrusted_module_is_not_even_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "not_to_be_imported.py").write_text(f"open({str(tmp_path / 'trace')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    for prefix in ("", "torch.nn.", f"{NETWORKS}."):
        with pytest.raises(InputError):
            build(called(f"{prefix}not_to_be_imported.Field"))
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    "key", ["_args_", "_recursive_", "_convert_", "_mode_", "_instantiator", "__class__", "_"]
)
def test_keys_that_mean_something_to_others_are_refused(key: str) -> None:
    with pytest.raises(InputError, match=f"settings {key}: only _target_ and _partial_"):
        build(perceptron(scheme=called(f"{NETWORKS}.Euler", **{key: [1]})))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (called("torch.nn.Linear", in_features=9, out_features=9, device="cpu"), "device: "),
        (bound("torch.nn.LayerNorm", normalized_shape=[1] * 1000), "no list of more than"),
        (called(f"{NETWORKS}.Learned", n=10**12, horizon=1.0), "a rule for tau"),
        (bound(f"{NETWORKS}.Fixed"), "a rule for tau"),
        ({**bound(f"{NETWORKS}.Euler"), "_partial_": "yes"}, "must be true or false"),
        ({5: 1}, "must be named by strings"),
    ],
    ids=["device", "long list", "rule called", "rule elsewhere", "partial", "number as name"],
)
def test_arguments_that_could_take_memory_are_refused(config: Any, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        build(perceptron(scheme=config))


@pytest.mark.parametrize(
    "config",
    [
        perceptron(hidden_layers=2_000_000),
        perceptron(hidden_layers=10**12, field=bound("torch.nn.Identity")),
        {**CONVOLUTIONAL, "fields": 10**9, "field": None},
        {**TRANSFORMER, "blocks": 10**9, "field": bound("torch.nn.Identity")},
        perceptron(
            field=bound(f"{NETWORKS}.FractionalDNN", width=8, hidden_layers=3, out_features=8)
        ),
    ],
    ids=["layers", "layers without parameters", "convolutions", "blocks", "networks in networks"],
)
def test_a_network_without_end_is_refused_soon(config: Config) -> None:
    begin = time.process_time()
    with (
        pytest.raises(
            InputError, match=r"asks for more than|network in a network|a whole number in"
        ),
        without_memory(),
    ):
        build(config)
    assert time.process_time() - begin < 10  # about 1.5


def test_a_trusted_package_may_name_its_own_and_nothing_it_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "trusted_here").mkdir()
    (tmp_path / "trusted_here" / "__init__.py").write_text("")
    (tmp_path / "trusted_here" / "parts.py").write_text(
        "from os import getcwd, makedirs\nfrom subprocess import run\ndef two():\n    return 2\n"
    )
    (tmp_path / "trusted_here" / "__main__.py").write_text(f"open({str(tmp_path / 'x')!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    assert build(called("trusted_here.parts.two"), ["trusted_here"]) == 2
    assert build(called("trusted_here.parts.two"), "trusted_here") == 2
    for name in ("parts.getcwd", "parts.makedirs", "parts.run", "parts.os.getcwd", "__main__.x"):
        with pytest.raises(InputError):
            build(called(f"trusted_here.{name}"), ["trusted_here"])
    with pytest.raises(InputError, match="cannot be imported"):
        build(called("trusted_here.nowhere.two"), ["trusted_here"])
    with pytest.raises(InputError):
        build(called("trusted_here.parts.two"), ["trusted"])  # not a prefix of a name
    assert not (tmp_path / "x").exists()


def test_a_folder_that_does_not_exist_is_not_taken_from_a_file(tmp_path: Path) -> None:
    mnist = "tvl_lightning.data.MNIST"
    assert build(called(mnist, root=str(tmp_path))).root == tmp_path
    assert build(called(mnist, root=str(tmp_path / "to be made"))).root == Path("data")
    assert list(tmp_path.iterdir()) == []


def test_each_part_of_a_checkpoint_is_of_its_own_kind() -> None:
    penalty = called("tvl_lightning.penalties.L1", weight=0.5)
    assert build(penalty, ours=OURS[1:2]).weight == 0.5
    for config, ours in [
        (called("torch.nn.Linear", in_features=9, out_features=9), OURS[1:2]),
        (perceptron(), OURS[2:]),
        (penalty, OURS[:1]),
    ]:
        with pytest.raises(InputError, match="must be of tvl_lightning"):
            build(config, ours=ours)


def test_a_network_built_in_python_equals_one_that_is_described() -> None:
    seed_everything(0, verbose=False)
    described = build(perceptron(scheme=None, tau=bound(f"{NETWORKS}.Learned"), activation="ReLU"))
    seed_everything(0, verbose=False)
    images = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(described(images), TimeVariableResNet(64, 8, 3, 10)(images.flatten(1)))
