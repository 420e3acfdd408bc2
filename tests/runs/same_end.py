"""Two runs that ended with the same bits."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import torch


def last_weights(run: Path) -> dict[str, Any]:
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return {"epoch": content["epoch"], **content["state_dict"]}


def assert_same_end(one: Path, other: Path) -> None:
    """All but the seconds that it took."""
    first, second = last_weights(one), last_weights(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, second[name]), name
        else:
            assert value == second[name], name
    with np.load(one / "tau.npz") as a, np.load(other / "tau.npz") as b:
        assert a.files == b.files
        for name in a.files:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert _table(one) == _table(other)


def _table(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
