"""The jobs of a sweep: how each is called, where it runs, and which have ended before."""

import hashlib
import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from tvl_lightning.cli.jobs import STATE, State, has_ended, note, state_of, with_result
from tvl_lightning.cli.recipes import recipe
from tvl_lightning.limits import InputError
from tvl_lightning.runs.resume import has_come_to_its_end, holds_a_run, settings_in
from tvl_lightning.runs.same import fingerprint

_LONGEST = 100  # characters of a name

Compose = Callable[[Sequence[str]], DictConfig]
SettingsOf = Callable[[Sequence[str]], AbstractContextManager[dict[str, Any]]]


@dataclass
class Job:
    """A job of a sweep.

    Attributes:
        overrides: its own, of the task.
        name: of its folder, below that of the sweep.
        ended: whether its run has ended before.
    """

    overrides: list[str]
    name: str = ""
    ended: bool = False


def axes_of(overrides: Sequence[Override]) -> dict[str, list[str]]:
    """The overrides of each axis of a grid; of two with one key the last counts.

    Raises:
        HydraException: for a sweep over an interval, which is no grid.
    """
    axes: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if override.is_sweep_override() and not override.is_discrete_sweep():
            raise HydraException(
                f"{override.input_line}: has no end of values; a grid takes choice(...), "
                "range(...) or a,b,c"
            )
        if override.is_sweep_override():
            axes[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            axes[key] = [f"{key}={override.get_value_element_as_str()}"]
    return axes


def telling_name(overrides: Sequence[str]) -> str:
    """A name for a folder: `reg-l1_seed-0`; the end of a long one is a digest."""
    pairs = (override.lstrip("+~").partition("=") for override in overrides)
    name = "_".join(f"{_plain(key)}-{_plain(value)}" for key, _, value in pairs) or "run"
    if len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256("\n".join(overrides).encode()).hexdigest()[:8]
    return f"{name[: _LONGEST - 9]}-{digest}"


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.+-]+", "+", text).strip("+") or "none"


class Folders:
    """Which run of a sweep's folder is which.

    Args:
        sweep: the folder.
        base: what the jobs of this command are composed of, see `recipe`.
        swept: the keys that this command sweeps over, which tell its jobs apart in any case.
    """

    def __init__(self, sweep: Path, base: str | None, swept: Collection[str]) -> None:
        self.sweep, self.base, self.swept = sweep, base, swept
        self._states = {folder: state_of(folder) for folder in _runs_below(sweep)}
        self._by_recipe = {s.recipe: f for f, s in self._states.items() if s.recipe is not None}
        self._free = set(self._states)  # no job has been found to be theirs
        self._by_settings: dict[str, list[Path]] | None = None

    def known(self, jobs: Sequence[Job]) -> None:
        """Name those jobs whose folders are recognised by what they were composed of."""
        for job in jobs:
            folder = self._by_recipe.get(recipe(self.base, job.overrides) or "")
            if folder in self._free:
                self._free.remove(folder)
                job.name = str(folder.relative_to(self.sweep))
                job.ended = has_ended(folder, self._states[folder])

    def find(self, jobs: Sequence[Job], settings_of: SettingsOf) -> None:
        """Name the others: by the folder of a run with their settings, or by a free name.

        Args:
            jobs: in the order in which names are given.
            settings_of: the settings of a job by its overrides, all as if in one folder, for a
                setting may name the folder that it is in; see `JobSettings`.
        """
        taken = {f for f in self._states if f not in self._free or _has_settings(f)}
        for job in jobs:
            wanted, number = job.name, 1
            if any(_has_settings(folder) for folder in self._free):
                with settings_of(job.overrides) as settings:
                    found = self._with_settings(settings)
                    if found is not None:
                        folder, job.ended = found
                        job.name = str(folder.relative_to(self.sweep))
                        if job.ended:
                            state = State(recipe=recipe(self.base, job.overrides))
                            note(folder, with_result(state, folder))
                        continue
            while self.sweep / job.name in taken:
                number += 1
                job.name = f"{wanted}-{number}"
            taken.add(self.sweep / job.name)

    def _with_settings(self, settings: dict[str, Any]) -> tuple[Path, bool] | None:
        """The run with these settings, and whether it has ended.

        To be called within `settings_of`, by which the settings of the folders are resolved.
        """
        if self._by_settings is None:
            self._by_settings = {}
            for folder in sorted(self._free):
                with suppress(InputError):  # what cannot be read is nobody's
                    found = settings_in(folder)
                    if found is not None:
                        key = fingerprint(found, self.swept)
                        self._by_settings.setdefault(key, []).append(folder)
        alike = self._by_settings.get(fingerprint(settings, self.swept), [])
        found = _chosen(alike, settings)
        if found is not None:
            alike.remove(found[0])
            self._free.discard(found[0])
        return found


def _chosen(alike: Sequence[Path], settings: dict[str, Any]) -> tuple[Path, bool] | None:
    """Of runs that differ in their length at most: one that has ended with the length of now, or
    else the only one that can go on to it. Which of several is not for us to say."""
    open_to_it = []
    for folder in alike:
        with suppress(InputError):  # it is longer, or cannot be read
            if has_come_to_its_end(folder, settings):
                return folder, True
            open_to_it.append(folder)
    return (open_to_it[0], False) if len(open_to_it) == 1 else None


@contextmanager
def as_job(composed: DictConfig, folder: Path, number: int = 0) -> Iterator[DictConfig]:
    """The settings of a job, and what they refer to as if it ran in `folder`."""
    config = HydraConfig.instance()
    before = config.cfg
    with read_write(composed.hydra), open_dict(composed.hydra):
        composed.hydra.runtime.output_dir = str(folder)
        composed.hydra.job.id, composed.hydra.job.num = str(number), number
    config.set_config(composed)
    try:
        yield OmegaConf.masked_copy(composed, [str(name) for name in composed if name != "hydra"])
    finally:
        config.cfg = before


def _runs_below(folder: Path) -> Iterator[Path]:
    for path, below, files in os.walk(folder):
        run = Path(path)
        if run != folder and (STATE in files or _looks_like_a_run(run)):
            below.clear()
            yield run


def _looks_like_a_run(folder: Path) -> bool:
    try:
        return holds_a_run(folder)
    except InputError:  # its result cannot be read
        return True


def _has_settings(folder: Path) -> bool:
    return (folder / ".hydra" / "config.yaml").is_file()
