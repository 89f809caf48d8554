"""`MineralClassifier`: minerals from oxides, with what is not known of them (Bayesian neural network)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import assert_all_finite, check_is_fitted, column_or_1d

from probspec.data.intake import names
from probspec.data.spectra import Spectra
from probspec.errors import DataError, ProbspecWarning, explain, known
from probspec.fit import Fit, fit
from probspec.metrics import threshold_for
from probspec.models.minerals import ERROR, HIDDEN, MineralBNN, Weights, weight_priors
from probspec.oxides import OTHERS, OXIDES, oxide_table, strange_totals
from probspec.posterior import Posterior, posterior
from probspec.seeding import child_seed
from probspec.simulate import simulate
from probspec.simulators.minerals import SOLID_SOLUTIONS
from probspec.spec import DataSpec
from probspec.training.options import TrainOptions

Array = NDArray[np.float64]
UNSEEN = 1e-12  # probability that counts as zero where a logarithm is taken


class Entropy(NamedTuple):
    """What is not known of the mineral, in nats, and its two parts; each (sample,).

    Parameters
    ----------
    total : entropy of the mean probabilities.
    ambiguity : mean entropy of the draws
        Stays however much is learnt: the oxides do not tell these minerals apart.
    ignorance : mutual information of mineral and weights
        Would go with more analyses of this kind.
    """

    total: Array
    ambiguity: Array
    ignorance: Array


class MineralClassifier(ClassifierMixin, BaseEstimator):
    """Minerals from oxides in wt%, any of which may not have been reported (`MineralBNN`).

    Parameters
    ----------
    prior : distribution, mapping of site -> distribution, or callable of name and shape, optional
        Laws of the network's weights; see `weight_priors`.
    hidden : sequence of int
        Width of the hidden layers.
    family : {"mean-field", "low-rank"}
        Of the guide.
    error : (float, float)
        Analytical error of the analyses to come, relative and in wt%; larger for energy-dispersive ones.
    cap : int, optional
        Most rows taken of one mineral from one group (a paper), drawn at random, so that large ones do not decide.
    textbook : int
        Analyses of each mineral that are simulated from its end-members (`probspec.simulate`) and learnt from beside
        the measured ones, so that a mineral is not only what these papers met. Minerals of other names have none.
    draws : int
        Draws of the weights behind an answer.
    ignore : sequence of str
        Columns of a data frame that are passed over, by default oxides and elements besides the ten; any other column
        is an error.
    options : TrainOptions, optional
        How to train; the model's choice where left out.
    random_state : int

    Attributes
    ----------
    classes_ : (class,) array of str
    fit_ : Fit
        The trained model, with its history.

    Notes
    -----
    A row without any oxide gets the answer of a network that was given nothing, and a strangeness of 0; rows with a
    strange total (`strange_totals`) are answered like any other; both are named in a warning. Values down to -2 wt% are
    taken as below detection.

    Examples
    --------
    >>> from probspec import simulate
    >>> analyses = simulate("epma_minerals", 400, seed=0)
    >>> X, codes = analyses.spectra("oxides"), analyses.targets["mineral"][:, 0].astype(int)
    >>> y = np.array(analyses.spec.targets["mineral"].components)[codes]
    >>> classifier = MineralClassifier(options=TrainOptions(epochs=2)).fit(X, y)
    >>> classifier.predict_proba(X[:3]).shape
    (3, 17)
    """

    def __init__(
        self,
        prior: Weights | None = None,
        hidden: Sequence[int] = HIDDEN,
        family: str = "mean-field",
        error: Sequence[float] = ERROR,
        cap: int | None = 300,
        textbook: int = 1600,
        draws: int = 50,
        ignore: Sequence[str] = OTHERS,
        options: TrainOptions | None = None,
        random_state: int = 0,
    ):
        self.prior = prior
        self.hidden = hidden
        self.family = family
        self.error = error
        self.cap = cap
        self.textbook = textbook
        self.draws = draws
        self.ignore = ignore
        self.options = options
        self.random_state = random_state

    def fit(self, X: Any, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Train on analyses whose mineral is known.

        Parameters
        ----------
        X : DataFrame, mapping, or (sample, oxide) array in the order of `OXIDES`, wt%
            Columns by oxide name in any order; iron may be given as FeOt, FeO and Fe2O3. NaN is not reported.
        y : (sample,) array of str or int
            Minerals.
        groups : (sample,) array of str or int, optional
            Papers; rows of one are held out together while training is watched.

        Raises
        ------
        DataError
            Naming the argument, row and oxide of what is wrong.
        """
        table = self._table(X)
        labels = _minerals(y, len(table))
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(explain("y", f"one class ({self.classes_[0]})", expected="two or more"))
        papers = None if groups is None else names(groups, "groups", len(table))
        self.n_features_in_ = len(OXIDES)
        kept, spec = self._capped(codes, papers), self._spec()
        measured = Spectra.from_arrays(
            table[kept],
            spec,
            targets=codes[kept].astype(float)[:, None],
            groups=None if papers is None else papers[kept].astype(str),
        )
        analyses = self._with_textbook(measured)
        model = MineralBNN(spec, weight_priors(spec, self.prior, self.hidden), self.hidden, self.family, self.error)
        self.fit_: Fit = fit(model, analyses, seed=self.random_state, options=self.options)
        return self

    def predict_proba(self, X: Any) -> Array:
        """Probability of each mineral, (sample, class), weights integrated out."""
        return self._mean(self._draws(X))

    def predict(self, X: Any) -> NDArray[Any]:
        """Most probable mineral, (sample,)."""
        probability = self.predict_proba(X)
        return self.classes_[probability.argmax(1)]

    def entropy(self, X: Any) -> Entropy:
        """Say how uncertain the mineral is, and what part of that more analyses would take away."""
        drawn = self._draws(X)
        total, ambiguity = _entropy(self._mean(drawn)), _entropy(drawn).mean(0)
        return Entropy(total, ambiguity, np.maximum(total - ambiguity, 0.0))

    def ood_score(self, X: Any) -> Array:
        """Say how little each analysis looks like any of the minerals, (sample,); higher is stranger.

        Minus the log tail probability of what was reported in the mineral that it fits best: 0.7 in the middle of a
        mineral, above 4.6 for one analysis in a hundred, 0 where nothing was reported.
        """
        return self._tails(X).min(1)

    def review(self, X: Any, y: ArrayLike) -> Array:
        """Say how doubtful each label is, (sample,); higher is more doubtful.

        Minus the log probability of the label, plus minus the log tail probability of the analysis in that mineral.

        Raises
        ------
        DataError
            If a label is no class that was met in `fit`.
        """
        labels = names(y, "y", len(self._table(X)))
        unknown = ~np.isin(labels, self.classes_)
        if unknown.any():
            row = int(np.flatnonzero(unknown)[0])
            problem = f"{str(labels[row])!r} was not met in fit"
            raise DataError(explain(f"y[{row}]", problem, fix=known(str(labels[row]), map(str, self.classes_))))
        at = np.arange(len(labels)), np.searchsorted(self.classes_, labels)
        return self._tails(X)[at] - np.log(self.predict_proba(X)[at].clip(UNSEEN))

    def threshold_for(self, X: Any, coverage: float) -> float:
        """Probability below which the surest `coverage` share of these analyses would be left to a person."""
        return threshold_for(self.predict_proba(X).max(1), coverage)

    def posterior(self, X: Any) -> Posterior:
        """Everything else that can be asked: draws of the weights and of the probabilities."""
        check_is_fitted(self, "fit_")
        analyses = Spectra.from_arrays(self._told(X), self.fit_.model.spec)
        return posterior(self.fit_, analyses, draws=self.draws, seed=self.random_state)

    def __sklearn_tags__(self) -> Tags:
        """Say what the face takes, for scikit-learn's own checks."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def _table(self, X: Any) -> Array:
        return oxide_table(X, "X", tuple(self.ignore))

    def _told(self, X: Any) -> Array:
        """Table of new analyses, with a warning where totals are strange."""
        check_is_fitted(self, "fit_")
        table = self._table(X)
        strange = np.flatnonzero(strange_totals(table))
        if strange.size:
            shown = ", ".join(map(str, strange[:10])) + (", ..." if strange.size > 10 else "")
            problem = f"no oxide, or a strange total, in {strange.size} of {len(table)} rows ({shown})"
            warnings.warn(explain("X", problem, fix="look at ood_score(X)"), ProbspecWarning, stacklevel=4)
        return table

    def _spec(self) -> DataSpec:
        modality = {
            "axis": {"name": "oxide", "unit": "channel", "labels": list(OXIDES)},
            "quantity": "mass fraction of oxide",
            "unit": "wt%",
            "gaps": True,
            "channels": len(OXIDES),
        }
        target = {"components": [str(c) for c in self.classes_], "support": "category", "dim": "mineral"}
        parts = {"modalities": {"oxides": modality}, "targets": {"mineral": target}}
        return DataSpec.from_config({"name": "minerals"} | parts)

    def _with_textbook(self, measured: Spectra) -> Spectra:
        """Measured analyses, and below them simulated ones, each a group of its own."""
        spec = measured.spec
        known_minerals = [str(c) for c in self.classes_ if str(c) in SOLID_SOLUTIONS]
        count = self.textbook * len(known_minerals)
        if count == 0:
            return measured
        simulator = {"simulator": {"name": "minerals", "minerals": known_minerals}}
        described = DataSpec.from_config(spec.to_config() | simulator)
        made = simulate(described, count, seed=child_seed(self.random_state, 2))
        groups = None if measured.groups is None else np.array([f"simulated {k}" for k in range(count)])
        return measured.concat(Spectra.from_arrays(made.spectra("oxides"), spec, targets=made.targets, groups=groups))

    def _capped(self, codes: NDArray[np.int64], papers: NDArray[Any] | None) -> NDArray[np.int64]:
        """Rows to learn from, at most `cap` of one mineral from one paper, in their order."""
        if self.cap is None or papers is None:
            return np.arange(len(codes))
        if self.cap < 1:
            raise DataError(explain("cap", f"{self.cap}", expected="a positive number of rows, or None"))
        order = np.random.default_rng(child_seed(self.random_state, 1)).permutation(len(codes))
        _, blocks = np.unique(papers[order], return_inverse=True)
        blocks = blocks * len(self.classes_) + codes[order]
        by_block = np.argsort(blocks, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(blocks[by_block]) > 0])
        place = np.arange(len(codes)) - np.repeat(starts, np.diff(np.r_[starts, len(codes)]))
        return np.sort(order[by_block[place < self.cap]])

    def _draws(self, X: Any) -> Array:
        """Probabilities of each mineral under each draw of the weights, (draw, sample, class)."""
        table = self._told(X)
        model, scaled = self.fit_.model, torch.as_tensor(table, dtype=torch.float32)
        return model.probabilities(scaled, self.draws, self.random_state).double().numpy()

    def _mean(self, drawn: Array) -> Array:
        mean = drawn.mean(0)
        return mean / mean.sum(1, keepdims=True)

    def _tails(self, X: Any) -> Array:
        model = self.fit_.model
        return model.typicality(model.scaled(torch.as_tensor(self._told(X), dtype=torch.float32))).numpy()


def _minerals(y: ArrayLike | None, rows: int) -> NDArray[Any]:
    """Check the names or numbers of the minerals of the rows."""
    if y is None:
        problem = "MineralClassifier requires y to be passed, but the target y is None"
        raise DataError(explain("y", problem, expected="the mineral of each row"))
    given: NDArray[Any] = column_or_1d(y, warn=True)
    if given.dtype.kind == "f":
        assert_all_finite(given, input_name="y")
    check_classification_targets(given)
    return names(given.astype(int) if given.dtype.kind == "f" else given, "y", rows)


def _entropy(probability: Array) -> Array:
    return -(probability * np.log(probability.clip(UNSEEN))).sum(-1)
