"""What an inversion gets wrong since spectra are no normal cloud, learned from spectra seen through simulated optics.

The primary's spectra, paired or not, are looked at through the fitted optics with fresh gains and noise; a kernel
ridge from what the inversion says of them to its error then takes that error off new spectra. Far from all known
spectra the kernel is zero, and nothing is taken off.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from probspec.transfer.inversion import Inversion
from probspec.transfer.regressions import distances, median_distance, ridge_path

Array = NDArray[np.float64]

SIMULATED = 800  # spectra
REACH = 4.0  # of the kernel, in median squared distances


def corrected(
    inversion: Inversion, secondary: Array, primary: Array, library: Array, new: Array, penalties: Sequence[float]
) -> Iterator[Array]:
    """Spectra of the primary for new ones of the secondary, for each penalty in turn : (new row, channel).

    Parameters
    ----------
    inversion : Inversion
    secondary, primary : (sample, channel) array
        Pairs.
    library : (spectrum, channel) array
        Of the primary, from which spectra are simulated.
    new : (new row, channel) array
        Of the secondary.
    penalties : sequence of float
        As of `ridge_path`.
    """
    rng = np.random.default_rng(0)
    library = library[np.resize(rng.permutation(len(library)), SIMULATED)]
    optics = inversion.optics
    light = np.vstack([optics.light(secondary), optics.simulated(library, rng)])
    said, asked = inversion.told(light), inversion.told(optics.light(new))
    errors = inversion.latent(np.vstack([primary, library])) - said
    weight = (inversion.directions**2).sum(1) ** 0.25
    places, towards = said * weight, asked * weight
    width = REACH * median_distance(places[: len(primary)])
    kernel, near = (np.exp(-distances(rows, places) / width) for rows in (places, towards))
    for error in ridge_path(kernel, near, errors, penalties):
        yield inversion.spectra(asked + error)
