"""`SpectralTransfer`: spectra of one instrument as another would have measured them, with a band."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from probspec.data.spectra import Spectra
from probspec.errors import DataError, QueryError, check_whole, explain, known
from probspec.estimators.pairs import ArrayPair, axis_of, block, check_channels, pair
from probspec.fit import Fit, fit
from probspec.models.transfer import READ_TOGETHER, LatentTransfer
from probspec.models.vae_transfer import VAETransfer
from probspec.posterior import Posterior, posterior
from probspec.spec import DataSpec, anonymous_spec
from probspec.training.options import TrainOptions
from probspec.transfer.basis import Basis
from probspec.transfer.folds import part_of
from probspec.transfer.published import LATENTS, LAYERS

Array = NDArray[np.float64]

PRESETS = ("default", "paper")
FIRST = "secondary"


class SpectralTransfer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Spectra of a primary instrument from those of a secondary.

    Rows of `fit` are pairs. The two axes need not agree: neither in range nor in number nor in place of the channels.
    Spectra in files larger than memory are fitted by ``ps.fit(VAETransfer(spec), ps.open_spectra(file, spec))``.

    Parameters
    ----------
    preset : {"default", "paper"}
        An ensemble of closed forms, from a dozen pairs on (`LatentTransfer`), or the published networks, which need
        thousands (`VAETransfer`).
    latents : int, optional
        Directions of the primary; where left out, as many as explain all but 1e-7 of its variance and its spectra
        bear, at most 30; 64 for "paper".
    layers : sequence of int
        Hidden layers of the primary's encoder ("paper").
    epochs : int, optional
        Of the primary's networks ("paper"); as published, or more for small sets, where left out.
    options : TrainOptions, optional
        How the secondaries' networks are trained ("paper"); as published where left out.
    draws : int
        Posterior draws behind `posterior`, and behind the bands of "paper".
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

    def __init__(
        self,
        preset: str = "default",
        latents: int | None = None,
        layers: Sequence[int] = LAYERS,
        epochs: int | None = None,
        options: TrainOptions | None = None,
        draws: int = 1000,
        random_state: int = 0,
    ):
        self.preset = preset
        self.latents = latents
        self.layers = layers
        self.epochs = epochs
        self.options = options
        self.draws = draws
        self.random_state = random_state

    def fit(
        self,
        X_secondary: ArrayLike,
        X_primary: ArrayLike | None = None,
        unpaired: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        axis_secondary: ArrayLike | None = None,
        axis_primary: ArrayLike | None = None,
    ) -> Self:
        """Learn from samples that both instruments measured.

        Parameters
        ----------
        X_secondary : (sample, channel) array
        X_primary : (sample, channel) array
            Row by row the same samples.
        unpaired : (spectrum, channel) array, optional
            Further spectra of the primary, of other samples, which tell what its spectra look like. Of emission lines
            a dozen pairs and these are worth hundreds of pairs.
        groups : (sample,) array, optional
            Names of the samples where some were measured repeatedly: their rows are held out together. Where left out,
            rows that are copies of each other are one sample.
        axis_secondary, axis_primary : (channel,) array, optional
            Positions of the channels, ascending; each instrument has its own. They label `posterior`.

        Raises
        ------
        DataError
            Naming the argument and the index of what is wrong.
        """
        self._check_settings()
        first = pair(X_secondary, X_primary, groups, axis_secondary)
        channels = first.primary.shape[1]
        alone = np.zeros((0, channels)) if unpaired is None else block(unpaired, "unpaired")
        check_channels(alone, channels, "unpaired")
        axis = axis_of(axis_primary, channels, "axis_primary")
        validate_data(self, X_secondary, skip_check_array=True)
        return self._train({FIRST: first}, alone, axis)

    def add_secondary(
        self,
        name: str,
        X_secondary: ArrayLike,
        X_primary: ArrayLike,
        groups: ArrayLike | None = None,
        axis_secondary: ArrayLike | None = None,
    ) -> Self:
        """Learn a further secondary on the same latent; what it brings of the primary is used for all.

        Parameters
        ----------
        name : str
            By which `transform` and the others know it.
        X_secondary, X_primary, groups, axis_secondary : as for `fit`

        Raises
        ------
        DataError
            If the name is taken or the pairs are not of the primary that was fitted.
        """
        check_is_fitted(self, "fit_")
        if not isinstance(name, str) or name in {"primary", *self.pairs_} or not name.isidentifier():
            problem = f"{name!r} is taken or no name"
            raise DataError(explain("name", problem, expected=f"letters and digits, none of {sorted(self.pairs_)}"))
        more = pair(X_secondary, X_primary, groups, axis_secondary)
        check_channels(more.primary, len(self.axis_primary_), "X_primary")
        return self._train(self.pairs_ | {name: more}, self.unpaired_, self.axis_primary_)

    def _check_settings(self) -> None:
        if self.preset not in PRESETS:
            raise DataError(explain(f"preset={self.preset!r}", known(str(self.preset), PRESETS)))
        if self.latents is not None:
            check_whole("latents", self.latents, least=1)
        check_whole("draws", self.draws, least=1)
        check_whole("random_state", self.random_state)
        if not isinstance(self.options, TrainOptions | None):
            problem = f"got {type(self.options).__name__}"
            raise DataError(explain("options", problem, expected="TrainOptions", fix="ps.TrainOptions(epochs=100)"))

    def _train(self, pairs: dict[str, ArrayPair], unpaired: Array, axis: Array) -> Self:
        spectra = _stacked(pairs, unpaired, axis)
        self.fit_: Fit = fit(
            self._model(spectra.spec, spectra), spectra, seed=self.random_state, options=self._options()
        )
        self.pairs_, self.unpaired_, self.axis_primary_ = pairs, unpaired, axis
        self.secondaries_ = tuple(pairs)
        return self

    def _model(self, spec: DataSpec, spectra: Spectra) -> LatentTransfer | VAETransfer:
        if self.preset == "paper":
            latents = LATENTS if self.latents is None else self.latents
            return VAETransfer(spec, latents=latents, layers=self.layers, epochs=self.epochs)
        rows = part_of(spectra.present("primary"), self.random_state)
        primary = spectra.spectra("primary", rows).astype(np.float64)
        return LatentTransfer(spec, latents=len(Basis.of(primary, self.latents).directions))

    def _options(self) -> TrainOptions | None:
        return self.options if self.preset == "paper" else None

    def transform(self, X_secondary: ArrayLike, secondary: str = FIRST) -> Array:
        """Most probable spectra of the primary : (sample, channel of the primary), in its unit.

        Parameters
        ----------
        X_secondary : (sample, channel) array
        secondary : str
            Which instrument.
        """
        new, model = self._asked(X_secondary, secondary)
        parts = range(0, len(new), READ_TOGETHER)
        return np.concatenate([model.transferred(new[start : start + READ_TOGETHER], secondary) for start in parts])

    def predict_interval(
        self, X_secondary: ArrayLike, prob: float = 0.9, secondary: str = FIRST
    ) -> tuple[Array, Array]:
        """Band that holds each channel of the primary's spectrum with probability `prob`.

        Its width follows the errors of rows left out, by channel, and by spectrum as its neighbours fared; that of
        "paper" is what its networks make of their own widths.

        Returns
        -------
        lower, upper : (sample, channel of the primary) array
        """
        if not isinstance(prob, Real) or not 0 < prob < 1:
            raise QueryError(explain("prob", f"got {prob!r}", expected="a probability between 0 and 1", fix="prob=0.9"))
        new, model = self._asked(X_secondary, secondary)
        if isinstance(model, VAETransfer):
            return model.band(new, secondary, prob, self.draws, self.random_state)
        return model.band(new, secondary, prob)

    def posterior(self, X_secondary: ArrayLike, secondary: str = FIRST) -> Posterior:
        """Draws of the latent; its `predictive` holds draws of the primary's spectra."""
        new, model = self._asked(X_secondary, secondary)
        spectra = Spectra.from_arrays({secondary: new}, model.spec, axes=_axes(self.pairs_, self.axis_primary_))
        return posterior(self.fit_, spectra, draws=self.draws, seed=self.random_state)

    @property
    def _n_features_out(self) -> int:
        """Channels of the primary, by which scikit-learn names the columns of a table."""
        return len(self.axis_primary_)

    def _asked(self, X_secondary: ArrayLike, secondary: str) -> tuple[Array, LatentTransfer | VAETransfer]:
        check_is_fitted(self, "fit_")
        if secondary not in self.secondaries_:
            raise DataError(explain(f"secondary={secondary!r}", known(secondary, self.secondaries_)))
        new = block(X_secondary, "X_secondary")
        check_channels(new, len(self.pairs_[secondary].axis), "X_secondary")
        if secondary == FIRST:
            validate_data(self, X_secondary, skip_check_array=True, reset=False)
        return new, cast(LatentTransfer | VAETransfer, self.fit_.model)

    def __sklearn_tags__(self) -> Tags:
        """Say what the face takes, for scikit-learn's own checks."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.single_output = False
        tags.target_tags.multi_output = True
        return tags


def _axes(pairs: dict[str, ArrayPair], axis: Array) -> dict[str, Array]:
    return {"primary": axis, **{name: one.axis for name, one in pairs.items()}}


def _stacked(pairs: dict[str, ArrayPair], unpaired: Array, axis: Array) -> Spectra:
    """All pairs below each other, each secondary in its own rows, then the spectra of the primary alone."""
    primary = np.vstack([*(one.primary for one in pairs.values()), unpaired])
    blocks, groups, start, named = {"primary": primary}, [], 0, 0
    for name, one in pairs.items():
        blocks[name] = np.full((len(primary), one.secondary.shape[1]), np.nan)
        blocks[name][start : start + len(one.primary)] = one.secondary
        groups.append(named + one.groups)
        start, named = start + len(one.primary), named + int(one.groups.max()) + 1
    groups.append(named + np.arange(len(unpaired)))
    spec = anonymous_spec({name: spectra.shape[1] for name, spectra in blocks.items()}, [])
    return Spectra.from_arrays(blocks, spec, axes=_axes(pairs, axis), groups=np.concatenate(groups))
