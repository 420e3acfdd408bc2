"""Data are prepared once, before the jobs of a sweep."""

from typing import ClassVar

import pytest
from lightning import LightningDataModule

from tvl_lightning.cli.preparing import prepare
from tvl_lightning.limits import InputError


class Mine(LightningDataModule):
    prepared: ClassVar[list[str]] = []

    def __init__(self, root: str, seed: int = 0, batch_size: int = 100) -> None:
        super().__init__()
        self.root = root

    def prepare_data(self) -> None:
        if self.root == "nowhere":
            raise InputError("data.root=nowhere: holds no files")
        self.prepared.append(self.root)


def mine(root: str, **more: int) -> dict[str, object]:
    return {"_target_": f"{__name__}.Mine", "root": root, **more}


def test_each_data_set_is_prepared_once_whatever_is_drawn_of_it() -> None:
    Mine.prepared.clear()
    with_the_install = {"_target_": "tvl_lightning.data.MNIST5k"}
    drawn = [mine("a", seed=0), mine("a", seed=1), mine("b", seed=0), mine("a", batch_size=7)]
    prepare([*drawn, with_the_install])
    assert Mine.prepared == ["a", "b"]


def test_data_that_cannot_be_prepared_are_refused() -> None:
    with pytest.raises(InputError, match="holds no files"):
        prepare([mine("nowhere")])
