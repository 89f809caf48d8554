"""The scikit-learn face: its own checks, supports read off the labels, missing parts, and answers in the unit of Y."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyro.distributions as dist
import pytest
import torch
from fused import CHANNELS, few_candidates, fused
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from probspec.errors import DataError, ProbspecError
from probspec.estimators import CompositionRegressor, learnt_prior
from probspec.nets import summaries
from probspec.training.options import TrainOptions

QUICK = TrainOptions(epochs=3, batch_size=64)
LONG = TrainOptions(epochs=150, batch_size=64, learning_rate=5e-3, schedule="cosine")


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    with few_candidates():
        yield


def error(prob: float, rows: int, taught: int = 60) -> float:
    """Standard deviation of coverage: of counting `rows`, and of a width learnt from the errors of `taught` others."""
    return (prob * (1 - prob) * (1 / rows + 1 / taught)) ** 0.5


def regressor(options: TrainOptions = QUICK, **settings) -> CompositionRegressor:
    return CompositionRegressor(draws=100, options=options, **settings)


def mixtures(rows: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    data = fused(rows, seed)
    return data.spectra("libs").astype(float), data.targets["abundance"]


BY_ROW = "draws are independent by row: the mean of a finite number depends on the row's place in the batch"
REASONS = {"check_methods_sample_order_invariance": BY_ROW, "check_methods_subset_invariance": BY_ROW}


@pytest.fixture
def no_refits(monkeypatch):
    """Encoders are not refitted to learn their errors: the checks are about the face."""
    monkeypatch.setattr(summaries, "SMALL", 0)


@pytest.mark.usefixtures("no_refits")
@parametrize_with_checks([regressor()], expected_failed_checks=lambda estimator: REASONS)
def test_scikit_learn(estimator, check):
    check(estimator)


class TestSupport:
    @pytest.mark.parametrize(
        ("support", "law", "change"),
        [
            ("simplex", "Dirichlet", lambda y: y),
            ("positive", "HalfNormal", lambda y: 7 * y[:, :2] + 0.1),
            ("real", "StudentT", lambda y: y[:, :2] - 0.3),
        ],
    )
    def test_it_is_read_off_the_labels(self, support, law, change):
        X, Y = mixtures()
        fitted = regressor().fit(X, change(Y))
        (target,) = fitted.fit_.spec.targets.values()
        assert target.support == support and law in repr(fitted.fit_.model.priors)
        drawn = fitted.posterior(X[:5]).draws[fitted.fit_.model.target].values
        assert (drawn > 0).all() or support == "real"
        assert np.allclose(drawn.sum(-1), 1, atol=1e-5) is (support == "simplex")

    def test_it_can_be_said(self):
        X, Y = mixtures()
        (target,) = regressor(support="real").fit(X, Y).fit_.spec.targets.values()
        assert target.support == "real"

    def test_unknown(self):
        with pytest.raises(DataError, match="did you mean 'simplex'"):
            regressor(support="simplx").fit(*mixtures())

    @pytest.mark.parametrize("concentration", [0.2, 1.0, 5.0])
    def test_the_learnt_prior_is_as_sparse_as_the_labels(self, concentration):
        Y = np.random.default_rng(0).dirichlet(np.full(4, concentration), 400)
        assert learnt_prior(Y, "simplex").concentration[0].item() == pytest.approx(concentration, rel=0.2)

    def test_a_prior_can_be_given(self):
        law = dist.Dirichlet(torch.full((3,), 2.5))
        fitted = regressor(prior=law).fit(*mixtures())
        assert fitted.fit_.model.priors["abundance"].concentration.tolist() == [2.5] * 3

    @pytest.mark.parametrize(("support", "unit"), [("real", 1e3), ("positive", 1e-3)])
    def test_the_unit_of_the_labels_does_not_matter(self, unit, support):
        """The same in another unit: the same answer in that unit, to a fifth of its width."""
        X, Y = mixtures(80)
        Y = Y[:, :2] + (1.0 if support == "positive" else -0.2)
        new = X[:30]
        one, other = (regressor(LONG, support=support).fit(X, scale * Y) for scale in (1.0, unit))
        (low, high), (lower, upper) = one.predict_interval(new), other.predict_interval(new)
        assert np.sqrt(np.mean(np.square((other.predict(new) / unit - one.predict(new)) / (high - low)))) < 0.1
        assert np.median((upper - lower) / unit / (high - low)) == pytest.approx(1, abs=0.2)


class TestMissing:
    def test_modalities_in_a_dict(self):
        data = fused(60)
        X = {m: data.spectra(m).astype(float) for m in CHANNELS}
        fitted = regressor(LONG).fit(X, data.targets["abundance"])
        new = fused(100, seed=4)
        parts = {m: new.spectra(m) for m in CHANNELS}
        widths = {}
        for seen in (("raman",), ("libs",), ("raman", "libs")):
            lower, upper = fitted.predict_interval({m: parts[m] for m in seen}, prob=0.9)
            widths[seen] = (upper - lower).mean()
            inside = ((lower <= new.targets["abundance"]) & (new.targets["abundance"] <= upper)).mean()
            assert abs(inside - 0.9) < 3 * error(0.9, 100), (seen, inside)
        assert widths["raman", "libs"] < min(widths["raman",], widths["libs",])
        nothing = {"raman": parts["raman"], "libs": np.full_like(parts["libs"], np.nan)}
        assert np.array_equal(fitted.predict(nothing), fitted.predict({"raman": parts["raman"]}))

    def test_rows_of_nan_in_either(self):
        X, Y = mixtures(60)
        X[50:55], Y[40:50] = np.nan, np.nan
        fitted = regressor(LONG).fit(X, Y)
        new, truth = mixtures(50, seed=3)
        assert np.abs(fitted.predict(new) - truth).mean() < 0.3 * np.abs(truth - truth.mean(0)).mean()

    def test_a_row_that_was_not_measured_gets_the_prior(self):
        data = fused(60)
        X = {m: data.spectra(m).astype(float) for m in CHANNELS}
        for block in X.values():
            block[50:] = np.nan
        fitted = regressor(LONG).fit(X, data.targets["abundance"])
        blank = {m: np.full((3, size), np.nan) for m, size in CHANNELS.items()}
        lower, upper = fitted.predict_interval(blank)
        assert np.allclose(fitted.predict(blank), 1 / 3, atol=0.12)
        assert ((upper - lower) > 0.5).all()  # 0.75 under the prior, 0.06 with a spectrum

    def test_half_a_row_of_nan_is_named(self):
        X, Y = mixtures()
        X[3, 4] = np.nan
        with pytest.raises(DataError, match=r"3"):
            regressor().fit(X, Y)

    def test_unknown_modality(self):
        fitted = regressor().fit(*mixtures())
        with pytest.raises(ProbspecError, match="raman"):
            fitted.predict({"raman": mixtures()[0]})

    def test_no_modality(self):
        with pytest.raises(DataError, match="no modality"):
            regressor().fit({}, mixtures()[1])


@pytest.fixture(scope="module")
def fitted(quick) -> CompositionRegressor:
    return regressor(LONG).fit(*mixtures())


class TestAnswers:
    def test_one_column(self):
        X, Y = mixtures()
        column = regressor().fit(X, Y[:, :1] - 0.5)
        flat = regressor().fit(X, Y[:, 0] - 0.5)
        assert flat.predict(X).shape == (60,) and column.predict(X).shape == (60, 1)
        assert np.array_equal(flat.predict(X), column.predict(X)[:, 0])
        assert all(end.shape == (60,) for end in flat.predict_interval(X))

    def test_intervals_nest(self, fitted):
        X, _ = mixtures(30, seed=2)
        (low, high), (lower, upper) = fitted.predict_interval(X, prob=0.5), fitted.predict_interval(X, prob=0.95)
        assert (lower <= low).all() and (low <= high).all() and (high <= upper).all() and (lower < upper).all()

    def test_intervals_hold_the_share_they_say(self, fitted):
        X, Y = mixtures(300, seed=2)
        for prob in (0.5, 0.9):
            lower, upper = fitted.predict_interval(X, prob=prob)
            assert abs(((lower <= Y) & (Y <= upper)).mean() - prob) < 3 * error(prob, 300)

    @pytest.mark.parametrize("prob", [0.0, 1.0, 90])
    def test_what_is_no_probability(self, fitted, prob):
        with pytest.raises(ProbspecError, match="prob"):
            fitted.predict_interval(mixtures(3)[0], prob=prob)

    def test_predictions_are_compositions_and_do_not_depend_on_the_day(self, fitted, untouched_generators):
        X, _ = mixtures(30, seed=2)
        once, again = fitted.predict(X), fitted.predict(X)
        assert np.allclose(once.sum(1), 1, atol=1e-5) and np.array_equal(once, again)

    def test_sampled_spectra(self, fitted):
        Y = np.array([[1.0, 0.0, 0.0], [0.2, 0.3, 0.5]])
        made = fitted.sample_spectra(np.repeat(Y, 200, 0), seed=1)
        assert set(made) == {"x"} and made["x"].shape == (400, CHANNELS["libs"])
        assert np.array_equal(made["x"], fitted.sample_spectra(np.repeat(Y, 200, 0), seed=1)["x"])
        back = fitted.predict(made["x"].astype(float))
        assert np.abs(back[200:].mean(0) - Y[1]).max() < 0.05

    def test_wrong_number_of_channels(self, fitted):
        with pytest.raises(ValueError, match="features|channels"):
            fitted.predict(np.ones((3, 7)))

    def test_before_fit(self):
        for call in (lambda r: r.predict(np.ones((3, 7))), lambda r: r.sample_spectra(np.ones((3, 2)))):
            with pytest.raises(NotFittedError):
                call(regressor())


class TestCompany:
    def test_cross_validation_in_a_pipeline(self):
        X, Y = mixtures()
        model = make_pipeline(FunctionTransformer(np.tanh), regressor())
        said = cross_val_predict(model, X, Y, groups=np.arange(60) // 3, cv=GroupKFold(3))
        assert said.shape == Y.shape and np.abs(said - Y).mean() < 0.15

    def test_a_data_frame_names_the_components(self):
        X, Y = mixtures()
        fitted = regressor().fit(X, pd.DataFrame(Y, columns=["quartz", "calcite", "gypsum"]))
        assert fitted.posterior(X[:2]).draws["component"].values.tolist() == ["quartz", "calcite", "gypsum"]

    def test_groups_of_repeats(self):
        X, Y = mixtures()
        fitted = regressor().fit(np.repeat(X, 2, 0), np.repeat(Y, 2, 0), groups=np.repeat(np.arange(60), 2))
        assert fitted.predict(X).shape == Y.shape

    def test_a_clone_is_unfitted_and_equal(self):
        fitted = regressor(preset="paper").fit(*mixtures())
        assert clone(fitted).get_params() == fitted.get_params() and not hasattr(clone(fitted), "fit_")

    def test_preset_paper(self):
        X, Y = mixtures()
        fitted = regressor(preset="paper").fit(X, Y)
        assert tuple(fitted.fit_.history.terms)[1] == "forward_discriminative" and fitted.predict(X).shape == Y.shape
