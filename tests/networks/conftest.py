from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="module")
def double_precision() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
