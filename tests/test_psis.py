"""Smoothed weights are those of ArviZ, and say what is known of the law they were drawn from."""

import warnings

import numpy as np
import pytest

from probspec.draws.psis import fit_pareto, pareto_quantiles, smooth
from probspec.errors import QueryError

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)
    import arviz
if arviz.__version__.startswith("0."):
    psislw = arviz.psislw
else:
    from arviz_stats.base import array_stats

    def psislw(log_ratio):
        """Take ratios, as ArviZ 0.x did; ArviZ 1.x takes log likelihoods, whose ratios are their inverse."""
        return array_stats.psislw(-log_ratio)


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("draws", [100, 400, 900])
def test_weights_and_khat_are_those_of_arviz(scale: float, draws: int):
    log_ratio = scale * np.random.default_rng(0).standard_t(5, size=(draws, 40))
    log_weight, khat = psislw(log_ratio.T.copy())
    ours = smooth(log_ratio)
    np.testing.assert_allclose(ours.khat, khat, rtol=1e-8)
    np.testing.assert_allclose(ours.log, log_weight.T, atol=1e-8)


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.4, 1.0])
def test_fit_finds_the_shape_and_scale_of_a_pareto_law(shape: float):
    size = 20_000
    sample = np.sort(pareto_quantiles(np.random.default_rng(1).uniform(size=size), shape, 2.0))
    found, scale = fit_pareto(sample)
    assert abs(found - shape) < 4 * (1 + shape) / size**0.5 + 5 / size  # its asymptotic sd is (1 + k) / sqrt(n)
    assert abs(scale - 2.0) < 0.1


def test_level_and_effective_draws():
    log_ratio = np.random.default_rng(2).normal(0.0, 0.3, size=(4000, 3)) + np.array([0.0, 500.0, -500.0])
    weights = smooth(log_ratio)
    np.testing.assert_allclose(weights.log_mean, 0.045 + np.array([0, 500, -500]), atol=0.02)  # log E exp(N(0, .3^2))
    np.testing.assert_allclose(weights.effective / 4000, np.exp(-0.09), atol=0.02)
    np.testing.assert_allclose(np.exp(weights.log).sum(0), 1.0)


def test_equal_weights_have_nothing_to_smooth():
    rounding = 1e-6 * np.random.default_rng(3).integers(0, 4, size=(100, 1))
    weights = smooth(np.concatenate([np.full((100, 1), 7.0), rounding], axis=1))
    np.testing.assert_array_equal(weights.khat, 0.0)
    np.testing.assert_allclose(weights.effective, 100.0)


def test_what_cannot_be_weighted_is_never_trusted():
    broken = np.zeros((50, 3))
    broken[0] = np.nan, np.inf, 0.0
    broken[:, 2] = -np.inf
    weights = smooth(broken)
    np.testing.assert_array_equal(weights.khat, np.inf)
    assert np.isfinite(weights.log).all()


def test_weights_that_underflow_are_not_trusted():
    weights = smooth(1000.0 * np.random.default_rng(4).normal(size=(1000, 5)))
    assert (weights.khat > 10).all() and (weights.effective < 1.5).all() and np.isfinite(weights.log).all()


def test_too_few_draws_are_an_error():
    with pytest.raises(QueryError, match="at least 25 draws"):
        smooth(np.zeros((24, 2)))
