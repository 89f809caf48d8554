"""Resampling copies each draw as often as its weight says."""

import numpy as np
import pyro.distributions as dist
import pytest
import torch
import xarray as xr
from scipy.stats import norm

from probspec.draws.reweight import resample, reweighting, take_draws
from probspec.errors import QueryError
from probspec.priors import Priors


def draws_of(**values: np.ndarray) -> xr.Dataset:
    dims = ("chain", "draw", "sample")
    return xr.Dataset({name: (dims[: value.ndim], value) for name, value in values.items()})


def test_copies_are_weights_rounded_up_or_down():
    weight = np.random.default_rng(0).gamma(0.3, size=(200, 5))
    weight /= weight.sum(0)
    pick = resample(np.log(weight), seed=1)
    copies = np.stack([np.bincount(pick[:, n], minlength=200) for n in range(5)], axis=1)
    assert (np.abs(copies - 200 * weight) < 1 + 1e-9).all()
    np.testing.assert_array_equal(resample(np.full((50, 1), -np.log(50)), seed=2)[:, 0], np.arange(50))


def test_a_draw_without_weight_is_never_taken():
    weight = np.array([[0.0], [1.0], [0.0]])
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(resample(np.log(weight), seed=0), 1)


def test_ratio_is_that_of_the_densities_also_of_laws_that_depend_on_other_sites():
    random = np.random.default_rng(0)
    draws = draws_of(width=random.gamma(2.0, size=(1, 40, 3)), amount=random.normal(size=(1, 40, 3)))
    priors = Priors({"width": dist.Gamma(2.0, 1.0), "amount": lambda earlier: dist.Normal(0.0, earlier["width"])})
    step = reweighting(priors, {"amount": dist.Normal(1.0, 2.0)}, draws)
    width, amount = draws["width"][0].values, draws["amount"][0].values
    np.testing.assert_allclose(step.log_ratio, norm.logpdf(amount, 1, 2) - norm.logpdf(amount, 0, width), atol=1e-5)


def test_draws_that_rounding_put_off_the_simplex_are_no_error():
    draws = np.full((1, 30, 1, 3), np.float32(1 / 3))
    draws[0, 0, 0] += 1e-5
    site = xr.Dataset({"abundance": (("chain", "draw", "sample", "component"), draws)})
    priors = Priors({"abundance": dist.Dirichlet(torch.ones(3))})
    step = reweighting(priors, {"abundance": dist.Dirichlet(2 * torch.ones(3))}, site)
    assert np.isfinite(step.log_ratio).all()


def test_sites_of_the_whole_set_are_refused_and_keep_their_draws():
    draws = draws_of(offset=np.zeros((1, 30)), amount=np.zeros((1, 30, 2)))
    priors = Priors({"offset": dist.Normal(0.0, 1.0), "amount": dist.Normal(0.0, 1.0)})
    with pytest.raises(QueryError, match="'offset'.*with_priors"):
        reweighting(priors, {"offset": dist.Normal(0.0, 2.0)}, draws)
    pick = xr.DataArray(np.zeros((30, 2), dtype=int), dims=("draw", "sample"))
    taken = take_draws(draws.assign(amount=draws["amount"] + np.arange(30)[:, None]), pick)
    assert (taken["amount"] == 0).all() and taken["offset"].dims == ("chain", "draw")
