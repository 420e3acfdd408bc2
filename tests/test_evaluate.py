"""The command that tests a run."""

import csv
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import REPOSITORY, SMALL, Command, hydra_as_it_was, quiet_trainer
from tvl_lightning import train
from tvl_lightning.runs.table import short_table
from tvl_lightning.training import TimeVariableClassifier
from tvl_lightning.training.rebuild import build

EVALUATE = "tvl_lightning.evaluate"
HERE = "hydra.run.dir=here"  # where results go
NO_PICTURES = ["logger=none", "hydra/job_logging=none", "hydra/hydra_logging=none"]

MINE = """
import torch
from lightning import LightningDataModule
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tvl_lightning import Dataset, Samples, Sizes, TensorData


class Bottleneck(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.down, self.up = nn.Linear(width, 3), nn.Linear(3, width)

    def forward(self, y):
        return self.up(self.down(y).relu())


class Spread:
    def __call__(self, tau):
        return 0.1 * tau.var()


def points(n, seed):
    x = torch.rand(n, 2, generator=torch.Generator().manual_seed(seed))
    return x, (x[:, 0] > x[:, 1]).long()


class Halves(TensorData):
    sizes = Sizes(in_shape=(2,), classes=3)

    def load(self):
        return Dataset(Samples(*points(500, 0)), Samples(*points(90, 1)), "halves")


class Blind(LightningDataModule):
    def train_dataloader(self):
        return DataLoader(TensorDataset(*points(64, 2)), batch_size=10)

    val_dataloader = train_dataloader


class Foreseen(Blind):
    test_dataloader = Blind.train_dataloader

    def predict_dataloader(self):
        return DataLoader(points(12, 3)[0], batch_size=5)


class Seen(Foreseen):
    def predict_dataloader(self):
        return self.train_dataloader()


class Empty(Blind):
    def test_dataloader(self):
        return DataLoader(TensorDataset(*points(0, 2)), batch_size=10)


class Nothing(Blind):
    def test_dataloader(self):
        return []


class Wide(Blind):
    def test_dataloader(self):
        return DataLoader(TensorDataset(torch.rand(4, 7), torch.arange(4)), batch_size=2)


class Many(Blind):
    def test_dataloader(self):
        return DataLoader(TensorDataset(torch.rand(4, 2), torch.arange(4)), batch_size=4)
"""


def trained(folder: Path, *arguments: str) -> Path:
    """A real run of two epochs."""
    with pytest.MonkeyPatch.context() as patch, hydra_as_it_was():
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        patch.setattr("tvl_lightning.runs.figures.draw_run", lambda folder: None)
        name = f"hydra.run.dir={folder / 'run'}"
        given = [*arguments, "trainer=cpu", "trainer.max_epochs=2", *NO_PICTURES, name]
        patch.setattr(sys, "argv", ["train", *given])
        train.main()
    sys.modules.pop("mine", None)
    return folder / "run"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pruned: of four layers the one with τ = 0.001 is gone."""
    initial = "tau.initial=[0.5,0.001,0.3,0.2]"
    folder = tmp_path_factory.mktemp("pruned")
    pruned = ["data=digits", "pruning=adaptive", "pruning.interval=5", initial]
    return trained(folder, *SMALL, *pruned)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a field, a penalty and data of the user's."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "mine.py").write_text(MINE)
    for name, text in {
        "reg/spread": "spread: {_target_: mine.Spread}",
        "data/halves": "_target_: mine.Halves",
        "model/mine": "defaults: [resnet, _self_]\n"
        "field: {_target_: mine.Bottleneck, _partial_: true}",
    }.items():
        path = folder / "configs" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    parts = ["--config-dir", "configs", "reg=spread", "data=halves", "model=mine"]
    return trained(folder, *parts, "model.width=8", "optimizer.lr=0.1")


@pytest.fixture
def beside_mine(own: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in the folder in which `mine.py` lies."""
    monkeypatch.syspath_prepend(own.parent)
    yield
    sys.modules.pop("mine", None)


def summary_of(run: Path) -> Any:
    return json.loads((run / "summary.json").read_text())


def evaluation_in(folder: Path) -> Any:
    return json.loads((folder / "evaluation.json").read_text())


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def changed(run: Path, path: Path, **settings: Any) -> Path:
    """The run's checkpoint with other descriptions, as a stranger could write it."""
    content = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    content["hyper_parameters"] |= settings
    torch.save(content, path)
    return path


