"""`compare_augmentation`: the published experiment on augmentation, run through `SpectralAugmenter`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from probspec.augmentation import Comparison, NetworkOptions, compare_arms
from probspec.errors import DataError, check_whole, explain
from probspec.estimators.augmenter import SpectralAugmenter
from probspec.estimators.solutions import complete_pairs

Array = NDArray[np.float64]


def compare_augmentation(
    X: ArrayLike,
    C: ArrayLike,
    folds: int = 8,
    only: int | None = None,
    ions: Sequence[str] | None = None,
    augmenters: dict[str, SpectralAugmenter] | None = None,
    options: NetworkOptions | None = None,
    seed: int = 0,
) -> Comparison:
    """Run the published experiment: regression networks without augmentation, with a VAE's, with a conditional VAE's.

    Parameters
    ----------
    X : (sample, channel) array
    C : (sample, ion) array
    folds : int
    only : int, optional
        How many of the folds are run.
    ions : sequence of str, optional
        Names of the columns of C.
    augmenters : dict of name -> SpectralAugmenter, optional
        Arms beside the plain one; where left out, a VAE's as published, with as many pairs as there are training pairs,
        and that of `SpectralAugmenter` with its defaults.
    options : NetworkOptions, optional
        Of the regression networks; the published ones where left out.
    seed : int

    Returns
    -------
    Comparison

    Raises
    ------
    DataError
        Naming an argument that is of the wrong kind, or does not fit the others.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> C = 0.1 * rng.random((24, 2))
    >>> X = C @ rng.random((2, 20)) + 1e-4 * rng.standard_normal((24, 20))
    >>> one = {"cVAE": SpectralAugmenter(strategy="uniform", n_generated=500)}
    >>> found = compare_augmentation(X, C, folds=3, augmenters=one, options=NetworkOptions(epochs=20))
    >>> bool(found.summary.loc[("cVAE", "mean"), "ratio"] < 0.5)
    True
    """
    x, c = complete_pairs(X, C)
    check_whole("folds", folds, least=2)
    if augmenters is None:
        published = SpectralAugmenter("vae", n_generated=len(x) - len(x) // folds, tolerance=np.inf)
        augmenters = {"VAE": published, "cVAE": SpectralAugmenter("cvae")}
    _check(augmenters)
    arms = {name: partial(_resampled, augmenter) for name, augmenter in augmenters.items()}
    return compare_arms(x, c, {"plain": _as_given} | arms, folds, ions, options, only, seed)


def _check(augmenters: object) -> None:
    given = augmenters.values() if isinstance(augmenters, Mapping) else [augmenters]
    for augmenter in given:
        if not isinstance(augmenter, SpectralAugmenter):
            expected = 'SpectralAugmenter by name, such as {"cVAE": ps.SpectralAugmenter()}'
            raise DataError(explain("augmenters", f"got {type(augmenter).__name__}", expected=expected))


def _as_given(X: Array, C: Array) -> tuple[Array, Array]:
    return X, C


def _resampled(augmenter: SpectralAugmenter, X: Array, C: Array) -> tuple[Array, Array]:
    return augmenter.fit_resample(X, C)
