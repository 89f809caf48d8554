"""The band holds honest ranks as often as it says; a wrong posterior leaves it."""

import numpy as np
import pytest
import xarray as xr
from conjugate import Shared, fitted, simulated

from probspec.calibration import calibrate, calibration, ecdf_band, ranks
from probspec.draws import gather
from probspec.errors import QueryError


@pytest.mark.parametrize(("samples", "draws", "prob"), [(50, 20, 0.9), (300, 99, 0.95), (1000, 400, 0.99)])
def test_band_holds_uniform_ranks_with_its_probability(samples: int, draws: int, prob: float):
    random, trials = np.random.default_rng(0), 2000
    inside = [calibration(random.integers(0, draws + 1, samples), draws, prob).passed for _ in range(trials)]
    error = (prob * (1 - prob) / trials) ** 0.5
    # Counts are whole numbers, so the band can be a little wider than asked for; never narrower.
    assert prob - 4 * error < np.mean(inside) < prob + (1 - prob) / 3 + 4 * error


def test_band_is_wider_than_that_of_a_single_point():
    lower, upper = ecdf_band(1000, 99, 0.95)
    middle = len(lower) // 2
    assert 1.96 < (upper - lower)[middle] / 2 / 0.5 * 1000**0.5 < 4.0
    assert (lower <= upper).all()


def test_ranks_count_draws_below_and_part_ties_evenly():
    draws = xr.DataArray(np.arange(10.0)[None, :, None] * [1.0, 0.0], dims=("chain", "draw", "sample"))
    truth = xr.DataArray([4.5, 0.0], dims="sample")
    assert ranks(draws, truth)[0] == 5
    tied = [ranks(draws, truth, seed)[1] for seed in range(200)]
    assert set(tied) == set(range(11))


def test_an_exact_posterior_is_calibrated_and_a_narrow_one_is_not():
    spectra = simulated(1000)
    good = calibrate(fitted(), spectra, draws=99)
    assert set(good) == {"target[water]", "target[salt]"}
    assert all(one.passed for one in good.values())
    narrow = calibrate(fitted(stretch=0.7), spectra, draws=99)
    assert not any(one.passed for one in narrow.values())
    assert "outside the 99 % band" in repr(narrow["target[water]"])


def test_same_seed_same_ranks():
    fit, spectra = fitted(), simulated(20)
    first, second, other = (calibrate(fit, spectra, draws=30, seed=s)["target[salt]"].ranks for s in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_what_cannot_be_ranked_is_refused():
    with pytest.raises(QueryError, match="from 0 to 9"):
        calibration([3, 10], draws=9)
    with pytest.raises(QueryError, match="prob"):
        calibration([3], draws=9, prob=99)


def test_a_guide_that_does_not_know_of_an_offset_is_found_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gather, "BLOCK", 6 * 10)  # 10 rows a block: 30 draws of the offset
    found = calibrate(fitted(kind=Shared), simulated(300))
    assert set(found) == {"target[water]", "target[salt]"}
    assert not any(one.passed for one in found.values())
