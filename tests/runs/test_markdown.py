"""Text and numbers as Markdown."""

import pytest

from tvl_lightning.runs.markdown import escaped, in_figures, table


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (None, "–"),
        (float("inf"), "∞"),
        (0.0123456, "0.0123"),
        (1.4729, "1.47"),
        (10_101.0, "10,101"),
        (999.9, "1,000"),
        (-0.5, "-0.5"),
        (0.0, "0"),
    ],
)
def test_numbers_have_three_figures(number: float | None, text: str) -> None:
    assert in_figures(number) == text


def test_text_of_a_run_has_no_markup_and_one_line() -> None:
    assert escaped("a|b <i>\n[x](y)") == r"a\|b \<i\> \[x\]\(y\)"
    assert escaped("cpu, 1 threads") == "cpu, 1 threads"


def test_a_table_has_a_line_under_its_header() -> None:
    assert table(["", "a"], [["b", "1"]]) == ["|  | a |", "| --- | --- |", "| b | 1 |"]
