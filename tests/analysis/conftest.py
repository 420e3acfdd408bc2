"""Made-up run directories of the paper's setups."""

import json
import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from tvl_lightning.analysis.runs import Array
from tvl_lightning.entry import CONFIG_PATH
from tvl_lightning.setups import DECISIVE, Setup, setup

ITERATIONS = 4000
ACCURACIES = {
    ("fashion_mnist", True): [0.1, 0.82, 0.86, 0.88, 0.89],
    ("fashion_mnist", False): [0.1, 0.5, 0.81, 0.86, 0.88],
    ("mnist", True): [0.1, 0.91, 0.96, 0.975, 0.98],
    ("mnist", False): [0.1, 0.5, 0.92, 0.96, 0.975],
}


@cache
def settings_text(shown: Setup) -> str:
    overrides = [
        f"data={shown.data}",
        f"model={shown.model}",
        f"setup={shown.tau}",
        f"variant={shown.variant or 'paper'}",
        *(["experiment=figure_4_6"] if shown.pruned else ["data.val_size=0"]),
    ]
    with initialize_config_dir(CONFIG_PATH, version_base="1.3"):
        cfg = compose("train", overrides)
    kept = OmegaConf.masked_copy(cfg, [*DECISIVE, "variant", "data", "trainer"])
    return json.dumps(OmegaConf.to_container(kept, resolve=True))


def paths(shown: Setup) -> Array:
    """τ over the iterations as the paper has it, shape (n, 6)."""
    iteration = np.arange(1, ITERATIONS + 1)[:, None]
    early = iteration <= 120
    start = np.full(6, 1 / 6)
    if (shown.model, shown.tau) == ("fractional", "learned"):
        return start * (1 + iteration / ITERATIONS * np.array([4, 2, 2, 2, 2, 2]))
    if (shown.model, shown.tau) == ("fractional", "horizon"):
        total = np.interp(iteration, [1, 1000, 1500, 3000], [0.9, 1, 1.3, 1])
        return start * total
    if shown.tau == "final":
        last = np.where(early, 0.1, -0.2)
        return np.hstack([0.9 - last, np.full((ITERATIONS, 4), 0.025), last])
    if shown.tau == "horizon":
        return np.where(early, [0.5, 0.1, 0.1, 0.1, 0.1, 0.1], [1.0, 0.1, 0.1, -0.4, 0.1, 0.1])
    if shown.model == "resnet" and shown.tau == "l1":
        gone = np.nan if shown.pruned else 1e-4
        return np.where(early, start, [1.0, gone, gone, gone, gone, 0.5])
    if shown.model == "resnet" and shown.tau == "learned":
        return np.where(early, start, [1.0, 0.3, 0.3, 0.3, 0.3, 0.3])
    return np.broadcast_to(start, (ITERATIONS, 6)).copy()


def write_run(
    folder: Path,
    shown: Setup,
    seed: int = 0,
    *,
    accuracy: list[float] | None = None,
    tau: Array | None = None,
    loss: float = 0.5,
    **summary: Any,
) -> Path:
    """A run directory of `shown` in which the paper's claims hold, apart from what is given."""
    run = folder / f"{shown}-seed{seed}"
    run.mkdir(parents=True)
    if accuracy is None:
        accuracy = ACCURACIES[shown.data, shown.tau != "fixed"]
    penalty = {"l1": "penalty/l1", "horizon": "penalty/horizon"}.get(shown.tau)
    rows = [
        f"{epoch - 1},{value},{loss}" + (",0.25" if penalty else "")
        for epoch, value in enumerate(accuracy)
    ]
    header = "epoch,test/acc,test/task_loss" + (f",{penalty}" if penalty else "")
    (run / "metrics.csv").write_text("\n".join([header, *rows]) + "\n")
    tau = paths(shown) if tau is None else tau
    np.savez(
        run / "tau.npz",
        iteration=np.arange(1, len(tau) + 1),
        tau=tau,
        loss=np.full(len(tau), loss),
        task_loss=np.full(len(tau), loss),
    )
    layers = np.flatnonzero(np.isfinite(tau[-1])).tolist()
    content = {
        "settings": json.loads(settings_text(shown)),
        "seed": seed,
        "epochs": len(accuracy) - 1,
        "iterations": len(tau),
        "iterations_per_second": 120.0 if shown.pruned else 100.0,
        "parameters_before": 130_006,
        "parameters": 130_006 - 10_101 * (6 - len(layers)),
        "layers": layers,
        "diverged_at": None,
        "device": "cpu, 1 threads",
        "versions": {"python": "3.11", "torch": "2.6"},
        **summary,
    }
    (run / "summary.json").write_text(json.dumps(content))
    return run


def all_setups() -> list[Setup]:
    """The runs of the six figures in both variants, and those of tau=simplex."""
    shown = []
    for variant in ("paper", "authors"):
        for data in ("mnist", "fashion_mnist"):
            for model in ("resnet", "fractional"):
                for choice in ("learned", "fixed", "l1", "horizon", "final", "simplex"):
                    if (choice, variant) != ("simplex", "authors"):
                        shown.append(setup(data, model, choice, variant=variant))
        for choice in ("learned", "l1", "horizon", "final"):
            shown.append(setup("fashion_mnist", "resnet", choice, True, variant))
    shown.append(setup("fashion_mnist", "resnet", "simplex", True))
    return sorted(set(shown))


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every run, in which every claim holds. Not to be changed."""
    folder = tmp_path_factory.mktemp("world")
    for shown in all_setups():
        write_run(folder, shown)
    return folder


@pytest.fixture
def altered(world: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the world in which one run is another."""

    def alter(shown: Setup, **changes: Any) -> Path:
        for run in world.iterdir():
            if run.name != f"{shown}-seed0":
                shutil.copytree(run, tmp_path / run.name, copy_function=os.link)
        write_run(tmp_path, shown, **changes)
        return tmp_path

    return alter
