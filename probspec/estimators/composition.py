"""`CompositionRegressor`: composition, or any quantities, from spectra (UVAE)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
import pyro.distributions as dist
import torch
from numpy.typing import ArrayLike, NDArray
from pyro.distributions import TorchDistribution
from scipy.optimize import minimize
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_array, check_is_fitted

from probspec.data.spectra import Spectra
from probspec.errors import DataError, explain, known
from probspec.fit import Fit, fit
from probspec.models.uvae import UVAE
from probspec.posterior import Posterior, posterior
from probspec.priors import Priors
from probspec.spec import DataSpec, Support, anonymous_spec
from probspec.training.options import TrainOptions

SUPPORTS = ("auto", "simplex", "positive", "real")
ABSENT = 1e-9  # what a label of zero counts as where a prior is learnt: less than any balance shows
ROUNDING = 1e-3  # how far the rows of a composition may be from summing to 1


class CompositionRegressor(RegressorMixin, BaseEstimator):
    """Composition, or any quantities, from spectra of one or more modalities, with posterior intervals (UVAE).

    Parameters
    ----------
    support : {"auto", "simplex", "positive", "real"}
        Where the rows of Y lie; "auto" reads it off them: the simplex where they sum to 1, else positive or real.
    prior : distribution, optional
        Law of a row of Y. Where left out it is made from the labels: on the simplex the Dirichlet that makes them most
        likely, so that sets with absent components expect absent components; elsewhere a wide law about them.
    preset : {"default", "paper"}
        Form of the `UVAE`.
    draws : int
        Posterior draws behind a prediction.
    options : TrainOptions, optional
        How to train; the preset's choice where left out.
    random_state : int

    Attributes
    ----------
    fit_ : Fit
        The trained model, with its history and its report on coverage.
    n_features_in_ : int
        Channels; of the first modality where there are several.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> Y = rng.dirichlet(np.ones(3), 40)
    >>> X = Y @ rng.random((3, 30)) + 0.01 * rng.standard_normal((40, 30))
    >>> regressor = CompositionRegressor(draws=200).fit(X, Y)
    >>> lower, upper = regressor.predict_interval(X[:2], prob=0.9)
    >>> regressor.predict(X[:2]).shape, bool((lower <= upper).all())
    ((2, 3), True)
    """

    def __init__(
        self,
        support: str = "auto",
        prior: TorchDistribution | None = None,
        preset: str = "default",
        draws: int = 1000,
        options: TrainOptions | None = None,
        random_state: int = 0,
    ):
        self.support = support
        self.prior = prior
        self.preset = preset
        self.draws = draws
        self.options = options
        self.random_state = random_state

    def fit(self, X: ArrayLike | Mapping[str, ArrayLike], Y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Train on spectra and their compositions.

        Parameters
        ----------
        X : (sample, channel) array, or dict of modality -> such arrays
            A row of NaN was not measured; one that is NaN in all modalities is a composition without spectrum.
        Y : (sample, component) array, or a data frame whose columns name the components
            A row of NaN is an unlabelled spectrum.
        groups : (sample,) array, optional
            Rows that are held out together while the encoders are chosen; equal compositions where left out.

        Raises
        ------
        DataError
            Naming the argument and the index of what is wrong.
        """
        named = getattr(Y, "columns", None)
        blocks, Y = _blocks(X), _table(Y)
        rows = Y[:, None] if Y.ndim == 1 else Y
        names = [f"component_{k}" for k in range(rows.shape[1])] if named is None else [str(name) for name in named]
        channels = {name: block.shape[1] for name, block in blocks.items()}
        spec = anonymous_spec(channels, names, self._support_of(rows))
        (target,) = spec.targets
        train = Spectra.from_arrays(blocks, spec, targets={target: rows}, groups=groups)
        model = UVAE(spec, self._priors(spec, rows), preset=self.preset)
        self.fit_: Fit = fit(model, train, seed=self.random_state, options=self.options)
        self.n_features_in_ = next(iter(channels.values()))
        self.one_column_ = Y.ndim == 1
        return self

    def predict(self, X: ArrayLike | Mapping[str, ArrayLike]) -> NDArray[np.float64]:
        """Posterior mean, (sample, component) in the unit of Y; (sample,) where Y had one dim.

        A modality that is left out of a dict counts as not measured.
        """
        answer = self.posterior(X)
        return self._shaped(answer.mean()[self._target])

    def predict_interval(
        self, X: ArrayLike | Mapping[str, ArrayLike], prob: float = 0.9
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper bound of the equal-tailed interval that holds each component with probability `prob`.

        Parameters
        ----------
        X : as for `fit`
        prob : float

        Returns
        -------
        lower, upper : (sample, component) array, unit of Y
        """
        lower, upper = self.posterior(X).interval(self._target, prob=prob)
        return self._shaped(lower), self._shaped(upper)

    def posterior(self, X: ArrayLike | Mapping[str, ArrayLike]) -> Posterior:
        """Everything else that can be asked of these spectra."""
        check_is_fitted(self, "fit_")
        spec = self.fit_.model.spec
        axes = {name: np.arange(m.channels, dtype=float) for name, m in spec.modalities.items()}
        blocks = _blocks(X)
        _check_features(blocks, {name: m.channels for name, m in spec.modalities.items()})
        spectra = Spectra.from_arrays(blocks, spec, axes=axes)
        return posterior(self.fit_, spectra, draws=self.draws, seed=self.random_state)

    def sample_spectra(self, Y: ArrayLike, seed: int = 0) -> dict[str, NDArray[np.float32]]:
        """Simulate one spectrum of each modality for each composition, nuisance and noise drawn anew.

        Parameters
        ----------
        Y : (sample, component) array
        seed : int

        Returns
        -------
        dict of modality -> (sample, channel) array
        """
        check_is_fitted(self, "fit_")
        made = self.fit_.model.synthesise(torch.as_tensor(np.asarray(Y), dtype=torch.float32), seed)
        return {name: spectra.numpy() for name, spectra in made.items()}

    def __sklearn_tags__(self) -> Tags:
        """Say what the face takes, for scikit-learn's own checks."""
        tags = super().__sklearn_tags__()
        tags.target_tags.single_output = False
        tags.target_tags.multi_output = True
        tags.input_tags.allow_nan = False  # rows of NaN are taken, single NaN are not
        return tags

    @property
    def _target(self) -> str:
        return self.fit_.model.target

    def _shaped(self, values: ArrayLike) -> NDArray[np.float64]:
        values = np.asarray(values, dtype=np.float64)
        return values[:, 0] if self.one_column_ else values

    def _support_of(self, rows: NDArray[np.float64]) -> Support:
        if self.support not in SUPPORTS:
            raise DataError(explain(f"support={self.support!r}", known(self.support, SUPPORTS)))
        seen = rows[np.isfinite(rows).all(1)]
        if self.support != "auto":
            return self.support
        if seen.shape[1] > 1 and (seen >= 0).all() and np.allclose(seen.sum(1), 1, atol=ROUNDING):
            return "simplex"
        return "positive" if len(seen) and (seen > 0).all() else "real"

    def _priors(self, spec: DataSpec, rows: NDArray[np.float64]) -> Priors:
        ((name, target),) = spec.targets.items()
        law = self.prior or learnt_prior(rows[np.isfinite(rows).all(1)], target.support)
        return UVAE.default_priors(spec, self.preset).replace(**{name: law})


def learnt_prior(Y: NDArray[np.float64], support: str) -> TorchDistribution:
    """Make a default prior from labels: wide, and on the simplex as sparse as the labels are.

    Parameters
    ----------
    Y : (sample, component) array
        Labelled rows only.
    support : {"simplex", "positive", "real"}
    """
    if support == "simplex":
        return dist.Dirichlet(_concentrations(Y))
    centre, spread = _float32(Y.mean(0)), _float32(Y.std(0) + 1e-6 * (1 + abs(Y).max(0)))
    if support == "positive":
        return dist.HalfNormal(3 * (centre + spread)).to_event(1)
    return dist.StudentT(3.0, centre, 3 * spread).to_event(1)


def _concentrations(Y: NDArray[np.float64]) -> torch.Tensor:
    """Most likely concentrations of a Dirichlet, between 0.1 and 10, given rows that were moved off the faces."""
    log_y = torch.from_numpy(np.log((Y + ABSENT) / (1 + ABSENT * Y.shape[1]))).mean(0)

    def loss(log_concentration: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        at = torch.tensor(log_concentration, requires_grad=True)
        a = at.exp()
        value = a.lgamma().sum() - a.sum().lgamma() - ((a - 1) * log_y).sum()
        (gradient,) = torch.autograd.grad(value, at)
        return value.item(), gradient.numpy()

    found = minimize(loss, np.zeros(Y.shape[1]), jac=True, bounds=[(np.log(0.1), np.log(10.0))] * Y.shape[1])
    return _float32(np.exp(found.x))


def _float32(values: NDArray[np.float64]) -> torch.Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


def _blocks(X: ArrayLike | Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
    """Spectra by modality; a bare array is the one modality ``x``."""
    given = X if isinstance(X, Mapping) and not issparse(X) else {"x": X}  # one kind of sparse matrix is a dict
    if not given:
        raise DataError(explain("X", "no modality", expected="an array, or a dict of modality -> array"))
    return {name: _checked(block, "X" if given is not X else f"X[{name!r}]") for name, block in given.items()}


def _checked(block: ArrayLike, name: str) -> NDArray[np.float64]:
    return check_array(block, dtype=np.float64, ensure_all_finite="allow-nan", input_name=name)


def _check_features(blocks: Mapping[str, NDArray[np.float64]], channels: Mapping[str, int | None]) -> None:
    for name, block in blocks.items():
        if name in channels and block.shape[1] != channels[name]:
            # In the words of scikit-learn, which its own checks look for.
            problem = f"X has {block.shape[1]} features, but CompositionRegressor is expecting {channels[name]}"
            raise DataError(explain(f"X[{name!r}]", f"{problem} features as input"))


def _table(Y: ArrayLike) -> NDArray[np.float64]:
    if Y is None:
        raise DataError(explain("Y", "requires y to be passed, but the target y is None"))
    kept = check_array(
        Y, dtype=np.float64, ensure_2d=False, ensure_all_finite="allow-nan", input_name="Y", ensure_min_samples=2
    )
    if not np.isfinite(kept.reshape(len(kept), -1)).all(1).any():
        raise DataError(explain("Y", "no labelled row; Input Y contains NaN in each", fix="label some spectra"))
    return kept