def strangers(path: Path, data: dict[str, Any]) -> Path:
    """A checkpoint of a network for MNIST, with what it says of its data."""
    network = {
        "_target_": "tvl_lightning.networks.perceptron",
        **{"in_shape": [1, 28, 28], "classes": 10, "width": 3, "hidden_layers": 2},
    }
    module = TimeVariableClassifier(build(network), config={"network": network, "data": data})
    trainer = quiet_trainer(path.parent)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(path)
    return path


def refusal(call: Command, *arguments: str) -> str:
    """The one line with which a command is refused."""
    done = call(EVALUATE, *arguments)
    [line] = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith("error: ")
    return line


def state(folder: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of change of all that is in a folder."""
    files = {path: path.stat() for path in folder.rglob("*")}
    return {path: (file.st_size, file.st_mtime_ns) for path, file in files.items()}


# What comes out


def test_a_run_is_evaluated_to_the_bit_as_it_was_tested_and_is_only_read(
    call: Command, run: Path, tmp_path: Path
) -> None:
    before = state(run)
    done = call(EVALUATE, f"run={run}", "trainer=cpu")
    assert done.returncode == 0, done.stderr
    assert state(run) == before
    [folder] = (tmp_path / "outputs" / "evaluate").glob("*/*")
    evaluation, summary = evaluation_in(folder), summary_of(run)
    assert evaluation["test"] == summary["test"]
    assert evaluation["checkpoint"] == str(run / summary["tested_checkpoint"])
    assert evaluation["layers"] == [0, 2, 3]
    assert evaluation["parameters"] == summary["parameters"]
    assert evaluation["data"]["dataset"] == "Digits"
    files = {path.name for path in folder.iterdir()} - {"evaluate.log"}
    assert files == {"evaluation.json", "confusion.csv", "classes.csv", "confusion.png"}
    for text in (
        f"accuracy {summary['test']['test/acc']:.4g}",
        "least accurate: class",
        "355 samples",
    ):
        assert text in done.stdout


def test_tables_and_predictions_agree_with_the_accuracy(
    call: Command, run: Path, tmp_path: Path
) -> None:
    done = call(EVALUATE, f"run={run}", "--predict", HERE)
    assert done.returncode == 0, done.stderr
    here = tmp_path / "here"
    accuracy = evaluation_in(here)["test"]["test/acc"]
    counts = np.loadtxt(here / "confusion.csv", delimiter=",", skiprows=1, dtype=int)[:, 1:]
    assert counts.trace() / 355 == pytest.approx(accuracy, rel=1e-6)
    classes = table(here / "classes.csv")
    assert [int(row["samples"]) for row in classes] == counts.sum(1).tolist()
    shares = [float(row["accuracy"]) for row in classes]
    np.testing.assert_allclose(shares, counts.diagonal() / counts.sum(1), rtol=1e-5)
    rows = table(here / "predictions.csv")
    assert [int(row["index"]) for row in rows] == list(range(355))
    assert sum(row["label"] == row["predicted"] for row in rows) == counts.trace()
    p = np.array([[float(row[f"p_{j}"]) for j in range(10)] for row in rows])
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-4)
    assert (p.argmax(1) == [int(row["predicted"]) for row in rows]).all()


@pytest.mark.parametrize(
    "settings",
    [
        ["data=mnist_5k"],
        ["+trainer.precision=64-true", "data=digits"],
        ["+trainer.precision=bf16-mixed", "data=digits"],
        ["data.val_size=0", "data=digits"],
        ["model=fractional", "data=digits", "scheme.learn_gamma=true"],
    ],
    ids=lambda settings: settings[0],
)
def test_whatever_the_settings_the_bits_are_those_of_the_test(
    call: Command, tmp_path: Path, settings: list[str]
) -> None:
    run = trained(tmp_path, *SMALL[:2], *settings)
    done = call(EVALUATE, f"run={run}", "trainer=cpu", HERE)
    assert done.returncode == 0, done.stderr
    assert evaluation_in(tmp_path / "here")["test"] == summary_of(run)["test"]


def test_the_checkpoint_is_chosen_by_name_or_path_wherever_the_run_lies(
    call: Command, run: Path, tmp_path: Path
) -> None:
    shutil.copytree(run, tmp_path / "moved")
    last = "moved/checkpoints/last.ckpt"
    shutil.copy(tmp_path / last, tmp_path / "alone.ckpt")
    reached = []
    for given in (["run=moved", "checkpoint=last"], [f"checkpoint={last}"]):
        assert call(EVALUATE, *given, HERE).returncode == 0
        assert evaluation_in(tmp_path / "here")["checkpoint"] == last
        reached.append(evaluation_in(tmp_path / "here")["test"])
    assert call(EVALUATE, "checkpoint=alone.ckpt", HERE).returncode == 0
    reached.append(evaluation_in(tmp_path / "here")["test"])
    assert reached[0] == reached[1] == reached[2]
    assert call(EVALUATE, "run=moved", HERE).returncode == 0
    assert evaluation_in(tmp_path / "here")["test"] == summary_of(run)["test"]


def test_what_validates_gives_the_accuracy_of_the_best_epoch(
    call: Command, run: Path, tmp_path: Path
) -> None:
    assert call(EVALUATE, f"run={run}", "split=val", HERE).returncode == 0
    evaluation = evaluation_in(tmp_path / "here")
    assert evaluation["val"]["val/acc"] == summary_of(run)["objective"]
    assert evaluation["samples"] == 144
    line = refusal(call, f"run={run}", "split=val", "data=digits", "data.val_size=0")
    assert "split=val: Digits keeps no samples to validate; say split=test" in line


def test_a_multirun_evaluates_several(call: Command, run: Path, tmp_path: Path) -> None:
    done = call(EVALUATE, "-m", f"run={run}", "checkpoint=best,last", "hydra.sweep.dir=all")
    assert done.returncode == 0, done.stderr
    names = [evaluation_in(tmp_path / "all" / n)["checkpoint"] for n in ("0", "1")]
    assert [Path(name).stem for name in names] == ["best", "last"]


def test_the_file_is_read_once(call: Command, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    path = str(run / "checkpoints" / "best.ckpt")

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and str(arguments[0]) == path and watching:
            opened.append(arguments[1])

    watching = True
    sys.addaudithook(note)  # for good, so it is told when to look away
    assert call(EVALUATE, f"run={run}", HERE).returncode == 0
    watching = False
    assert len(opened) == 1


def test_the_help_lists_what_it_takes_and_nothing_else(call: Command) -> None:
    text = call(EVALUATE, "--help").stdout
    for name in ("run=", "checkpoint=", "data=", "root=", "split=", "--predict", "trust=", "-m "):
        assert name in text
    for data in (REPOSITORY / "conf" / "data").glob("*.yaml"):
        assert data.stem in text, f"name {data.stem} in conf/evaluate.yaml"
    for name in ("pruning", "optimizer", "reg", "scheme=", "experiment", "${"):
        assert name not in text
    assert max(map(len, text.splitlines())) <= 100


# Other data


def test_other_data_of_the_same_size_are_evaluated_and_others_refused(
    call: Command, run: Path, tmp_path: Path
) -> None:
    other = ["data=digits", "data.batch_size=7", "data.val_size=0.5", "seed=1"]
    assert call(EVALUATE, f"run={run}", *other, HERE).returncode == 0
    evaluation = evaluation_in(tmp_path / "here")
    assert evaluation["data"]["val_images"] == 721
    assert evaluation["test"] == summary_of(run)["test"]
    line = refusal(call, f"run={run}", "data=mnist_5k")
    assert "MNIST5k has samples of shape (1, 28, 28) in 10 classes" in line
    assert "the network takes in_shape=[1, 8, 8] in classes=10" in line


def test_own_parts_need_run_and_trust_and_the_line_says_so(
    call: Command, own: Path, beside_mine: None, tmp_path: Path
) -> None:
    line = refusal(call, f"run={own}")
    assert "mine.Bottleneck, mine.Halves" in line
    assert line.endswith(f"python -m tvl_lightning.evaluate run={own} 'trust=[mine]'")
    assert "mine" not in sys.modules
    done = call(EVALUATE, f"run={own}", "trust=[mine]", HERE)
    assert done.returncode == 0, done.stderr
    assert evaluation_in(tmp_path / "here")["test"] == summary_of(own)["test"]
    # the test set has no sample of the third class
    assert table(tmp_path / "here" / "classes.csv")[2] == {
        **{"class": "2", "samples": "0", "correct": "0", "accuracy": ""}
    }


def test_a_trusted_package_that_is_not_there_is_refused_with_what_to_do(
    call: Command, own: Path
) -> None:
    line = refusal(call, f"run={own}", "trust=[mine]")
    assert "No module named 'mine'" in line
    assert "start the command in the folder that holds it, or install it" in line


def test_data_without_a_test_loader_are_refused_and_can_be_validated(
    call: Command, own: Path, beside_mine: None, tmp_path: Path
) -> None:
    given = [f"run={own}", "trust=[mine]", "+data={_target_: mine.Blind}", HERE]
    line = refusal(call, *given)
    assert "Blind has no test_dataloader" in line
    assert "split=val" in line
    assert not (tmp_path / "here").exists()
    assert call(EVALUATE, *given, "split=val").returncode == 0
    assert evaluation_in(tmp_path / "here")["data"] == "Blind"
    assert evaluation_in(tmp_path / "here")["samples"] == 64


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Empty", "there is no sample to evaluate on"),
        ("Nothing", "there is no sample to evaluate on"),
        ("Wide", "the samples have shape (7,), and the network takes in_shape=[2]"),
        ("Many", "the labels are 0 ... 3, and the network has classes=3"),
    ],
)
def test_data_that_do_not_fit_are_refused_when_they_are_seen(
    call: Command, own: Path, beside_mine: None, name: str, message: str
) -> None:
    given = [f"run={own}", "trust=[mine]", f"+data={{_target_: mine.{name}}}"]
    assert message in refusal(call, *given)


@pytest.mark.parametrize(
    ("name", "n", "labels"), [("Foreseen", 12, {""}), ("Seen", 64, {"0", "1"})]
)
def test_data_that_name_samples_to_predict_have_those_predicted(
    call: Command, own: Path, beside_mine: None, tmp_path: Path, name: str, n: int, labels: set[str]
) -> None:
    given = [f"run={own}", "trust=[mine]", f"+data={{_target_: mine.{name}}}", HERE]
    assert call(EVALUATE, *given, "predict=true").returncode == 0
    assert evaluation_in(tmp_path / "here")["samples"] == 64
    rows = table(tmp_path / "here" / "predictions.csv")
    assert len(rows) == n
    assert {row["label"] for row in rows} == labels


# A stranger's checkpoint


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders to which a download began; it fails."""
    folders: list[str] = []

    def download(self: Any) -> None:
        folders.append(str(self.root))
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.MNIST.download", download)
    monkeypatch.setattr("tvl_lightning.data.MNIST.installed", [])
    monkeypatch.setattr("tvl_lightning.data.FashionMNIST.installed", [])
    return folders


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST"])
@pytest.mark.parametrize("exists", [True, False])
def test_a_files_word_makes_no_folder_and_downloads_nothing(
    call: Command, tmp_path: Path, downloads: list[str], name: str, exists: bool
) -> None:
    root = tmp_path / "anything"
    if exists:
        root.mkdir()
    data = {"_target_": f"tvl_lightning.data.{name}", "root": str(root)}
    line = refusal(call, f"checkpoint={strangers(tmp_path / 'x.ckpt', data)}")
    assert f"the files of its data, {name}, are neither in" in line
    assert "say root=FOLDER" in line
    assert not downloads
    assert {p.name for p in tmp_path.rglob("*")} == {"x.ckpt", *(["anything"] if exists else [])}


@pytest.mark.parametrize("given", ["root=there", "data=mnist data.root=there", "data=mnist"])
def test_the_users_word_downloads(
    call: Command, tmp_path: Path, downloads: list[str], given: str
) -> None:
    data = {"_target_": "tvl_lightning.data.MNIST", "root": "anything"}
    path = strangers(tmp_path / "x.ckpt", data)
    assert "no network" in refusal(call, f"checkpoint={path}", *given.split())
    assert downloads == ["there" if "there" in given else "data"]


def test_a_folder_for_data_that_have_none_is_refused(call: Command, run: Path) -> None:
    line = refusal(call, f"run={run}", "root=there")
    assert "root=there: tvl_lightning.data.Digits has no folder" in line


def test_a_checkpoint_that_names_no_data_asks_for_some(
    call: Command, run: Path, tmp_path: Path
) -> None:
    for data in (None, "digits", []):
        path = changed(run, tmp_path / "x.ckpt", data=data)
        assert "does not name its data; say data=NAME" in refusal(call, f"checkpoint={path}")
    assert call(EVALUATE, f"checkpoint={path}", "data=digits", HERE).returncode == 0
    sizes = {"_target_": "tvl_lightning.data.Sizes", "in_shape": [1], "classes": 2}
    path = changed(run, tmp_path / "x.ckpt", data=sizes)
    assert "its data are no LightningDataModule" in refusal(call, f"checkpoint={path}")


@pytest.mark.parametrize("target", ["os.system", "mine;rm -rf.X", "мine.X", "subprocess.run"])
def test_no_command_is_suggested_that_trusts_what_no_user_wrote(
    call: Command, run: Path, tmp_path: Path, target: str
) -> None:
    data = {"_target_": target, "command": f"touch '{tmp_path}/trace'"}
    line = refusal(call, f"checkpoint={changed(run, tmp_path / 'x.ckpt', data=data)}")
    assert "python -m" not in line
    assert not (tmp_path / "trace").exists()


class RunsCode:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.path}'",)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("place", ["hyper_parameters", "state_dict", "epoch", "callbacks"])
def test_a_malicious_pickle_is_refused_without_advice_to_run_it(
    call: Command, run: Path, tmp_path: Path, protocol: int, place: str
) -> None:
    trace = tmp_path / "code was run"
    content = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    content[place] = {"x": RunsCode(trace)}
    torch.save(content, tmp_path / "x.ckpt", pickle_protocol=protocol)
    line = refusal(call, "checkpoint=x.ckpt")
    assert "is not a readable checkpoint" in line
    assert "weights_only" not in line
    assert "trust" not in line
    assert not trace.exists()
    torch.load(tmp_path / "x.ckpt", weights_only=False)
    assert trace.exists(), "the file would have run nothing anyway"


# Refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["checkpoint=none.ckpt"], "checkpoint=none.ckpt: no such file"),
        (["run=none"], "run=none: no such folder"),
        (["run=."], "run=.: has no checkpoint"),
        ([], "say run=FOLDER"),
        (["run=[a,b]"], "run=[a,b]: must be the name of a file or folder"),
        (["run=none", "nonsense=1"], "nonsense"),
        (["run=none", "model=conv"], "model"),
        (["run=none", "data=digts"], "data=digts: must be one of digits"),
        (["run=none", "trainer.max_epochs=-2"], "trainer.max_epochs=-2"),
        (["run=none", "split=train"], "split=train: must be test or val"),
        (["run=none", "predict=2"], "predict=2: must be true or false"),
        (["run=none", "trust=mine"], "trust=mine: must be a list of packages, say [mine]"),
        (["run=none", "threads=0"], "threads=0: must be a whole number"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_in_one_line_and_leaves_nothing(
    call: Command, tmp_path: Path, arguments: list[str], message: str
) -> None:
    assert message in refusal(call, *arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda run: (run / "checkpoints" / "best.ckpt").write_bytes(b"nothing"),
        lambda run: (run / "checkpoints" / "best.ckpt").write_bytes(b""),
        lambda run: os.truncate(run / "checkpoints" / "best.ckpt", 3000),
        lambda run: (run / "summary.json").write_text("{"),
        lambda run: shutil.rmtree(run / "checkpoints"),
    ],
)
def test_a_damaged_run_is_refused_in_one_line(
    call: Command, run: Path, tmp_path: Path, spoil: Any
) -> None:
    shutil.copytree(run, tmp_path / "run")
    spoil(tmp_path / "run")
    before = state(tmp_path)
    assert "run" in refusal(call, "run=run")
    assert state(tmp_path).keys() == before.keys()


