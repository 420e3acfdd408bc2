"""The picture of a confusion matrix."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tvl_lightning.drawing.confusion import BLUES, confusion_figure


def parts(figure: Figure) -> tuple[Axes, Axes]:
    """The matrix and the bars."""
    matrix, bars, _ = figure.axes
    return matrix, bars


def test_up_to_20_classes_the_numbers_stand_in_their_cells() -> None:
    counts = np.array([[8, 2, 0], [0, 0, 0], [1, 0, 3]])
    figure = confusion_figure(counts)
    matrix, bars = parts(figure)
    written = {tuple(map(int, t.get_position())): t.get_text() for t in matrix.texts}
    assert written == {(0, 0): "8", (1, 0): "2", (0, 2): "1", (2, 2): "3"}  # (column, row)
    assert [bar.get_width() for bar in bars.patches] == [0.8, 0, 0.75]
    assert bars.get_title() == "all: 0.7857"
    figure.canvas.draw()


def test_a_row_is_coloured_by_shares_of_its_class_and_is_white_without_samples() -> None:
    counts = np.array([[1, 0, 0], [0, 0, 0], [30, 0, 30]])
    [image] = parts(confusion_figure(counts))[0].images
    shares = image.get_array()
    assert shares is not None
    np.testing.assert_array_equal(shares, [[1, 0, 0], [0, 0, 0], [0.5, 0, 0.5]])
    assert image.norm(0.01) == pytest.approx(0.1)  # one error in a hundred is seen


def test_of_100_classes_no_number_and_every_bar_is_drawn() -> None:
    counts = np.full((100, 100), 1) + 50 * np.eye(100, dtype=int)
    figure = confusion_figure(counts)
    matrix, bars = parts(figure)
    assert not matrix.texts
    assert len(bars.patches) == 100
    figure.canvas.draw()
    assert len(matrix.get_xticks()) < 20


def lightness(rgb: np.ndarray) -> np.ndarray:
    """CIELAB's L of sRGB colours (n, 3)."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126729, 0.7151522, 0.0721750]
    return np.asarray(116 * np.cbrt(luminance) - 16)


def test_lightness_falls_evenly_along_the_colours() -> None:
    steps = np.diff(lightness(BLUES(np.linspace(0, 1, 33))[:, :3]))
    assert (steps < 0).all()
    np.testing.assert_allclose(steps, steps.mean(), atol=0.5)
