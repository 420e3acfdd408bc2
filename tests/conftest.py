import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch: tests run side by side, one core each

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from lightning import Callback, Trainer
from omegaconf import OmegaConf

from tvl_lightning.cli.commands import CONFIG_PATH
from tvl_lightning.cli.folders import register_resolvers

REPOSITORY = Path(__file__).parents[1]

SMALL = ["model.width=12", "model.hidden_layers=4", "data.batch_size=200"]

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def quiet_trainer(folder: Path, *callbacks: Callback, epochs: int = 1, **options: Any) -> Trainer:
    return Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        **options,
    )


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Run `python -m MODULE ARGUMENTS` in an empty folder, as a user does."""

    def run(module: str, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """As `command`, but in this process, and no figures are drawn: in a tenth of the time."""

    def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        start = import_module(module).command
        capsys.readouterr()
        with monkeypatch.context() as patch, hydra_as_it_was():
            patch.chdir(tmp_path)
            patch.setenv("HYDRA_FULL_ERROR", "1")
            patch.setattr(sys, "argv", [module, *arguments])
            patch.setattr("tvl_lightning.runs.figures.draw_run", lambda folder: None)
            try:
                start()
                status = 0
            except SystemExit as end:
                status = int(end.code or 0)
        return subprocess.CompletedProcess([*arguments], status, *capsys.readouterr())

    return run


@contextmanager
def hydra_as_it_was() -> Iterator[None]:
    """Undo what Hydra leaves behind in the process."""
    root, hydra = logging.getLogger(), HydraConfig.instance()
    handlers, level, before = root.handlers[:], root.level, hydra.cfg
    try:
        yield
    finally:
        hydra.cfg = before
        for handler in set(root.handlers) - set(handlers):
            handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)


def settings_in(folder: Path, *overrides: str) -> dict[str, Any]:
    """The settings of `python -m tvl_lightning.train OVERRIDES` in a folder."""
    register_resolvers()
    with hydra_as_it_was():
        with initialize_config_dir(CONFIG_PATH, version_base="1.3"):
            cfg = compose(
                "train",
                [*overrides, f"hydra.runtime.output_dir={folder}"],
                return_hydra_config=True,
            )
        HydraConfig.instance().set_config(cfg)
        own = OmegaConf.masked_copy(cfg, [str(name) for name in cfg if name != "hydra"])
        settings: Any = OmegaConf.to_container(own, resolve=True)
    return settings  # type: ignore[no-any-return]
