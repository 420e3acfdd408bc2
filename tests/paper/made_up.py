"""Made-up run directories of the paper's setups, and what their configurations are."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from tvl_lightning.cli.commands import CONFIG_PATH
from tvl_lightning.cli.folders import register_resolvers
from tvl_lightning.paper.setups import Setup, setup
from tvl_lightning.runs.reading import Array

GROUPS = [
    *("model", "scheme", "tau", "reg", "projection", "pruning"),
    *("optimizer", "scheduler", "seed", "variant", "data", "trainer"),
]

ITERATIONS = 4000
ACCURACIES = {
    ("fashion_mnist", True): [0.1, 0.82, 0.86, 0.88, 0.89],
    ("fashion_mnist", False): [0.1, 0.5, 0.81, 0.86, 0.88],
    ("mnist", True): [0.1, 0.91, 0.96, 0.975, 0.98],
    ("mnist", False): [0.1, 0.5, 0.92, 0.96, 0.975],
}


@contextmanager
def composed(*overrides: str) -> Iterator[DictConfig]:
    """The configuration of `python -m tvl_lightning.train OVERRIDES`, Hydra's own part with it."""
    register_resolvers()
    with initialize_config_dir(CONFIG_PATH, version_base="1.3"):
        cfg = compose("train", [*overrides], return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    try:
        yield cfg
    finally:
        HydraConfig.instance().cfg = None


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """A configuration as a run's summary has it."""
    content: Any = OmegaConf.to_container(OmegaConf.masked_copy(cfg, GROUPS), resolve=True)
    return json.loads(json.dumps(content))  # type: ignore[no-any-return]


def settings_of(*overrides: str) -> dict[str, Any]:
    """The settings in the summary of a run."""
    with composed(*overrides) as cfg:
        return resolved(cfg)


@cache
def settings_text(shown: Setup) -> str:
    overrides = [
        f"data={shown.data}",
        f"model={shown.model}",
        f"setup={shown.tau}",
        f"variant={shown.variant or 'paper'}",
        *(["experiment=figure_4_6"] if shown.pruned else ["data.val_size=0"]),
    ]
    return json.dumps(settings_of(*overrides))


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
