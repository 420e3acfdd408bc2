"""The format of checkpoints: what a file may hold, and its number."""

import io
import pickletools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from tvl_lightning.limits import InputError

FORMAT = 2  # version 0.1 wrote no number

MAX_ENTRIES = 30_000  # of the archive: one for each tensor
_OPERATIONS = 100_000, 60  # of the pickle in it: so many, and for each tensor, which takes about 45
MAX_SETTINGS = 20_000
_ENTRY = re.compile(r"[^/]+/(data\.pkl|data/\d+|version|byteorder|\.[a-z_./]+)")
_CLASS = re.compile(
    r"collections (OrderedDict|Counter)|(__builtin__|builtins) set"
    r"|torch (Size|device|[A-Z]\w+Storage)|torch\._utils _rebuild_(tensor_v2|parameter)"
)


def refused(path: str | Path, reason: object) -> InputError:
    """The refusal of a checkpoint, in one line, without what would control a terminal."""
    line = " ".join(str(reason).split())
    line = "".join(c if c.isprintable() else "?" for c in line)
    return InputError(f"checkpoint {path}: {line if len(line) <= 500 else line[:500] + ' ...'}")


def read_plain(path: str | Path) -> Any:
    """The plain data in a file of `torch.save`, on the CPU.

    No code in it is run, and it takes a few times the memory that the file has bytes, whatever the
    file claims.

    Raises:
        InputError: for a file that is missing, damaged, something else, or that would run code.
    """
    if not Path(path).is_file():
        raise refused(path, "no such file; a run keeps its in RUN/checkpoints")
    try:
        size = Path(path).stat().st_size
        with Path(path).open("rb") as file:
            copy = _checked(file, size)
        content = torch.load(copy, map_location="cpu", weights_only=True)
        if sum(tensor.numel() * tensor.element_size() for tensor in _tensors(content)) > size:
            raise ValueError("its tensors claim more bytes than the file has")
    except Exception as error:  # a damaged pickle can raise anything
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        if "weights_only" in str(error):  # PyTorch's advice is to run the code
            reason = "what it holds is not plain data"
        raise refused(path, f"is not a readable checkpoint ({reason})") from None
    return content


def _checked(file: IO[bytes], size: int) -> IO[bytes]:
    """The archive once more, as it was checked: to another reader, a file can show another one."""
    copy = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(copy, "w") as new:
        entries = old.infolist()
        if len(entries) > MAX_ENTRIES:
            raise ValueError(f"it holds more than {MAX_ENTRIES} files")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("it is compressed, as no checkpoint of ours is")
        if sum(entry.file_size for entry in entries) > size:
            raise ValueError("it claims more bytes than it has")
        for entry in entries:
            if not _ENTRY.fullmatch(entry.filename):
                raise ValueError(f"it holds a file {entry.filename[:100]}")
            content = old.read(entry)
            if entry.filename.endswith("/data.pkl"):
                _check_pickle(content, _OPERATIONS[0] + _OPERATIONS[1] * len(entries))
            new.writestr(entry.filename, content)
    copy.seek(0)
    return copy


def _check_pickle(content: bytes, most: int) -> None:
    # PyTorch's own list has more, say bytearray, which takes as much memory as it is told
    for number, (operation, argument, _) in enumerate(pickletools.genops(content)):
        if number > most:
            raise ValueError("it holds more things than its tensors need")
        if operation.proto > 2:
            raise ValueError(f"it is not written as ours are: {operation.name} in its pickle")
        if operation.name == "GLOBAL" and not _CLASS.fullmatch(str(argument)):
            raise ValueError(f"it is not plain data, and could run code: {str(argument)[:100]}")


def _tensors(node: Any) -> Iterator[Tensor]:
    """All tensors in nested data, each place counted."""
    waiting, seen = [node], set[int]()
    while waiting:
        node = waiting.pop()
        if isinstance(node, Tensor):
            yield node
        elif isinstance(node, (dict, list, tuple, set)) and id(node) not in seen:
            seen.add(id(node))
            waiting.extend(node.values() if isinstance(node, dict) else node)


def check_plain(data: Any) -> None:
    """Refuse settings that Hydra could not have written.

    Raises:
        InputError: for other things than values, lists and mappings by name, and for many or
            deeply nested ones, as lists that hold themselves.
    """
    waiting, seen = [(data, 0)], 0
    while waiting:
        node, depth = waiting.pop()
        seen += 1
        inside: list[Any] = []
        if isinstance(node, dict) and all(type(key) is str for key in node):
            inside = [*node, *node.values()]
        elif isinstance(node, (list, tuple)):
            inside = list(node)
        elif isinstance(node, str):
            if not node.isprintable():
                raise InputError("its settings have text that cannot be printed")
        elif type(node) is int:
            if abs(node) >= 2**63:
                raise InputError("its settings have a number of more than 64 bits")
        elif node is not None and type(node) not in (bool, float):
            raise InputError(f"its settings are not plain data ({type(node).__name__})")
        waiting.extend((value, depth + 1) for value in inside)
        if seen + len(waiting) > MAX_SETTINGS or depth > 20:
            raise InputError("its settings are more than any run has")


def check_format(settings: Any, name: str) -> None:
    """Refuse checkpoints of other versions.

    Args:
        settings: the hyperparameters in a checkpoint.
        name: what to call it.

    Raises:
        InputError: saying whose it is.
    """
    given = settings if isinstance(settings, dict) else {}
    found = given.get("format")
    if type(found) is int and found == FORMAT:
        return
    if found is None and isinstance(given.get("network"), dict):
        raise InputError(
            f"{name}: is of version 0.1, whose runs this version does not read; train it again, or "
            "install tvl-lightning==0.1.0"
        )
    raise InputError(f"{name}: was not written by a run of tvl_lightning")
