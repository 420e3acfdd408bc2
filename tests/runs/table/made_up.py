"""Made-up runs that have ended, without their arrays."""

import json
from pathlib import Path
from typing import Any

CURVES = {"epoch": [-1, 0, 1, 2], "step": [0, 36, 72, 108], "val/acc": [0.95, 0.5, 0.9, 0.8]}


def summary(**given: Any) -> dict[str, Any]:
    """A summary; `seed`, `lr` and `reg` are settings."""
    seed, lr, reg = given.pop("seed", 0), given.pop("lr", 0.1), given.pop("reg", "none")
    penalties = {} if reg == "none" else {reg: {"_target_": f"tvl.{reg.upper()}", "weight": 0.5}}
    return {
        "status": "finished",
        "reason": None,
        "settings": {
            "seed": seed,
            "model": {"_target_": "tvl_lightning.networks.perceptron", "hidden_layers": 4},
            "optimizer": {"_target_": "torch.optim.SGD", "lr": lr},
            "reg": penalties,
        },
        "choices": {"model": "resnet", "optimizer": "sgd", "reg": reg},
        "overrides": [f"seed={seed}", f"optimizer.lr={lr}", f"reg={reg}"],
        "seed": seed,
        "metrics": {"val/acc": 0.8},
        "best": {"epoch": 1, "val/acc": 0.9},
        "objective": 0.9,
        "test": {"test/acc": 0.875},
        "layers": [0, 1, 3],
        "parameters": 89_602,
        "sum_of_tau": 1.25,
        "epochs": 3,
        "iterations": 108,
        "seconds": 12.0,
        "iterations_per_second": 9.0,
        **given,
    }


def write(folder: Path, **given: Any) -> Path:
    """The directory of a run with such a summary."""
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps(summary(**given)))
    return folder


def write_curves(folder: Path, **curves: list[float]) -> Path:
    """The curves of a run, in its directory."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = {**CURVES, **{name.replace("_", "/", 1): c for name, c in curves.items()}}
    rows = [columns, *zip(*columns.values(), strict=True)]
    lines = (",".join("" if v is None else str(v) for v in row) for row in rows)
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    return folder
