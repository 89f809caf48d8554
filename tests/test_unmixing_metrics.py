"""Metrics of unmixing, by hand."""

import numpy as np
import pytest

from probspec.errors import DataError
from probspec.metrics.unmixing import (
    amplitude_rmse,
    bright,
    component_nmse,
    false_counts,
    median_count_error,
    parameter_error,
    proportion_error,
    relative_amplitude_error,
    relative_amplitude_rmse,
)

TRUTH = np.array([[[100.0, 20.0], [50.0, 0.0]], [[10.0, 5.0], [0.0, 30.0]]])
FOUND = np.array([[[110.0, 10.0], [45.0, 5.0]], [[99.0, 99.0], [3.0, 24.0]]])


def test_relative_error_leaves_faint_pixels_out():
    np.testing.assert_array_equal(bright(TRUTH), [[True, True], [False, True]])
    np.testing.assert_allclose(relative_amplitude_error(TRUTH, FOUND), [18 / 150, 21 / 50])
    np.testing.assert_allclose(relative_amplitude_error(TRUTH, FOUND, least=0), [107 / 160, 115 / 55])
    with pytest.raises(DataError, match="no total above 1000"):
        relative_amplitude_error(TRUTH, FOUND, least=1000)


def test_a_component_that_is_nowhere_has_no_relative_error():
    assert np.isnan(relative_amplitude_error([[50.0, 0.0]], [[50.0, 1.0]])[1])


def test_root_mean_square_is_relative_to_each_spectrum():
    assert amplitude_rmse([[50, 50], [500, 500]], [[60, 50], [600, 500]]) == pytest.approx(np.sqrt(0.005))
    assert amplitude_rmse([[50, 50]], [[60, 50]], total=[200]) == pytest.approx(np.sqrt(0.05**2 / 2))
    with pytest.raises(DataError, match="total"):
        amplitude_rmse([[0, 0]], [[1, 1]])


def test_nmse_is_by_component_over_all_pixels():
    rng = np.random.default_rng(0)
    truth = rng.random((3, 4, 2, 7))
    found = truth * np.array([1.1, 0.99])[:, None]
    np.testing.assert_allclose(component_nmse(truth, found), [-20, -40])
    assert component_nmse(truth, truth).tolist() == [-np.inf, -np.inf]


def test_present_and_absent_components_are_scored_apart():
    truth, found = np.array([[80.0, 0.0, 20.0], [0.0, 0.0, 50.0]]), np.array([[72.0, 4.0, 20.0], [1.0, 0.0, 55.0]])
    assert median_count_error(truth, found) == pytest.approx(0.1)  # of 0.1, 0 and 0.1
    assert false_counts(truth, found) == pytest.approx((4 / 100 + 1 / 50) / 2)
    assert false_counts(truth[:, :2], found[:, :2], total=[100, 50]) == pytest.approx((4 / 100 + 1 / 50) / 2)
    assert false_counts([[0, 0, 5], [1, 1, 1]], [[1, 2, 5], [9, 9, 9]]) == pytest.approx(3 / 5)
    with pytest.raises(DataError, match="nothing is absent"):
        false_counts([[1, 2]], [[1, 2]])
    with pytest.raises(DataError, match="nothing is present"):
        median_count_error([[0, 0]], [[1, 2]])


def test_parameters_and_proportions():
    assert parameter_error([[1.0, 2.0]], [[2.0, 2.0]]) == 0.5
    assert proportion_error([[30, 70], [1, 1]], [[3, 7], [0, 0]]) == 0
    assert proportion_error([[1, 0]], [[1, 3]]) == pytest.approx(0.75)
    with pytest.raises(DataError, match="without counts"):
        proportion_error([[0, 0]], [[1, 1]])


@pytest.mark.parametrize(
    "metric", [relative_amplitude_error, relative_amplitude_rmse, amplitude_rmse, component_nmse, median_count_error]
)
def test_shapes_and_numbers_are_checked(metric):
    with pytest.raises(DataError, match=r"\(2, 2, 2\) and \(2, 2\)"):
        metric(TRUTH, FOUND[0])
    with pytest.raises(DataError, match="masked"):
        metric(TRUTH, np.where(FOUND > 100, np.nan, FOUND))
