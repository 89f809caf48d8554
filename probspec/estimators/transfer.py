"""`SpectralTransfer`: spectra of one instrument as another would have measured them, with a band."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from probspec.data.spectra import Spectra
from probspec.errors import DataError, QueryError, explain, known
from probspec.fit import Fit, fit
from probspec.models.transfer import FEWEST, LatentTransfer
from probspec.posterior import Posterior, posterior
from probspec.spec import anonymous_spec
from probspec.transfer.basis import Basis

Array = NDArray[np.float64]

PRESETS = ("default",)
FIRST = "secondary"


class SpectralTransfer(TransformerMixin, BaseEstimator):
    """Spectra of a primary instrument from those of a secondary (`LatentTransfer`).

    The two axes need not agree, nor have the same range or number of channels; rows of `fit` are pairs.

    Parameters
    ----------
    preset : {"default"}
    latents : int, optional
        Directions of the primary; as many as explain .9999 of its variance where left out.
    draws : int
        Posterior draws behind `posterior`.
    random_state : int

    Attributes
    ----------
    fit_ : Fit
    n_features_in_ : int
        Channels of the first secondary.
    secondaries_ : tuple of str

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> z = rng.standard_normal((60, 3))
    >>> X, Y = (z @ rng.standard_normal((3, size)) + 0.05 * rng.standard_normal((60, size)) for size in (20, 30))
    >>> transfer = SpectralTransfer().fit(X[:50], Y[:50])
    >>> lower, upper = transfer.predict_interval(X[50:], prob=0.9)
    >>> transfer.transform(X[50:]).shape, bool(((lower < Y[50:]) & (Y[50:] < upper)).mean() > 0.7)
    ((10, 30), True)
    """

    def __init__(self, preset: str = "default", latents: int | None = None, draws: int = 1000, random_state: int = 0):
        self.preset = preset
        self.latents = latents
        self.draws = draws
        self.random_state = random_state

    def fit(self, X_secondary: ArrayLike, X_primary: ArrayLike, unpaired: ArrayLike | None = None) -> Self:
        """Learn from samples that both instruments measured.

        Parameters
        ----------
        X_secondary : (sample, channel) array
        X_primary : (sample, channel) array
            Row by row the same samples.
        unpaired : (spectrum, channel) array, optional
            Further spectra of the primary, which tell what its spectra look like.

        Raises
        ------
        DataError
            Naming the argument and the index of what is wrong.
        """
        if self.preset not in PRESETS:
            raise DataError(explain(f"preset={self.preset!r}", known(self.preset, PRESETS)))
        secondary, primary = _pair(X_secondary, X_primary)
        alone = np.zeros((0, primary.shape[1])) if unpaired is None else _block(unpaired, "unpaired")
        _check_channels(alone, primary.shape[1], "unpaired")
        return self._train({FIRST: (secondary, primary)}, alone)

    def add_secondary(self, name: str, X_secondary: ArrayLike, X_primary: ArrayLike) -> Self:
        """Learn a further secondary on the same latent; what it brings of the primary is used for all.

        Parameters
        ----------
        name : str
            By which `transform` and the others know it.
        X_secondary, X_primary : as for `fit`

        Raises
        ------
        DataError
            If the name is taken or the pairs are not of the primary that was fitted.
        """
        check_is_fitted(self, "fit_")
        if name in self.pairs_ or name == "primary" or not name.isidentifier():
            problem = f"{name!r} is taken or no name"
            raise DataError(explain("name", problem, expected=f"letters and digits, none of {sorted(self.pairs_)}"))
        pair = _pair(X_secondary, X_primary)
        _check_channels(pair[1], self.fit_.model.spec.channels()["primary"], "X_primary")
        return self._train(self.pairs_ | {name: pair}, self.unpaired_)

    def _train(self, pairs: dict[str, tuple[Array, Array]], unpaired: Array) -> Self:
        primary = np.vstack([*(pair[1] for pair in pairs.values()), unpaired])
        blocks, start = {"primary": primary}, 0
        for name, (secondary, paired) in pairs.items():
            blocks[name] = np.full((len(primary), secondary.shape[1]), np.nan)
            blocks[name][start : start + len(paired)] = secondary
            start += len(paired)
        spec = anonymous_spec({name: block.shape[1] for name, block in blocks.items()}, [])
        latents = len(Basis.of(primary, self.latents).directions)
        spectra = Spectra.from_arrays(blocks, spec)
        self.fit_: Fit = fit(LatentTransfer(spec, latents=latents), spectra, seed=self.random_state)
        self.pairs_, self.unpaired_ = pairs, unpaired
        self.secondaries_ = tuple(pairs)
        self.n_features_in_ = blocks[FIRST].shape[1]
        return self

    def transform(self, X_secondary: ArrayLike, secondary: str = FIRST) -> Array:
        """Most probable spectra of the primary : (sample, channel of the primary), in its unit.

        Parameters
        ----------
        X_secondary : (sample, channel) array
        secondary : str
            Which instrument.
        """
        new, reading = self._asked(X_secondary, secondary)
        return reading.basis.spectra(reading.scores(new))

    def predict_interval(
        self, X_secondary: ArrayLike, prob: float = 0.9, secondary: str = FIRST
    ) -> tuple[Array, Array]:
        """Band that holds each channel of the primary's spectrum with probability `prob`.

        Its width follows the errors of rows left out: by channel, and by spectrum as its neighbours fared.

        Returns
        -------
        lower, upper : (sample, channel of the primary) array
        """
        if not 0 < prob < 1:
            raise QueryError(explain("prob", f"got {prob}", expected="a probability between 0 and 1", fix="prob=0.9"))
        new, reading = self._asked(X_secondary, secondary)
        mean = reading.basis.spectra(reading.scores(new))
        half = reading.factor(prob) * reading.widening(new)[:, None] * reading.spread()
        return mean - half, mean + half

    def posterior(self, X_secondary: ArrayLike, secondary: str = FIRST) -> Posterior:
        """Draws of the latent; its `predictive` holds draws of the primary's spectra."""
        new, _ = self._asked(X_secondary, secondary)
        spec = self.fit_.model.spec
        axes = {name: np.arange(size, dtype=float) for name, size in spec.channels().items()}
        spectra = Spectra.from_arrays({secondary: new}, spec, axes=axes)
        return posterior(self.fit_, spectra, draws=self.draws, seed=self.random_state)

    def _asked(self, X_secondary: ArrayLike, secondary: str):
        check_is_fitted(self, "fit_")
        if secondary not in self.secondaries_:
            raise DataError(explain(f"secondary={secondary!r}", known(secondary, self.secondaries_)))
        new = _block(X_secondary, "X_secondary")
        _check_channels(new, self.pairs_[secondary][0].shape[1], "X_secondary")
        return new, self.fit_.model.reading(secondary)


