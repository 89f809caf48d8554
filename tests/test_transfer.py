"""Transfer between instruments: figures by hand, rivals that are what they claim, bands that hold, clear refusals."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.utils.estimator_checks import check_estimator

import probspec as ps
from probspec.baselines import PCRTransfer, RidgeTransfer
from probspec.errors import DataError, ProbspecError
from probspec.estimators import ReversibleScaler, SlidingMinimumBaseline
from probspec.metrics import k_score, mean_euclidean_distance, negative_cosine, relative_squared_error
from probspec.transfer.basis import Basis, has_lines
from probspec.transfer.inversion import Inversion
from probspec.transfer.regressions import linear, ridge_path, sparse, weighted_ridge

BASELINES = [name for name in ps.baselines.__all__ if name.endswith(("Transfer", "Standardisation"))]


def pairs(count=80, channels=(24, 30), latents=3, noise=0.05, seed=0):
    """Linear in a few latents, the same instruments for every seed of the samples."""
    maps, rng = np.random.default_rng(99), np.random.default_rng(seed)
    z = rng.standard_normal((count, latents))
    return tuple(z @ maps.standard_normal((latents, c)) + noise * rng.standard_normal((count, c)) for c in channels)


def lines(count=80, seed=0):
    """Counted light: sparse lines on a continuum, a gain for each spectrum of the secondary."""
    maps, rng = np.random.default_rng(7), np.random.default_rng(seed)
    amount = rng.lognormal(0, 0.3, (count, 4))
    primary = 100 + amount @ (20000.0 * np.eye(4, 200)[:, maps.permutation(200)])
    secondary = rng.poisson(
        (20 + amount @ (300.0 * np.eye(4, 60)[:, maps.permutation(60)])) * rng.lognormal(0, 0.2, (count, 1))
    )
    return secondary.astype(float), primary + 5 * rng.standard_normal(primary.shape)


@pytest.fixture(scope="module")
def fitted():
    return ps.SpectralTransfer(draws=200).fit(*pairs(60))


class TestMetrics:
    def test_by_hand(self):
        x, y = np.array([[0.0, 2.0], [4.0, 6.0]]), np.array([[0.0, 3.0], [4.0, 6.0]])
        assert relative_squared_error(x, y) == pytest.approx(1 / (4 + 1 + 4 + 4))
        assert mean_euclidean_distance(x, y) == pytest.approx(0.5)
        assert negative_cosine(x, 3 * x) == pytest.approx(-1)
        assert ps.metrics.compression_ratio(10, 8, 2, 20) == 2

    def test_k_score_sees_exchanged_spectra(self):
        x = np.repeat(10 * np.eye(4), 5, axis=0) + 0.01 * np.random.default_rng(0).standard_normal((20, 4))
        assert k_score(x, x) == 1 and k_score(x, np.roll(x, 5, axis=0)) == 0

    def test_refusals(self):
        with pytest.raises(DataError, match="mean of the true"):
            relative_squared_error([[1.0], [3.0]], [[2.0], [2.0]])
        with pytest.raises(DataError, match="shapes"):
            mean_euclidean_distance([[1.0]], [[1.0, 2.0]])
        with pytest.raises(DataError, match="zeros"):
            negative_cosine([[0.0]], [[1.0]])
        with pytest.raises(DataError, match="clusters"):
            k_score([[1.0]], [[1.0]])


class TestMaps:
    def test_ridge_path_is_ridge(self):
        X, Y = pairs(30)
        centred = X - X.mean(0)
        (ours,) = ridge_path(linear(X, X), linear(X[:5], X), Y, (1e-3,))
        theirs = Ridge(1e-3 * (centred**2).sum()).fit(X, Y).predict(X[:5])
        np.testing.assert_allclose(ours, theirs, atol=1e-8)
        np.testing.assert_allclose(RidgeTransfer([1e-3]).fit(X, Y).transform(X[:5]), theirs, atol=1e-8)

    def test_left_out_errors_are_those_of_refitting(self):
        X, Y = pairs(20)
        kernel, penalty = linear(X, X), 0.01
        _, errors = weighted_ridge(kernel, kernel, Y, penalty, np.ones(20))
        trace = np.trace(kernel) - kernel.mean(0).sum()
        rest = np.arange(1, 20)
        inside = kernel[np.ix_(rest, rest)]
        own = penalty * trace / (np.trace(inside) - inside.mean(0).sum())
        alone, _ = weighted_ridge(inside, kernel[:1, rest], Y[rest], own, np.ones(19))
        np.testing.assert_allclose(errors[0], Y[0] - alone[0], atol=1e-8)

    def test_sparse_finds_the_one_feature_that_matters(self):
        rng = np.random.default_rng(0)
        F = rng.standard_normal((60, 12))
        said = sparse(F[:40], F[:40, 3:4] + 0.3 * rng.standard_normal((40, 1)), F[40:])
        assert np.corrcoef(said[:, 0], F[40:, 3])[0, 1] > 0.98

    def test_inversion_takes_a_gain_away(self):
        X, Y = lines(120)
        assert has_lines(Y)
        said = Inversion.fit(X[:80], Y[:80], 4).primary(X[80:])
        ridge = RidgeTransfer().fit(X[:80], Y[:80]).transform(X[80:])
        assert relative_squared_error(Y[80:], said) < 0.8 * relative_squared_error(Y[80:], ridge)

    def test_basis_goes_there_and_back(self):
        _, Y = pairs(40, noise=0)
        basis = Basis.of(Y)
        np.testing.assert_allclose(basis.spectra(basis.scores(Y)), Y, atol=1e-2)


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_have_one_face(name):
    X, Y = pairs(60)
    new, truth = pairs(30, seed=1)
    baseline = getattr(ps.baselines, name)()
    with pytest.raises(ProbspecError, match="fit"):
        baseline.transform(new)
    said = baseline.fit(X, Y).transform(new)
    assert said.shape == truth.shape and relative_squared_error(truth, said) < 0.9
    for X_bad, Y_bad in ((X[:50], Y), (np.where(X == X[0, 0], np.nan, X), Y)):
        with pytest.raises(DataError, match="X_secondary"):
            baseline.fit(X_bad, Y_bad)
    with pytest.raises(DataError, match="channels"):
        baseline.transform(new[:, 1:])


class TestSpectralTransfer:
    def test_as_good_as_a_linear_map_where_the_truth_is_linear(self, fitted):
        X, Y = pairs(60)
        new, truth = pairs(300, seed=1)
        best = min(relative_squared_error(truth, b().fit(X, Y).transform(new)) for b in (RidgeTransfer, PCRTransfer))
        assert relative_squared_error(truth, fitted.transform(new)) < 1.1 * best

    def test_bands_hold_what_they_say(self, fitted):
        new, truth = pairs(300, seed=1)
        for prob in (0.5, 0.9):
            lower, upper = fitted.predict_interval(new, prob=prob)
            assert ((lower <= truth) & (truth <= upper)).mean() == pytest.approx(prob, abs=0.06)

    def test_posterior_agrees_with_transform_and_band(self, fitted):
        new, truth = pairs(20, seed=1)
        post = fitted.posterior(new)
        made = post.predictive("primary", draws=200)
        lower, upper = fitted.predict_interval(new)
        assert np.abs(made.mean(("chain", "draw")).values - fitted.transform(new)).max() < (upper - lower).max()
        assert made.std(("chain", "draw")).values.mean() == pytest.approx((upper - lower).mean() / 3.29, rel=0.2)
        assert float(np.asarray(post.khat()).max()) < 0.5

    def test_same_seed_same_answer(self, fitted, untouched_generators):
        again = ps.SpectralTransfer(draws=200).fit(*pairs(60))
        new, _ = pairs(10, seed=1)
        np.testing.assert_array_equal(again.transform(new), fitted.transform(new))

    def test_further_secondaries_and_unpaired_spectra(self):
        X, Y = pairs(40)
        more = ps.SpectralTransfer().fit(X[:30], Y[:30], unpaired=pairs(50, seed=5)[1])
        more.add_secondary("cut", X[20:, :8], Y[20:])
        new, truth = pairs(60, seed=1)
        assert more.secondaries_ == ("secondary", "cut")
        assert relative_squared_error(truth, more.transform(new[:, :8], "cut")) < 0.1
        for name in ("cut", "primary", "no name"):
            with pytest.raises(DataError, match="name"):
                more.add_secondary(name, X, Y)

    def test_constant_and_saturated_channels(self):
        X, Y = pairs(40)
        X[:, 3], Y[:, 4], X[:, 5] = 1.0, 2.0, X[:, 5].clip(max=0.0)
        transfer = ps.SpectralTransfer().fit(X, Y)
        lower, upper = transfer.predict_interval(X[:5])
        assert np.isfinite(transfer.transform(X[:5])).all()
        np.testing.assert_allclose(transfer.transform(X[:5])[:, 4], 2.0, atol=1e-9)
        assert (lower <= upper).all()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda X, Y: (X[:10], Y), "X_secondary: 10 spectra, X_primary has 40"),
            (lambda X, Y: (X[:1], Y[:1]), "1 shared sample;"),
            (lambda X, Y: (np.where(X == X[2, 7], np.nan, X), Y), r"X_secondary\[2, 7\]: NaN"),
            (lambda X, Y: (X, np.where(Y == Y[3, 1], np.inf, Y)), r"X_primary\[3, 1\]: infinite"),
            (lambda X, Y: (X[0], Y), "X_secondary: shape"),
            (lambda X, Y: (np.ones_like(X), Y), "all spectra are equal"),
            (lambda X, Y: ([["a"]], Y), "no array of numbers"),
        ],
    )
    def test_refusals_in_fit(self, change, message):
        with pytest.raises(DataError, match=message):
            ps.SpectralTransfer().fit(*change(*pairs(40)))

    def test_refusals_when_asked(self, fitted):
        X, Y = pairs(10)
        with pytest.raises(DataError, match="25 channels; expected 24"):
            fitted.transform(np.ones((2, 25)))
        with pytest.raises(DataError, match="30 channels|X_primary"):
            fitted.add_secondary("other", X, Y[:, 1:])
        with pytest.raises(DataError, match="secondary='b'"):
            fitted.transform(X, "b")
        with pytest.raises(ProbspecError, match="prob"):
            fitted.predict_interval(X, prob=90)
        with pytest.raises(DataError, match="preset"):
            ps.SpectralTransfer(preset="best").fit(X, Y)
        with pytest.raises(NotFittedError):
            ps.SpectralTransfer().transform(X)


class TestPreprocessing:
    @pytest.mark.parametrize("transformer", [SlidingMinimumBaseline(window=3, smoothing=2.0), ReversibleScaler()])
    def test_scikit_learns_own_checks(self, transformer):
        check_estimator(transformer, on_skip=None)

    def test_baseline_follows_a_slope_and_leaves_lines(self):
        slope = np.linspace(0, 50, 2000)
        spectrum = slope.copy()
        spectrum[1000] += 30
        left = SlidingMinimumBaseline().fit_transform(spectrum[None])[0]
        assert left[1000] == pytest.approx(30, abs=2) and np.abs(np.delete(left, 1000)[100:-100]).max() < 2

    def test_scaling_goes_back(self):
        X, _ = pairs(20)
        X[:, 2] = 5.0
        scaler = ReversibleScaler().fit(X)
        np.testing.assert_allclose(scaler.inverse_transform(scaler.transform(X)), X)
        assert np.isfinite(scaler.transform(X)).all()
