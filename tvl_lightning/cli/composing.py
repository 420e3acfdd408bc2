"""The settings of many jobs that differ in values only, of which few are composed by Hydra."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from tvl_lightning.cli.recipes import key_of
from tvl_lightning.cli.sweeps import Compose, as_job

_VALUE = re.compile(r"[\w.]+=(?!.*\$\{)")


class JobSettings:
    """The resolved settings of a job, as if it ran in `folder`.

    Hydra takes a tenth of a second to compose a job. So that a thousand do not take minutes, those
    with the same choices are composed once, and the values that they set are put in.

    Args:
        compose: the configuration of a job, Hydra's part with it.
        groups: the choices of a config group, none for what is no group.
        folder: to which `hydra:runtime.output_dir` refers.
    """

    def __init__(
        self, compose: Compose, groups: Callable[[str], Sequence[str]], folder: Path
    ) -> None:
        self._compose, self._groups, self._folder = compose, groups, folder
        self._composed: dict[tuple[str, ...], DictConfig] = {}
        self._is_group: dict[str, bool] = {}
        self._values: dict[str, Any] = {}
        self._parser = OverridesParser.create()

    @contextmanager
    def of(self, overrides: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Those of the job with these overrides; other files' are resolved as its own meanwhile."""
        forced = [key_of(text) for text in overrides if text[0] in "+~"]
        values = {
            text: key
            for text in overrides
            if _VALUE.match(text) and self._sets(key := key_of(text), forced)
        }
        rest = (*(text for text in overrides if text not in values), *values.values())
        whole = self._composed.get(rest)
        if whole is None:
            whole = self._composed[rest] = self._compose(overrides)
        with as_job(whole, self._folder) as cfg:  # a copy
            for text, key in values.items():
                OmegaConf.update(cfg, key, self._value(text))
            settings: Any = OmegaConf.to_container(cfg, resolve=True)
            yield settings

    def _sets(self, key: str, forced: Sequence[str]) -> bool:
        """Whether a key is no config group, and nothing is added or taken away around it."""
        if key not in self._is_group:
            self._is_group[key] = bool(self._groups(key))
        around = any(f"{a}.".startswith(f"{b}.") for f in forced for a, b in ((f, key), (key, f)))
        return not self._is_group[key] and not around

    def _value(self, text: str) -> Any:
        if text not in self._values:
            self._values[text] = self._parser.parse_override(text).value()
        return self._values[text]
