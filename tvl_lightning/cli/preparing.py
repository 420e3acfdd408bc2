"""The data of a sweep, found or downloaded once, before its jobs ask for them side by side."""

from collections.abc import Iterable, Mapping
from typing import Any

_WITH_THE_INSTALL = ("tvl_lightning.data.Digits", "tvl_lightning.data.MNIST5k")
_OF_THE_DRAWS = ("batch_size", "val_size", "seed")  # which samples a run takes, of the same files


def prepare(data_sets: Iterable[Mapping[str, Any]]) -> None:
    """Call `prepare_data` of each different data set, but of those that come with the install.

    Args:
        data_sets: their configurations, resolved.
    """
    different: dict[str, Mapping[str, Any]] = {}
    for data in data_sets:
        files = {name: value for name, value in data.items() if name not in _OF_THE_DRAWS}
        if data.get("_target_") not in _WITH_THE_INSTALL:
            different.setdefault(repr(files), data)
    for data in different.values():
        from hydra.utils import instantiate

        instantiate(data, _convert_="all").prepare_data()
