"""What a trained network answered, as tables and a picture in a folder."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvl_lightning.drawing.confusion import confusion_figure
from tvl_lightning.drawing.page import save
from tvl_lightning.files import replacing

Labels = NDArray[np.int64]


def confusion(labels: Labels, predicted: Labels, classes: int) -> Labels:
    """Samples of class i that were taken for class j, shape (classes, classes)."""
    cells = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)


def write_confusion(folder: Path, counts: Labels) -> None:
    """Write `confusion.csv`, `classes.csv` and `confusion.png`.

    Args:
        folder: where to.
        counts: see `confusion`. The accuracy of a class without samples is left empty.
    """
    classes = range(len(counts))
    _write(folder / "confusion.csv", ("class", *classes), ((i, *counts[i]) for i in classes))
    rows = ((i, counts[i].sum(), counts[i, i], _share(counts[i, i], counts[i])) for i in classes)
    _write(folder / "classes.csv", ("class", "samples", "correct", "accuracy"), rows)
    with replacing(folder / "confusion.png") as part:
        save(confusion_figure(counts), part, "png")


def write_predictions(path: Path, logits: NDArray[np.float64], labels: Labels | None) -> None:
    """Write a row for each sample: index, label, predicted class, probability of each class.

    Args:
        path: where to.
        logits: shape (n, classes).
        labels: shape (n,), or None where they are not known; the column is left empty then.
    """
    names = ("index", "label", "predicted", *(f"p_{j}" for j in range(logits.shape[1])))
    known: Sequence[Any] = [""] * len(logits) if labels is None else labels.tolist()
    predicted = logits.argmax(1)
    odds = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = odds / odds.sum(1, keepdims=True)
    rows = (
        (i, known[i], predicted[i], *(f"{p:.6g}" for p in row))
        for i, row in enumerate(probabilities)
    )
    _write(path, names, rows)


def report(evaluation: Mapping[str, Any], counts: Labels, folder: Path) -> Iterator[str]:
    """What `evaluation.json` says, in lines of text.

    Args:
        evaluation: its content.
        counts: see `confusion`.
        folder: where it was written to.
    """
    split, data = evaluation["split"], evaluation["data"]
    epoch = "" if evaluation["epoch"] is None else f"epoch {evaluation['epoch']}, "
    size = f"{len(evaluation['layers'])} layers, {evaluation['parameters']:,} parameters"
    yield f"{evaluation['checkpoint']}: {epoch}{size}"
    name = f"{data.get('dataset')} ({data.get('source')})" if isinstance(data, Mapping) else data
    yield f"{split} set of {name}: {evaluation['samples']:,} samples"
    metrics = {key.partition("/")[2]: value for key, value in evaluation[split].items()}
    yield f"accuracy {metrics['acc']:.4g}, cross entropy {metrics['task_loss']:.4g}"
    samples = counts.sum(1)
    shares = {i: counts[i, i] / samples[i] for i in range(len(counts)) if samples[i]}
    weakest = sorted(shares, key=shares.__getitem__)[:3]
    yield "least accurate: " + ", ".join(f"class {i} {shares[i]:.4g}" for i in weakest)
    yield f"results: {folder}"


def _share(correct: int, row: Labels) -> str:
    return f"{correct / row.sum():.6g}" if row.sum() else ""


def _write(path: Path, names: Sequence[Any], rows: Iterable[Sequence[Any]]) -> None:
    with replacing(path) as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(rows)
