r"""How far unmixed components are from the true ones.

What is scored are components, never the total: everybody fits the total. Hats are found values, A amplitudes in
expected counts, i spectra or pixels, c components. Intervals are scored by `probspec.metrics.coverage`, which takes
amplitudes and parameters as well as compositions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from probspec.errors import DataError, explain

Array = NDArray[np.float64]

BRIGHT = 20.0
"""True total counts above which a pixel is scored."""


def bright(amplitude: ArrayLike, least: float = BRIGHT) -> NDArray[np.bool_]:
    """Pixels whose true total is above some counts, (...) bool array.

    Parameters
    ----------
    amplitude : (..., component) array, counts
        True amplitudes.
    least : float, counts

    Examples
    --------
    >>> bright([[15, 10], [15, 5]])
    array([ True, False])
    """
    return np.asarray(amplitude, float).sum(-1) > least


def relative_amplitude_error(truth: ArrayLike, found: ArrayLike, least: float = BRIGHT) -> Array:
    r"""Absolute errors of each component's amplitudes, relative to all its counts.

    .. math:: \frac{\sum_i |\hat A_{ic} - A_{ic}|}{\sum_i A_{ic}}, \qquad i: \sum_c A_{ic} > \mathrm{least}

    Parameters
    ----------
    truth, found : (..., component) array, counts
    least : float, counts
        True total above which a pixel is scored.

    Returns
    -------
    (component,) array
        NaN for a component that is nowhere.

    Raises
    ------
    DataError
        If shapes differ, values are not finite, or no pixel is bright enough.

    Examples
    --------
    >>> relative_amplitude_error([[100, 50], [60, 0]], [[90, 60], [66, 10]])
    array([0.1, 0.4])
    """
    a, b = _bright_pair(truth, found, least)
    total = a.sum(0)
    return np.abs(b - a).sum(0) / np.where(total > 0, total, np.nan)


def relative_amplitude_rmse(truth: ArrayLike, found: ArrayLike, least: float = BRIGHT) -> Array:
    r"""Root mean square error of each component's amplitudes, relative to their root mean square.

    .. math:: \sqrt{\sum_i (\hat A_{ic} - A_{ic})^2 \Big/ \sum_i A_{ic}^2}, \qquad
              i: \sum_c A_{ic} > \mathrm{least}

    Parameters
    ----------
    truth, found : (..., component) array, counts
    least : float, counts
        True total above which a pixel is scored.

    Returns
    -------
    (component,) array
        NaN for a component that is nowhere.

    Raises
    ------
    DataError
        If shapes differ, values are not finite, or no pixel is bright enough.

    Examples
    --------
    >>> relative_amplitude_rmse([[30, 50], [40, 0]], [[33, 50], [36, 10]])
    array([0.1, 0.2])
    """
    a, b = _bright_pair(truth, found, least)
    total = np.square(a).sum(0)
    return np.sqrt(np.square(b - a).sum(0) / np.where(total > 0, total, np.nan))


def _bright_pair(truth: ArrayLike, found: ArrayLike, least: float) -> tuple[Array, Array]:
    a, b = _pair(truth, found)
    scored = bright(a, least)
    if not scored.any():
        raise DataError(explain("truth", f"no total above {least:g} counts", fix="lower `least`"))
    return a[scored], b[scored]


def amplitude_rmse(truth: ArrayLike, found: ArrayLike, total: ArrayLike | None = None) -> float:
    r"""Root mean square error of amplitudes, relative to the counts of their spectrum.

    .. math:: \sqrt{\mathrm{mean}_{ic} \left( (\hat A_{ic} - A_{ic}) / N_i \right)^2}

    Parameters
    ----------
    truth, found : (..., component) array, counts
    total : (...) array or float, counts, optional
        N; the sum of the true amplitudes where left out. To be given where components, as the background, are left out.

    Raises
    ------
    DataError
        If shapes differ, values are not finite, or a total is not above zero.

    Examples
    --------
    >>> round(amplitude_rmse([[60, 40]], [[63, 36]], total=100), 4)
    0.0354
    """
    a, b = _pair(truth, found)
    n = np.broadcast_to(a.sum(-1) if total is None else np.asarray(total, float), a.shape[:-1])
    if not np.all(n > 0):
        raise DataError(explain("total", "not above zero everywhere", expected="counts of each spectrum"))
    return float(np.sqrt(np.mean(((b - a) / n[..., None]) ** 2)))


def component_nmse(truth: ArrayLike, found: ArrayLike) -> Array:
    r"""Normalised mean squared error of the components' spectra, in decibels.

    .. math:: 10 \log_{10} \frac{\sum_{i,\mathrm{channel}} (\hat S_{ic} - S_{ic})^2}{\sum_{i,\mathrm{channel}} S_{ic}^2}

    Parameters
    ----------
    truth, found : (..., component, channel) array, counts
        Expected counts of each component. Pixels that are not to be scored must be left out before.

    Returns
    -------
    (component,) array, dB

    Raises
    ------
    DataError
        If shapes differ or values are not finite.

    Examples
    --------
    >>> component_nmse([[[10.0, 0.0], [0.0, 10.0]]], [[[9.0, 0.0], [1.0, 9.0]]]).round(1)
    array([-20., -17.])
    """
    a, b = _pair(truth, found)
    axes = (*range(a.ndim - 2), a.ndim - 1)
    with np.errstate(divide="ignore", invalid="ignore"):  # -inf where all is found, NaN where there was nothing
        return 10 * np.log10(((b - a) ** 2).sum(axes) / (a**2).sum(axes))


def median_count_error(truth: ArrayLike, found: ArrayLike) -> float:
    r"""Median relative error of the counts of components that are present.

    .. math:: \mathrm{median}_{ic:\, A_{ic} > 0} \; |\hat A_{ic} - A_{ic}| / A_{ic}

    Parameters
    ----------
    truth, found : (..., component) array, counts

    Raises
    ------
    DataError
        If shapes differ, values are not finite, or nothing is present.

    Examples
    --------
    >>> median_count_error([[100, 0], [50, 50]], [[90, 5], [50, 51]])
    0.02
    """
    a, b = _pair(truth, found)
    present = a > 0
    if not present.any():
        raise DataError(explain("truth", "nothing is present", expected="amplitudes above 0"))
    return float(np.median(np.abs(b - a)[present] / a[present]))


def false_counts(truth: ArrayLike, found: ArrayLike, total: ArrayLike | None = None) -> float:
    r"""Counts found of absent components, relative to all counts of the spectrum.

    .. math:: \mathrm{mean}_{i:\, \exists c: A_{ic} = 0} \; \frac{1}{N_i} \sum_{c:\, A_{ic} = 0} \hat A_{ic}

    Parameters
    ----------
    truth, found : (..., component) array, counts
    total : (...) array or float, counts, optional
        N; the sum of the true amplitudes where left out.

    Raises
    ------
    DataError
        If shapes differ, values are not finite, or nothing is absent.

    Examples
    --------
    >>> false_counts([[100, 0], [50, 50]], [[90, 5], [50, 51]])
    0.05
    """
    a, b = _pair(truth, found)
    absent = a == 0
    if not absent.any():
        raise DataError(explain("truth", "nothing is absent", expected="amplitudes that are 0"))
    n = np.broadcast_to(a.sum(-1) if total is None else np.asarray(total, float), a.shape[:-1])
    return float((np.where(absent, b, 0.0).sum(-1) / n)[absent.any(-1)].mean())


def parameter_error(truth: ArrayLike, found: ArrayLike) -> float:
    r"""Mean absolute error of a parameter, in its unit: mean over i of |found - true|.

    Parameters
    ----------
    truth, found : (...) array, unit of the parameter
        Pixels that are not to be scored must be left out before.

    Raises
    ------
    DataError
        If shapes differ or values are not finite.

    Examples
    --------
    >>> parameter_error([1.0, 2.0], [1.5, 1.5])
    0.5
    """
    a, b = _pair(truth, found)
    return float(np.abs(b - a).mean())


def proportion_error(truth: ArrayLike, found: ArrayLike) -> float:
    r"""Mean absolute error of the components' shares in a spectrum.

    .. math:: \mathrm{mean}_{ic} \; \Big| \hat A_{ic} / \sum_k \hat A_{ik} - A_{ic} / \sum_k A_{ik} \Big|

    Parameters
    ----------
    truth, found : (..., component) array, counts
        A spectrum of which nothing was found counts as even shares.

    Raises
    ------
    DataError
        If shapes differ, values are not finite, or a true spectrum is empty.

    Examples
    --------
    >>> round(proportion_error([[50, 50]], [[60, 20]]), 3)
    0.25
    """
    a, b = _pair(truth, found)
    if not np.all(a.sum(-1) > 0):
        raise DataError(explain("truth", "a spectrum without counts", fix="leave it out"))
    b = np.where(b.sum(-1, keepdims=True) > 0, b, 1.0)
    return float(np.abs(b / b.sum(-1, keepdims=True) - a / a.sum(-1, keepdims=True)).mean())


def _pair(truth: ArrayLike, found: ArrayLike) -> tuple[Array, Array]:
    a, b = np.asarray(truth, float), np.asarray(found, float)
    if a.shape != b.shape or a.size == 0:
        raise DataError(explain("truth and found", f"shapes {a.shape} and {b.shape}", expected="one shape"))
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise DataError(explain("truth and found", "NaN or infinity", fix="leave masked pixels out"))
    return a, b
