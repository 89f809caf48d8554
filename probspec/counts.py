"""Counted spectra, checked once: what a Poisson likelihood is given.

Where nothing was measured, and where counts are not to be heeded, the exposure is zero: nothing is expected there and
nothing counted, and the likelihood is one. No method needs to know of masks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from probspec.errors import DataError, explain


@dataclass(frozen=True, eq=False)
class Counts:
    """Counted spectra that were found to be such, one row a pixel.

    Parameters
    ----------
    values : (pixel, channel) Tensor, counts
        Zero where masked; double precision.
    exposure : (pixel, channel) or (pixel, 1) Tensor
        By which expected counts are multiplied: zero where masked, so that nothing is expected there.
    shape : tuple of int
        Of the pixels: (sample,) or (y, x).
    known : (pixel, channel) or (1, channel) Tensor, counts, optional
        Expected besides what is looked for, exposure included; zero where masked.
    """

    values: Tensor
    exposure: Tensor
    shape: tuple[int, ...]
    known: Tensor | None = None

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[np.integer]) -> Counts:
        """Some of the rows, as independent spectra."""
        index = torch.from_numpy(rows)
        known = self.known if self.known is None or len(self.known) == 1 else self.known[index]
        return Counts(self.values[index], self.exposure[index], (len(rows),), known)

    def mapped(self, rows: Tensor) -> NDArray[np.float64]:
        """Rows (pixel, ...) as an array (sample, ...) or (y, x, ...)."""
        return rows.detach().cpu().double().numpy().reshape(*self.shape, *rows.shape[1:])


def check_counts(
    counts: ArrayLike,
    channels: int,
    exposure: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    shape: tuple[int, int] | None = None,
    known: ArrayLike | None = None,
) -> Counts:
    """Make sure that counts are counts.

    Parameters
    ----------
    counts : (sample, channel) or (y, x, channel) array, counts
        Not negative; anything where masked.
    channels : int
        Number of channels of the components.
    exposure : (sample,), (y, x) or array of the shape of the counts, optional
        Time, area or efficiency, not negative; one everywhere by default.
    mask : bool array, of a shape as for the exposure, optional
        True where counts are to be heeded.
    shape : (int, int), optional
        Pixels along y and x, for the rows of a map that are given as (sample, channel).
    known : (channel,) array, or of the shape of the counts, counts, optional
        Expected counts of what is known and not looked for, exposure included.

    Returns
    -------
    Counts

    Raises
    ------
    DataError
        It names the array, the index, and what was expected.

    Examples
    --------
    >>> check_counts([[0, 3, 1], [2, 2, 0]], channels=3).shape
    (2,)
    """
    values = _mapped(numbers(counts, "counts"), shape)
    if values.ndim not in (2, 3) or values.size == 0 or values.shape[-1] != channels:
        expected = f"(sample, {channels}) or (y, x, {channels}): the components have {channels} channels"
        raise DataError(explain("counts", f"shape {values.shape}", expected=expected))
    used = np.ones(1, bool) if mask is None else _fitted(_mapped(_mask(mask), shape), "mask", values.shape)
    values = np.where(used, values, 0.0)
    check_all("counts", values, "counts, not negative", "mask them: mask=np.isfinite(counts)")
    weights = np.ones((*values.shape[:-1], 1))
    if exposure is not None:
        weights = _fitted(_mapped(numbers(exposure, "exposure"), shape), "exposure", values.shape)
        check_all("exposure", weights, "numbers not below 0")
    weights = weights * used
    if np.any((values > 0) & (weights == 0)):
        index = np.argwhere((values > 0) & (weights == 0))[0].tolist()
        raise DataError(explain(f"counts{index}", "counted without exposure", fix="mask them, or mend the exposure"))
    if not weights.any():
        raise DataError(explain("mask", "nothing is heeded", expected="True where counts are to be heeded"))
    return Counts(_rows(values), _rows(weights), values.shape[:-1], _known(known, weights, values.shape, shape))


def _known(
    given: ArrayLike | None, weights: NDArray[np.float64], found: tuple[int, ...], shape: tuple[int, int] | None
) -> Tensor | None:
    if given is None:
        return None
    values = numbers(given, "known_counts")
    if values.shape != found[-1:]:
        values = _mapped(values, shape)
        if values.shape != found:
            raise DataError(explain("known_counts", f"shape {values.shape}", expected=f"{found[-1:]} or {found}"))
    check_all("known_counts", values, "counts, not negative")
    return _rows(np.atleast_2d(values) * (weights > 0))


def _mapped(values: NDArray, shape: tuple[int, int] | None) -> NDArray:
    """Rows (pixel, ...) as a map (y, x, ...); what is a map is left as it is."""
    if shape is None or values.shape[:2] == tuple(shape):
        return values
    if values.ndim == 0 or len(values) != int(np.prod(shape)):
        problem = f"{values.shape} with shape={tuple(shape)}"
        raise DataError(explain("counts", problem, expected=f"{tuple(shape)} or {int(np.prod(shape))} pixels"))
    return values.reshape(*shape, *values.shape[1:])


def _rows(values: NDArray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values.reshape(-1, values.shape[-1])))


def numbers(values: ArrayLike, where: str) -> NDArray[np.float64]:
    """Array of numbers.

    Raises
    ------
    DataError
        If it is none; it names `where`.
    """
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(explain(where, f"not numbers ({error})", expected="an array of numbers")) from error


def _mask(mask: ArrayLike) -> NDArray[np.bool_]:
    found = np.asarray(mask)
    if found.dtype != bool:
        raise DataError(explain("mask", f"of type {found.dtype}", expected="True where counts are to be heeded"))
    return found


def _fitted(values: NDArray, where: str, shape: tuple[int, ...]) -> NDArray:
    """Values by pixel, (..., 1), or by pixel and channel."""
    if values.shape == shape:
        return values
    if values.shape == shape[:-1]:
        return values[..., None]
    raise DataError(explain(where, f"shape {values.shape}", expected=f"{shape[:-1]} or {shape}"))


def check_all(where: str, values: NDArray[np.float64], expected: str, fix: str = "") -> None:
    """Refuse the first value that is negative or not finite.

    Raises
    ------
    DataError
        It names the index, and how many such values there are.
    """
    wrong = np.argwhere(~((values >= 0) & (values < np.inf)))
    if len(wrong):
        problem = f"{values[tuple(wrong[0])]:g}, {len(wrong)} such values"
        raise DataError(explain(f"{where}{wrong[0].tolist()}", problem, expected=expected, fix=fix))
