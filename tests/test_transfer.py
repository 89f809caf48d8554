"""Transfer between instruments: figures by hand, maps that are what they claim, honest rivals."""

import numpy as np
import pytest
from instruments import lines, pairs
from sklearn.linear_model import Ridge

import probspec as ps
from probspec.baselines import RidgeTransfer
from probspec.errors import DataError, ProbspecError
from probspec.metrics import k_score, mean_euclidean_distance, negative_cosine, relative_squared_error
from probspec.transfer.basis import Basis, has_lines, is_light
from probspec.transfer.maps import Pairs, readings
from probspec.transfer.regressions import linear, ridge_path, sparse, weighted_ridge
from probspec.transfer.stacking import Evidence, believed

BASELINES = [name for name in ps.baselines.__all__ if name.endswith(("Transfer", "Standardisation"))]


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

    def test_lines_are_told_from_smooth_spectra(self):
        X, Y = lines(120)
        assert has_lines(Y) and is_light(X) and not has_lines(pairs(40)[1]) and not is_light(pairs(40)[1])

    def test_channelwise_where_axes_agree(self):
        _, Y = pairs(60)
        secondary = 0.5 + Y * np.linspace(1, 2, Y.shape[1])
        told = readings(Pairs(secondary[:40], Y[:40], secondary[40:], Basis.of(Y[:40]), Y[:0]))
        np.testing.assert_allclose(told[("channelwise",)], Basis.of(Y[:40]).scores(Y[40:]), atol=1e-6)

    def test_few_rows_are_read_by_the_favoured_family(self):
        rng = np.random.default_rng(0)
        truth = rng.standard_normal((12, 2))
        held_out = truth + 0.1 * rng.standard_normal((4, 12, 2))
        seen = Evidence(held_out, truth, np.arange(4.0)[:, None, None] * np.ones((4, 3, 2)), np.ones((3, 12)))
        said = [believed([name, "linear", "linear", "linear"])(seen).mean() for name in ("quadratic", "inversion")]
        assert said[0] > 1.4 and said[1] < 0.6

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
