"""What the commands share before torch is imported: configs, run folders, refusals."""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tvl_lightning.limits import LIMITS, InputError, check
from tvl_lightning.setups import DECISIVE, setup_of

log = logging.getLogger(__name__)

_HERE = Path(__file__).parent
CONFIG_PATH = str(next(p for p in (_HERE / "conf", _HERE.parent / "conf") if p.is_dir()))

_REFUSALS = (InputError, HydraException, OmegaConfBaseException)
_LIGHTNINGS = ("MisconfigurationException",)  # by name: importing Lightning takes seconds


def unique_folder(wanted: str) -> str:
    """Create the folder `wanted`, or `wanted-1`, `-2` ... where others have it, and name it."""
    number = 0
    while True:
        folder = Path(f"{wanted}-{number}" if number else wanted)
        try:
            folder.mkdir(parents=True)
            return str(folder)
        except FileExistsError:
            number += 1


def run_folder(resume: str | None, wanted: str) -> str:
    """The folder of a run: that of `resume` where it is a run's last checkpoint, else a new one."""
    if resume and resume != "auto":
        run = Path(resume).parent.parent
        if Path(resume).name == "last.ckpt" and (run / ".hydra").is_dir():
            return str(run)
    return unique_folder(wanted)


def setup_name(_root_: DictConfig) -> str:
    """The setup and the seed of a run of the paper; other settings are refused."""
    groups = [*DECISIVE, "variant", "data"]  # the others refer to variant
    settings: Any = OmegaConf.to_container(OmegaConf.masked_copy(_root_, groups), resolve=True)
    try:
        return f"{setup_of(settings)}-seed{settings['seed']}"
    except InputError as error:
        raise InputError(
            f"{error}; for other settings set hydra.sweep.dir and hydra.sweep.subdir"
        ) from None


OmegaConf.register_new_resolver("run_dir", run_folder, use_cache=True)
OmegaConf.register_new_resolver("sweep_dir", unique_folder, use_cache=True)
OmegaConf.register_new_resolver("setup_name", setup_name)
OmegaConf.register_new_resolver("equal", lambda a, b: a == b)


def check_config(cfg: DictConfig) -> None:
    """Refuse values that no part of this package takes, with the key that the user would type.

    Raises:
        InputError: for the first value found.
    """
    for key, name, value in _settings(cfg, ""):
        if name in LIMITS:
            check(name, value, key)
    if OmegaConf.select(cfg, "tau.rule") == "simplex" and "horizon" in cfg.reg:
        log.warning("reg=horizon has nothing to penalise: with tau=simplex the sum of τ is T")


def _settings(node: DictConfig, prefix: str) -> Iterator[tuple[str, str, Any]]:
    """Key, name and value of each setting that goes to a part of this package, to torch's
    optimizers or to the trainer; a stranger's class may use the same names for other things."""
    target = str(OmegaConf.select(node, "_target_") or "")
    ours = target.startswith(("tvl_lightning.", "torch.optim.", "lightning.Trainer"))
    for name in map(str, node):
        value = node[name]
        if isinstance(value, DictConfig):
            yield from _settings(value, f"{prefix}{name}.")
        elif ours or not prefix:
            yield f"{prefix}{name}", name, value


def command(main: Callable[[], object]) -> None:
    """Run a Hydra command from a shell."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors come here instead of being printed
    with refusals():
        main()


def quieten() -> None:
    """Keep what is no news to the user from the terminal; a launcher may run jobs elsewhere."""
    # Lightning prints what it logs, and Hydra logs it once more
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec")  # of Lightning on torch


@contextmanager
def refusals() -> Iterator[None]:
    """Say in one line what the user has to mend, and end with exit status 2."""
    try:
        yield
    except Exception as error:
        cause = error.__cause__ if isinstance(error.__cause__, InputError) else error
        if not isinstance(cause, _REFUSALS) and type(cause).__name__ not in _LIGHTNINGS:
            raise
        message, _, _ = str(cause).partition("Config search path")
        print("error:", " ".join(message.split()), file=sys.stderr)
        sys.exit(2)
