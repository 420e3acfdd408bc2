"""What a job's settings are composed of, so that a job is known again without composing it."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import hydra
import omegaconf

import tvl_lightning

_VERSIONS = [package.__version__ for package in (hydra, omegaconf, tvl_lightning)]


def base_of(config_name: str, sources: Iterable[Any]) -> str | None:
    """A digest of all that jobs of one command are composed of, but for their overrides.

    Args:
        config_name: of the primary configuration.
        sources: `hydra.runtime.config_sources`.

    Returns:
        None where the environment has a say, which no digest holds.
    """
    digest = hashlib.sha256(json.dumps([config_name, *_VERSIONS]).encode())
    for source in sources:
        if source.schema != "file":
            continue
        for path in sorted(Path(source.path).rglob("*.yaml")):
            content, name = path.read_bytes(), path.relative_to(source.path)
            if b"oc.env" in content and name.parts[0] != "logger":  # which changes no run
                return None
            digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.hexdigest()


def key_of(override: str) -> str:
    """What an override sets, adds or takes away."""
    return override.partition("=")[0].lstrip("+~")


def recipe(base: str | None, overrides: Sequence[str]) -> str | None:
    """A digest that is the same for jobs whose settings are composed of the same.

    Args:
        base: as `base_of` gives it.
        overrides: of the job, in any order where that makes no difference; `resume` is left out.

    Returns:
        None where only composing tells.
    """
    if base is None or any("${" in override for override in overrides):
        return None
    kept = [override for override in overrides if not override.startswith("resume=")]
    keys = [f"{key_of(override)}." for override in kept]
    free = [
        override  # it speaks of nothing that another one sets
        for override, key in zip(kept, keys, strict=True)
        if sum(key.startswith(other) or other.startswith(key) for other in keys) == 1
    ]
    in_order = [override for override in kept if override not in free]
    return hashlib.sha256(json.dumps([base, sorted(free), in_order]).encode()).hexdigest()
