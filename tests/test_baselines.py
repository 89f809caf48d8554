"""Baselines: they are the methods they claim to be, choose without leaking, and stay on the simplex."""

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import Ridge as ScikitRidge
from sklearn.neighbors import KNeighborsRegressor

from probspec import baselines
from probspec.errors import DataError, QueryError
from probspec.metrics import mean_absolute_error
from probspec.nets.views import VIEWS

METHODS = (baselines.PLS, baselines.KNN, baselines.Ridge)
RAW = {"raw": VIEWS["raw"]}


def mixtures(samples=60, channels=90, components=3, noise=1e-3, seed=0):
    """Spectra of mixtures, with peaks as end-members."""
    rng = np.random.default_rng(seed)
    centres = np.linspace(0.2, 0.8, components)[:, None]
    endmembers = 0.2 + np.exp(-(((np.linspace(0, 1, channels) - centres) / 0.07) ** 2))
    Y = rng.dirichlet(np.ones(components), samples)
    return Y @ endmembers + noise * rng.standard_normal((samples, channels)), Y


@pytest.fixture
def noisy():
    return mixtures(noise=0.05)


@pytest.mark.parametrize("channels", [20, 90])
def test_ridge_is_scikit_learns(channels):
    X, Y = mixtures(channels=channels, noise=0.05)
    X, Y, new = X[:40], Y[:40] - 1, X[40:]
    ours = baselines.Ridge([1e-3], RAW).fit(X, Y).predict(new)
    penalty = 1e-3 * ((X - X.mean(0)) ** 2).sum()
    np.testing.assert_allclose(ours, ScikitRidge(penalty).fit(X, Y).predict(new), atol=1e-9)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_pls_is_scikit_learns(noisy, count):
    X, Y = noisy[0], noisy[1] - 1
    ours = baselines.PLS([count], RAW).fit(X[:40], Y[:40]).predict(X[40:])
    theirs = PLSRegression(count, scale=False, tol=1e-14, max_iter=10_000).fit(X[:40], Y[:40]).predict(X[40:])
    np.testing.assert_allclose(ours, theirs, atol=1e-8)


