"""Checkpoints: what was trained comes back, and a stranger's file is data, whatever it claims."""

import copy
import errno
import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from lightning import Trainer, seed_everything
from torch import nn

from tests.conftest import quiet_trainer
from tvl_lightning.data import Digits
from tvl_lightning.limits import InputError
from tvl_lightning.networks import FractionalDNN, TimeVariableResNet
from tvl_lightning.penalties import L1
from tvl_lightning.training import (
    AtomicCheckpointIO,
    LastCheckpoint,
    TimeVariableClassifier,
    load_classifier,
    read_checkpoint,
)
from tvl_lightning.training.rebuild import build

Config = dict[str, Any]

NETWORKS = "tvl_lightning.networks"

NETWORK: Config = {
    "_target_": f"{NETWORKS}.perceptron",
    "in_shape": [1, 8, 8],
    "classes": 10,
    "width": 6,
    "hidden_layers": 4,
    "activation": "ReLU",
    "scheme": {"_target_": f"{NETWORKS}.Fractional", "gamma": 0.5, "learn_gamma": True},
    "tau": {"_target_": f"{NETWORKS}.Learned", "_partial_": True},
}
SETTINGS: Config = {
    "network": NETWORK,
    "penalties": {"l1": {"_target_": "tvl_lightning.penalties.L1", "weight": 0.01}},
    "data": {"_target_": "tvl_lightning.data.Digits"},
}
CONVOLUTIONAL: Config = {
    "_target_": f"{NETWORKS}.convolutional",
    "in_shape": [1, 8, 8],
    "classes": 10,
    "widths": [3, 5],
    "fields": 3,
}

OWN = """
import torch
from torch import nn

from tvl_lightning.data import Digits


class Field(nn.Module):
    def __init__(self, width, slope, kept=True):
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.slope = nn.Parameter(torch.full((width,), slope))
        if not kept:
            self.register_buffer("scale", torch.ones(width), persistent=False)

    def forward(self, y):
        return torch.where(y > 0, y, self.slope * self.linear(y))


class Largest:
    def __init__(self, weight):
        self.weight = weight

    def __call__(self, tau):
        return self.weight * tau.amax()


class Own(Digits):
    pass
"""


@pytest.fixture
def own_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a package with a field, a penalty and data, which can be imported."""
    (tmp_path / "someones_own.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "someones_own", raising=False)
    return "someones_own"


def described(settings: Config) -> TimeVariableClassifier:
    """The module that Hydra would build from settings."""
    seed_everything(0, verbose=False)
    network = instantiate(settings["network"], _convert_="all")
    penalties = instantiate(settings["penalties"], _convert_="all")
    return TimeVariableClassifier(network, penalties, config=settings)


def saved(module: TimeVariableClassifier, path: Path, **fit: Any) -> Path:
    """A checkpoint of a module, trained where `fit` says for how many batches."""
    trainer = quiet_trainer(path.parent, plugins=[AtomicCheckpointIO()], **fit)
    if fit:
        trainer.fit(module, Digits())
    else:
        trainer.strategy.connect(module)
    trainer.save_checkpoint(path)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a fractional network with a learned γ, after two iterations."""
    path = tmp_path_factory.mktemp("run") / "last.ckpt"
    return saved(described(SETTINGS), path, limit_train_batches=2, limit_val_batches=0)


def same(a: nn.Module, b: nn.Module) -> bool:
    """Whether two modules have the same tensors, bit for bit."""
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) if isinstance(value, torch.Tensor) else True
        for name, value in first.items()
    )


# What was trained comes back


