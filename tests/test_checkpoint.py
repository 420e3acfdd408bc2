"""Checkpoints as untrusted data."""

import copy
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer

from tvl_lightning.checkpoint import check_resumable, read_checkpoint
from tvl_lightning.data import ImageData
from tvl_lightning.limits import InputError
from tvl_lightning.module import TimeVariableClassifier
from tvl_lightning.networks import FractionalDNN, TimeVariableResNet
from tvl_lightning.regularizers import L1

SIZES = {"in_features": 784, "width": 8, "hidden_layers": 3, "out_features": 10}


@pytest.fixture(scope="module")
def trained() -> TimeVariableClassifier:
    return TimeVariableClassifier(TimeVariableResNet(**SIZES), {"l1": L1(0.01)})


@pytest.fixture(scope="module")
def checkpoint(trained: TimeVariableClassifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    trainer = Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        max_epochs=1,
        limit_train_batches=2,
        limit_val_batches=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(trained, ImageData())
    trainer.save_checkpoint(folder / "last.ckpt")
    return folder / "last.ckpt"


def refusal(path: Path) -> str:
    """The one line with which a file is refused."""
    with pytest.raises(InputError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert message.startswith(f"checkpoint {path}: ")
    assert "\n" not in message
    return message


def changed(checkpoint: Path, into: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a checkpoint with something in its hyperparameters changed."""
    content = copy.deepcopy(torch.load(checkpoint, weights_only=True))
    change(content["hyper_parameters"])
    torch.save(content, into / "changed.ckpt")
    return into / "changed.ckpt"


def test_checkpoint_of_a_run_is_read_as_plain_data(checkpoint: Path) -> None:
    content = read_checkpoint(checkpoint)
    assert content["global_step"] == 2
    assert content["hyper_parameters"]["network"]["width"] == 8
    assert content["hyper_parameters"]["penalties"] == {"l1": {"penalty": "L1", "weight": 0.01}}
    assert content["datamodule_hyper_parameters"]["dataset"] == "mnist_5k"


def test_network_comes_back_from_its_checkpoint(
    checkpoint: Path, trained: TimeVariableClassifier
) -> None:
    loaded = TimeVariableClassifier.load_from_checkpoint(checkpoint, weights_only=True)
    images = torch.rand(5, 28, 28)
    assert torch.equal(loaded(images), trained(images))
    assert loaded.penalties == trained.penalties


def test_missing_file_is_refused_with_where_checkpoints_are(tmp_path: Path) -> None:
    message = refusal(tmp_path / "none.ckpt")
    assert "no such file" in message
    assert "RUN/checkpoints" in message


def test_folder_is_refused(tmp_path: Path) -> None:
    refusal(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"no checkpoint at all\nbut two lines",
        b"PK\x03\x04",
        b"\x80\x02.",
        b"\x80\x02}q\x00.",
        *(bytes((seed * 7919 + i * i * 31) % 256 for i in range(500)) for seed in range(5)),
    ],
    ids=lambda content: f"{len(content)} bytes {content[:4]!r}",
)
def test_file_that_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(content)
    refusal(tmp_path / "last.ckpt")


@pytest.mark.parametrize("kept", [0.001, 0.01, 0.3, 0.6, 0.9, 0.99, 0.9999])
def test_truncated_checkpoint_is_refused(kept: float, checkpoint: Path, tmp_path: Path) -> None:
    content = checkpoint.read_bytes()
    path = tmp_path / "last.ckpt"
    path.write_bytes(content[: int(len(content) * kept)])
    refusal(path)


class RunsCode:
    """What touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.path}'",)


def save_with_torch(content: Any, path: Path) -> None:
    torch.save(content, path)


def save_with_old_torch(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def save_with_pickle(content: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize("save", [save_with_torch, save_with_old_torch, save_with_pickle])
def test_code_in_a_file_is_not_run(save: Callable[[Any, Path], None], tmp_path: Path) -> None:
    path, trace = tmp_path / "last.ckpt", tmp_path / "code was run"
    save({"hyper_parameters": {"network": RunsCode(trace)}, "state_dict": {}}, path)
    refusal(path)
    assert not trace.exists()
    if save is save_with_torch:
        torch.load(path, weights_only=False)
        assert trace.exists(), "the file would have run nothing anyway"


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"a": 1},
        {"state_dict": {"weight": torch.zeros(2)}},
        {"hyper_parameters": {}, "state_dict": {}},
        {"hyper_parameters": {"lr": 0.1}, "state_dict": {}},
        torch.zeros(3),
        [1, 2],
        None,
        "network",
    ],
    ids=str,
)
def test_file_of_another_program_is_refused_as_such(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "last.ckpt")
    assert "was not written by a run of tvl_lightning" in refusal(tmp_path / "last.ckpt")


def test_run_can_go_on_from_a_checkpoint_of_the_same_network(
    checkpoint: Path, trained: TimeVariableClassifier
) -> None:
    check_resumable(checkpoint, trained)
    check_resumable(checkpoint, TimeVariableClassifier(TimeVariableResNet(**SIZES)))


@pytest.mark.parametrize(
    ("network", "differences"),
    [
        (TimeVariableResNet(**{**SIZES, "width": 9}), ["width is 8 there and 9 here"]),
        (
            TimeVariableResNet(**{**SIZES, "width": 9, "hidden_layers": 4}),
            ["width is 8 there and 9 here", "hidden_layers is 3 there and 4 here"],
        ),
        (TimeVariableResNet(**SIZES, tau="fixed"), ["tau is learned there and fixed here"]),
        (
            TimeVariableResNet(**SIZES, activation="Tanh"),
            ["activation is ReLU there and Tanh here"],
        ),
        (
            FractionalDNN(**SIZES, gamma=0.25),
            [
                "network is TimeVariableResNet there and FractionalDNN here",
                "gamma is None there and 0.25 here",
            ],
        ),
    ],
    ids=["width", "two", "tau", "activation", "network"],
)
def test_going_on_with_another_network_is_refused_with_what_differs(
    network: TimeVariableResNet | FractionalDNN, differences: list[str], checkpoint: Path
) -> None:
    with pytest.raises(InputError) as caught:
        check_resumable(checkpoint, TimeVariableClassifier(network))
    message = str(caught.value)
    assert message.startswith(f"resume={checkpoint}: ")
    assert "\n" not in message
    for difference in differences:
        assert difference in message
    assert "in_features" not in message


def test_going_on_from_a_damaged_checkpoint_is_refused(
    tmp_path: Path, trained: TimeVariableClassifier
) -> None:
    (tmp_path / "last.ckpt").write_bytes(b"rubbish")
    with pytest.raises(InputError, match="not a readable checkpoint"):
        check_resumable(tmp_path / "last.ckpt", trained)


@pytest.mark.parametrize(
    "name", ["os.system", "builtins.eval", "torch.nn.Linear", "TimeVariableNetwork", "", None]
)
def test_checkpoint_of_a_network_that_is_not_ours_is_refused(
    name: str | None, checkpoint: Path, tmp_path: Path
) -> None:
    path = changed(checkpoint, tmp_path, lambda h: h["network"].update(network=name))
    with pytest.raises(InputError, match=f"^network={name}: must be one of"):
        TimeVariableClassifier.load_from_checkpoint(path, weights_only=True)


@pytest.mark.parametrize(
    "entries",
    [
        {"command": "touch /tmp/x"},
        {"gamma": 0.5},
        {"self": 1},
        {"block": "os.system"},
        {"activation": None},
        {"activation": "os.system"},
        {"activation": "__builtins__"},
        {"activation": "MultiheadAttention"},
        {"width": "8"},
        {"width": -1},
        {"horizon": float("nan")},
        {"tau": "os.system"},
        {"tau": {"rule": "learned", "command": "x"}},
        {"tau": 5},
    ],
    ids=str,
)
def test_checkpoint_with_arguments_that_no_network_takes_is_refused(
    entries: dict[str, Any], checkpoint: Path, tmp_path: Path
) -> None:
    path = changed(checkpoint, tmp_path, lambda h: h["network"].update(entries))
    with pytest.raises(InputError):
        TimeVariableClassifier.load_from_checkpoint(path, weights_only=True)


def test_checkpoint_of_a_penalty_that_is_not_ours_is_refused(
    checkpoint: Path, tmp_path: Path
) -> None:
    path = changed(checkpoint, tmp_path, lambda h: h["penalties"]["l1"].update(penalty="os.system"))
    with pytest.raises(InputError, match="penalty l1"):
        TimeVariableClassifier.load_from_checkpoint(path, weights_only=True)


@pytest.mark.parametrize(
    "settings", [None, 5, "my network", ["network"], {"network": "resnet18"}, {"network": None}]
)
def test_a_checkpoint_of_another_project_is_refused(tmp_path: Path, settings: Any) -> None:
    torch.save({"hyper_parameters": settings, "state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="was not written by a run of tvl_lightning"):
        read_checkpoint(tmp_path / "other.ckpt")
