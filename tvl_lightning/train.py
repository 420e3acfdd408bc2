"""Train a time-variable network: `python -m tvl_lightning.train model=fractional reg=horizon`."""

import logging
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from tvl_lightning.cli.commands import CONFIG_PATH, Diverged, one_line_refusals, run_command
from tvl_lightning.cli.failures import Attempt, leaving_the_reason
from tvl_lightning.cli.folders import register_resolvers
from tvl_lightning.cli.help import TRAIN
from tvl_lightning.cli.quiet import without_repetition
from tvl_lightning.cli.requests import (
    Request,
    read_request,
    with_settings_of_the_run,
    write_settings,
)
from tvl_lightning.cli.settings import check_config
from tvl_lightning.cli.stopping import Stopped, stopping_on_signals
from tvl_lightning.files import write_json
from tvl_lightning.runs.resume import Plan, locked, plan, refuse_links

log = logging.getLogger(__name__)

register_resolvers()


@hydra.main(version_base="1.3", config_path=CONFIG_PATH, config_name="train")
def main(cfg: DictConfig) -> float:
    """The command."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    with (
        one_line_refusals(),
        leaving_the_reason(folder) as attempt,
        without_repetition(),
        stopping_on_signals(),
    ):
        refuse_links(folder)
        request = read_request(cfg, folder)
        check_config(request.cfg)
        with locked(folder):
            found = plan(folder, request.settings, request.settings["resume"])
            summary = found.summary or train(request, folder, found, attempt)
            show(summary, folder, anew=found.summary is None)
    if summary["status"] == "diverged" and HydraConfig.get().mode == RunMode.RUN:
        raise Diverged
    return float("nan") if summary["objective"] is None else float(summary["objective"])


def train(request: Request, folder: Path, found: Plan, attempt: Attempt) -> dict[str, Any]:
    """Train, test, and write `summary.json`, whose content is returned.

    Args:
        request: what was asked for.
        folder: the run directory.
        found: what is there already.
        attempt: is accepted once every part is built, before anything is written.
    """
    # torch comes after the checks, so that a refused command answers at once
    import torch
    from lightning import seed_everything

    from tvl_lightning.cli.build import build_parts
    from tvl_lightning.cli.distributed import processes_join_this_run
    from tvl_lightning.cli.screens import start_screen
    from tvl_lightning.data import TensorData
    from tvl_lightning.networks import count_parameters
    from tvl_lightning.runs import summary as results
    from tvl_lightning.runs.loggers import log_results, open_loggers

    settings = request.settings
    started = results.now()
    if settings["threads"]:
        torch.set_num_threads(settings["threads"])
    seed_everything(settings["seed"], verbose=False)
    parts = build_parts(settings, folder)
    data, module, trainer, engine = parts
    if isinstance(data, TensorData) and trainer.world_size == 1:
        data.prepare_data()
        data.setup("fit")  # so that its sizes are known
    attempt.accepted = True
    write_settings(request, folder)
    about = {
        "settings": settings,
        "overrides": request.overrides,
        "choices": request.choices,
        "seed": settings["seed"],
        "threads": settings["threads"],
        "engine": engine._asdict(),
        "parameters_before": count_parameters(module.network),
        "stage_sizes": list(module.network.stage_sizes),
        "started": started,
    }
    if trainer.is_global_zero:
        log.info("%s", start_screen(settings, request.choices, parts, folder))
    stopped: Stopped | None = None
    loggers = trainer.loggers if trainer.is_global_zero else []
    with (
        processes_join_this_run(trainer, folder),
        open_loggers(loggers, request.choices, settings),
    ):
        try:
            trainer.fit(module, data, ckpt_path=found.checkpoint, weights_only=True)
            summary = {**about, **results.describe_run(trainer, *results.how_it_ended(trainer))}
            summary |= results.evaluate_kept(trainer, summary)
        except Stopped as stop:
            stopped = stop
            log.warning("%s", stop.told(trainer.current_epoch, folder))
            summary = {**about, **results.describe_run(trainer, results.STOPPED, stop.name)}
        if trainer.is_global_zero:
            write_json(folder / "summary.json", summary)
            log_results(loggers, request.choices, settings, summary)
    if stopped:
        show(summary, folder)
        raise stopped
    return summary


def show(summary: dict[str, Any], folder: Path, anew: bool = True) -> None:
    """Draw what is missing, or all of it where the run went on, and say what came out."""
    from tvl_lightning.cli.screens import end_table
    from tvl_lightning.runs.figures import draw_run
    from tvl_lightning.runs.report import write_report

    for path, draw in (("figures/curves.png", draw_run), ("report.html", write_report)):
        if anew or not (folder / path).is_file():
            try:
                draw(folder)
            except Exception:  # the results are there, and good
                log.exception("%s could not be drawn", path)
    if not anew:
        log.info("%s has ended before", folder)
    log.info("%s", end_table(summary, folder))


def command() -> None:
    """The console script."""
    run_command(main, with_settings_of_the_run, config="train", about=TRAIN)


if __name__ == "__main__":
    command()
