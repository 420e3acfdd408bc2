"""Files that are either whole or not there, however the process ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` if nothing is raised."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


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
