"""What loggers get of a run beside its curves: what was set, and what came out."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from tvl_lightning.limits import InputError

log = logging.getLogger(__name__)

# what is varied most; TensorBoard shows five columns, in the order of their names
_FIRST = ("model", "reg", "tau", "pruning")
_OTHERS = ("scheme", "projection", "optimizer", "scheduler", "data")
_HIDDEN = {"root"}  # where files lie
_REPEATED = {"scheme", "tau"}  # a model has them in it; they are groups of their own
_WRITING = (
    *("log_hyperparams", "log_metrics", "log_graph"),
    *("after_save_checkpoint", "save", "finalize"),
)


@contextmanager
def open_loggers(
    loggers: Sequence[Logger], choices: Mapping[str, Any], settings: Mapping[str, Any]
) -> Iterator[None]:
    """Begin a run with its loggers, tell them its settings, and end with them.

    From here on a logger that fails says so once, and gets nothing more: it ends no run.
    TensorBoard gets the settings with the results, which its page of hyperparameters needs.

    Args:
        loggers: those of the run; of several processes the first one's.
        choices: what was chosen in each config group.
        settings: the whole configuration.

    Raises:
        InputError: for a logger that does not start, say without a key or a network.
    """
    opened: list[Logger] = []
    status = "failed"
    try:
        for logger in loggers:
            try:
                _ = getattr(logger, "experiment", None)
            except Exception as error:
                name = type(logger).__name__
                raise InputError(f"logger: {name} does not start ({_line(error)})") from error
            opened.append(logger)
            _guard(logger)
            if not isinstance(logger, TensorBoardLogger):
                logger.log_hyperparams(_shown(choices, settings))
        yield
        status = "success"
    finally:
        for logger in opened:
            logger.finalize(status)
            if isinstance(logger, WandbLogger):  # or the next run of a sweep would write into it
                _finish(logger, status)


def log_results(
    loggers: Sequence[Logger],
    choices: Mapping[str, Any],
    settings: Mapping[str, Any],
    summary: Mapping[str, Any],
) -> None:
    """Tell the loggers of a run, which are open, what came out of it.

    Args:
        loggers: as for `open_loggers`.
        choices: likewise.
        settings: likewise.
        summary: that of the run.
    """
    found = {
        "objective": summary.get("objective"),
        **(summary.get("test") or {}),
        "parameters": summary.get("parameters"),
        "layers": len(summary.get("layers") or []),
    }
    results = {f"result/{name}": float(value) for name, value in found.items() if value is not None}
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(_numbered(_shown(choices, settings)), results)
        else:
            logger.log_metrics(results, step=summary.get("iterations"))


def _shown(choices: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that tell runs apart, those that are varied most before the others."""
    penalties = settings.get("reg") or {}
    chosen = {**choices, "reg": ",".join(penalties) or "none"}  # Hydra names no choice of several
    shown: dict[str, Any] = {group: str(chosen.get(group)) for group in _FIRST}
    shown |= {f"{n} weight": p["weight"] for n, p in penalties.items() if "weight" in p}
    shown["seed"] = settings.get("seed")
    for group in (*_FIRST, *_OTHERS):
        if group not in shown:
            shown[group] = str(chosen.get(group))
        shown |= {f"{group}/{name}": v for name, v in _leaves(settings.get(group) or {}, group)}
    return {name: value for name, value in shown.items() if value is not None}


def _leaves(node: Mapping[str, Any], group: str) -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if name.startswith("_") or name in _HIDDEN or (group == "model" and name in _REPEATED):
            continue
        if isinstance(value, Mapping):
            yield from ((f"{name}/{rest}", leaf) for rest, leaf in _leaves(value, group))
        else:
            yield name, value


def _numbered(shown: Mapping[str, Any]) -> dict[str, Any]:
    """With numbers before the names up to the seed's, so that they are sorted first."""
    names = list(shown)
    first = names[: names.index("seed") + 1] if "seed" in shown else []
    return {f"{first.index(n) + 1} {n}" if n in first else n: v for n, v in shown.items()}


def _guard(logger: Logger) -> None:
    """Let a logger that fails say so in one line, and do nothing from then on."""
    failed = False

    def guarded(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal failed
            if failed:
                return None
            try:
                return method(*args, **options)
            except Exception as error:
                failed = True
                name = type(logger).__name__
                log.warning("%s failed and gets nothing more (%s)", name, _line(error))
                return None

        return call

    for name in _WRITING:
        setattr(logger, name, guarded(getattr(logger, name)))


def _finish(logger: WandbLogger, status: str) -> None:
    try:
        logger.experiment.finish(exit_code=0 if status == "success" else 1)
    except Exception as error:
        log.warning("WandbLogger did not end (%s)", _line(error))


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
