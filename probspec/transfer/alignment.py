"""Where a secondary's channels lie among the primary's: found from the mean spectra, without either's axis.

Lines are the marks. A coarse search slides and stretches the secondary's contrasts along the primary's; then windows
of channels each look for their shift, all together for one blur, and neighbours agree (Viterbi 1967).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import fftconvolve

Array = NDArray[np.float64]

ALIKE = 0.7  # correlation of contrasts from which two instruments are believed to see the same lines
FEWEST = 64  # channels of the secondary in which lines make a pattern
SPANS = (1 / 8, 2.0)  # of the secondary's range, as a share of the primary's
LITTLE = 0.1  # of the secondary's contrast, below which a stretch of the primary has none
SLACK = 2.0  # channels of the secondary by which a trial may be off at its ends
CONTINUUM = 15.0  # channels of the secondary, over which a mean spectrum is smooth but for its lines
WINDOW, BETWEEN = 24.0, 24  # spread of a window, and distance of the next, in channels of the secondary
REACH, FINE = 3.0, 0.1  # farthest and least shift, in channels of the secondary
BLURS = (0.35, 0.5, 0.7, 0.85, 1.0, 1.2, 1.4, 2.0)  # spread of a line of the primary, in channels of the secondary


@dataclass(frozen=True)
class Alignment:
    """Positions of the secondary's channels.

    Parameters
    ----------
    positions : (channel of the secondary,) array
        In channels of the primary; those outside of its range are not seen.
    blur : float
        Spread, in channels of the primary, that the secondary gives to a line of it.
    """

    positions: Array
    blur: float

    @classmethod
    def find(cls, secondary: Array, primary: Array) -> Self | None:
        """Align two mean spectra, (channel,) each; None where their lines do not agree."""
        if len(secondary) < FEWEST:
            return None
        alike, start, scale = _slide(secondary, primary)
        return (
            cls(*_refine(secondary, primary, start + scale * np.arange(len(secondary)), scale))
            if alike > ALIKE
            else None
        )

    def inside(self, channels: int) -> NDArray[np.bool_]:
        """Which of the secondary's channels lie in the range of a primary of so many channels."""
        return (self.positions >= 0) & (self.positions <= channels - 1)

    def seen(self, spectra: Array) -> Array:
        """Spectra of the primary, blurred, at the secondary's channels : (sample, channel of the secondary)."""
        return _at(gaussian_filter1d(spectra, self.blur, axis=1), self.positions)


def _at(spectra: Array, positions: Array) -> Array:
    """Linear between channels."""
    places = positions.clip(0, spectra.shape[1] - 1)
    lower = np.minimum(places.astype(int), spectra.shape[1] - 2)
    part = places - lower
    return spectra[:, lower] * (1 - part) + spectra[:, lower + 1] * part


def _contrast(mean: Array) -> Array:
    seen = np.log(mean.clip(1e-3 * mean.max()))
    return seen - gaussian_filter1d(seen, CONTINUUM)


def _slide(secondary: Array, primary: Array) -> tuple[float, float, float]:
    """Correlation, first position and channels of the primary per channel, of the best of all shifts and stretches."""
    count, told = len(secondary), _contrast(secondary)
    size, best = float((told**2).sum()) + 1e-300, (0.0, 0.0, 1.0)
    low, high = (np.log(share * len(primary) / count) for share in SPANS)
    for scale in np.exp(np.arange(low, high, 2 * SLACK / count)):
        places = np.arange(0, len(primary) - 1, scale)
        seen = _contrast(_at(gaussian_filter1d(primary, scale)[None], places)[0])
        seen = np.pad(seen, count // 2)  # a part of the secondary may lie outside
        if len(seen) < count:
            break
        energy = np.cumsum(np.r_[0.0, seen**2])
        energy = (energy[count:] - energy[:-count]).clip(LITTLE * size)
        match = fftconvolve(seen, told[::-1], "valid") / np.sqrt(energy * size)
        place = int(match.argmax())
        best = max(best, (float(match[place]), float((place - count // 2) * scale), float(scale)))
    return best


def _refine(secondary: Array, primary: Array, base: Array, scale: float) -> tuple[Array, float]:
    """Positions and blur that leave the least of the secondary in windows where the response is nearly constant."""
    shifts = scale * np.arange(-REACH, REACH + FINE / 2, FINE)
    middles = np.arange(0, len(base), BETWEEN)
    window = np.exp(-0.5 * ((np.arange(len(base)) - middles[:, None]) / WINDOW) ** 2)
    window = window * ((base >= 0) & (base <= len(primary) - 1)) / secondary.clip(1e-3 * secondary.max())
    found: list[tuple[float, float, Array]] = []
    for blur in BLURS:
        blurred = gaussian_filter1d(primary, blur * scale)[None]
        trial = np.stack([_at(blurred, base + shift)[0] for shift in shifts])
        cost, path = _agreed(_unexplained(secondary, trial, window))
        found.append((cost, blur, shifts[path]))
    _, blur, shift = min(found, key=lambda one: one[0])
    return base + np.interp(np.arange(len(base)), middles, shift), blur * scale


def _unexplained(secondary: Array, trial: Array, window: Array) -> Array:
    """Half the log-likelihood ratio of a local line through each trial, against none : (window, trial)."""
    weight = window.sum(1, keepdims=True) + 1e-300
    told, seen = window @ secondary[:, None], window @ trial.T
    own = window @ secondary[:, None] ** 2 - told**2 / weight
    size = window @ (trial**2).T - seen**2 / weight
    both = window @ (trial * secondary).T - told * seen / weight
    left = 1 - both.clip(0) ** 2 / (own * size + 1e-300)
    counted = weight**2 / ((window**2).sum(1, keepdims=True) + 1e-300)
    return 0.5 * counted * np.log(left.clip(1e-3))


def _agreed(cost: Array) -> tuple[float, NDArray[np.int64]]:
    """Least total cost, and its trial in each window, where a step between neighbours costs its square."""
    steps = np.arange(cost.shape[1])
    jump = (steps[:, None] - steps).astype(float) ** 2
    total, came = cost[0], []
    for row in cost[1:]:
        through = total[:, None] + jump
        came.append(through.argmin(0))
        total = through.min(0) + row
    path = [int(total.argmin())]
    for back in came[::-1]:
        path.append(int(back[path[-1]]))
    return float(total.min()), np.array(path[::-1])