def _pair(X_secondary: ArrayLike, X_primary: ArrayLike) -> tuple[Array, Array]:
    secondary, primary = _block(X_secondary, "X_secondary"), _block(X_primary, "X_primary")
    if len(secondary) != len(primary):
        problem = f"{len(secondary)} spectra, X_primary has {len(primary)}"
        raise DataError(explain("X_secondary", problem, expected="row by row the same samples"))
    if len(primary) < FEWEST:
        problem = f"{len(primary)} shared sample{'s' if len(primary) > 1 else ''}"
        raise DataError(
            explain("X_primary", problem, expected=f"at least {FEWEST}", fix="measure more samples on both")
        )
    for name, block in (("X_secondary", secondary), ("X_primary", primary)):
        if not block.std(0).any():
            raise DataError(explain(name, "all spectra are equal", expected="spectra that differ"))
    return secondary, primary


def _block(values: ArrayLike, name: str) -> Array:
    try:
        block = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(explain(name, "no array of numbers", expected="(sample, channel) numbers")) from None
    if block.ndim != 2 or not block.size:
        raise DataError(explain(name, f"shape {block.shape}", expected="(sample, channel)"))
    wrong = np.argwhere(~np.isfinite(block))
    if len(wrong):
        row, channel = wrong[0]
        what = "NaN" if np.isnan(block[row, channel]) else "infinite"
        raise DataError(explain(f"{name}[{row}, {channel}]", what, expected="finite values", fix=f"drop row {row}"))
    return block


def _check_channels(block: Array, channels: int, name: str) -> None:
    if len(block) and block.shape[1] != channels:
        fix = "resample the spectra to the axis that was fitted"
        raise DataError(explain(name, f"{block.shape[1]} channels", expected=f"{channels}, as fitted", fix=fix))
