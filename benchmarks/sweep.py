"""What does a sweep cost beside its runs, and how much faster are two runs side by side?

    python benchmarks/sweep.py [--epochs 20 100] [--jobs 8]

Prints a table: whole commands, start-up included, one job after another and side by side on all
cores. The machinery is a sweep of jobs that train nothing: composing, checks, folders, notes.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRAIN = [sys.executable, "-m", "tvl_lightning.train", "-m", "trainer=cpu"]
IDLE = """
import sys, time
from tvl_lightning import train
from tvl_lightning.cli.requests import write_settings
from tvl_lightning.files import write_json

begun = []
def nothing(request, folder, found, attempt):
    begun.append(time.perf_counter())
    attempt.accepted = True
    write_settings(request, folder)
    summary = {"status": "finished", "objective": 0.5, "epochs": 1, "settings": request.settings}
    write_json(folder / "summary.json", summary)
    return summary

train.train, train.show = nothing, lambda *arguments, **options: None
train.command()
print((begun[-1] - begun[0]) / (len(begun) - 1))
"""


def seconds(*arguments: str) -> float:
    """Of a whole command, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        subprocess.run(
            [*TRAIN, *arguments],
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
            env=_one_thread(),
        )
        return time.perf_counter() - begun


def machinery(jobs: int) -> float:
    """Seconds a job that trains nothing."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "idle.py"
        program.write_text(IDLE)
        done = subprocess.run(
            [sys.executable, program, "-m", f"seed=range(0,{jobs})", "hydra.sweep.dir=sweep"],
            cwd=folder,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env=_one_thread(),
        )
    return float(done.stdout.splitlines()[-1])


def _one_thread() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--jobs", type=int, default=8)
    chosen = parser.parse_args()
    print(f"machinery: {machinery(20):.2f} s a job\n", flush=True)
    print("| runs | epochs | one by one, s | side by side, s | throughput |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    for epochs in chosen.epochs:
        jobs = [f"seed=range(0,{chosen.jobs})", f"trainer.max_epochs={epochs}"]
        one_by_one = seconds(*jobs)
        side_by_side = seconds(*jobs, "hydra/launcher=joblib")
        row = [chosen.jobs, epochs, f"{one_by_one:.1f}", f"{side_by_side:.1f}"]
        row += [f"{one_by_one / side_by_side:.2f}"]
        print(f"| {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    main()
