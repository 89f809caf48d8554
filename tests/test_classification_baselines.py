"""Classifying baselines: closed forms, missing values integrated out, tiny classes, seeds and refusals."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit, logsumexp
from scipy.stats import multivariate_normal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis

from probspec.baselines import GaussianDiscriminant, NeuralClassifier
from probspec.baselines.incomplete import Normal, estimate, log_densities, patterns
from probspec.baselines.neural import _held_out
from probspec.errors import DataError, QueryError
from probspec.metrics import accuracy, negative_log_likelihood

MEANS = np.array([[0.0, 0.0, 0.0], [2.0, 0.0, 1.0], [0.0, 3.0, -1.0]])
SCALES = np.array([[[1, 0, 0], [0.8, 0.6, 0], [0, 0, 1]], [[0.5, 0, 0], [0, 1, 0], [0.3, 0.2, 0.7]], np.eye(3)])
NAMES = np.array(["augite", "biotite", "quartz"])
FEW = {"shrinkages": [1e-6], "ridges": [1e-9], "views": ["raw"]}
QUICK = {"epochs": 40, "batch_size": 64, "learning_rate": 1e-2}


def clouds(count, seed=0, missing=0.0):
    """Rows of three normal laws, some values missing at random."""
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.arange(count) % 3)
    X = MEANS[codes] + np.einsum("nij,nj->ni", SCALES[codes], rng.standard_normal((count, 3)))
    hidden = rng.random(X.shape) < missing
    hidden[np.arange(count), rng.integers(0, 3, count)] = False  # something is always reported
    return np.where(hidden, np.nan, X), NAMES[codes]


def both(**network):
    return [GaussianDiscriminant(), NeuralClassifier(published=False, **(QUICK | network))]


def true_posterior(x):
    log_joint = [multivariate_normal(m, s @ s.T).logpdf(x) for m, s in zip(MEANS, SCALES, strict=True)]
    return np.exp(log_joint - logsumexp(log_joint))


def test_posterior_is_that_of_the_laws_the_rows_came_from():
    X, y = clouds(30_000)
    proba = GaussianDiscriminant().fit(X, y).predict_proba(X[:200])
    exact = np.array([true_posterior(x) for x in X[:200]])
    np.testing.assert_allclose(proba, exact, atol=0.04)


def test_two_equal_normals_give_the_logistic_curve_in_closed_form():
    half = np.array([-1.5, -0.5, 0.5, 1.5])
    X = np.concatenate([half - 1, half + 1])[:, None] / np.sqrt(np.mean(half**2))  # variance 1, means -+ a
    a = 1 / np.sqrt(np.mean(half**2))
    X, y = np.tile(X, (500, 1)), np.tile(np.repeat(["left", "right"], 4), 500)
    at = np.array([-0.7, 0.0, 0.4])
    fitted = GaussianDiscriminant([math.inf], [1e-9], ["raw"]).fit(X, y)
    np.testing.assert_allclose(fitted.predict_proba(at[:, None])[:, 1], expit(2 * a * at), atol=1e-3)


@pytest.mark.parametrize(
    ("shrinkage", "theirs"),
    [(math.inf, LinearDiscriminantAnalysis(solver="lsqr")), (1e-6, QuadraticDiscriminantAnalysis())],
)
def test_with_complete_rows_it_is_scikit_learns_linear_or_quadratic_analysis(shrinkage, theirs):
    X, y = clouds(3000)
    ours = GaussianDiscriminant([shrinkage], [1e-9], ["raw"]).fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(X[:300]), theirs.fit(X, y).predict_proba(X[:300]), atol=0.01)


def test_a_missing_value_is_integrated_out():
    X, y = clouds(300, missing=0.3)
    fitted = GaussianDiscriminant(views=["raw"]).fit(X, y)
    row = np.array([0.4, 1.1, np.nan])
    density = []
    for k in range(3):

        def joint(value, k=k):
            complete = fitted.scaling_(np.array([[0.4, 1.1, value]]))
            return np.exp(fitted.laws_.log_joint(complete, fitted.settings_)[0, k])

        density.append(quad(joint, -60, 60, points=[-5, 0, 5], epsabs=1e-12)[0])
    np.testing.assert_allclose(fitted.predict_proba([row])[0], np.array(density) / sum(density), rtol=1e-6)


def test_marginal_densities_by_hand_pattern_by_pattern():
    X = np.array([[0.3, np.nan, 1.0], [np.nan, np.nan, np.nan], [0.1, 0.2, 0.3], [np.nan, 2.0, np.nan]])
    covariances = np.stack([s @ s.T for s in SCALES])
    found = log_densities(X, MEANS, covariances)
    for k, (mean, covariance) in enumerate(zip(MEANS, covariances, strict=True)):
        for i, x in enumerate(X):
            here = np.flatnonzero(~np.isnan(x))
            law = multivariate_normal(mean[here], covariance[np.ix_(here, here)]) if len(here) else None
            assert found[i, k] == pytest.approx(law.logpdf(x[here]) if law else 0.0)


def test_patterns_hold_every_row_once():
    X, _ = clouds(200, missing=0.4)
    found = list(patterns(X))
    assert sorted(np.concatenate([p.rows for p in found])) == list(range(200))
    assert all((~np.isnan(X[p.rows]) == p.reported).all() for p in found)
    assert len({tuple(p.reported) for p in found}) == len(found)


def test_estimate_from_monotone_missing_rows_is_andersons_closed_form():
    rng = np.random.default_rng(1)
    first = rng.standard_normal(400)
    second = 1 + 2 * first + 0.5 * rng.standard_normal(400)
    second[first > 0.2] = np.nan  # missing, given the first: a mean over what is there is far off
    seen = ~np.isnan(second)
    slope = np.cov(first[seen], second[seen])[0, 1] / first[seen].var(ddof=1)
    mean = second[seen].mean() + slope * (first.mean() - first[seen].mean())
    residual = (second[seen] - second[seen].mean() - slope * (first[seen] - first[seen].mean())).var()
    law = estimate(np.c_[first, second], Normal(np.zeros(2), np.eye(2)), np.zeros(2), 0.0, rounds=3000, tolerance=1e-9)
    np.testing.assert_allclose(law.mean, [first.mean(), mean], atol=1e-5)
    np.testing.assert_allclose(law.covariance[0, 1], slope * first.var(), rtol=1e-4)
    np.testing.assert_allclose(law.covariance[1, 1], residual + slope**2 * first.var(), rtol=1e-4)


def test_estimate_of_complete_rows_is_the_sample_mean_and_covariance():
    X, _ = clouds(50)
    law = estimate(X, Normal(np.zeros(3), np.eye(3)), np.zeros(3), 0.0)
    np.testing.assert_allclose(law.mean, X.mean(0))
    np.testing.assert_allclose(law.covariance, np.cov(X.T, ddof=0))


def test_incomplete_rows_are_worth_more_than_none():
    X, y = clouds(400, missing=0.5)
    complete = ~np.isnan(X).any(1)
    new, truth = clouds(3000, seed=1)
    losses = [
        negative_log_likelihood(GaussianDiscriminant().fit(X[rows], y[rows]).predict_proba(new), truth, NAMES)
        for rows in (slice(None), complete)
    ]
    assert losses[0] < losses[1]


@pytest.mark.parametrize("rows", [1, 2, 13])
def test_tiny_classes_have_a_law(rows):
    X, y = clouds(200)
    rare, names = np.array([[30.0, 30.0, np.nan]]) + 0.1 * np.arange(rows)[:, None], ["zircon"] * rows
    X, y = np.r_[X, rare], np.r_[y, names]
    for classifier in both():
        proba = classifier.fit(X, y).predict_proba(X)
        assert np.isfinite(proba).all()
        np.testing.assert_allclose(proba.sum(1), 1)
    assert (GaussianDiscriminant().fit(X, y).predict(X)[200:] == "zircon").all()


def test_a_column_that_a_class_never_reports_does_not_rule_it_out():
    X, y = clouds(600)
    X[y == "quartz", 2] = np.nan  # quartz lies far off in column 1
    row = np.array([[0.0, 3.0, 0.5]])
    assert GaussianDiscriminant().fit(X, y).predict(row) == ["quartz"]


@pytest.mark.parametrize("classifier", both(), ids=["gaussian", "network"])
def test_face(classifier):
    X, y = clouds(400, missing=0.2)
    assert classifier.fit(X.tolist(), y.tolist()) is classifier
    proba = classifier.predict_proba(X)
    assert proba.shape == (400, 3)
    np.testing.assert_allclose(proba.sum(1), 1)
    np.testing.assert_array_equal(classifier.classes_, NAMES)
    np.testing.assert_array_equal(classifier.predict(X), NAMES[proba.argmax(1)])
    assert accuracy(proba, y, NAMES) > 0.8


def test_settings_are_chosen_on_left_out_groups():
    X, y = clouds(240)
    groups = np.arange(240) % 8
    fitted = GaussianDiscriminant().fit(X, y, groups)
    assert fitted.best_["loss"] == min(fitted.losses_.values())
    assert len(fitted.losses_) == 2 * 5 * 4
    assert fitted.losses_ != GaussianDiscriminant().fit(X, y).losses_
    assert fitted.losses_ == GaussianDiscriminant().fit(X, y, groups.astype(str)).losses_
    assert GaussianDiscriminant(**FEW).fit(X, y).losses_ == {}


def test_view_is_the_one_in_which_the_laws_are_normal():
    rng = np.random.default_rng(0)
    roots = np.where(np.arange(900) % 2, 3.0, 4.0)[:, None] + rng.normal(0, 1, (900, 2))
    y = NAMES[np.arange(900) % 2]
    assert GaussianDiscriminant().fit(np.sign(roots) * roots**2, y).best_["view"] == "square root"
    assert GaussianDiscriminant().fit(roots, y).best_["view"] == "raw"


def test_one_large_group_shows_that_small_covariances_are_too_bold():
    rng = np.random.default_rng(0)
    paper = np.repeat(np.arange(12), 20)
    y = np.where(paper % 2, "augite", "quartz")
    X = rng.normal(0, 1, (12, 2))[paper] + rng.normal(0, 0.01, (240, 2))  # papers differ, minerals hardly
    alone, grouped = (GaussianDiscriminant().fit(X, y, groups).best_["loss"] for groups in (None, paper))
    assert grouped > 2 * alone


@pytest.mark.parametrize("published", [True, False])
def test_network_fills_missing_values_as_it_says(published):
    X, y = clouds(300, missing=0.2)
    X += 5
    fitted = NeuralClassifier(published=published, **QUICK).fit(X, y)
    filling = 0.0 if published else np.nanmean(X[:, 1])
    with_gap, filled = (fitted.predict_proba([[5.0, value, 5.0]]) for value in (np.nan, filling))
    np.testing.assert_array_equal(with_gap, filled)


def test_masking_in_training_is_what_makes_gaps_harmless():
    rng = np.random.default_rng(0)
    y = rng.permutation(np.arange(900) % 2)
    X = np.where(y, 60.0, 40.0)[:, None] + rng.normal(0, 1, (900, 3))  # each column alone tells the classes apart
    gaps = X.copy()
    gaps[:, 0] = np.nan
    scores = {}
    for published in (True, False):
        fitted = NeuralClassifier(published=published, **QUICK).fit(X, y)
        scores[published] = accuracy(fitted.predict_proba(gaps), y)
    assert scores[False] > 0.99
    assert scores[True] < 0.9


def test_network_stops_early_and_returns_to_its_best():
    X, y = clouds(200)
    noise = np.random.default_rng(0).permutation(y)
    history = NeuralClassifier(epochs=400, patience=5, learning_rate=1e-2, batch_size=32).fit(X, noise).history_
    assert history.stopped == "early"
    assert history.best_epoch < history.epochs


def test_held_out_rows_are_whole_groups_and_leave_every_class_behind():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 30, 600)
    codes = rng.integers(0, 3, 600)
    codes[groups == 7] = 3  # a class that only one paper has
    for seed in range(20):
        held = _held_out(codes, groups, 0.2, seed)
        assert 0.05 < held.mean() <= 0.2
        assert not set(groups[held]) & set(groups[~held])
        assert set(codes[~held]) == {0, 1, 2, 3}
    assert not _held_out(codes, np.zeros(600, int), 0.2, 0).any()


@pytest.mark.parametrize("classifier", [GaussianDiscriminant, NeuralClassifier])
def test_same_seed_same_answers_and_no_global_generator(classifier, untouched_generators):
    X, y = clouds(150, missing=0.2)
    first, second = (classifier(random_state=3).fit(X, y).predict_proba(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_another_seed_another_network():
    X, y = clouds(150)
    first, second = (NeuralClassifier(random_state=s, **QUICK).fit(X, y).predict_proba(X) for s in (0, 1))
    assert np.abs(first - second).max() > 1e-4


def test_input_is_left_alone():
    X, y = clouds(100, missing=0.3)
    before = X.copy()
    for classifier in both():
        classifier.fit(X, y).predict(X)
    np.testing.assert_array_equal(X, before)


def test_bad_input_is_refused_with_its_reason():
    X, y = clouds(60)
    hole, empty = X.copy(), X.copy()
    hole[3, 1], empty[:, 2] = np.inf, np.nan
    fitted = GaussianDiscriminant().fit(X, y)
    refusals = {
        r"X\[3, 1\]: infinity": lambda: GaussianDiscriminant().fit(hole, y),
        r"X\[:, 2\]: reported by no row": lambda: NeuralClassifier().fit(empty, y),
        "X: shape": lambda: GaussianDiscriminant().fit(X[0], y),
        "X: values that are no numbers": lambda: GaussianDiscriminant().fit([["high", "low"]], ["quartz"]),
        "y: shape": lambda: GaussianDiscriminant().fit(X, y[:5]),
        "y: only the class 'quartz'": lambda: NeuralClassifier().fit(X, ["quartz"] * 60),
        r"y\[1\]: no class": lambda: GaussianDiscriminant().fit(X[:2], ["quartz", None]),
        "groups: shape": lambda: GaussianDiscriminant().fit(X, y, groups=[1, 2]),
        "groups: 1 groups": lambda: GaussianDiscriminant().fit(X, y, groups=np.zeros(60)),
        "shrinkages": lambda: GaussianDiscriminant(shrinkages=[0]).fit(X, y),
        "ridges": lambda: GaussianDiscriminant(ridges=[]).fit(X, y),
        "views: got 'log'; .*Known: raw, square root": lambda: GaussianDiscriminant(views=["log"]).fit(X, y),
        "views: no view": lambda: GaussianDiscriminant(views=[]).fit(X, y),
        "masking": lambda: NeuralClassifier(masking=1.0).fit(X, y),
        "X: 2 columns; expected 3": lambda: fitted.predict(X[:, :2]),
    }
    for message, call in refusals.items():
        with pytest.raises(DataError, match=message):
            call()
    with pytest.raises(QueryError, match="call fit"):
        NeuralClassifier().predict(X)
