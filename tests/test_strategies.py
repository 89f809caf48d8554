"""What generated pairs are made of: laws of concentrations and of latents."""

import numpy as np
import pytest
from solutions import pairs

from probspec.augmentation import (
    STRATEGIES,
    Equalised,
    FlowPrior,
    Interpolation,
    Loaded,
    TrainingPairs,
    Uniform,
    dependent_ion,
    strategy_of,
)
from probspec.errors import DataError

RNG = np.random.default_rng(0)


def seen(C, latents=None):
    """Training pairs whose nuisances are known."""
    latents = np.random.default_rng(3).standard_normal((len(C), 2)) if latents is None else latents
    return TrainingPairs(C, lambda rows, seed: latents[rows])


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategies_stay_in_the_range(name):
    C = pairs(25)[1]
    first, again = (STRATEGIES[name].sampler(seen(C)) for _ in range(2))
    drawn, z = first(500, np.random.default_rng(1))
    limit = 1e-12 + C.max(0)
    assert drawn.shape == (500, 3) and (drawn <= limit).all() and (drawn >= C.min(0) - 1e-12).all()
    assert z is None or z.shape == (500, 2)
    for one, other in zip((drawn, z), again(500, np.random.default_rng(1)), strict=True):
        assert np.array_equal(one, other)


def test_latent_strategies_draw_where_spectra_were():
    """Nuisances on a ring around nothing, in step with the concentrations: a prior would fill the middle."""
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    ring, C = np.column_stack([np.cos(angle), np.sin(angle)]), angle[:, None] + 1.0
    radius, agreement = {}, {}
    for name in ("aggregate_posterior", "uniform_latent", "flow_prior"):
        c, z = STRATEGIES[name].sampler(seen(C, ring))(2000, np.random.default_rng(0))
        radius[name] = np.linalg.norm(z, axis=1)
        agreement[name] = (z * np.column_stack([np.cos(c[:, 0] - 1), np.sin(c[:, 0] - 1)])).sum(1).mean()
    assert np.allclose(radius["aggregate_posterior"], 1) and agreement["aggregate_posterior"] > 0.999
    assert (radius["flow_prior"] < 0.5).mean() < 0.5 * (radius["uniform_latent"] < 0.5).mean()
    assert agreement["flow_prior"] > 0.5 > abs(agreement["uniform_latent"])


def test_a_flow_that_cannot_be_trained_is_refused():
    for wrong in ({"steps": 0}, {"blur": 0.0}):
        with pytest.raises(DataError, match="FlowPrior"):
            FlowPrior(**wrong)


def test_a_uniform_strategy_fills_the_range_and_an_empirical_one_does_not():
    C = np.repeat([[0.0, 0.0], [1.0, 1.0]], 10, 0) + 1e-6 * RNG.random((20, 2))
    corner = [((s.rows(C, 2000, RNG) - [0.75, 0.25]) ** 2).sum(1).min() for s in (Uniform(), STRATEGIES["empirical"])]
    assert corner[0] < 0.01 < corner[1]


def test_equalising_visits_sparse_regions():
    C = np.vstack([np.full((95, 1), 0.1), np.full((5, 1), 0.9)]) + 0.01 * RNG.random((100, 1))
    assert 0.3 < (Equalised(width=0.05).rows(C, 4000, RNG) > 0.5).mean() < 0.7


def test_interpolation_stays_between_neighbours():
    C = np.array([[0.0], [0.1], [10.0], [10.1]])
    drawn = Interpolation(neighbours=1).rows(C, 500, RNG)
    assert ((drawn < 0.11) | (drawn > 9.99)).all()


def test_absent_ions_may_be_absent():
    C = pairs(40)[1]
    drawn = Loaded(absent=1.0).rows(C, 4000, RNG)
    assert np.allclose((drawn == 0).mean(0), (C == 0).mean(0), atol=0.05)
    assert (Loaded(absent=0.0).rows(C, 400, RNG) > 0).all()


def test_a_strategy_that_is_unknown_or_wrong_is_refused():
    with pytest.raises(DataError, match="did you mean 'uniform'"):
        strategy_of("unifrom")
    with pytest.raises(DataError, match="margin"):
        Uniform(margin=-1)


def test_an_ion_that_follows_from_others_is_found():
    C = pairs(40)[1]
    assert dependent_ion(C) is None
    C[:, 2] = C[:, 0] + 3 * C[:, 1]
    assert dependent_ion(C) in (0, 1, 2)
