"""The maps that read a secondary: each answers with scores of the primary, and none is right for every instrument.

A map's name is (family, ...). Families are "linear" and "quadratic" kernel ridge, "doubting" (long-tailed noise),
"noise" (rows weighted by how noisy their neighbours are), "sparse" (relevant principal scores), "channelwise" (slope
and bias of each channel where both have the same, and a ridge for what these leave) and "inversion" (of the optics of
counted light, and what it gets wrong).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from probspec.transfer import views
from probspec.transfer.alignment import Alignment
from probspec.transfer.basis import Basis
from probspec.transfer.correction import corrected
from probspec.transfer.inversion import Inversion
from probspec.transfer.optics import Optics
from probspec.transfer.regressions import (
    KERNELS,
    doubting_weights,
    linear,
    noise_weights,
    ridge_path,
    sparse,
    weighted_ridge,
)

Array = NDArray[np.float64]
Name = tuple[str | float, ...]

PENALTIES = {
    "half-whitened": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2),
    "raw": (1e-7, 1e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 1e-2),
    "with derivative": (1e-5, 1e-4, 1e-3),
    "autoscaled": (1e-6, 1e-5, 1e-4, 1e-3),
}
ROBUST = (3e-4, 1e-3, 3e-3)
SPARSE = {"raw": None, "derivative": views.derivative, "standard variate": views.standard_variate}
COUNTS = (8, 12, 16, 20)
PLACES = 10  # principal scores that say where rows lie near each other
BEYOND = (1e-3, 1e-2)  # slope and bias leave little: what weak penalties find, the ridges find too
INVERTED = 30  # directions
CORRECTED = (3e-4, 1e-3, 3e-3)


@dataclass(frozen=True)
class Pairs:
    """Spectra of the same samples on two instruments, and new ones of the secondary.

    Parameters
    ----------
    secondary : (sample, channel) array
    primary : (sample, channel) array
    new : (new row, channel) array
        Of the secondary.
    basis : Basis
        Of the primary.
    library : (spectrum, channel) array
        Of the primary, of other samples.
    alignment : Alignment, optional
        Where the secondary's channels lie among the primary's, if both count light.
    """

    secondary: Array
    primary: Array
    new: Array
    basis: Basis
    library: Array
    alignment: Alignment | None = None

    @cached_property
    def scores(self) -> Array:
        """Of the primary's spectra."""
        return self.basis.scores(self.primary)

    @cached_property
    def principal(self) -> views.Principal:
        """Principal directions of the secondary."""
        return views.Principal.of(self.secondary)

    @cached_property
    def half_whitened(self) -> tuple[Array, Array]:
        """Features of the training rows, and of the new ones."""
        return self.principal.half_whitened(self.secondary), self.principal.half_whitened(self.new)

    def viewed(self, view: str) -> tuple[Array, Array]:
        """Features of the training rows, and of the new ones, in a view."""
        if view == "half-whitened":
            return self.half_whitened
        seen = views.VIEWS[view]
        return seen(self.secondary, self.secondary), seen(self.new, self.secondary)


def readings(pairs: Pairs) -> dict[Name, Array]:
    """What every map says of the new spectra : (new row, latent) each."""
    found: dict[Name, Array] = {}
    for kind in (_ridges, _robust, _sparse, _channelwise, _inversion):
        found |= dict(kind(pairs))
    return found


def _ridges(pairs: Pairs) -> Iterator[tuple[Name, Array]]:
    for view, penalties in PENALTIES.items():
        known, new = pairs.viewed(view)
        for name, kernel in KERNELS.items():
            path = ridge_path(kernel(known, known), kernel(new, known), pairs.scores, penalties)
            yield from (((name, view, penalty), read) for penalty, read in zip(penalties, path, strict=True))


def _robust(pairs: Pairs) -> Iterator[tuple[Name, Array]]:
    known, new = pairs.half_whitened
    places, scores = pairs.principal.white(pairs.secondary, PLACES), pairs.scores
    for name, kernel in KERNELS.items():
        inside, towards = kernel(known, known), kernel(new, known)
        for penalty in ROBUST:
            _, errors = weighted_ridge(inside, towards, scores, penalty, np.ones(len(known)))
            weights = noise_weights(errors, places)
            yield ("noise", name, penalty), weighted_ridge(inside, towards, scores, penalty, weights)[0]
            for _ in range(2):
                errors = weighted_ridge(inside, towards, scores, penalty, doubting_weights(errors))[1]
            yield (
                ("doubting", name, penalty),
                weighted_ridge(inside, towards, scores, penalty, doubting_weights(errors))[0],
            )


def _sparse(pairs: Pairs) -> Iterator[tuple[Name, Array]]:
    counts = [count for count in COUNTS if count <= len(pairs.secondary) // 2]
    for view, seen in SPARSE.items() if counts else ():
        rows = (pairs.secondary, pairs.new)
        known, new = (pairs.principal.white(x, COUNTS[-1]) for x in rows)
        if seen is not None:
            # Beside the first two scores of the spectra themselves.
            inside = views.Principal.of(seen(pairs.secondary))
            known, new = (
                np.hstack([own[:, :2], inside.white(seen(x), COUNTS[-1])])
                for own, x in zip((known, new), rows, strict=True)
            )
        for count in counts:
            yield ("sparse", view, count), sparse(known[:, :count], pairs.scores, new[:, :count])


def _channelwise(pairs: Pairs) -> Iterator[tuple[Name, Array]]:
    if pairs.secondary.shape[1] != pairs.primary.shape[1]:
        return
    centre, mean = pairs.secondary.mean(0), pairs.primary.mean(0)
    spread = ((pairs.secondary - centre) ** 2).sum(0)
    slope = ((pairs.secondary - centre) * (pairs.primary - mean)).sum(0) / (spread + 1e-9 * spread.max() + 1e-300)
    known, new = (pairs.basis.scores(mean + slope * (x - centre)) for x in (pairs.secondary, pairs.new))
    yield ("channelwise",), new
    inside, towards = (views.block(x, pairs.secondary) for x in (pairs.secondary, pairs.new))
    path = ridge_path(linear(inside, inside), linear(towards, inside), pairs.scores - known, BEYOND)
    yield from ((("channelwise", penalty), new + left) for penalty, left in zip(BEYOND, path, strict=True))


def _inversion(pairs: Pairs) -> Iterator[tuple[Name, Array]]:
    if pairs.alignment is None:
        return
    optics = Optics.fit(pairs.alignment, pairs.secondary, pairs.primary)
    every = np.vstack([pairs.primary, pairs.library])
    inversion = Inversion.through(optics, every, INVERTED)
    yield ("inversion",), pairs.basis.scores(inversion.spectra(inversion.told(optics.light(pairs.new))))
    path = corrected(inversion, pairs.secondary, pairs.primary, every, pairs.new, CORRECTED)
    for penalty, said in zip(CORRECTED, path, strict=True):
        yield ("inversion", penalty), pairs.basis.scores(said)