def test_own_field_penalty_and_data_come_back_for_those_who_trust_their_package(
    own_package: str, tmp_path: Path
) -> None:
    field = {"_target_": f"{own_package}.Field", "_partial_": True, "slope": 0.1}
    settings = {
        "network": {**NETWORK, "field": field},
        "penalties": {"largest": {"_target_": f"{own_package}.Largest", "weight": 0.5}},
        "data": {"_target_": f"{own_package}.Own", "batch_size": 200},
    }
    module = described(settings)
    trainer = quiet_trainer(tmp_path, plugins=[AtomicCheckpointIO()])
    trainer.fit(module, instantiate(settings["data"]))
    trainer.save_checkpoint(tmp_path / "last.ckpt")

    with pytest.raises(InputError, match=r"^checkpoint .*trust=\[PACKAGE\]"):
        load_classifier(tmp_path / "last.ckpt")
    loaded = load_classifier(tmp_path / "last.ckpt", trust=[own_package])
    assert same(loaded, module)
    images = torch.rand(5, 1, 8, 8)
    assert torch.equal(loaded(images), module(images))
    assert torch.equal(loaded.penalty_values()["largest"], 0.5 * module.tau.amax())
    assert loaded.hparams == module.hparams
    quiet_trainer(tmp_path).fit(loaded, Digits())  # and it can be trained on


def test_every_class_of_ours_loads_with_lightnings_method(checkpoint: Path) -> None:
    class Mine(TimeVariableClassifier):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.scale = nn.Parameter(torch.tensor(2.0))

    with pytest.raises(InputError, match=r"scale is missing in the file and \(\) float32"):
        Mine.load_from_checkpoint(checkpoint)
    mine = Mine(build(NETWORK), config=SETTINGS)
    mine.scale.data.fill_(3.0)
    path = saved(mine, checkpoint.parent / "mine.ckpt")
    loaded = Mine.load_from_checkpoint(path, weights_only=False, map_location="cpu")
    assert type(loaded) is Mine
    assert same(loaded, mine)


def test_learned_gamma_comes_back(checkpoint: Path) -> None:
    gamma = load_classifier(checkpoint).network.observables()["gamma"]
    assert gamma != 0.5
    assert (
        gamma == read_checkpoint(checkpoint)["state_dict"]["network.scheme.gamma_logit"].sigmoid()
    )


def test_a_network_built_in_python_is_to_be_passed(tmp_path: Path) -> None:
    module = TimeVariableClassifier(FractionalDNN(64, 6, 4, 10), {"l1": L1(0.25)})
    path = saved(module, tmp_path / "last.ckpt")
    with pytest.raises(InputError, match=r"its penalties were built in Python; pass penalties="):
        load_classifier(path, network=FractionalDNN(64, 6, 4, 10))
    with pytest.raises(InputError, match=r"its network was built in Python; pass network="):
        load_classifier(path, penalties={})
    loaded = load_classifier(path, network=FractionalDNN(64, 6, 4, 10), penalties={"l1": L1(0.25)})
    assert same(loaded, module)
    assert loaded.penalties == {"l1": L1(0.25)}


def test_a_network_that_does_not_fit_is_refused_in_one_line(tmp_path: Path) -> None:
    path = saved(TimeVariableClassifier(TimeVariableResNet(64, 6, 4, 10)), tmp_path / "last.ckpt")
    wider = TimeVariableResNet(64, 7, 4, 10)
    before = copy.deepcopy(wider.state_dict())
    with pytest.raises(InputError, match=r"decoder.weight is \(10, 6\) float32 in the file and"):
        load_classifier(path, network=wider)
    assert all(torch.equal(before[n], p) for n, p in wider.named_parameters())


