"""What each claim of the paper comes to in numbers; claims.py has the sentences."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tvl_lightning.paper.setups import setup
from tvl_lightning.paper.study import Study, accuracy, epochs, loss, tau
from tvl_lightning.runs.reading import Array, Run

LEVELS = {"mnist": (0.90, 0.95, 0.97), "fashion_mnist": (0.80, 0.85, 0.87)}
HORIZON = 1.0  # T
NEAR = 0.05  # how far from T the sum of τ may be
EPSILON = 0.01  # ε, the pruning threshold, which is also what "zero" means for a τ
LAYER = 10_101  # variables of a hidden layer


@dataclass(frozen=True)
class Finding:
    """What was seen in one run, or in one comparison of runs.

    Attributes:
        subject: which run, or what about it.
        seed: of the run.
        seen: figures by name.
        holds: whether they bear the claim out; None where they cannot tell.
    """

    subject: str
    seed: int
    seen: dict[str, Any]
    holds: bool | None


Findings = Iterator[Finding]


def faster_than_fixed(study: Study, variant: str) -> Findings:
    """Claim 1: the first epochs with given accuracies, learned against fixed τ."""
    for model in ("resnet", "fractional"):
        for data, levels in LEVELS.items():
            learned = study.find(setup(data, model, "learned", variant=variant))
            fixed = study.find(setup(data, model, "fixed", variant=variant))
            for seed in sorted(learned.keys() & fixed.keys()):
                for level in levels:
                    fast, slow = (_epochs_to(level, runs[seed]) for runs in (learned, fixed))
                    yield Finding(
                        f"{data}-{model} to {level:.0%}",
                        seed,
                        {"epochs, learned τ": fast, "epochs, fixed τ": slow},
                        None if fast is slow is None else _or_never(fast) < _or_never(slow),
                    )


def same_accuracy(study: Study, variant: str) -> Findings:
    """Claim 2: the last accuracies of the four setups with learned τ."""
    for model in ("resnet", "fractional"):
        for data in LEVELS:
            runs = {
                choice: study.find(setup(data, model, choice, variant=variant))
                for choice in ("learned", "l1", "horizon", "final")
            }
            for seed in sorted(set.intersection(*(set(found) for found in runs.values()))):
                last = {c: round(float(accuracy(found[seed])[-1]), 4) for c, found in runs.items()}
                spread = round(100 * (max(last.values()) - min(last.values())), 2)
                seen = {**last, "percentage points apart": spread}
                yield Finding(f"{data}-{model}", seed, seen, spread <= 1)


def keeps_the_horizon(study: Study, variant: str) -> Findings:
    """Claim 3: how often Σ τ is near T."""
    for data in LEVELS:
        for seed, run in _runs(study, data, "resnet", "horizon"):
            share = float(np.mean(np.abs(np.nansum(tau(run), axis=1) - HORIZON) < NEAR))
            yield Finding(
                f"{data}-resnet-horizon",
                seed,
                {"share of iterations": round(share, 4)},
                share > 0.5,
            )


def first_is_largest(study: Study, variant: str) -> Findings:
    """Claim 4: the last τ(0) against the largest other."""
    for choice in ("learned", "l1", "horizon", "final"):
        for seed, run in _runs(study, "fashion_mnist", "resnet", choice, variant=variant):
            last = tau(run)[-1]
            first, following = float(last[0]), float(np.nanmax(last[1:]))
            seen = {"τ(0)": round(first, 4), "largest other τ": round(following, 4)}
            yield Finding(
                f"fashion_mnist-resnet-{choice}", seed, seen, first >= 1.5 * max(following, 0)
            )


def turns_negative(study: Study, variant: str) -> Findings:
    """Claim 5: when a τ(ℓ), ℓ ≥ 1, is first negative."""
    for choice in ("horizon", "final"):
        for seed, run in _runs(study, "fashion_mnist", "resnet", choice, variant=variant):
            first = _first(run, np.nanmin(tau(run)[:, 1:], axis=1) < 0)
            seen = {"first iteration with a negative τ(ℓ), ℓ ≥ 1": first}
            yield Finding(
                f"fashion_mnist-resnet-{choice}",
                seed,
                seen,
                first is not None and 100 < first <= 200,
            )


def some_vanish(study: Study, variant: str) -> Findings:
    """Claim 6: which τ stay at zero, and from when on."""
    for seed, run in _runs(study, "fashion_mnist", "resnet", "l1"):
        vanished = _vanished(run)
        yield Finding(
            "fashion_mnist-resnet-l1", seed, {"zero from iteration": vanished}, any(vanished)
        )


def fractional_time_steps(study: Study, variant: str) -> Findings:
    """Claim 7: growth, zeros, and the way of Σ τ in the Fractional DNN."""
    for seed, run in _runs(study, "fashion_mnist", "fractional", "learned", variant=variant):
        start, end = tau(run)[0], tau(run)[-1]
        seen: dict[str, Any] = {"τ at the start": _rounded(start), "τ at the end": _rounded(end)}
        yield Finding("no penalty: every τ grows", seed, seen, bool(np.all(end > start)))
    for seed, run in _runs(study, "fashion_mnist", "fractional", "l1", variant=variant):
        seen = {"τ at the end": _rounded(tau(run)[-1]), "zero from iteration": _vanished(run)}
        yield Finding("ℓ1: no τ goes to zero", seed, seen, not _vanished(run))
    for seed, run in _runs(study, "fashion_mnist", "fractional", "horizon", variant=variant):
        total = np.nansum(tau(run), axis=1)
        crossing, back = _excursion(run, total)
        seen = {
            "Σ τ passes T at iteration": crossing,
            "0.05 above T at iteration": _first(run, total > HORIZON + NEAR),
            "greatest Σ τ": round(float(total.max()), 4),
            "back within 0.05 of T at iteration": back,
            "Σ τ at the end": round(float(total[-1]), 4),
        }
        yield Finding(
            "horizon: Σ τ passes T near iteration 1000 and comes back",
            seed,
            seen,
            crossing is not None and 500 <= crossing <= 2000 and back is not None,
        )


def pruning_pays(study: Study, variant: str) -> Findings:
    """Claim 8: layers, variables, accuracy and speed, pruned against unpruned."""
    unpruned = dict(_runs(study, "fashion_mnist", "resnet", "l1"))
    pruned = dict(_runs(study, "fashion_mnist", "resnet", "l1", pruned=True, variant=variant))
    for seed in sorted(pruned.keys() & unpruned.keys()):
        run, whole = pruned[seed], unpruned[seed]
        layers = run.summary["layers"]
        removed = len(whole.summary["layers"]) - len(layers)
        gone = run.summary["parameters_before"] - run.summary["parameters"]
        last, reference = (float(accuracy(r)[-1]) for r in (run, whole))
        speed = run.summary["iterations_per_second"] / whole.summary["iterations_per_second"]
        yield Finding("few layers are left", seed, {"layers": layers}, len(layers) <= 3)
        yield Finding(
            f"every layer takes {LAYER:,} variables",
            seed,
            {"layers removed": removed, "variables removed": gone},
            removed > 0 and gone == removed * LAYER,
        )
        yield Finding(
            "accuracy is not lost",
            seed,
            {
                "accuracy": round(last, 4),
                "unpruned": round(reference, 4),
                "percentage points": round(100 * (last - reference), 2),
            },
            round(last - reference, 6) >= -0.005,
        )
        yield Finding(
            "the run is faster", seed, {"speed over unpruned": round(speed, 3)}, speed > 1
        )


def final_passes_zero(study: Study, variant: str) -> Findings:
    """Claim 9: when the last τ is first negative, and whether a loss is not finite."""
    for data in LEVELS:
        for seed, run in _runs(study, data, "fractional", "final", variant=variant):
            last = tau(run)[:, -1]
            crossing = _first(run, last < 0)
            finite = bool(
                np.isfinite(run.trajectory["loss"]).all() and np.isfinite(loss(run)[1:]).all()
            )
            seen = {
                "last τ below zero from iteration": crossing,
                "smallest last τ": round(float(last.min()), 4),
                "every loss finite": finite,
                "accuracy": round(float(accuracy(run)[-1]), 4),
            }
            yield Finding(
                f"{data}-fractional-final",
                seed,
                seen,
                crossing is not None and finite and run.summary["diverged_at"] is None,
            )


def _runs(
    study: Study,
    data: str,
    model: str,
    choice: str,
    *,
    pruned: bool = False,
    variant: str = "paper",
) -> list[tuple[int, Run]]:
    return sorted(study.find(setup(data, model, choice, pruned, variant)).items())


def _epochs_to(level: float, run: Run) -> int | None:
    reached = np.flatnonzero(np.round(accuracy(run), 6) >= level)
    return int(epochs(run)[reached[0]]) if len(reached) else None


def _or_never(epoch: int | None) -> float:
    return np.inf if epoch is None else epoch


def _first(run: Run, condition: Array) -> int | None:
    reached = np.flatnonzero(condition)
    return int(run.trajectory["iteration"][reached[0]]) if len(reached) else None


def _vanished(run: Run) -> dict[str, int]:
    """From which iteration on a τ is below the threshold, where that is in the first half."""
    size = np.abs(tau(run))
    large = size >= EPSILON * size.sum(axis=1, keepdims=True)
    iteration, n = run.trajectory["iteration"], len(size)
    since = {layer: np.flatnonzero(large[:, layer]) for layer in range(size.shape[1])}
    start = {layer: int(rows[-1]) + 1 if len(rows) else 0 for layer, rows in since.items()}
    return {f"τ({layer})": int(iteration[row]) for layer, row in start.items() if row <= n // 2}


def _excursion(run: Run, total: Array) -> tuple[int | None, int | None]:
    """When Σ τ last crosses T upwards before its maximum, and when it is near T again."""
    peak = int(total.argmax())
    below = np.flatnonzero(total[:peak] <= HORIZON)
    if not len(below) or total[peak] <= HORIZON:
        return None, None
    iteration = run.trajectory["iteration"]
    near = np.flatnonzero(np.abs(total[peak:] - HORIZON) < NEAR)
    return int(iteration[below[-1] + 1]), int(iteration[peak + near[0]]) if len(near) else None


def _rounded(values: Array) -> list[float]:
    return [round(float(value), 4) for value in values]
