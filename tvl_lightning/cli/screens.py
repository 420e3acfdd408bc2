"""What a run is, before it starts, and what came out of it, as plain text for a terminal."""

import re
import shlex
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

if TYPE_CHECKING:
    from tvl_lightning.cli.build import Parts

_LABEL, _TEXT = 13, 67  # columns
_SAID_ELSEWHERE = ("in_shape", "classes", "horizon", "scheme", "tau")
_SPLITS = ("train", "val", "test")

Row = tuple[str, list[str]]  # what it is about, and its lines


def start_screen(
    settings: Mapping[str, Any], choices: Mapping[str, Any], parts: "Parts", folder: str | Path
) -> str:
    """What is about to run, on one screen: at most 14 lines of 80 columns.

    Only a folder with a longer name goes beyond, for it is there to be copied.

    Args:
        settings: the resolved configuration.
        choices: what was chosen in each config group.
        parts: what was built. The sizes of data are named if they are set up by now.
        folder: the run directory.
    """
    from tvl_lightning.networks import count_parameters  # torch is there by now

    data, module, trainer, engine = parts

    def part(group: str, *elsewhere: str) -> str:
        node = settings.get(group) or {}
        return _with_settings(_name(choices.get(group), node), node, elsewhere)

    network, about = module.network, _described(data)
    numbers = [
        _count(len(network.layers), "layer"),
        _count(count_parameters(network), "parameter"),
        f"T = {network.time_steps.horizon:g}",
        f"τ {part('tau')}",
    ]
    loop = "Lightning's loop" if engine.name == "lightning" else f"{engine.name}, in chunks"
    penalties = [_with_settings(name, node) for name, node in (settings.get("reg") or {}).items()]
    data_name = _name(choices.get("data"), settings.get("data") or {})
    steppers = [part("optimizer"), part("scheduler") if settings.get("scheduler") else ""]
    return _table(
        [
            ("network", _wrapped(part("model", *_SAID_ELSEWHERE), 1)),
            ("", _wrapped(", ".join(numbers), 1)),
            ("scheme", _wrapped(part("scheme"), 1)),
            ("penalties", _wrapped(", ".join(penalties) or "none", 1)),
            ("projection", _wrapped(part("projection") if settings.get("projection") else "", 1)),
            ("pruning", _wrapped(part("pruning") if settings.get("pruning") else "", 1)),
            ("data", _wrapped(": ".join(filter(None, [data_name, _splits(about)])), 1)),
            ("", _source(about, settings.get("data") or {})),
            ("optimizer", _wrapped("; ".join(filter(None, steppers)), 1)),
            ("training", _wrapped(", ".join(_extent(settings, trainer, data)), 1)),
            ("device", _wrapped(_device(trainer), 1)),
            ("engine", _wrapped(f"{loop}: {engine.reason}", 2)),
            ("folder", [_path(folder)]),
        ]
    )


def end_table(summary: Mapping[str, Any], folder: str | Path) -> str:
    """What came out of a run, and the commands to try next; what is not known is left out.

    Commands and the folder, which are there to be copied, may go beyond 80 columns.

    Args:
        summary: the content of `summary.json`.
        folder: the run directory.
    """
    metrics, best, test = (summary.get(name) or {} for name in ("metrics", "best", "test"))
    last = {k: v for split in _SPLITS for k, v in metrics.items() if k.startswith(f"{split}/")}
    penalties = {
        name.removeprefix("penalty/"): value
        for name, value in metrics.items()
        if name.startswith("penalty/")
    }
    score = {name: value for name, value in best.items() if name != "epoch"}
    return _table(
        [
            (str(summary.get("status", "ended")), _wrapped(", ".join(_course(summary)), 2)),
            ("reason", _wrapped(str(summary.get("reason") or ""), 3)),
            ("best epoch", _wrapped(_of_epoch(best.get("epoch"), score), 1)),
            ("last epoch", _wrapped(_of_epoch((summary.get("epochs") or 0) - 1, last), 2)),
            ("test", _wrapped(_tested(test, summary.get("tested_checkpoint")), 2)),
            ("penalties", _wrapped(_values(penalties), 2)),
            ("τ", _wrapped(_time_steps(summary), 2)),
            ("left", _wrapped(", ".join(_left(summary)), 2)),
            ("folder", [_path(folder)]),
            ("next", list(_next(summary, _path(folder)))),
        ]
    )


