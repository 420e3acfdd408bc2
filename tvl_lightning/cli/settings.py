"""Judges a configuration before torch is imported, so that a refused command answers at once."""

import logging
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tvl_lightning.limits import InputError, refusal

log = logging.getLogger(__name__)


def check_config(cfg: DictConfig) -> None:
    """Refuse values that no part of this package takes, with the key that the user would type.

    Raises:
        InputError: for the first value found.
    """
    for key, owner, name, value in _settings(cfg, ""):
        complaint = refusal(owner, name, value)
        if complaint:
            raise InputError(f"{key}={value}: {complaint}")
    rule = str(OmegaConf.select(cfg, "tau._target_"))
    if rule == "tvl_lightning.networks.Simplex" and "horizon" in (cfg.get("reg") or {}):
        log.warning("reg=horizon has nothing to penalise: with tau=simplex the sum of τ is T")


def _settings(node: DictConfig, prefix: str) -> Iterator[tuple[str, str, str, Any]]:
    """Key, owner, name and value of each setting that has a class of ours or the trainer as owner.

    Others, as torch's optimizers and a stranger's classes, judge their own arguments.
    """
    target = str(OmegaConf.select(node, "_target_") or "")
    package, _, owner = target.rpartition(".")
    if not package.startswith(("tvl_lightning", "lightning")):
        owner = {"": "TensorData", "engine.": "ChunkedClassifier"}.get(prefix, "")
    for name in map(str, node):
        if OmegaConf.is_interpolation(node, name):
            continue  # it is judged where it comes from
        value = node[name]
        if isinstance(value, DictConfig):
            yield from _settings(value, f"{prefix}{name}.")
        else:
            plain = OmegaConf.to_container(value) if OmegaConf.is_list(value) else value
            yield f"{prefix}{name}", owner, name, plain