def test_neighbours_are_scikit_learns_also_off_the_span_of_the_training_rows(noisy):
    X, Y = noisy
    ours = baselines.KNN([4], RAW).fit(X[:40], Y[:40]).predict(X[40:])
    np.testing.assert_allclose(ours, KNeighborsRegressor(4).fit(X[:40], Y[:40]).predict(X[40:]), atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_every_strength_at_once_is_every_strength_alone(method, noisy):
    X, Y = noisy
    strengths = method.default_strengths[:8:3]
    together = method(strengths, RAW).fit(X, Y).losses_[("raw",)]
    alone = [method([s], RAW).fit(X, Y).best_["loss"] for s in strengths]
    np.testing.assert_allclose(together, alone, rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_view_is_chosen_for_the_spectra_and_recorded(method):
    X, Y = mixtures()
    gain = np.random.default_rng(1).uniform(0.2, 5, (len(X), 1))
    fitted = method().fit(X * gain, Y)
    assert fitted.best_["view"] not in ("raw", "first_derivative", "second_derivative")
    assert fitted.best_[method.strength] in method.default_strengths
    assert fitted.best_["loss"] == pytest.approx(min(losses.min() for losses in fitted.losses_.values()))
    assert mean_absolute_error(Y, method(views=RAW).fit(X * gain, Y).predict(X * gain)) > 0.02


@pytest.mark.parametrize("method", METHODS)
def test_predictions_are_compositions_even_far_outside_the_training_range(method):
    X, Y = mixtures(samples=30)
    predicted = method().fit(X, Y).predict(X.mean(0) + 5 * (X - X.mean(0)))
    assert predicted.shape == Y.shape
    assert predicted.min() >= 0
    np.testing.assert_allclose(predicted.sum(1), 1)


def test_rounded_compositions_are_closed_before_the_fit():
    X, Y = mixtures(samples=30)
    rounded = Y.round(3)
    closed = rounded / rounded.sum(1, keepdims=True)
    first, second = (baselines.Ridge([1e-9], RAW).fit(X, targets).predict(X) for targets in (rounded, closed))
    np.testing.assert_allclose(first, second, atol=1e-12)


def test_targets_that_are_no_compositions_keep_their_scale():
    X, Y = mixtures()
    concentration = 40 * Y
    predicted = baselines.Ridge().fit(X, concentration).predict(X)
    np.testing.assert_allclose(predicted, concentration, atol=0.5)
    assert predicted.min() >= 0
    signed = baselines.Ridge().fit(X, concentration - 20).predict(X)
    assert signed.min() < 0


def test_replicates_of_a_composition_stay_together_by_default():
    """Spectra that say nothing but which composition they are: any leak makes one neighbour look perfect."""
    rng = np.random.default_rng(0)
    Y = rng.dirichlet(np.ones(3), 10).repeat(4, axis=0)
    X = rng.standard_normal((10, 50)).repeat(4, axis=0) + 1e-3 * rng.standard_normal((40, 50))
    assert baselines.KNN([1], RAW).fit(X, Y, groups=np.arange(40)).best_["loss"] < 1e-9
    assert baselines.KNN([1], RAW).fit(X, Y).best_["loss"] > 0.1


def test_groups_given_are_the_groups_used(noisy):
    X, Y = noisy
    runs = np.repeat(np.arange(6), 10)
    by_run = baselines.Ridge(views=RAW).fit(X, Y, groups=runs.astype(str))
    assert by_run.best_["loss"] != baselines.Ridge(views=RAW).fit(X, Y).best_["loss"]
    assert baselines.Ridge(views=RAW).fit(X, Y, runs).best_["loss"] == by_run.best_["loss"]


@pytest.mark.parametrize("method", METHODS)
def test_fusion_takes_a_view_for_each_modality_and_ignores_their_units(method):
    X, Y = mixtures(components=4)
    modalities = {"raman": X[:, :45], "libs": 1e5 * X[:, 45:]}
    fitted = method().fit(modalities, Y)
    assert set(fitted.best_["view"]) == {"raman", "libs"}
    fused = mean_absolute_error(Y, fitted.predict(modalities))
    assert fused < mean_absolute_error(Y, method().fit(modalities["raman"], Y).predict(modalities["raman"]))
    rescaled = method(views=RAW).fit({"raman": X[:, :45], "libs": X[:, 45:]}, Y)
    assert rescaled.best_["loss"] == pytest.approx(method(views=RAW).fit(modalities, Y).best_["loss"], rel=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_rows_of_nan_are_left_out_of_the_fit(method, noisy):
    X, Y = noisy
    gaps_x, gaps_y = X.copy(), Y.copy()
    gaps_x[50:], gaps_y[40:50] = np.nan, np.nan
    expected = method().fit(X[:40], Y[:40]).predict(X)
    np.testing.assert_allclose(method().fit(gaps_x, gaps_y).predict(X), expected)


@pytest.mark.parametrize("method", METHODS)
def test_flat_spectra_give_the_mean_composition(method):
    Y = mixtures(samples=12)[1]
    predicted = method([5]).fit(np.ones((12, 20)), Y).predict(np.ones((2, 20)))
    assert np.isfinite(predicted).all()
    if method is not baselines.KNN:
        np.testing.assert_allclose(predicted, np.tile(Y.mean(0), (2, 1)), atol=1e-9)


def test_more_latent_variables_than_the_spectra_hold_change_nothing():
    X, Y = mixtures(samples=8)
    twenty, all_of_them = (baselines.PLS([n], RAW).fit(X, Y).predict(X) for n in (20, 60))
    np.testing.assert_array_equal(twenty, all_of_them)


def test_more_neighbours_than_rows_is_all_rows():
    X, Y = mixtures(samples=8)
    np.testing.assert_allclose(baselines.KNN([50], RAW).fit(X, Y).predict(X), np.tile(Y.mean(0), (8, 1)))


def test_fitting_twice_answers_the_same_and_leaves_the_input_alone(noisy):
    X, Y = noisy
    before = X.copy()
    first, second = (baselines.PLS().fit(X, Y).predict(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(X, before)


def test_bad_input_is_refused_with_its_reason(noisy):
    X, Y = noisy
    hole = X.copy()
    hole[3, 7] = np.nan
    fitted = baselines.Ridge().fit({"raman": X}, Y)
    refusals = {
        r"X\['spectra'\]\[3\]: NaN": lambda: baselines.Ridge().fit(hole, Y),
        r"X\['raman'\]\[3\]: NaN": lambda: fitted.predict({"raman": hole}),
        "Y: shape": lambda: baselines.Ridge().fit(X, Y[:, 0]),
        "groups: shape": lambda: baselines.Ridge().fit(X, Y, groups=[1, 2]),
        "X: shapes": lambda: baselines.Ridge().fit(X[0], Y),
        "no row holds": lambda: baselines.Ridge().fit(X, np.full_like(Y, np.nan)),
        "groups: only 1": lambda: baselines.Ridge().fit(X, Y, groups=np.zeros(60)),
        "views: no view": lambda: baselines.Ridge(views={}).fit(X, Y),
        "strengths": lambda: baselines.PLS([0]).fit(X, Y),
        "modality is missing; did you mean 'Raman'": lambda: fitted.predict({"Raman": X}),
        "expected 90, as fitted": lambda: fitted.predict({"raman": X[:, :50]}),
    }
    for message, call in refusals.items():
        with pytest.raises(DataError, match=message):
            call()


def test_predicting_before_fitting_says_what_to_do(noisy):
    with pytest.raises(QueryError, match="call fit"):
        baselines.KNN().predict(noisy[0])
