"""Checks pass where the posterior is exact, and fail where it is not."""

import numpy as np
import pytest
import torch
import xarray as xr
from conjugate import exact, fitted, means_of_repeats, simulated
from scipy.stats import norm
from torch.distributions import MultivariateNormal

from probspec import checks
from probspec.checks import agreement, compare, predictive_check, predictive_coverage
from probspec.data.spectra import Spectra
from probspec.errors import QueryError
from probspec.posterior import Posterior, posterior

SPECTRA = simulated(200)


@pytest.fixture(scope="module")
def post() -> Posterior:
    return posterior(fitted(), SPECTRA, draws=500)


def test_predictive_check_finds_the_strange_spectrum(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checks, "ROWS", 3)
    x = np.array(SPECTRA.spectra("x")[:8])
    x[5, 0] += 10.0
    post = posterior(fitted(), Spectra.from_arrays(x, SPECTRA.spec), draws=200)
    share = predictive_check(post, "x", lambda spectra: spectra.max("x_channel") - spectra.min("x_channel"))
    assert share.dims == ("sample",) and share.sizes["sample"] == 8
    assert share[5] == 0.0 and 0.2 < share.drop_sel(sample=5).mean() < 0.9


def test_predictive_intervals_hold_the_measured_channels(post: Posterior):
    # The measured value was seen by the posterior: its residual has the variance NOISE^2 - sd^2, not NOISE^2 + sd^2.
    _, sd = exact(0.0)
    halfwidth = 1.645 * ((0.25 + sd**2) / (0.25 - sd**2)) ** 0.5
    share = predictive_coverage(post, "x", prob=0.9)
    assert abs(share.mean() - (2 * norm.cdf(halfwidth) - 1)) < 0.02


def test_missing_spectra_have_no_check():
    x = np.array(SPECTRA.spectra("x")[:4])
    x[2] = np.nan
    post = posterior(fitted(), Spectra.from_arrays(x, SPECTRA.spec), draws=50)
    np.testing.assert_array_equal(predictive_coverage(post, "x", draws=20).isnull(), [False, False, True, False])


def test_compare_gives_the_evidence_of_the_closed_form(post: Posterior):
    narrow = posterior(fitted(stretch=0.2), SPECTRA, draws=500)
    table = compare({"narrow": narrow, "exact": post})
    assert list(table.index) == ["exact", "narrow"]
    same = torch.eye(2).repeat_interleave(3, 0) @ torch.eye(2).repeat_interleave(3, 0).T
    law = MultivariateNormal(torch.zeros(6), same + 0.25 * torch.eye(6))
    truth = law.log_prob(torch.as_tensor(SPECTRA.spectra("x")))
    assert table.loc["exact", "elpd"] == pytest.approx(float(truth.sum()), abs=0.01)
    assert table.loc["exact", "se"] == pytest.approx(200**0.5 * float(truth.std()), rel=1e-3)
    assert table.loc["exact", "behind"] == 0.0 and table.loc["exact", "unreached"] == 0.0
    assert table.loc["narrow", "unreached"] > 0.5 and table.loc["narrow", "behind"] > 0
    covered = table["target: covered at 90 %"]
    assert abs(covered["exact"] - 0.9) < 0.06 and covered["narrow"] < 0.5
    with pytest.raises(QueryError, match="same spectra"):
        compare({"all": post, "some": post.select(slice(5))})


def test_agreement_with_reference_draws(post: Posterior):
    mean, sd = exact(means_of_repeats(SPECTRA))
    draws = mean + sd * np.random.default_rng(0).normal(size=(2, 1000, 200, 2))
    reference = xr.Dataset({"target": (("chain", "draw", "sample", "component"), draws)})
    good = agreement(post, reference).loc["target"]
    assert good["shift"] < 0.1 and abs(good["width"] - 1) < 0.05 and 1 <= good["worst_width"] < 1.35
    with pytest.raises(QueryError, match="reference: 'target' has"):
        agreement(post.select(slice(5)), reference)
    with pytest.raises(QueryError, match="did you mean 'target'"):
        agreement(post, reference.rename(target="targets"))
    moved = agreement(post, reference + 3 * sd).loc["target"]
    assert moved["shift"] == pytest.approx(3, abs=0.1) and moved["worst_shift"] > moved["shift"]
