"""What `--help` and `--version` print, before Hydra starts."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tvl_lightning import __version__

TRAIN = """\
Train a network whose step sizes τ are learned, and test it.

    python -m tvl_lightning.train model=fractional reg=horizon
    python -m tvl_lightning.train reg=[l1,horizon] reg.l1.weight=0.001 pruning=adaptive
    python -m tvl_lightning.train -m model=resnet,fractional seed=0,1,2     all, one by one
    python -m tvl_lightning.train resume=FOLDER trainer.max_epochs=300      goes on with a run

What is trained: GROUP=CHOICE
  model       resnet (the default), fractional, conv, transformer
  scheme      how states advance: euler (default), fractional, heun
  tau         the step sizes: learned (default), fixed, simplex (τ > 0 and Σ τ = T), final (the
              last one is T minus the others)
  reg         penalties on τ: none (default), l1, l2, horizon; several: reg=[l1,horizon]
  projection  onto a set after every iteration: none, positive, simplex
  pruning     layers whose τ vanishes leave: none (default), adaptive
  setup       tau and reg in one word: learned, fixed, l1, horizon, final, simplex
  variant     paper (default), authors (their code where it differs), constant (no gradient
              through a(l, j))
  data        mnist_5k (default) and digits, which come with the install; mnist, fashion_mnist

How
  optimizer   sgd (default), adam, adamw; optimizer.tau.lr is a rate of τ's own
  scheduler   of the learning rate: none (default), step, cosine, warmup_cosine, plateau
  trainer     default (the best accelerator there is), cpu, gpu, ddp
  engine      auto (default), eager, compiled, cuda_graph, lightning: how iterations are taken
  callbacks   default (none more), early_stopping, lr_monitor, model_summary, rich_progress_bar,
              swa, ema; several: callbacks=[swa,lr_monitor]
  logger      tensorboard (default), csv, wandb, mlflow, comet, none; several: logger=[csv,wandb]
  debug       fast_dev_run, limit, overfit, profiler

Whole studies
  experiment      the paper's figures: figure_4_1, figure_4_2, figure_4_3, figure_4_4, figure_4_5,
                  figure_4_6; paper, what they share
  hparams_search  with -m: grid (default), all values given; penalties, a study of their weights

Numbers: KEY=VALUE; what a class takes beside them: +KEY=VALUE
  trainer.max_epochs=200  optimizer.lr=0.01  data.batch_size=100  data.val_size=0.1  seed=0
  model.width=100  model.hidden_layers=6  model.horizon=1.0 (T)  threads=1
  hydra.run.dir=FOLDER    where the run is written, instead of outputs/train/DATE/TIME
  resume=FOLDER           goes on with that run; resume=auto with what hydra.run.dir holds
All of them, for the choices made:  python -m tvl_lightning.train model=conv --cfg job
What is wrong with an argument is said in one line before anything is written.

Parts of your own: --config-dir FOLDER, see docs/extending.md. Hydra's options: --hydra-help
"""


def answered(text: str, arguments: Sequence[str]) -> bool:
    """Print what `--help` or `--version` asks for; whether one of them did.

    Args:
        text: the help of the command.
        arguments: those of the command, `sys.argv[1:]`.
    """
    if {"--help", "-h"} & set(arguments):
        answer = text
    elif "--version" in arguments:
        answer = f"tvl_lightning {__version__}\n"
    else:
        return False
    with pipe_may_close():
        print(answer, end="")
    return True


@contextmanager
def pipe_may_close() -> Iterator[None]:
    """End in silence, with a shell's status, where `| head` has read enough."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # or Python says so once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
