"""A spectrometer with lines on a continuum, and a coarser one that counts light of a part of its range."""

import numpy as np
from scipy.ndimage import gaussian_filter1d

CHANNELS, COARSE = 900, 120
DARK, READ, BLUR = 30.0, 5.0, 3.0
PLACES = np.linspace(200.0, 620.0, COARSE) + 4 * np.sin(np.linspace(0, 3, COARSE))
RESPONSE = 0.3 + 0.2 * np.sin(np.linspace(0, 6, COARSE))


def emission(count, seed=0):
    """Five elements with a dozen lines each : (sample, channel), counts."""
    fixed, rng = np.random.default_rng(5), np.random.default_rng(seed)
    lines = np.zeros((5, CHANNELS))
    for element in lines:
        element[fixed.integers(0, CHANNELS, 12)] = fixed.lognormal(9, 1, 12)
    amount = rng.lognormal(0, 0.4, (count, 5))
    made = 300 + gaussian_filter1d(amount @ lines, 1.5, axis=1)
    return made + 3 * rng.standard_normal(made.shape)


def light(primary):
    """What the coarse instrument sees of it at a gain of one, in the light : (sample, coarse channel)."""
    blurred = gaussian_filter1d(primary, BLUR, axis=1)
    return RESPONSE * np.stack([np.interp(PLACES, np.arange(CHANNELS), one) for one in blurred])


def counted(count, seed=0):
    """Spectra of both, (secondary, primary)."""
    primary, rng = emission(count, seed), np.random.default_rng(seed + 1000)
    expected = rng.lognormal(0, 0.15, (count, 1)) * light(primary)
    return rng.poisson(expected + DARK) + READ * rng.standard_normal(expected.shape), primary
