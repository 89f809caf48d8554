"""Figures of merit: closed forms, the clipping rule, and refusals."""

import numpy as np
import pytest

from probspec.errors import DataError
from probspec.metrics import coverage, mean_absolute_error, mean_kl

HALVES = np.array([[0.5, 0.5, 0.0]])


def test_kl_of_equal_compositions_is_zero_although_a_component_is_absent():
    assert mean_kl(HALVES, HALVES) == pytest.approx(0, abs=3e-6)


def test_kl_in_closed_form_and_averaged_over_samples():
    truth, predicted = [[0.5, 0.5], [1.0, 0.0]], [[0.25, 0.75], [0.5, 0.5]]
    first = 0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75)
    assert mean_kl(truth, predicted) == pytest.approx((first + np.log(2)) / 2)


def test_kl_clips_at_the_floor_and_renormalises():
    expected = np.log(1.000001) - 0.5 * np.log(2e-6) - 0.5 * np.log(2)
    assert mean_kl([[0.5, 0.5]], [[1.0, 0.0]]) == pytest.approx(expected)
    assert mean_kl([[0.5, 0.5]], [[1.0, -3.0]]) == pytest.approx(expected)
    assert mean_kl([[0.5, 0.5]], [[3.0, 3.0]]) == pytest.approx(0)


def test_kl_is_of_truth_from_prediction_and_not_the_other_way():
    assert mean_kl([[0.9, 0.1]], [[0.5, 0.5]]) == pytest.approx(0.9 * np.log(1.8) + 0.1 * np.log(0.2))


def test_absolute_error_averages_over_samples_and_components():
    assert mean_absolute_error([[0, 0], [1, 1]], [[1, 0], [1, 3]]) == pytest.approx(0.75)


def test_coverage_counts_the_ends_as_inside():
    truth = np.array([[0.1], [0.2], [0.5], [0.9]])
    assert coverage(truth, np.full((4, 1), 0.1), np.full((4, 1), 0.5)) == 0.75


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_kl(HALVES, HALVES[:, :2]), "shapes"),
        (lambda: mean_kl([[0.5, 0.2]], [[0.5, 0.5]]), "compositions"),
        (lambda: mean_kl([[1.5, -0.5]], [[0.5, 0.5]]), "compositions"),
        (lambda: mean_absolute_error([[np.nan]], [[1.0]]), "NaN"),
        (lambda: mean_absolute_error(np.zeros((0, 3)), np.zeros((0, 3))), "shapes"),
        (lambda: coverage(HALVES, HALVES + 0.1, HALVES - 0.1), "below lower"),
    ],
)
def test_bad_input_is_refused_with_its_reason(call, message):
    with pytest.raises(DataError, match=message):
        call()
