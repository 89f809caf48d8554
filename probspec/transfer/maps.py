"""The maps that read a secondary: each answers with scores of the primary, and none is right for every instrument.

A map's name is (family, ...). Families are "linear" and "quadratic" kernel ridge, "doubting" (long-tailed noise),
"noise" (rows weighted by how noisy their neighbours are), "sparse" (relevant principal scores), "difference" (what
two instruments of equal channels differ by), "inversion" and "unit sum" (counted light).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from probspec.transfer import views
from probspec.transfer.basis import Basis, has_lines
from probspec.transfer.inversion import Inversion
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
LEADING = 6  # latents that sparse maps read; the others are left to a ridge
PLACES = 10  # principal scores that say where rows lie near each other
DIFFERENCE = (1e-6, 1e-5, 1e-4, 1e-3)
INVERTED = (15, 30)
UNIT_SUM = (1e-4, 1e-3)


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
    """

    secondary: Array
    primary: Array
    new: Array
    basis: Basis

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
    for kind in (_ridges, _robust, _sparse, _difference, _counted):
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
    known, new = pairs.half_whitened
    (others,) = ridge_path(linear(known, known), linear(new, known), pairs.scores, (1e-3,))
    counts = [count for count in COUNTS if count <= len(known) // 2]
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
            read = others.copy()
            read[:, :LEADING] = sparse(known[:, :count], pairs.scores[:, :LEADING], new[:, :count])
            yield ("sparse", view, count), read


def _difference(pairs: Pairs) -> Iterator[tuple[Name, Array]]:
    if pairs.secondary.shape[1] != pairs.primary.shape[1]:
        return
    known, new = (views.block(x, pairs.secondary) for x in (pairs.secondary, pairs.new))
    left = pairs.scores - pairs.basis.scores(pairs.secondary)
    path = ridge_path(linear(known, known), linear(new, known), left, DIFFERENCE)
    for penalty, read in zip(DIFFERENCE, path, strict=True):
        yield ("difference", penalty), pairs.basis.scores(pairs.new) + read


def _counted(pairs: Pairs) -> Iterator[tuple[Name, Array]]:
    if not (has_lines(pairs.primary) and pairs.secondary.min() >= 0 and len(pairs.primary) >= 4 * PLACES):
        return
    for latents in INVERTED:
        inversion = Inversion.fit(pairs.secondary, pairs.primary, latents)
        yield ("inversion", latents), pairs.basis.scores(inversion.primary(pairs.new))
    closed = views.unit_sum(pairs.secondary)
    known, new = (views.block(views.unit_sum(x), closed) for x in (pairs.secondary, pairs.new))
    path = ridge_path(linear(known, known), linear(new, known), pairs.scores, UNIT_SUM)
    yield from ((("unit sum", penalty), read) for penalty, read in zip(UNIT_SUM, path, strict=True))
