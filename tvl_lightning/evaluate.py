"""Test a trained network: `python -m tvl_lightning.evaluate run=FOLDER`."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from tvl_lightning.cli.choices import typed
from tvl_lightning.cli.commands import CONFIG_PATH, one_line_refusals, run_command
from tvl_lightning.cli.failures import leaving_the_reason
from tvl_lightning.cli.folders import register_resolvers
from tvl_lightning.cli.quiet import without_repetition
from tvl_lightning.cli.settings import check_config
from tvl_lightning.cli.stopping import stopping_on_signals
from tvl_lightning.files import write_json
from tvl_lightning.limits import COUNT, FLAG, SEED, InputError, Limit, optional
from tvl_lightning.runs.checkpoint import find_checkpoint

log = logging.getLogger(__name__)

_ALLOWED: dict[str, Limit] = {
    "split": (lambda v: v in ("test", "val"), "test or val"),
    "predict": FLAG,
    "seed": SEED,
    "threads": optional(COUNT),
    **dict.fromkeys(
        ("run", "checkpoint", "root"),
        # the folder of a sweep's first run is 0, a number
        (lambda v: v is None or type(v) in (str, int), "the name of a file or folder"),
    ),
    "trust": (
        lambda v: isinstance(v, list) and all(isinstance(name, str) for name in v),
        "a list of packages, say [mine]",
    ),
}

register_resolvers()


@hydra.main(version_base="1.3", config_path=CONFIG_PATH, config_name="evaluate")
def main(cfg: DictConfig) -> float:
    """The command."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    with (
        one_line_refusals(),
        leaving_the_reason(folder, "evaluation.json"),
        without_repetition(),
        stopping_on_signals(),
    ):
        check_config(cfg, (*_ALLOWED, "trainer"))
        settings: Any = OmegaConf.to_container(cfg, resolve=True)
        return evaluate(settings, folder)


def evaluate(settings: dict[str, Any], folder: Path) -> float:
    """Evaluate, write what comes out into `folder`, and return the accuracy.

    Args:
        settings: those of `conf/evaluate.yaml`.
        folder: where to.

    Raises:
        InputError: for what cannot be evaluated, before anything is written.
    """
    for name, (admits, allowed) in _ALLOWED.items():
        if not admits(settings[name]):
            raise InputError(f"{name}={typed(settings[name])}: must be {allowed}")
    path = find_checkpoint(settings["run"], settings["checkpoint"])

    # torch comes after the checks, so that a refused command answers at once
    import torch

    from tvl_lightning.cli.evaluation import evaluation_parts, predicts_itself
    from tvl_lightning.networks import count_parameters
    from tvl_lightning.runs.evaluation import confusion, report, write_confusion, write_predictions
    from tvl_lightning.runs.summary import where

    if settings["threads"]:
        torch.set_num_threads(settings["threads"])
    data, module, trainer, answers, epoch = evaluation_parts(settings, path, folder)
    split = settings["split"]
    metrics = (trainer.test if split == "test" else trainer.validate)(module, data, verbose=False)
    logits, labels = answers.arrays()
    assert labels is not None  # or no loss could be had
    counts = confusion(labels, logits.argmax(1), logits.shape[1])
    write_confusion(folder, counts)
    if settings["predict"]:
        if predicts_itself(data):
            trainer.predict(module, data, return_predictions=False)
        write_predictions(folder / "predictions.csv", *answers.arrays())
    evaluation = {
        "checkpoint": str(path),
        "epoch": epoch,
        "split": split,
        "samples": len(labels),
        "data": data.describe() if hasattr(data, "describe") else type(data).__name__,
        "layers": module.network.layers,
        "parameters": count_parameters(module.network),
        "tau": module.tau.tolist(),
        split: metrics[0],
        "device": str(trainer.strategy.root_device),
        **where(),
    }
    write_json(folder / "evaluation.json", evaluation)
    for line in report(evaluation, counts, folder):
        log.info(line)
    accuracy: float = metrics[0][f"{split}/acc"]
    return accuracy


def command() -> None:
    """The console script; `--predict` is `predict=true`."""
    run_command(main, _rewritten, config="evaluate")


def _rewritten(arguments: Sequence[str]) -> list[str]:
    return ["predict=true" if word == "--predict" else word for word in arguments]


if __name__ == "__main__":
    command()