def _table(rows: Iterable[Row]) -> str:
    lines = []
    for label, texts in rows:
        labels = [label, *[""] * len(texts)]
        lines += [f"{a:<{_LABEL}}{b}" for a, b in zip(labels, texts, strict=False)]
    return "\n".join(lines)


def _wrapped(text: str, most: int) -> list[str]:
    """The text in at most so many lines; of what is between commas the last may be left out."""
    lines = textwrap.wrap(text, _TEXT, break_on_hyphens=False)
    while len(lines) > most and ", " in text:
        text = text.rpartition(", ")[0]
        lines = textwrap.wrap(f"{text} …", _TEXT, break_on_hyphens=False)
    return lines[:most]


def _name(choice: Any, node: Mapping[str, Any]) -> str:
    """The choice in a config group, or else the class."""
    target = str(node.get("_target_") or (node.get("scheduler") or {}).get("_target_") or "none")
    return str(choice) if choice not in (None, "null") else target.rpartition(".")[2]


def _with_settings(name: str, node: Any, elsewhere: Sequence[str] = ()) -> str:
    own = {k: v for k, v in node.items() if k not in elsewhere} if isinstance(node, Mapping) else {}
    leaves = ", ".join(_leaves(own, ""))
    return f"{name} ({leaves})" if leaves else name


