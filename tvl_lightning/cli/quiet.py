"""What a command prints: news, once, and nothing that is its own doing.

Only messages that are known by their words are kept back; what is not known is shown.
"""

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

# of Lightning's loggers: what the start and the end of a run say better, or nobody asked
_SAID_BETTER = re.compile(
    "|".join(
        (
            r"GPU available: ",
            r"TPU available: ",
            r"LOCAL_RANK: \d+ - CUDA_VISIBLE_DEVICES: ",
            r"Initializing distributed: GLOBAL_RANK: ",
            r"-{100}\ndistributed_backend=",
            r"💡 Tip: For seamless cloud ",
            r"Restoring states from the checkpoint path at ",
            r"Restored all states from the checkpoint at ",
            r"Loaded model weights from the checkpoint at ",
            r"`weights_only` was not set, defaulting to `False`\.",
            r"`Trainer\.fit` stopped: `max_epochs=\d+` reached\.",
        )
    )
)
_OUR_DOING = (  # warnings
    "`isinstance.treespec, LeafSpec",  # Lightning on torch
    "The number of training batches",  # it counts chunks, and the module logs by itself
    "Checkpoint directory",  # of a run that is resumed
)
# whose DEBUG messages `hydra.verbose=true` does not mean
_OTHERS = (
    *("PIL", "absl", "asyncio", "comet_ml", "filelock", "fsspec", "git", "h5py", "matplotlib"),
    *("mlflow", "optuna", "sqlalchemy", "tensorboard", "urllib3", "wandb"),
)
_LIGHTNING = ("lightning.pytorch", "lightning.fabric")


class ScreenFormatter(logging.Formatter):
    """The message alone, so that tables and lines keep their width; above INFO with its level."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        if record.levelno == logging.INFO:
            return record.getMessage()
        return f"{record.levelname.lower()}: {record.getMessage()}"


@contextmanager
def without_repetition() -> Iterator[None]:
    """Until the end of the run, show the news only, and once.

    Warnings go to the log. Of several processes the first speaks; from the others come errors, and
    warnings of other packages.
    """
    with ExitStack() as after, warnings.catch_warnings():
        for message in _OUR_DOING:
            warnings.filterwarnings("ignore", message)
        logging.captureWarnings(True)
        after.callback(logging.captureWarnings, False)
        root = logging.getLogger()
        for handler in root.handlers if not _is_first_process() else ():
            handler.addFilter(_needed_of_others)
            after.callback(handler.removeFilter, _needed_of_others)
        for name in _LIGHTNING:
            after.enter_context(_once(logging.getLogger(name)))
        if root.level <= logging.DEBUG:
            for name in _OTHERS:
                after.enter_context(_without_debug(logging.getLogger(name)))
        yield


class _ToRoot(logging.Handler):
    """Hands news on to the root logger, past the handlers that Lightning has on the way."""

    def emit(self, record: logging.LogRecord) -> None:
        if not _SAID_BETTER.match(record.getMessage()):
            logging.getLogger().handle(record)


@contextmanager
def _once(logger: logging.Logger) -> Iterator[None]:
    handlers, propagates, to_root = logger.handlers[:], logger.propagate, _ToRoot()
    for handler in handlers:
        logger.removeHandler(handler)
    logger.addHandler(to_root)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(to_root)
        logger.propagate = propagates
        for handler in handlers:
            logger.addHandler(handler)


@contextmanager
def _without_debug(logger: logging.Logger) -> Iterator[None]:
    """Unless the logger was asked for by its name, as in `hydra.verbose=[matplotlib]`."""
    if logger.level != logging.NOTSET:
        yield
        return
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        if logger.level == logging.INFO:
            logger.setLevel(logging.NOTSET)


def _is_first_process() -> bool:
    return os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0"


def _needed_of_others(record: logging.LogRecord) -> bool:
    own = record.name.partition(".")[0] in ("tvl_lightning", "__main__")
    return record.levelno >= (logging.ERROR if own else logging.WARNING)
