"""Maps that look like a supernova remnant: a clumpy shell, a bright rim, filaments, fields with and without edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

EDGES = ("smooth", "sharp")
KT_KEV = (1.2, 3.0)
REDSHIFT = 0.026
INDEX, INDEX_ZONES = 2.5, (2.1, 2.9)
THERMAL_SHARE = 0.6
FAINT = 0.002
"""Light outside of the remnant, relative to the mean inside: no pixel is quite dark."""

Map = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RemnantMaps:
    """What each pixel of a remnant is.

    Parameters
    ----------
    amplitude : (y, x, component) array, counts
        Expected counts of the thermal and of the synchrotron component.
    kT_keV, redshift, index : (y, x) array
    """

    amplitude: Map
    kT_keV: Map
    redshift: Map
    index: Map


def draw_maps(shape: tuple[int, int], mean_counts: float, edges: str, rng: np.random.Generator) -> RemnantMaps:
    """Draw the maps of a remnant.

    Parameters
    ----------
    shape : (int, int)
        Pixels along y and x.
    mean_counts : float
        Mean of the expected counts of a pixel.
    edges : {"smooth", "sharp"}
        Of the components' outlines and of the maps of temperature, redshift and index.
    rng : numpy Generator

    Returns
    -------
    RemnantMaps
    """
    radius = _radius(shape)
    clumps, knots, threads, heat, motion, zones = (gaussian_field(shape, power, rng) for power in (3, 3, 4, 5, 5, 6))
    sharp = edges == "sharp"
    thermal = _shell(radius, 0.2, 0.7, sharp) * np.exp(0.8 * (np.sign(clumps) if sharp else clumps))
    filaments = _shell(radius, 0.0, 0.85, sharp) * _ridge(threads, sharp)
    synchrotron = (_shell(radius, 0.8, 0.9, sharp) + 1.5 * filaments) * np.exp(0.5 * knots)
    amplitude = [_scaled(thermal, THERMAL_SHARE * mean_counts), _scaled(synchrotron, (1 - THERMAL_SHARE) * mean_counts)]
    warm, moved, zone = ndtr(heat), 2 * ndtr(motion) - 1, np.full(shape, INDEX)
    if sharp:
        warm, moved = np.floor(3 * warm).clip(max=2) / 2, np.sign(moved)
        zone = np.where(zones > np.median(zones), *INDEX_ZONES)
    return RemnantMaps(
        amplitude=np.stack(amplitude, -1),
        kT_keV=KT_KEV[0] + (KT_KEV[1] - KT_KEV[0]) * warm,
        redshift=REDSHIFT * moved,
        index=zone,
    )


def gaussian_field(shape: tuple[int, int], power: float, rng: np.random.Generator) -> Map:
    """Draw a Gaussian random field of mean zero and variance one, whose spectral power falls as frequency^-power.

    Parameters
    ----------
    shape : (int, int)
        Pixels along y and x; the field is cut out of one twice as long, so that its ends do not meet.
    power : float
        Above 2; the higher, the smoother.
    rng : numpy Generator

    Returns
    -------
    (y, x) array

    Examples
    --------
    >>> field = gaussian_field((16, 24), 4, np.random.default_rng(0))
    >>> field.shape, round(float(field.std()), 6)
    ((16, 24), 1.0)
    """
    ny, nx = shape
    frequency = np.hypot(np.fft.fftfreq(2 * ny)[:, None] * 2 * ny, np.fft.rfftfreq(2 * nx) * 2 * nx)
    # the largest waves are as long as the map, so that most maps hold both high and low
    amplitude = (2.0 + frequency) ** (-power / 2)
    white = rng.standard_normal((2 * ny, 2 * nx))
    field = np.fft.irfft2(np.fft.rfft2(white) * amplitude, s=white.shape)[:ny, :nx]
    return (field - field.mean()) / field.std()


def _radius(shape: tuple[int, int]) -> Map:
    """Distance from the middle, one at the nearest border."""
    y, x = ((np.arange(n) - (n - 1) / 2) / (min(shape) / 2) for n in shape)
    return np.hypot(y[:, None], x)


def _shell(radius: Map, inner: float, outer: float, sharp: bool) -> Map:
    """Way through a hollow sphere, or one within its outline and nothing outside."""
    if sharp:
        return ((radius < outer) & (radius >= inner)).astype(float)
    sphere, hollow = (np.sqrt((r**2 - radius**2).clip(min=0)) for r in (outer, inner))
    way = sphere - hollow
    return way / max(way.max(), 1e-9)


def _ridge(field: Map, sharp: bool) -> Map:
    """Threads along the zeros of a field."""
    return (np.abs(field) < 0.15).astype(float) if sharp else np.exp(-((field / 0.15) ** 2))


def _scaled(light: Map, mean: float) -> Map:
    light = light + FAINT * max(light.mean(), 1e-9)
    return light * (mean / light.mean())
