"""Shares of layers in their stage, and when they came and went."""

import numpy as np

from tvl_lightning.runs.report.shares import Change, changes, shares


def test_share_is_of_the_absolute_values_of_what_is_there() -> None:
    tau = np.array([[0.5, -0.25, 0.25], [0.5, np.nan, 0.5]])
    expected = [[0.5, 0.25, 0.25], [0.5, np.nan, 0.5]]
    np.testing.assert_allclose(shares(tau, None), expected)
    np.testing.assert_allclose(shares(tau, [3]), expected)


def test_share_is_of_the_layers_own_stage() -> None:
    tau = np.array([[1.0, 3.0, 0.1, 0.3, 0.6]])
    np.testing.assert_allclose(shares(tau, [2, 3]), [[0.25, 0.75, 0.1, 0.3, 0.6]])


def test_share_of_nothing_is_not_a_number() -> None:
    assert np.isnan(shares(np.zeros((1, 2)), None)).all()


def test_layer_is_removed_after_its_last_value_and_inserted_with_its_first() -> None:
    tau = np.array([[1, 1, np.nan], [1, 1, np.nan], [1, np.nan, 1], [1, np.nan, 1]])
    assert changes(tau) == [Change(1, 1, "removed"), Change(2, 2, "inserted")]


def test_layers_that_leave_together_are_in_their_order() -> None:
    tau = np.array([[1, 1, 1], [1, np.nan, np.nan]])
    assert [(c.row, c.layer) for c in changes(tau)] == [(0, 1), (0, 2)]


def test_nothing_changes_in_a_single_row() -> None:
    assert changes(np.ones((1, 3))) == []
