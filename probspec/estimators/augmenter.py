"""`SpectralAugmenter`: more pairs of spectra and concentrations than were measured (VAE and conditional VAE)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Real
from typing import Self

import numpy as np
import pyro.distributions as dist
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from probspec.augmentation import (
    STRATEGIES,
    Choice,
    Loaded,
    Networks,
    PhysicsCheck,
    Strategy,
    TrainingPairs,
    Uniform,
    choose_strategy,
    dependent_ion,
    strategy_of,
)
from probspec.data.spectra import Spectra
from probspec.errors import DataError, ProbspecWarning, QueryError, check_whole, explain, known
from probspec.estimators.pairs import block, group_codes
from probspec.estimators.solutions import complete_pairs
from probspec.fit import Fit, fit
from probspec.models.cvae import CVAE
from probspec.seeding import child_seed, seeded
from probspec.spec import anonymous_spec
from probspec.training.options import TrainOptions

Array = NDArray[np.float64]
Source = Callable[[NDArray[np.int64], np.random.Generator], tuple[Array, Array | None]]
METHODS = ("cvae", "vae")
PRESETS = ("beer_lambert", "paper")
FEW = 200  # spectra below which folds get generators of their own
PLENTY, TIMES = 6000, 4  # pairs that `fit_resample` generates where it is not told: these, or so many for each given
ROUNDS = 5  # times that rejected pairs are made anew
MOST_WRONG = 0.1  # share of pairs that may still be rejected then


class SpectralAugmenter(BaseEstimator):
    """Generate spectra and their concentrations, for regression networks that learn from too few.

    Parameters
    ----------
    method : {"cvae", "vae"}
        "cvae" chooses concentrations and makes their spectra. "vae" makes spectra like those of the training set and
        has a regression network, trained on real pairs, say their concentrations (Mushchina et al. 2024).
    strategy : str or Strategy
        What the "cvae" makes spectra of: a name of `probspec.augmentation.STRATEGIES`, an object, or "auto", by
        cross-validation, which takes half a minute: where the spectra hold more than the ions that are asked for it is
        the better choice, elsewhere it mostly chose "loaded". Of the "vae" those of latents matter alone.
    preset : {"beer_lambert", "paper"}
        Of the "cvae": starting from the law of Beer and Lambert, or the published networks.
    n_generated : int, optional
        Pairs that `fit_resample` adds; four for each training pair, and 6000 at least, where left out.
    tolerance : float
        Generated pairs are rejected whose Beer-Lambert residual exceeds the largest of a real pair by this factor;
        infinity rejects none.
    options : TrainOptions, optional
        How to train; closed forms alone, or the published training, where left out.
    random_state : int

    Attributes
    ----------
    fit_ : Fit
        The trained `CVAE`.
    strategy_ : Strategy
        What is used by default.
    choice_ : Choice or None
        The errors by cross-validation behind it, where it is "auto".
    check_ : PhysicsCheck
    rejected_ : int
        Generated pairs that the last call of `sample` or `fit_resample` rejected.
    n_features_in_ : int

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> C = 0.1 * rng.random((20, 2))
    >>> X = C @ rng.random((2, 30)) + 1e-4 * rng.standard_normal((20, 30))
    >>> augmenter = SpectralAugmenter(strategy="uniform", n_generated=100)
    >>> more_X, more_C = augmenter.fit_resample(X, C)
    >>> more_X.shape, more_C.shape, augmenter.rejected_
    ((120, 30), (120, 2), 0)
    """

    fit_: Fit
    strategy_: Strategy
    choice_: Choice | None
    check_: PhysicsCheck
    rejected_: int

    def __init__(
        self,
        method: str = "cvae",
        strategy: str | Strategy = "loaded",
        preset: str = "beer_lambert",
        n_generated: int | None = None,
        tolerance: float = 1.5,
        options: TrainOptions | None = None,
        random_state: int = 0,
    ):
        self.method = method
        self.strategy = strategy
        self.preset = preset
        self.n_generated = n_generated
        self.tolerance = tolerance
        self.options = options
        self.random_state = random_state

    def fit(self, X: ArrayLike, C: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Train the generator; with strategy="auto" choose the strategy.

        Parameters
        ----------
        X : (sample, channel) array
        C : (sample, ion) array, or (sample,)
        groups : (sample,) array, optional
            Names of the solutions where some were measured repeatedly, or of series that go together: errors and the
            choice of the strategy are those of whole groups left out. Rows of equal concentrations where left out.

        Raises
        ------
        DataError
            Naming the argument, and the row, channel or ion, of what is wrong.
        """
        self._check_settings()
        x, c = complete_pairs(X, C)
        self.one_column_ = np.ndim(C) == 1
        self.n_features_in_ = x.shape[1]
        self.X_, self.C_ = x, c
        self.check_ = PhysicsCheck.fit(x, c, self.tolerance)
        codes = None if groups is None else group_codes(groups, len(x))
        self.fit_ = self._trained(x, c, codes)
        self.choice_ = self._chosen(x, c, codes) if self.strategy == "auto" and self.method == "cvae" else None
        given = self.strategy if self.strategy != "auto" else "loaded"
        self.strategy_ = strategy_of(self.choice_.name if self.choice_ else given)
        self.rejected_ = 0
        self._check_independence()
        if self.method == "vae":
            self.labeller_ = Networks(seed=child_seed(int(self.random_state), 3)).fit(x, c)
        return self

    def fit_resample(self, X: ArrayLike, C: ArrayLike, groups: ArrayLike | None = None) -> tuple[Array, Array]:
        """Fit, and return the pairs given, followed by generated ones.

        Returns
        -------
        X : (sample + generated, channel) array
        C : (sample + generated, ion) array
        """
        self.fit(X, C, groups)
        plenty = max(TIMES * len(self.X_), PLENTY)
        more_x, more_c = self.sample(plenty if self.n_generated is None else self.n_generated)
        c = self.C_[:, 0] if self.one_column_ else self.C_
        return np.concatenate([self.X_, more_x]), np.concatenate([c, more_c])

    def sample(
        self, n: int, C: ArrayLike | None = None, strategy: str | Strategy | None = None, seed: int | None = None
    ) -> tuple[Array, Array]:
        """Generate pairs.

        Parameters
        ----------
        n : int
        C : (n, ion) array, optional
            Concentrations to make spectra of. Rejected ones are then made anew with other noise, and those that stay
            beyond the limit are returned and counted, so that all of C is answered.
        strategy : str or Strategy, optional
            In place of `strategy_`.
        seed : int, optional
            `random_state` where left out.

        Returns
        -------
        X : (n, channel) array
        C : (n, ion) array

        Raises
        ------
        QueryError
            If C is asked of a "vae", which cannot be told concentrations, or `n` is not the number of its rows.
        """
        check_is_fitted(self, "fit_")
        check_whole("n", n, error=QueryError)
        seed = self.random_state if seed is None else seed
        check_whole("seed", seed, error=QueryError)
        given = None if C is None else self._asked(n, C)
        chosen = self.strategy_ if strategy is None else strategy_of(strategy)
        x, c, wrong = self._accepted(int(n), given, chosen, int(seed))
        self._warn(int(n), wrong)
        return x, c[:, 0] if self.one_column_ else c

    def _accepted(self, n: int, given: Array | None, strategy: Strategy, seed: int) -> tuple[Array, Array, int]:
        """Make pairs, and make anew the rejected ones, a few times at most: pairs, and how many stayed wrong."""
        self.rejected_ = 0
        source = self._source(given, strategy)
        x, c = self._made(np.arange(n), source, child_seed(seed, 0))
        for turn in range(1, ROUNDS + 1):
            wrong = np.flatnonzero(~self.check_.accepts(x, c))
            if not len(wrong):
                return x, c, 0
            self.rejected_ += len(wrong)
            x[wrong], c[wrong] = self._made(wrong, source, child_seed(seed, turn))
        good = self.check_.accepts(x, c) | (given is not None)
        left = int((~good).sum())
        if left == n:
            return x[:0], c[:0], left
        fill = np.where(good, np.arange(n), np.random.default_rng(seed).choice(np.flatnonzero(good), n))
        return x[fill], c[fill], left

    def _warn(self, n: int, wrong: int) -> None:
        """Say so where what is returned is less than was asked for, or few pairs again and again."""
        if wrong > MOST_WRONG * n:
            told = "none are returned" if wrong == n else "the others are repeated"
            problem = f"{wrong} of {n} generated pairs were rejected {ROUNDS + 1} times, and {told}"
            fix = "take the default preset, which starts from the law, or tolerance=np.inf to reject none"
            warnings.warn(explain("SpectralAugmenter", problem, fix=fix), ProbspecWarning, stacklevel=3)

    def _source(self, given: Array | None, strategy: Strategy) -> Source:
        """Rows of given concentrations, with nuisances from the prior; or what a strategy draws."""
        if given is not None:
            return lambda rows, rng: (given[rows], None)
        draw = strategy.sampler(TrainingPairs(self.C_, self._encode))
        return lambda rows, rng: draw(len(rows), rng)

    def _made(self, rows: NDArray[np.int64], source: Source, seed: int) -> tuple[Array, Array]:
        """Make pairs, unchecked."""
        c, z = source(rows, np.random.default_rng(child_seed(seed, 0)))
        if not len(rows):
            return np.empty((0, self.n_features_in_)), c
        made = self.fit_.model.generate(_tensor(c), child_seed(seed, 2), None if z is None else _tensor(z))
        x = made.double().numpy()
        return x, self.labeller_.predict(x) if self.method == "vae" else c

    def _encode(self, rows: NDArray[np.int64], seed: int) -> Array:
        """One draw of the nuisance of each of some training rows : (row, direction)."""
        model = self.fit_.model
        return model.encode_nuisance(_tensor(self.X_[rows]), _tensor(self.C_[rows]), seed).double().numpy()

    def _asked(self, n: int, C: ArrayLike) -> Array:
        if self.method == "vae":
            fix = 'SpectralAugmenter(method="cvae")'
            raise QueryError(explain("C", "a VAE cannot be told concentrations", fix=fix))
        c = block(C, "C", one_column=True)
        if c.shape != (n, self.C_.shape[1]):
            raise QueryError(explain("C", f"shape {c.shape}", expected=f"({n}, {self.C_.shape[1]})"))
        return c

    def _check_settings(self) -> None:
        for name, value, allowed in (("method", self.method, METHODS), ("preset", self.preset, PRESETS)):
            if value not in allowed:
                raise DataError(explain(f"{name}={value!r}", known(str(value), allowed)))
        if self.strategy != "auto":
            strategy_of(self.strategy)
        if not isinstance(self.tolerance, Real) or not self.tolerance > 0:
            raise DataError(explain("tolerance", f"got {self.tolerance!r}", expected="a number above 0"))
        if self.n_generated is not None:
            check_whole("n_generated", self.n_generated)
        check_whole("random_state", self.random_state)
        if not isinstance(self.options, TrainOptions | None):
            problem = f"got {type(self.options).__name__}"
            raise DataError(explain("options", problem, expected="TrainOptions", fix="ps.TrainOptions(epochs=100)"))

    def _check_independence(self) -> None:
        """Warn where ions vary together in training and are to vary alone in what is generated."""
        if self.method == "vae" or not isinstance(self.strategy_, Uniform | Loaded):
            return
        ion = dependent_ion(self.C_)
        if ion is not None:
            problem = f"concentrations of ion {ion} follow from the others, so that its spectrum is not known"
            fix = 'strategy="interpolation", which stays between the training pairs'
            warnings.warn(explain(f"C[:, {ion}]", problem, fix=fix), ProbspecWarning, stacklevel=3)

    def _trained(self, x: Array, c: Array, groups: NDArray[np.int64] | None) -> Fit:
        positive = bool((c >= 0).all())
        spec = anonymous_spec(
            {"x": x.shape[1]}, [f"ion_{k}" for k in range(c.shape[1])], "positive" if positive else "real"
        )
        preset = "beer_lambert" if self.preset == "beer_lambert" and self.method == "cvae" else self.method
        width = _tensor(1.5 * np.maximum(np.abs(c).max(0), 1e-12))
        law = dist.Uniform(torch.zeros_like(width), width) if positive else dist.Normal(torch.zeros_like(width), width)
        priors = CVAE.default_priors(spec, preset).replace(target=law.to_event(1))
        with seeded(self.random_state):
            model = CVAE(spec, priors, preset)
        closed = preset == "beer_lambert"  # what makes spectra is then found without gradient steps
        options = self.options or (TrainOptions(epochs=0) if closed else None)
        spectra = Spectra.from_arrays(x, spec, targets=c, groups=groups)
        return fit(model, spectra, seed=self.random_state, options=options)

    def _chosen(self, x: Array, c: Array, groups: NDArray[np.int64] | None) -> Choice:
        seed = child_seed(int(self.random_state), 2)
        return choose_strategy(x, c, self._generator, STRATEGIES, seed=seed, groups=groups)

    def _generator(self, x: Array, c: Array):
        """Pairs of a generator that is trained on a part; with many spectra the one of all, to save the time."""
        part = SpectralAugmenter(self.method, "loaded", self.preset, 0, self.tolerance, self.options, self.random_state)
        if len(x) < FEW:
            part.fit(x, c)
        else:
            part.X_, part.C_, part.n_features_in_, part.one_column_ = x, c, x.shape[1], False
            part.check_, part.fit_ = self.check_, self.fit_

        def generate(strategy: Strategy, n: int, seed: int) -> tuple[Array, Array]:
            return part._accepted(n, None, strategy, seed)[:2]

        return generate


def _tensor(values: Array) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)  # a copy, for the array may be read-only