@pytest.mark.parametrize("given", [False, True], ids=["described", "given"])
@pytest.mark.parametrize("network", [NETWORK, CONVOLUTIONAL], ids=["fractional", "convolutional"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_a_pruned_network_comes_back_in_its_own_type(
    network: Config, given: bool, dtype: torch.dtype, tmp_path: Path
) -> None:
    module = described({**SETTINGS, "network": network}).to(dtype)
    module(torch.rand(3, 1, 8, 8, dtype=dtype))  # moves running statistics
    module.network.remove_layers([1, 3] if network is NETWORK else [1, 6])
    path = saved(module, tmp_path / "last.ckpt")
    loaded = load_classifier(path, network=build(network) if given else None)
    assert loaded.network.layers == module.network.layers
    assert same(loaded, module)
    assert loaded.tau.dtype == dtype
    inputs = torch.rand(3, 1, 8, 8, dtype=dtype)
    assert torch.equal(loaded.eval()(inputs), module.eval()(inputs))
    loaded(inputs).sum().backward()


def test_tensors_that_no_checkpoint_holds_need_the_network(
    own_package: str, tmp_path: Path
) -> None:
    field = {"_target_": f"{own_package}.Field", "_partial_": True, "slope": 0.1, "kept": False}
    module = described({**SETTINGS, "network": {**NETWORK, "field": field}})
    path = saved(module, tmp_path / "last.ckpt")
    with pytest.raises(InputError, match=r"keeps tensors that no checkpoint holds; pass network="):
        load_classifier(path, trust=own_package)
    network = instantiate({**NETWORK, "field": field}, _convert_="all")
    assert same(load_classifier(path, network=network), module)


def test_parameters_that_fields_share_are_shared_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sharing.py").write_text(
        "from torch import nn\nfrom tvl_lightning.networks import Euler, TimeVariableNetwork\n"
        "def network():\n    fields = [nn.Linear(8, 8) for _ in range(3)]\n"
        "    fields[2].weight = fields[1].weight\n"
        "    return TimeVariableNetwork([fields], nn.Linear(8, 2), Euler())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    module = described({**SETTINGS, "network": {"_target_": "sharing.network"}})
    network = load_classifier(saved(module, tmp_path / "last.ckpt"), trust=["sharing"]).network
    assert network.stages[0][2].weight is network.stages[0][1].weight
    assert same(network, module.network)


# Going on from it


@pytest.mark.parametrize(
    "best", ["local://{}/precious", "{}/run/../precious", "{}/run/x/../y.ckpt"]
)
def test_a_strangers_checkpoint_deletes_nothing_when_its_run_goes_on(
    best: str, tmp_path: Path
) -> None:
    folder, precious = tmp_path / "run", tmp_path / "precious"
    precious.mkdir()
    (precious / "letter.txt").write_text("mine")
    module = described(SETTINGS)
    options: Config = {
        "plugins": [AtomicCheckpointIO()],
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": tmp_path,
        "limit_train_batches": 1,
        "limit_val_batches": 0,
    }

    def trainer(epochs: int) -> Trainer:
        return Trainer(max_epochs=epochs, callbacks=[LastCheckpoint(folder)], **options)

    trainer(1).fit(module, Digits())
    content = torch.load(folder / "last.ckpt", weights_only=True)
    (state,) = content["callbacks"].values()
    state["best_model_path"] = best.format(tmp_path)
    del state["dirpath"]  # so that Lightning takes it for its own folder
    torch.save(content, tmp_path / "strangers.ckpt")
    (folder / "x").mkdir()
    (folder / "y.ckpt").write_text("mine")
    trainer(2).fit(module, Digits(), ckpt_path=tmp_path / "strangers.ckpt", weights_only=True)
    assert (precious / "letter.txt").read_text() == "mine"
    assert (folder / "y.ckpt").read_text() == "mine"


# A stranger's file


def refusal(path: Path, load: Callable[[Path], Any] = load_classifier) -> str:
    """The one line with which a file is refused, by whoever reads it."""
    with pytest.raises(InputError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"checkpoint {path}: ")
    assert message.isprintable()
    assert len(message) < 800
    assert "weights_only" not in message  # PyTorch's advice is to run the code
    return message


def test_a_missing_file_is_refused_with_where_checkpoints_are(tmp_path: Path) -> None:
    assert "no such file; a run keeps its in RUN/checkpoints" in refusal(tmp_path / "none.ckpt")
    refusal(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"no checkpoint at all\nbut two lines",
        b"PK\x03\x04",
        b"\x80\x02}q\x00.",
        *(bytes((seed * 7919 + i * i * 31) % 256 for i in range(500)) for seed in range(5)),
    ],
    ids=lambda content: f"{len(content)} bytes {content[:4]!r}",
)
def test_a_file_that_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(content)
    refusal(tmp_path / "last.ckpt")


@pytest.mark.parametrize("kept", [0.001, 0.01, 0.3, 0.6, 0.9, 0.99, 0.9999])
def test_a_truncated_checkpoint_is_refused(kept: float, checkpoint: Path, tmp_path: Path) -> None:
    content = checkpoint.read_bytes()
    (tmp_path / "last.ckpt").write_bytes(content[: int(len(content) * kept)])
    refusal(tmp_path / "last.ckpt")


@pytest.mark.parametrize("position", range(5))
def test_a_damaged_checkpoint_is_refused(position: int, checkpoint: Path, tmp_path: Path) -> None:
    content = bytearray(checkpoint.read_bytes())
    content[200 + 97 * position] ^= 0x55
    (tmp_path / "last.ckpt").write_bytes(content)
    refusal(tmp_path / "last.ckpt")


class RunsCode:
    """What touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.path}'",)


def with_old_torch(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def with_pickle(content: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize("save", [torch.save, with_old_torch, with_pickle])
@pytest.mark.parametrize("load", [load_classifier, AtomicCheckpointIO().load_checkpoint])
def test_code_in_a_file_is_not_run(
    save: Callable[[Any, Path], None], load: Callable[[Path], Any], tmp_path: Path
) -> None:
    path, trace = tmp_path / "last.ckpt", tmp_path / "code was run"
    save({"hyper_parameters": {"network": RunsCode(trace)}, "state_dict": {}}, path)
    refusal(path, load)
    assert not trace.exists()
    if save is torch.save:
        torch.load(path, weights_only=False)
        assert trace.exists(), "the file would have run nothing anyway"


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"state_dict": {"weight": torch.zeros(2)}},
        {"hyper_parameters": {"lr": 0.1}, "state_dict": {}},
        {"hyper_parameters": ["network"], "state_dict": {}},
        {"hyper_parameters": {"format": True, "network": {}}, "state_dict": {}},
        {"hyper_parameters": {"format": 3, "network": {}}, "state_dict": {}},
        torch.zeros(3),
        [1, 2],
        None,
        "network",
    ],
    ids=str,
)
def test_a_file_of_another_program_is_refused_as_such(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "last.ckpt")
    assert "was not written by a run of tvl_lightning" in refusal(tmp_path / "last.ckpt")


def test_a_checkpoint_of_version_01_is_refused_with_what_reads_it(tmp_path: Path) -> None:
    old = {"network": {"network": "TimeVariableResNet", "width": 8}, "penalties": {}}
    torch.save({"hyper_parameters": old, "state_dict": {}}, tmp_path / "last.ckpt")
    assert "install tvl-lightning==0.1.0" in refusal(tmp_path / "last.ckpt")


def within(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = (value,)
    return value


def laughs() -> Any:
    many: Any = ["ha"]
    for _ in range(40):
        many = [many] * 10
    return many


def circle() -> Any:
    many: list[Any] = []
    many.append(many)
    return many


SCHEME = {"_target_": "os.system", "command": "touch x"}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"optimizer": {"class_path": "os.system"}}, "settings that no run of ours writes"),
        ({"_instantiator": "os.system"}, "settings that no run of ours writes"),
        ({"network": 5}, "built in Python"),
        ({"network": {}}, "describes no network"),
        ({"network": {"class_path": "os.system", "init_args": {}}}, "describes no network"),
        ({"network": {**NETWORK, "class_path": "os.system"}}, "cannot be built"),
        ({"network": {"_target_": "torch.nn.ReLU"}}, "describes no network"),
        ({"network": {**NETWORK, "scheme": SCHEME}}, "_target_=os.system"),
        ({"network": {**NETWORK, "width": "8"}}, "width=8: must be"),
        ({"network": {**NETWORK, "width": True}}, "width=True: must be"),
        ({"network": {**NETWORK, "width": -1}}, "width=-1: must be"),
        ({"network": {**NETWORK, "width": 10**9}}, "in the network that the file describes"),
        ({"network": {**NETWORK, "width": 10**40}}, "more than 64 bits"),
        ({"network": {**NETWORK, "width": 10**5000}}, "not a readable checkpoint"),
        ({"network": {**NETWORK, "width": torch.tensor(8)}}, "not plain data (Tensor)"),
        ({"network": {**NETWORK, "horizon": float("nan")}}, "horizon=nan: must be"),
        ({"network": {**NETWORK, "in_shape": [2**62] * 9}}, "cannot be built"),
        ({"network": {**NETWORK, "in_shape": [9] * 30_000}}, "more than any run has"),
        ({"network": {**NETWORK, "activation": laughs()}}, "more than any run has"),
        ({"network": {**NETWORK, "activation": circle()}}, "more than any run has"),
        ({"network": {**NETWORK, "activation": within("x", 200)}}, "more than any run has"),
        ({"network": {**NETWORK, "activation": "\x1b[2J"}}, "cannot be printed"),
        ({"network": {**NETWORK, 5: 6}}, "not plain data"),
        ({"penalties": [1]}, "built in Python"),
        ({"penalties": {"a": 1}}, "its penalties are none"),
        ({"penalties": {"a": {**NETWORK, "width": 50_000}}}, "_target_=tvl_lightning.networks"),
        ({"penalties": {"a": {"_target_": "tvl_lightning.penalties.L1", "weight": "x"}}}, "weight"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else None,
)
def test_settings_that_no_run_has_are_refused(
    settings: Config, reason: str, checkpoint: Path, tmp_path: Path
) -> None:
    content = read_checkpoint(checkpoint)
    content["hyper_parameters"] = {**content["hyper_parameters"], **settings}
    torch.save(content, tmp_path / "changed.ckpt")
    assert reason in refusal(tmp_path / "changed.ckpt")


GROWN = {"ids": [[0, *range(4, 9_000)]], "like": dict.fromkeys(range(4, 9_000), 1)}
ZEROS = torch.zeros(1000)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({5: torch.zeros(1)}, "tensors without a name"),
        ({("network", 1): torch.zeros(1)}, "tensors without a name"),
        ({"network.decoder.weight": None}, "decoder.weight is missing in the file"),
        ({"network.decoder.weight": "0.5"}, "decoder.weight is no tensor"),
        ({"network.decoder.weight": torch.zeros(6, 10)}, "decoder.weight is (6, 10) float32"),
        ({"network.decoder.weight": torch.zeros(10, 6, dtype=torch.int32)}, "(10, 6) int32"),
        ({"network.decoder.weight": torch.zeros(10, 6).double()}, "(10, 6) float64"),
        ({"network.time_steps.free": torch.zeros(4, dtype=torch.complex64)}, "complex64"),
        ({"network.new\x1b": ZEROS}, "new? is (1000,) float32 in the file and missing"),
        ({"new": ZEROS}, "new is (1000,) float32 in the file and missing"),
        ({"network.new": ZEROS[:1].expand(10**12)}, "claim more bytes than the file has"),
        ({f"network.{i}": ZEROS for i in range(1000)}, "claim more bytes than the file has"),
        ({"network.new": ZEROS.to("meta")}, "could run code"),
        ({"network.new": torch.zeros(9).to_sparse()}, "could run code"),
        ({"network._extra_state": None}, "structure=None"),
        ({"network._extra_state": torch.zeros(10**6, dtype=torch.uint8)}, "structure="),
        ({"network._extra_state": {"ids": torch.zeros(10**6, 1), "like": {}}}, "structure="),
        ({"network._extra_state": {"ids": [[0, -1]], "like": {}}}, "structure="),
        ({"network._extra_state": {"ids": [[0, True]], "like": {}}}, "structure="),
        ({"network._extra_state": {"ids": ["0123"], "like": {}}}, "structure="),
        ({"network._extra_state": {"ids": [list(range(20_000))], "like": {}}}, "structure="),
        ({"network._extra_state": GROWN}, "asks for more than 20000"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else None,
)
def test_tensors_that_do_not_fit_are_refused(
    state: Any, reason: str, checkpoint: Path, tmp_path: Path
) -> None:
    content = read_checkpoint(checkpoint)
    content["state_dict"] = {**content["state_dict"], **state}
    torch.save(content, tmp_path / "changed.ckpt")
    assert reason in refusal(tmp_path / "changed.ckpt")


def rewritten(checkpoint: Path, pickled: bytes | None, compression: int, name: str) -> bytes:
    """A checkpoint with another pickle, compression, or name of the pickle."""
    copied = io.BytesIO()
    with zipfile.ZipFile(checkpoint) as old, zipfile.ZipFile(copied, "w", compression) as new:
        for entry in old.namelist():
            is_pickle = entry.endswith("data.pkl")
            content = pickled if is_pickle and pickled else old.read(entry)
            new.writestr(entry.replace("data.pkl", name), content)
    return copied.getvalue()


def calls(module: str, function: str, number: int) -> bytes:
    return b"\x80\x02c%s\n%s\nJ%s\x85R." % (
        module.encode(),
        function.encode(),
        struct.pack("<i", number),
    )


TWO_GIGABYTES = calls("builtins", "bytearray", 2**31 - 1)
A_MILLION_LISTS = b"\x80\x02](" + b"]" * 1_000_000 + b"e."


@pytest.mark.parametrize(
    ("pickled", "compression", "name", "reason"),
    [
        (None, zipfile.ZIP_DEFLATED, "data.pkl", "compressed"),
        (TWO_GIGABYTES, zipfile.ZIP_STORED, "data.pkl", "builtins bytearray"),
        (TWO_GIGABYTES, zipfile.ZIP_STORED, "DATA.PKL", "it holds a file archive/DATA.PKL"),
        (calls("torch", "FloatTensor", 2**30), zipfile.ZIP_STORED, "data.pkl", "FloatTensor"),
        (A_MILLION_LISTS, zipfile.ZIP_STORED, "data.pkl", "more things than its tensors need"),
    ],
    ids=["compressed", "bytearray", "other case", "tensor of any size", "many things"],
)
def test_an_archive_that_unpacks_to_more_than_it_is_is_refused(
    pickled: bytes | None,
    compression: int,
    name: str,
    reason: str,
    checkpoint: Path,
    tmp_path: Path,
) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(rewritten(checkpoint, pickled, compression, name))
    assert reason in refusal(path)


def overlapping(checkpoint: Path) -> bytes:
    """An archive whose directory names one entry a thousand times more."""
    content = checkpoint.read_bytes()
    with zipfile.ZipFile(checkpoint) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
        start = archive.start_dir
    body, directory = content[:start], b""
    for i in range(1000):
        name = f"archive/data/{1000 + i}".encode()
        size = largest.file_size
        directory += struct.pack(
            "<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 0, 20, 0, 0, 0, 0, 0, largest.CRC, size, size,
            len(name), 0, 0, 0, 0, 0, largest.header_offset,
        ) + name  # fmt: skip
    return (
        body
        + directory
        + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1000, 1000, len(directory), start, 0)
    )


def test_entries_that_overlap_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(overlapping(checkpoint))
    assert "claims more bytes than it has" in refusal(tmp_path / "last.ckpt")


def test_what_was_checked_is_what_is_read(checkpoint: Path, tmp_path: Path) -> None:
    """Python looks for an archive's directory at its end, PyTorch where the end says it is."""
    archives = []
    for step in (3, 2):
        torch.save({**read_checkpoint(checkpoint), "global_step": step}, tmp_path / "one.ckpt")
        archives.append(rewritten(tmp_path / "one.ckpt", None, zipfile.ZIP_STORED, "data.pkl"))
    (tmp_path / "two.ckpt").write_bytes(b"".join(archives))
    assert torch.load(tmp_path / "two.ckpt", weights_only=True)["global_step"] == 3
    assert read_checkpoint(tmp_path / "two.ckpt")["global_step"] == 2
    assert AtomicCheckpointIO().load_checkpoint(tmp_path / "two.ckpt")["global_step"] == 2


# What a refusal costs

MEASURED = """
import resource, sys, time
from tvl_lightning.limits import InputError
from tvl_lightning.training import load_classifier

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

load_classifier(sys.argv[1])
before, begin = peak(), time.process_time()
for path in sys.argv[2:]:
    try:
        load_classifier(path)
    except InputError as error:
        assert "\\n" not in str(error)
    else:
        sys.exit(f"{path} was loaded")
print(peak() - before, time.process_time() - begin)
"""


@pytest.mark.slow
def test_bombs_take_neither_memory_nor_time(checkpoint: Path, tmp_path: Path) -> None:
    identity = {"_target_": "torch.nn.Identity", "_partial_": True}
    fixed = {"_target_": f"{NETWORKS}.Fixed", "_partial_": True, "horizon": 1.0}
    linear = {"_target_": "torch.nn.Linear", "in_features": 40_000, "out_features": 40_000}
    networks = [
        {**NETWORK, "width": 10**9},
        {**NETWORK, "hidden_layers": 2_000_000},
        {**NETWORK, "hidden_layers": 10**12, "field": identity},
        {**NETWORK, "width": 10**9, "field": fixed},
        {**NETWORK, "scheme": {**linear, "device": "cpu"}},
    ]
    content = read_checkpoint(checkpoint)
    paths = []
    for i, change in enumerate([*({"network": n} for n in networks), {"penalties": {"a": linear}}]):
        paths.append(tmp_path / f"{i}.ckpt")
        settings = {**content["hyper_parameters"], **change}
        torch.save({**content, "hyper_parameters": settings}, paths[-1])
    for name, pickled in [("bytes", TWO_GIGABYTES), ("lists", A_MILLION_LISTS)]:
        paths.append(tmp_path / f"{name}.ckpt")
        paths[-1].write_bytes(rewritten(checkpoint, pickled, zipfile.ZIP_STORED, "data.pkl"))
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(checkpoint), *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    megabytes, seconds = map(float, done.stdout.split()[-2:])
    assert megabytes < 150  # about 50
    assert seconds < 20  # about 3


# Writing


def test_checkpoint_that_was_written_can_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "last.ckpt"
    for epoch in range(2):
        AtomicCheckpointIO().save_checkpoint({"epoch": epoch, "tau": torch.arange(3.0)}, path)
    content = torch.load(path, weights_only=True)
    assert content["epoch"] == 1
    assert torch.equal(content["tau"], torch.arange(3.0))
    assert list(path.parent.iterdir()) == [path]


def test_checkpoint_path_may_be_a_string(tmp_path: Path) -> None:
    AtomicCheckpointIO().save_checkpoint({"epoch": 7}, str(tmp_path / "last.ckpt"))
    assert torch.load(tmp_path / "last.ckpt", weights_only=True) == {"epoch": 7}


def test_checkpoint_that_cannot_be_pickled_leaves_the_previous_one(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"epoch": 1}, path)
    with pytest.raises((AttributeError, TypeError, RuntimeError)):
        AtomicCheckpointIO().save_checkpoint({"epoch": 2, "evil": lambda: None}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


# forks writers and kills each at another moment: torch is imported once for all of them
KILLED_WRITERS = """
import os, signal, sys, time
from pathlib import Path

import torch
from tvl_lightning.training import AtomicCheckpointIO

torch.set_num_threads(1)
path = Path(sys.argv[1])
checkpoint = {"epoch": 0, "state": torch.ones(1_000_000)}
AtomicCheckpointIO().save_checkpoint(checkpoint, path)
for kill in range(8):
    before = path.stat().st_mtime_ns
    writer = os.fork()
    if not writer:
        while True:
            checkpoint["epoch"] += 1
            AtomicCheckpointIO().save_checkpoint(checkpoint, path)
    while path.stat().st_mtime_ns == before:
        time.sleep(0.005)
    time.sleep(0.01 + 0.005 * kill)
    os.kill(writer, signal.SIGKILL)
    _, status = os.waitpid(writer, 0)
    content = torch.load(path, weights_only=True)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert content["epoch"] > 0
    assert len(content["state"]) == 1_000_000 and content["state"].sum() == 1_000_000
print("whole after each kill")
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system with fork")
def test_killed_process_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_WRITERS, str(tmp_path / "last.ckpt")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "whole after each kill" in done.stdout


@pytest.mark.parametrize("place", ["missing", "unwritable"])
def test_a_checkpoint_does_not_pass_through_the_temporary_folder(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    if place == "unwritable":
        temporary.mkdir(mode=0o500)
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))  # found once, at the first use
    path = saved(described(SETTINGS), tmp_path / "checkpoints" / "last.ckpt")
    assert load_classifier(path).network.layers == [0, 1, 2, 3]
    assert not temporary.exists() or list(temporary.iterdir()) == []


def test_a_full_disk_is_named_and_leaves_the_checkpoint_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            if self.tell() > 2000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"weights": torch.zeros(3)}, path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda *_: Full())
        with pytest.raises(OSError, match="No space left") as full:
            AtomicCheckpointIO().save_checkpoint({"weights": torch.zeros(9999)}, path)
    assert full.value.filename == str(path)
    assert torch.load(path, weights_only=True)["weights"].shape == (3,)
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]
