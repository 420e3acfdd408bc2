"""Made-up run directories of the paper's setups, and what their configurations are."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from tvl_lightning.cli.commands import CONFIG_PATH
from tvl_lightning.cli.folders import register_resolvers
from tvl_lightning.paper.measures import measured
from tvl_lightning.paper.setups import Setup, setup
from tvl_lightning.paper.study import MeasuredRun, Study
from tvl_lightning.runs.reading import Array, Run

GROUPS = [
    *("model", "scheme", "tau", "reg", "projection", "pruning"),
    *("optimizer", "scheduler", "seed", "variant", "data", "trainer", "callbacks"),
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
        return start * (1 + iteration / ITERATIONS * np.array([40, 20, 20, 20, 20, 20]))
    if (shown.model, shown.tau) == ("fractional", "l1"):
        return np.where(early, start, [1.0, 0.3, 0.3, 0.3, 0.3, 0.3])
    if (shown.model, shown.tau) == ("fractional", "horizon"):
        total = np.interp(iteration, [1, 1000, 1200, 3000], [0.9, 1, 1.3, 1])
        inner = np.where(early, 0.1, 1e-4)
        return np.hstack([(total - 4 * inner) / 2, *[inner] * 4, (total - 4 * inner) / 2])
    if shown.tau == "final":
        last = np.where(early, 0.1, -0.2)
        inner = np.where(early, 0.025, -0.025)
        return np.hstack([1 - 4 * inner - last, *[inner] * 4, last])
    if shown.tau == "horizon":
        after = [1.8, -0.1, -0.1, -0.4, -0.1, -0.1]
        return np.where(early, [0.5, 0.1, 0.1, 0.1, 0.1, 0.1], after)
    if shown.model == "resnet" and shown.tau == "l1":
        gone = np.nan if shown.pruned else 1e-4
        return np.where(early, start, [1.0, gone, gone, gone, gone, 0.4])
    if shown.model == "resnet" and shown.tau == "learned":
        return np.where(early, start, [1.0, 0.3, 0.3, 0.3, 0.3, 0.3])
    return np.broadcast_to(start, (ITERATIONS, 6)).copy()


class Written(NamedTuple):
    """What a run writes down."""

    metrics: dict[str, Array]
    trajectory: dict[str, Array]
    summary: dict[str, Any]


def written(
    shown: Setup,
    seed: int = 0,
    *,
    accuracy: list[float] | None = None,
    tau: Array | None = None,
    loss: float = 0.5,
    train_loss: float | None = None,
    epochs: int | None = None,
    **summary: Any,
) -> Written:
    """A run of `shown` in which the paper's claims hold, apart from what is given.

    Its accuracies are those of some epochs; the last one stays for `epochs` of them.
    """
    if accuracy is None:
        accuracy = ACCURACIES[shown.data, shown.tau != "fixed"]
        better = {"learned": 0.002, "horizon": -0.001}.get(shown.tau, 0.0)
        if shown.model == "fractional":
            accuracy = [a + better for a in accuracy]
    accuracy = accuracy + accuracy[-1:] * ((epochs or 0) + 1 - len(accuracy))
    metrics = {
        "epoch": np.arange(-1.0, len(accuracy) - 1),
        "test/acc": np.array(accuracy),
        "test/task_loss": np.full(len(accuracy), loss),
    }
    if shown.tau in ("l1", "horizon"):
        metrics["test/task_loss"] += 0.01
        penalty = 0.29 if shown.tau == "horizon" else 0.24
        metrics[f"penalty/{shown.tau}"] = np.full(len(accuracy), penalty)
    parts = [values for name, values in metrics.items() if name not in ("epoch", "test/acc")]
    metrics["train/loss"] = np.sum(parts, axis=0)
    if train_loss is not None:
        metrics["train/loss"][:] = train_loss
    tau = paths(shown) if tau is None else tau
    trajectory = {
        "iteration": np.arange(1, len(tau) + 1),
        "tau": tau,
        "loss": np.full(len(tau), loss),
        "task_loss": np.full(len(tau), loss),
    }
    layers = np.flatnonzero(np.isfinite(tau[-1])).tolist()
    content = {
        "seed": seed,
        "epochs": len(accuracy) - 1,
        "iterations": len(tau),
        "seconds": 60.0,
        "parameters_before": 130_006,
        "parameters": 130_006 - 10_101 * (6 - len(layers)),
        "layers": layers,
        "diverged_at": None,
        "device": "cpu, 1 threads",
        "versions": {"python": "3.11", "torch": "2.6"},
        **summary,
    }
    return Written(metrics, trajectory, content)


def write_run(folder: Path, shown: Setup, seed: int = 0, **changes: Any) -> Path:
    """The run directory of `written`."""
    run = folder / f"{shown}-seed{seed}"
    run.mkdir(parents=True)
    metrics, trajectory, summary = written(shown, seed, **changes)
    rows = [",".join(map(str, row)) for row in zip(*metrics.values(), strict=True)]
    (run / "metrics.csv").write_text("\n".join([",".join(metrics), *rows]) + "\n")
    np.savez(run / "tau.npz", **trajectory)  # type: ignore[arg-type]
    content = {"settings": json.loads(settings_text(shown)), **summary}
    (run / "summary.json").write_text(json.dumps(content))
    return run


def measured_run(shown: Setup, seed: int = 0, **changes: Any) -> MeasuredRun:
    """The run of `written`, of 200 epochs, as a study has it."""
    metrics, trajectory, summary = written(shown, seed, **{"epochs": 200, **changes})
    run = Run(Path("nowhere"), metrics, trajectory, summary)
    return MeasuredRun(run.folder, metrics, trajectory, summary, measured(run))


def whole_study(seeds: int = 3, changed: Setup | None = None, **changes: Any) -> Study:
    """A study in memory in which every claim holds, apart from the runs of one setup."""
    return Study(
        {
            shown: {
                seed: _unchanged(shown, seed)
                if shown != changed
                else measured_run(shown, seed, **changes)
                for seed in range(seeds)
            }
            for shown in all_setups()
        }
    )


_unchanged = cache(measured_run)


def all_setups() -> list[Setup]:
    """The runs of the six figures in both variants, of tau=simplex, and of variant=constant."""
    shown = [
        setup(data, "fractional", choice, variant="constant")
        for data in ("mnist", "fashion_mnist")
        for choice in ("learned", "horizon")
    ]
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