def test_a_run_that_cannot_be_read_is_refused_in_one_line(
    call: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run, tmp_path / "run")
    closed = tmp_path / "run" / "checkpoints"
    look = Path.iterdir

    def refuse(path: Path) -> Iterator[Path]:  # root may look into every folder
        if path.resolve() == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return look(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert "run=run: cannot be read (Permission denied)" in refusal(call, "run=run")


def test_an_evaluation_that_fails_among_others_is_no_run(call: Command, tmp_path: Path) -> None:
    sweep = ["-m", "run=missing,absent", "hydra.sweep.dir=evaluations"]
    assert call(EVALUATE, *sweep).returncode == 2
    results = sorted((tmp_path / "evaluations").glob("*/*.json"))
    assert {path.name for path in results} == {"evaluation.json"}
    assert {json.loads(path.read_text())["status"] for path in results} == {"failed"}
    assert short_table(tmp_path / "evaluations") == ""


def test_several_devices_are_refused(call: Command, run: Path) -> None:
    line = refusal(call, f"run={run}", "trainer=cpu", "trainer.devices=2")
    assert "trainer.devices=2: one device evaluates" in line


def test_a_refused_command_does_not_import_torch(command: Command, tmp_path: Path) -> None:
    code = "import sys, tvl_lightning.evaluate as e; sys.argv[1:] = ['run=none']\n"
    code += "try: e.command()\nexcept SystemExit: print('torch' in sys.modules)"
    (tmp_path / "asked.py").write_text(code)
    done = command("asked")
    assert done.stdout == "False\n"
    assert done.stderr == "error: run=none: no such folder\n"
