"""The table as lines of text."""

from pathlib import Path

import pytest

from tests.runs.table.made_up import write
from tvl_lightning.runs.table import in_lines, read_rows, short_table, table_of
from tvl_lightning.runs.table.cells import Column, fitted, in_figures


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.9, "0.9000"),
        (1.0, "1.000"),
        (123.456, "123.5"),
        (999.96, "1000"),
        (12345.6, "12346"),
        (0.000123456, "0.0001235"),
        (0.0000123456, "1.235e-05"),
        (0.0, "0.000"),
        (-0.25, "-0.2500"),
        (130006, "130006"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_have_four_significant_digits(value: float, text: str) -> None:
    assert in_figures(value) == text


COLUMNS = [
    Column("run", ["sweeps/2026-01-31/a", "b"], False),
    Column("model.hidden_layers", ["2", "16"], True),
    Column("best_val_acc", ["0.9000", ""], True),
    Column("seconds", ["1.000", "12.00"], True),
    Column("reason", ["", "the loss is not finite at iteration 18"], False),
]


def test_columns_are_aligned_numbers_to_the_right() -> None:
    assert fitted(COLUMNS, 1000) == [
        "run                  model.hidden_layers  best_val_acc  seconds  reason",
        "sweeps/2026-01-31/a                    2        0.9000    1.000",
        "b                                     16                  12.00  "
        "the loss is not finite at iteration 18",
    ]


def test_where_there_is_less_room_heads_take_two_lines() -> None:
    assert fitted(COLUMNS, 100)[:3] == [
        "                            model.    best_",
        "run                  hidden_layers  val_acc  seconds  reason",
        "sweeps/2026-01-31/a              2   0.9000    1.000",
    ]


def test_then_long_texts_are_cut_paths_at_their_beginning() -> None:
    lines = fitted(COLUMNS, 59)
    assert max(map(len, lines)) == 59
    assert lines[2].startswith("…026-01-31/a ")
    assert lines[3].endswith("  the loss is…")


@pytest.mark.parametrize("width", range(1, 120))
def test_lines_fit_any_width_that_has_room_for_one_column(width: int) -> None:
    lines = fitted(COLUMNS, width)
    table = [line for line in lines if not line.startswith("no room for ")]
    assert max(map(len, table)) <= max(width, 12)
    assert len(lines) - len(table) == (width < 59)


def test_what_is_left_out_is_said() -> None:
    assert fitted(COLUMNS, 52)[-1] == ("no room for seconds: widen the terminal, or use --out FILE")


def test_wide_letters_take_two_places() -> None:
    assert fitted(
        [Column("run", ["層", "ab", "é"], False), Column("x", ["1", "2", "3"], True)], 80
    ) == [
        "run  x",
        "層   1",
        "ab   2",
        "é    3",
    ]


def lines(folder: Path, *over: str) -> list[str]:
    return in_lines(table_of(read_rows([folder]), over))


def test_results_that_no_run_has_are_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    write(tmp_path / "a")
    assert lines(tmp_path) == [
        "run  status    best_val_acc  last_val_acc  test_acc  layers  parameters  sum_of_tau  "
        "epochs  seconds  iterations_per_second",
        "a    finished        0.9000        0.8000    0.8750       3       89602       1.250  "
        "     3    12.00                  9.000",
        "1 run: 1 finished",
    ]


def test_groups_show_mean_and_deviation_and_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    for seed, acc in enumerate([0.85, 0.9, None]):
        write(tmp_path / str(seed), seed=seed, test={"test/acc": acc})
    write(tmp_path / "3", lr=0.2)
    head, first, second, counts = lines(tmp_path, "seed")
    assert head.split()[:3] == ["optimizer.lr", "runs", "finished"]
    assert "0.8750 ± 0.0354 (2)" in first
    assert "89602 ± 0 " in first
    assert "12.00 ± 0.00" in first
    assert "±" not in second
    assert counts == "4 runs: 4 finished"


def test_settings_are_short_unless_that_makes_them_equal(tmp_path: Path) -> None:
    for i, lr in enumerate([0.123456, 0.2]):
        write(tmp_path / "a" / str(i), lr=lr)
    assert "0.1235 " in lines(tmp_path / "a")[1]
    for i, lr in enumerate([0.123456, 0.123457]):
        write(tmp_path / "b" / str(i), lr=lr)
    assert "0.123456 " in lines(tmp_path / "b")[1]


def test_a_short_table_says_how_many_more_there_are(tmp_path: Path) -> None:
    for i in range(43):
        write(tmp_path / str(i), seed=i)
    text = short_table(tmp_path).splitlines()
    assert len(text) == 1 + 40 + 2
    assert text[-3].startswith("39 ")
    assert text[-2] == f"... 3 more: python -m tvl_lightning.table {tmp_path}"
    assert text[-1] == "43 runs: 43 finished"


def test_a_short_table_of_few_runs_is_the_table(tmp_path: Path) -> None:
    write(tmp_path / "0")
    assert short_table(tmp_path).splitlines() == lines(tmp_path)


def test_a_short_table_of_no_run_is_empty(tmp_path: Path) -> None:
    assert short_table(tmp_path) == ""
