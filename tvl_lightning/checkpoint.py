"""Checkpoints: written whole or not at all, read as plain data so that no code in them is run."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from tvl_lightning.files import replacing
from tvl_lightning.limits import InputError
from tvl_lightning.module import TimeVariableClassifier


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints so that a killed process leaves the previous one.

    Lightning's own writer moves a file over from the folder for temporary files, which is a copy
    where that folder is another file system.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Save `checkpoint` to `path`, or leave `path` as it is."""
        with replacing(Path(path)) as part:
            super().save_checkpoint(checkpoint, part, storage_options)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The content of a checkpoint that a run of this package wrote, on the CPU.

    Raises:
        InputError: for a file that is missing, damaged, something else, or that would run code.
    """
    if not Path(path).is_file():
        raise InputError(f"checkpoint {path}: no such file; a run keeps its in RUN/checkpoints")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"checkpoint {path}: is not a readable checkpoint ({reason})") from None
    settings = content.get("hyper_parameters") if isinstance(content, dict) else None
    if not isinstance(settings, dict) or not isinstance(settings.get("network"), dict):
        raise InputError(f"checkpoint {path}: was not written by a run of tvl_lightning")
    checkpoint: dict[str, Any] = content
    return checkpoint


def check_resumable(path: str | Path, module: TimeVariableClassifier) -> int:
    """The iteration of a checkpoint; refuses to go on from that of another network.

    Raises:
        InputError: as `read_checkpoint` does, and naming what differs.
    """
    checkpoint = read_checkpoint(path)
    saved, present = checkpoint["hyper_parameters"]["network"], module.network.spec
    different = [
        f"{name} is {saved.get(name)} there and {present.get(name)} here"
        for name in {**saved, **present}
        if saved.get(name) != present.get(name)
    ]
    if different:
        raise InputError(
            f"resume={path}: is of another network ({'; '.join(different)}); "
            "repeat the settings of its run"
        )
    iteration: int = checkpoint["global_step"]
    return iteration