def _leaves(node: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """The settings, and parts of one's own first: of a long line the end is left out."""
    for name, value in sorted(node.items(), key=lambda item: not _is_part(item[1])):
        if _is_part(value):
            yield f"{prefix}{name} {value['_target_']}"
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        elif not str(name).startswith("_") and value is not None:
            yield f"{prefix}{name} {str(value).lower() if isinstance(value, bool) else value}"


def _is_part(value: Any) -> bool:
    return isinstance(value, Mapping) and "_target_" in value


def _described(data: Any) -> dict[str, Any]:
    try:
        return dict(data.describe())
    except Exception:  # a stranger's data, or data that are not set up yet
        return {}


def _splits(about: Mapping[str, Any]) -> str:
    sizes = {split: about.get(f"{split}_images") for split in _SPLITS}
    return ", ".join(f"{size:,} {split}" for split, size in sizes.items() if size)


def _source(about: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    source = str(about.get("source") or settings.get("root") or "")
    room = _TEXT - len("from …")
    return [f"from {source if len(source) <= room else '…' + source[-room:]}"] if source else []


def _extent(settings: Mapping[str, Any], trainer: Any, data: Any) -> Iterator[str]:
    epochs, batch = trainer.max_epochs, (settings.get("data") or {}).get("batch_size")
    length = ""
    if trainer.limit_train_batches == 1.0 and trainer.accumulate_grad_batches == 1:
        with suppress(Exception):  # as above
            length = f" of {data.iterations_per_epoch:,} iterations"
    yield (
        f"epochs without end{length}" if epochs in (None, -1) else _count(epochs, "epoch") + length
    )
    if trainer.max_steps >= 0:
        yield f"at most {_count(trainer.max_steps, 'iteration')}"
    if batch is not None:
        yield f"batches of {batch}"
    yield f"seed {settings.get('seed')}"


def _device(trainer: Any) -> str:
    import torch

    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    several = f"{trainer.world_size} processes on " if trainer.world_size > 1 else ""
    precision = "" if str(trainer.precision) == "32-true" else f", precision {trainer.precision}"
    each = " each" if several else ""
    return f"{several}{name}, {_count(torch.get_num_threads(), 'thread')}{each}{precision}"


def _course(summary: Mapping[str, Any]) -> Iterator[str]:
    seconds, pace = summary.get("seconds"), summary.get("iterations_per_second")
    yield _count(summary.get("epochs") or 0, "epoch")
    iterations = _count(summary.get("iterations") or 0, "iteration")
    yield iterations if seconds is None else f"{iterations} in {tqdm.format_interval(seconds)}"
    if pace is not None:
        yield f"{_four_digits(pace)} iterations a second"


def _of_epoch(epoch: int | None, values: Mapping[str, Any]) -> str:
    shown = _values(values)
    return shown if epoch is None or not shown else f"{epoch}: {shown}"


def _tested(test: Mapping[str, Any], checkpoint: str | None) -> str:
    if not test:
        return "nothing was tested"
    return ", ".join(filter(None, [_values(test), checkpoint and f"of {checkpoint}"]))


def _values(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {_four_digits(v)}" for k, v in values.items() if v is not None)


def _time_steps(summary: Mapping[str, Any]) -> str:
    tau, horizon = summary.get("tau") or [], summary.get("horizon")
    if not tau:
        return ""
    begin = f"Σ τ = {_four_digits(sum(tau))}"
    begin += f", T = {horizon:g}: " if horizon is not None else ": "
    each = " ".join(map(_four_digits, tau))
    if len(textwrap.wrap(begin + each, _TEXT)) <= 2:
        return begin + each
    ids = summary.get("layers") or range(len(tau))
    (least, first), (most, last) = (f(zip(tau, ids, strict=True)) for f in (min, max))
    return f"{begin}{_four_digits(least)} (layer {first}) to {_four_digits(most)} (layer {last})"


def _left(summary: Mapping[str, Any]) -> Iterator[str]:
    layers, parameters = summary.get("layers"), summary.get("parameters")
    before = summary.get("parameters_before")
    pruned = before is not None and before != parameters
    if layers is not None:
        ids = ", ".join(map(str, layers))
        yield _count(len(layers), "layer") + (f" ({ids})" if pruned and len(ids) < 30 else "")
    if parameters is not None:
        yield f"{parameters:,}" + (f" of {before:,}" if pruned else "") + " parameters"


def _next(summary: Mapping[str, Any], folder: str) -> Iterator[str]:
    trainer = (summary.get("settings") or {}).get("trainer") or {}
    epochs, status = trainer.get("max_epochs"), summary.get("status")
    schedule = (summary.get("settings") or {}).get("scheduler") or {}
    python = "python -m tvl_lightning"
    yield f"tensorboard --logdir {shlex.quote(folder)}    http://localhost:6006/?smoothing=0"
    if summary.get("tested_checkpoint"):
        yield f"{python}.evaluate {_override('run', folder)}"
    yield f"{python}.report {shlex.quote(folder)}"
    if status == "stopped":
        yield f"{python}.train {_override('resume', folder)}"
    as_long = epochs in schedule.values()  # a longer run would be another one
    if status == "finished" and isinstance(epochs, int) and epochs > 0 and not as_long:
        yield f"{python}.train {_override('resume', folder)} trainer.max_epochs={2 * epochs}"


def _override(key: str, value: str) -> str:
    """`key=value` as Hydra reads it from a shell."""
    if re.fullmatch(r"[\w./+@%-]+", value):
        return f"{key}={value}"
    escaped = value.replace("'", "\\'")
    return shlex.quote(f"{key}='{escaped}'")


def _path(folder: str | Path) -> str:
    """As it is typed from here, where it lies below."""
    path, here = Path(folder).absolute(), Path.cwd()
    return str(path.relative_to(here)) if path != here and path.is_relative_to(here) else str(path)


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _four_digits(value: float) -> str:
    return f"{value:.0f}" if 1000 <= abs(value) < 1e7 else f"{value:#.4g}"
