"""Colours and dashes."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from tvl_lightning.drawing.palette import COLOURS, DASHES, style


def test_36_curves_look_different() -> None:
    assert len({style(number) for number in range(36)}) == 36


def test_six_layers_have_a_colour_and_a_dash_of_their_own() -> None:
    looks = [style(number) for number in range(6)]
    assert [look.colour for look in looks] == list(COLOURS)
    assert [look.dash for look in looks] == list(DASHES)


@pytest.mark.parametrize("number", [0, 3, 5, 11])
def test_a_colour_that_returns_has_another_dash(number: int) -> None:
    assert style(number).colour == style(number + 6).colour
    assert style(number).dash != style(number + 6).dash


def test_neighbours_differ_in_grey_or_in_dash() -> None:
    grey = [float(np.dot(to_rgb(style(i).colour), [0.299, 0.587, 0.114])) for i in range(12)]
    for i in range(11):
        assert abs(grey[i] - grey[i + 1]) > 0.05 or style(i).dash != style(i + 1).dash
