"""Intervals, coverage and summaries of labelled draws."""

import numpy as np
import pytest
import xarray as xr

from probspec.draws.intervals import coverage, interval, summary
from probspec.errors import QueryError


def labelled(draws: np.ndarray) -> xr.DataArray:
    dims = ("chain", "draw", "sample", "component")[: draws.ndim]
    return xr.DataArray(draws, dims=dims, attrs={"unit": "g/L"})


def test_highest_density_is_narrower_than_equal_tails_of_a_skewed_law():
    draws = xr.DataArray(np.random.default_rng(0).gamma(1.0, size=(1, 4000)), dims=("chain", "draw"))
    lower, upper = interval(draws, 0.9, "hdi")
    assert abs(lower) < 0.01 and abs(upper - np.log(10)) < 0.15
    low, high = interval(draws, 0.9)
    assert upper - lower < high - low


def test_interval_keeps_dims_labels_and_the_kind_of_number():
    draws = labelled(np.arange(24).reshape(2, 3, 2, 2)).assign_coords(component=["a", "b"])
    lower, upper = interval(draws, 0.5)
    assert lower.dims == ("sample", "component") and list(upper["component"].values) == ["a", "b"]
    quarter = np.quantile(np.arange(6), 0.25, method="weibull")
    np.testing.assert_array_equal(lower.values.ravel(), np.arange(4) + 4 * quarter)
    assert interval(draws.astype(np.float32)).lower.dtype == np.float32


def test_coverage_counts_each_component_and_pools_them():
    draws = labelled(np.broadcast_to(np.linspace(0, 1, 101)[None, :, None, None], (1, 101, 4, 2)))
    truth = np.array([[0.5, 0.0], [0.5, 1.0], [0.01, 0.5], [np.nan, 0.5]])
    table = coverage(draws.assign_coords(component=["a", "b"]), truth, probs=(0.5, 0.9))
    assert table.loc[("a", 0.9), "covered"] == pytest.approx(2 / 3)
    assert table.loc[("b", 0.9), "covered"] == pytest.approx(1 / 3)
    assert table.loc[("all", 0.9), "covered"] == pytest.approx(0.5)
    assert (table["n"] == 3).all()
    assert table.loc[("all", 0.5), "error"] == pytest.approx((0.25 / 3) ** 0.5)
    assert table.loc[("a", 0.5), "z"] == pytest.approx((2 / 3 - 0.5) / (0.25 / 3) ** 0.5)


def test_truth_is_matched_by_position_not_by_label():
    draws = labelled(np.random.default_rng(0).normal(size=(1, 50, 3))).assign_coords(sample=[7, 8, 9])
    assert coverage(draws, np.zeros(3), probs=(0.9,)).loc[("all", 0.9), "n"] == 3
    with pytest.raises(QueryError, match="shape"):
        coverage(draws, np.zeros(4))


def test_a_truth_of_one_column_fits_a_site_without_dims():
    draws = labelled(np.random.default_rng(0).normal(size=(1, 50, 3)))
    assert list(coverage(draws, np.zeros((3, 1)), probs=(0.9,)).index.get_level_values("component")) == ["", "all"]


def test_summary_names_sites_samples_and_components():
    draws = np.random.default_rng(0).normal(size=(2, 100, 3, 2))
    site = labelled(draws).assign_coords(sample=[0, 4, 5], component=["a", "b"])
    table = summary(xr.Dataset({"amount": site, "offset": labelled(draws[:, :, 0, 0])}))
    assert list(table.columns) == ["mean", "sd", "5 %", "95 %"]
    assert table.loc[("amount", 4, "b"), "mean"] == pytest.approx(draws[:, :, 1, 1].mean())
    assert table.loc[("offset", "all", ""), "sd"] == pytest.approx(draws[:, :, 0, 0].std(ddof=1))


def test_intervals_of_few_draws_hold_one_more_draw_as_often_as_they_say():
    values = np.random.default_rng(0).standard_normal((1, 21, 20000))
    draws = xr.DataArray(values[:, :20], dims=("chain", "draw", "sample"))
    lower, upper = interval(draws, 0.8)
    inside = (lower.values <= values[0, 20]) & (values[0, 20] <= upper.values)
    assert inside.mean() == pytest.approx(0.8, abs=4 * (0.16 / 20000) ** 0.5)
