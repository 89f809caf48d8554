"""A secondary read as the primary's scores, with an error that was measured on rows held out.

The reading keeps its training rows and what its maps said of them out of fold; all else is closed form and is made
anew from these when a saved reading is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probspec.seeding import child_seed
from probspec.transfer.basis import Basis, has_lines
from probspec.transfer.maps import PLACES, Name, Pairs, readings
from probspec.transfer.regressions import distances, median_distance
from probspec.transfer.stacking import Evidence, choose, neighbours, rules
from probspec.transfer.views import white

Array = NDArray[np.float64]

FOLDS = 10
WIDTH = 0.25  # of the neighbourhood in which errors are alike
PRIOR_ROWS = 3.0  # rows' worth of belief that errors are everywhere the same
LEAST = 1e-9  # of the primary's spread, below which an error is taken for rounding


@dataclass(frozen=True)
class Reading:
    """Maps from one secondary to the primary's scores, combined, and their error.

    Parameters
    ----------
    basis : Basis
        Of the primary.
    secondary, primary : (sample, channel) array
        Training pairs.
    held_out : (map, sample, latent) array
        What each map said of rows that it had not seen.
    maps : tuple of names
    rule : str
        How maps are combined.
    errors : (sample, latent) array
        Of the combination, out of fold.
    left : (channel,) array
        Variance of the primary's channels that no latent explains.
    sizes : (sample,) array
        How large the error of each training row is, one on average.
    """

    basis: Basis
    secondary: Array
    primary: Array
    held_out: Array
    maps: tuple[Name, ...]
    rule: str
    errors: Array
    left: Array
    sizes: Array

    @classmethod
    def fit(cls, secondary: Array, primary: Array, basis: Basis, seed: int = 0) -> Reading:
        """Learn from paired spectra.

        Parameters
        ----------
        secondary, primary : (sample, channel) array
        basis : Basis
        seed : int
        """
        held_out, maps = _held_out(secondary, primary, basis, child_seed(seed, 0))
        truth = basis.scores(primary)
        near = _near(secondary, secondary)
        allowed = rules(families_of(maps), len(truth), has_lines(primary))
        evidence = Evidence(held_out, truth, held_out, near)
        rule, said = choose(evidence, allowed, near, child_seed(seed, 1))
        errors = said - truth
        beyond = primary - basis.spectra(truth)
        left = (beyond**2).mean(0) * len(primary) / max(len(primary) - len(basis.directions) - 1, 1)
        size = (errors**2).sum(1) + (beyond**2).sum(1)
        floor = LEAST * max(float((truth**2).sum(1).mean()), 1e-300)
        sizes = (size + floor) / (size.mean() + floor)
        return cls(basis, secondary, primary, held_out, maps, rule, errors, left, sizes)

    def scores(self, new: Array) -> Array:
        """Most probable scores of the primary : (new row, latent)."""
        said = readings(Pairs(self.secondary, self.primary, new, self.basis))
        told = np.stack([said[name] for name in self.maps])
        near = _near(new, self.secondary)
        evidence = Evidence(self.held_out, self.basis.scores(self.primary), told, near)
        return rules(families_of(self.maps), len(self.secondary), has_lines(self.primary))[self.rule](evidence)

    def widening(self, new: Array, own: bool = False) -> Array:
        """How many times the usual error is to be expected, from the neighbours : (new row,).

        Parameters
        ----------
        new : (new row, channel) array
        own : bool
            Whether the rows are the training rows themselves, which then say nothing of their own error.
        """
        weights = neighbours(_near(new, self.secondary), WIDTH)
        if own:
            np.fill_diagonal(weights, 0.0)
        level = (weights @ self.sizes + PRIOR_ROWS) / (weights.sum(1) + PRIOR_ROWS)
        return np.sqrt(level)

    def covariance(self) -> Array:
        """Of the errors in the scores, where they are of usual size : (latent, latent)."""
        widths = self.widening(self.secondary, own=True)
        scaled = self.errors / widths[:, None]
        return scaled.T @ scaled / len(scaled)

    def spread(self) -> Array:
        """Standard deviation of the error in each channel of the primary, where errors are of usual size."""
        directions = self.basis.directions
        return np.sqrt(np.einsum("kc,kl,lc->c", directions, self.covariance(), directions) + self.left)

    def factor(self, prob: float) -> float:
        """Spreads to either side of the mean within which the share `prob` of left-out channel values lay."""
        truth = self.basis.scores(self.primary)
        errors = self.errors @ self.basis.directions - (self.primary - self.basis.spectra(truth))
        spread = self.spread() + 1e-300
        return float(np.quantile(np.abs(errors) / spread / self.widening(self.secondary, own=True)[:, None], prob))


def _held_out(secondary: Array, primary: Array, basis: Basis, seed: int) -> tuple[Array, tuple[Name, ...]]:
    """What each map says of rows left out, and the maps that can be made of fewer rows too."""
    order = np.random.default_rng(seed).permutation(len(secondary))
    said: dict[Name, Array] = {}
    for fold in range(min(FOLDS, len(order))):
        asked = order[fold::FOLDS]
        taught = np.setdiff1d(order, asked)
        pairs = Pairs(secondary[taught], primary[taught], secondary[asked], basis)
        for name, scores in readings(pairs).items():
            said.setdefault(name, np.full((len(order), len(basis.directions)), np.nan))[asked] = scores
    maps = tuple(name for name in readings(Pairs(secondary, primary, secondary[:1], basis)) if name in said)
    maps = tuple(name for name in maps if np.isfinite(said[name]).all())
    return np.stack([said[name] for name in maps]), maps


def families_of(maps: Sequence[Name]) -> list[str]:
    """Family of each map."""
    return [str(name[0]) for name in maps]


def _near(new: Array, training: Array) -> Array:
    """Squared distances in principal scores, in units of the median one."""
    places = white(training, training, PLACES)
    return distances(white(new, training, PLACES), places) / median_distance(places)
