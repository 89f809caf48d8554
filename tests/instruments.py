"""Two simulated instruments that measured the same samples."""

import numpy as np


def pairs(count=80, channels=(24, 30), latents=3, noise=0.05, seed=0):
    """Linear in a few latents, the same instruments for every seed of the samples."""
    maps, rng = np.random.default_rng(99), np.random.default_rng(seed)
    z = rng.standard_normal((count, latents))
    return tuple(z @ maps.standard_normal((latents, c)) + noise * rng.standard_normal((count, c)) for c in channels)


def lines(count=80, seed=0):
    """Counted light: sparse lines on a continuum, a gain for each spectrum of the secondary."""
    maps, rng = np.random.default_rng(7), np.random.default_rng(seed)
    amount = rng.lognormal(0, 0.3, (count, 4))
    primary = 100 + amount @ (20000.0 * np.eye(4, 200)[:, maps.permutation(200)])
    secondary = rng.poisson(
        (20 + amount @ (300.0 * np.eye(4, 60)[:, maps.permutation(60)])) * rng.lognormal(0, 0.2, (count, 1))
    )
    return secondary.astype(float), primary + 5 * rng.standard_normal(primary.shape)
