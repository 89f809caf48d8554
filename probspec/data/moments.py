"""Mean and spread of each channel, read block by block: a set in a file need not fit into memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from probspec.data.rows import blocks
from probspec.errors import DataError, explain

if TYPE_CHECKING:
    from probspec.data.spectra import Spectra


def moments(spectra: Spectra, modality: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Take mean and standard deviation of the measured spectra of a modality.

    Returns
    -------
    mean, spread : (channel,) array, unit of the spectra

    Raises
    ------
    DataError
        If no spectrum of the modality was measured.

    Examples
    --------
    >>> from probspec.data.spectra import Spectra
    >>> from probspec.spec import anonymous_spec
    >>> moments(Spectra.from_arrays([[1.0, 5.0], [3.0, 5.0]], anonymous_spec({"x": 2}, [])), "x")
    (array([2., 5.]), array([1., 0.]))
    """
    there = np.flatnonzero(spectra.present(modality))
    if not len(there):
        raise DataError(explain(f"spectra/{modality}", "no spectrum was measured", expected="at least one"))
    channels = len(spectra.axes[modality])
    origin = spectra.spectra(modality, there[:1])[0].astype(np.float64)
    total, squares = np.zeros(channels), np.zeros(channels)
    for rows in blocks(len(there), channels):
        # About some spectrum of the set: the squares of the spectra themselves would cancel.
        values = spectra.spectra(modality, there[rows]) - origin
        total += values.sum(0)
        squares += np.einsum("nc,nc->c", values, values)
    mean = total / len(there)
    return origin + mean, np.sqrt((squares / len(there) - mean**2).clip(0))
