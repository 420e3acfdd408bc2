"""Colours and dashes that stay apart: in print, in grey, and for eyes that lack a colour."""

from typing import NamedTuple

Dash = tuple[float, tuple[float, ...] | None]

# The least CIEDE2000 distance is 19.6, over normal, protan, deutan and tritan vision.
COLOURS = ("#000000", "#E69F00", "#4477AA", "#CC3311", "#33BBEE", "#332288")

# In multiples of the line's width, as matplotlib and SVG have them.
DASHES: tuple[Dash, ...] = (
    (0, None),
    (0, (6, 2)),
    (0, (5, 1.5, 1, 1.5)),
    (0, (1.2, 1.2)),
    (0, (5, 1, 1, 1, 1, 1)),
    (0, (3, 1)),
)

GREY = "#808080"  # what is no layer's: a sum, a threshold, an axis


class Style(NamedTuple):
    """How a curve is drawn."""

    colour: str
    dash: Dash


def style(number: int) -> Style:
    """The style of curve `number`; 36 differ, and a colour that returns has another dash."""
    again, colour = divmod(number, len(COLOURS))
    return Style(COLOURS[colour], DASHES[(colour + again) % len(DASHES)])
