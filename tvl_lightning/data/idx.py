"""Reading IDX files, the format of MNIST, from places that are not trusted."""

import gzip
import hashlib
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tvl_lightning.limits import InputError


class IdxFile(NamedTuple):
    """What a known file holds, unpacked: so many bytes, with this MD5 sum."""

    size: int
    md5: str


def read_idx(path: Path, known: IdxFile, owner: str) -> Tensor:
    """The array in an IDX file, plain or gzipped, if it is the known one.

    At most one byte more than the known size is unpacked.

    Args:
        path: the file; gzipped if its name ends in `.gz`.
        known: what it must hold.
        owner: the data set it belongs to, for messages.

    Raises:
        InputError: where it cannot be read or holds something else.
    """
    remedy = f"{owner}'s file has {known.size} bytes, MD5 {known.md5}; delete it and get it again"
    packed = path.suffix == ".gz"
    try:
        if not packed and path.stat().st_size > known.size:
            raise InputError(f"{path} has {path.stat().st_size} bytes: {remedy}")
        with gzip.open(path) if packed else path.open("rb") as file:
            content = file.read(known.size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged ({error}): unpacked, {remedy}") from None
    if len(content) > known.size:
        raise InputError(f"{path} unpacks to more than {known.size} bytes: {remedy}")
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != known.md5:
        raise InputError(f"{path} has MD5 {found}: {remedy}")
    dimensions = content[3]
    shape = np.frombuffer(content, ">i4", dimensions, offset=4)
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions)
    return torch.from_numpy(values.reshape(shape).copy())
