from pathlib import Path

import numpy as np

from tvl_lightning.drawing.page import print_style, save
from tvl_lightning.drawing.study import Objective, Parameter, best_of, draw_study

SIZES = Objective("parameters", [5, 3, 4, 1, 1, np.nan], larger=False)
ACCURACIES = Objective("val/acc", [0.9, 0.8, 0.8, 0.5, 0.5, np.nan], larger=True)


def test_the_front_holds_what_nothing_beats() -> None:
    finished = [True] * 6
    assert best_of([ACCURACIES], finished).tolist() == [True] + [False] * 5
    front = best_of([ACCURACIES, SIZES], finished).tolist()
    assert front == [True, True, False, True, True, False]


def test_a_trial_that_was_stopped_early_is_no_best() -> None:
    assert best_of([ACCURACIES], [False, True, True, True, True, True]).tolist()[:2] == [
        False,
        True,
    ]


def test_a_picture_has_the_trials_the_front_and_each_parameter(tmp_path: Path) -> None:
    parameters = [
        Parameter("optimizer.lr", [0.1, 0.01, 1.0, 0.1, 0.2, 9.0], (1e-3, 10.0), logarithmic=True),
        Parameter("model", ["resnet", "conv", "resnet", "conv", "conv", "conv"]),
    ]
    with print_style():
        figure = draw_study(range(6), [ACCURACIES, SIZES], parameters, [True] * 6)
        save(figure, tmp_path / "study.png", "png")
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels == ["trial", "parameters", "optimizer.lr", "model"]
    assert [axes.get_xscale() for axes in figure.axes] == ["linear", "linear", "log", "linear"]
    numbers = {text.get_text() for text in figure.axes[1].texts}
    assert numbers == {"0", "1", "3", "4"}


def test_a_study_of_which_nothing_came_is_drawn(tmp_path: Path) -> None:
    nothing = Objective("objective", [np.nan, np.nan], larger=True)
    figure = draw_study([0, 1], [nothing], [Parameter("x", [1.0, 2.0], (1.0, 2.0))], [True, True])
    save(figure, tmp_path / "study.png", "png")
    assert not best_of([nothing], [True, True]).any()
