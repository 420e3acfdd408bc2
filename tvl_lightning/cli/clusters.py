"""A Ray for the jobs of a sweep, before its launcher begins one."""

from collections.abc import Mapping
from typing import Any

from tvl_lightning.cli.choices import to_install
from tvl_lightning.limits import InputError

_QUIET = {"log_to_driver": False, "include_dashboard": False}  # each job has its train.log


def begin_ray(init: Mapping[str, Any]) -> None:
    """Begin or join a Ray, which hydra-ray-launcher then takes.

    It would give `ray.init` a size that is refused where a cluster has its own, and in the midst of
    the sweep, whose handlers of signals `ray.init` replaces: to be called before those are set.

    Args:
        init: arguments of `ray.init`: `hydra.launcher.ray.init`. Without an address a Ray of its
            own begins; Ray itself would wait for one that has died here before.

    Raises:
        InputError: where Ray is not installed or does not answer.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError(f"hydra/launcher=ray: {error}; {to_install('ray')}") from error
    try:
        ray.init(**{**_QUIET, **init, "address": init.get("address") or "local"})
    except (ConnectionError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"hydra.launcher.ray.init: {' '.join(str(error).split())}; is the address that of a "
            "Ray that runs, and RAY_AUTH_MODE the same there and here?"
        ) from error
