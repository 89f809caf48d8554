"""Views: fixed transforms of a spectrum under which composition is easier to read.

Scatter, dilution and focus multiply a spectrum, fluorescence and baseline add to it. A view removes one of these
effects and keeps the rest; which view suits a data set is found by cross-validation, not asked of the user.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from scipy.signal import savgol_coeffs
from torch import Tensor

View = Callable[[Tensor], Tensor]


def raw(x: Tensor) -> Tensor:
    """Leave the spectrum as it was measured."""
    return x


def snv(x: Tensor) -> Tensor:
    """Standard normal variate: zero mean and unit spread along each spectrum (Barnes et al. 1989)."""
    centred = x - x.mean(-1, keepdim=True)
    return centred / centred.std(-1, keepdim=True, correction=0).clamp_min(1e-12)


def first_derivative(x: Tensor) -> Tensor:
    """Savitzky-Golay slope per channel, window 11, order 2."""
    return _savitzky_golay(x, window=11, order=2, derivative=1)


def second_derivative(x: Tensor) -> Tensor:
    """Savitzky-Golay curvature per channel, window 15, order 3."""
    return _savitzky_golay(x, window=15, order=3, derivative=2)


def snv_derivative(x: Tensor) -> Tensor:
    """Slope first, then SNV: free of offset and of gain."""
    return snv(first_derivative(x))


def compressed(x: Tensor) -> Tensor:
    """Inverse hyperbolic sine of the spectrum over a third of its mean size.

    A logarithm for strong lines that stays linear, of either sign, in the noise; free of gain. What a specimen or a
    plasma does to single strong lines counts less than under the views above.
    """
    return torch.asinh(x / (0.3 * x.abs().mean(-1, keepdim=True)).clamp_min(1e-12))


def square_root(x: Tensor) -> Tensor:
    """Stabilise the variance of counts; for positive spectra."""
    return x.clamp_min(0).sqrt()


def centred_log(x: Tensor) -> Tensor:
    """Logarithm less its mean: a gain becomes an offset and is removed; for positive spectra."""
    log = x.maximum(1e-4 * x.abs().mean(-1, keepdim=True)).clamp_min(1e-12).log()
    return log - log.mean(-1, keepdim=True)


def root_of_shape(x: Tensor) -> Tensor:
    """Square root of the spectrum divided by its mean; for positive spectra."""
    return square_root(x / x.mean(-1, keepdim=True).clamp_min(1e-12))


ANY: dict[str, View] = {
    f.__name__: f for f in (raw, snv, compressed, first_derivative, snv_derivative, second_derivative)
}
POSITIVE: dict[str, View] = {f.__name__: f for f in (square_root, centred_log, root_of_shape)}
VIEWS: dict[str, View] = ANY | POSITIVE


def applicable(x: Tensor) -> tuple[str, ...]:
    """Names of the views that make sense for `x` : (sample, channel); the positive ones only where all of `x` is."""
    names = tuple(ANY) if x.shape[-1] >= 15 else (raw.__name__, snv.__name__, compressed.__name__)
    return names + (tuple(POSITIVE) if bool((x > 0).all()) else ())


@cache
def _coefficients(window: int, order: int, derivative: int) -> Tensor:
    return torch.from_numpy(savgol_coeffs(window, order, deriv=derivative, use="dot").copy())


def _savitzky_golay(x: Tensor, window: int, order: int, derivative: int) -> Tensor:
    kernel = _coefficients(window, order, derivative).to(x)
    padded = torch.nn.functional.pad(x[:, None], (window // 2, window // 2), mode="replicate")
    return torch.nn.functional.conv1d(padded, kernel[None, None])[:, 0]
