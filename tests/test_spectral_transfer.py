"""`SpectralTransfer` and its preprocessing: scikit-learn's checks, bands that hold, repeats, axes, clear refusals."""

from dataclasses import replace

import numpy as np
import pytest
from instruments import pairs
from shared_data import shared_file
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

import probspec as ps
from probspec.baselines import PCRTransfer, RidgeTransfer
from probspec.errors import DataError, ProbspecError
from probspec.estimators import ReversibleScaler, SlidingMinimumBaseline
from probspec.metrics import relative_squared_error
from probspec.transfer.folds import left_out

NO_CHANNELS = "the check gives the primary one number a sample, without a dim of channels"
REASONS = {
    "check_fit_score_takes_y": "the second argument is called X_primary: it is spectra, not a target",
    "check_dtype_object": "what is no number is a DataError, which is a ValueError and not a TypeError",
    "check_transformer_data_not_an_array": NO_CHANNELS,
    "check_transformer_general": NO_CHANNELS,
    "check_transformer_preserve_dtypes": NO_CHANNELS,
}
FACES = [ps.SpectralTransfer(draws=50), SlidingMinimumBaseline(window=3, smoothing=2.0), ReversibleScaler()]


def reasons(estimator):
    return REASONS if isinstance(estimator, ps.SpectralTransfer) else {}


@parametrize_with_checks(FACES, expected_failed_checks=reasons)
def test_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def fitted():
    return ps.SpectralTransfer(draws=200).fit(*pairs(60))


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

    def test_a_spectrum_unlike_all_others_is_told(self, fitted):
        new, _ = pairs(40, seed=1)
        strange = new + np.where(np.arange(24) % 2, 1.0, -1.0)
        usual, odd = (np.asarray(fitted.posterior(x).anomaly()) for x in (new, strange))
        assert 0.3 < np.median(usual) < 1.4 and odd.min() > 3 * usual.max()  # as many directions as channels: below 1

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
            (lambda X, Y: (X[:1], Y[:1]), "1 sample on both instruments;"),
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

    @pytest.mark.parametrize(
        "setting",
        [
            {"latents": 2.5},
            {"latents": 0},
            {"preset": "paper", "latents": 0},
            {"draws": "10"},
            {"random_state": None},
            {"options": {"epochs": 3}},
        ],
        ids=str,
    )
    def test_settings_that_are_refused(self, setting):
        with pytest.raises(DataError, match=[*setting][-1]):
            ps.SpectralTransfer(**setting).fit(*pairs(40))

    def test_tables_have_columns(self, fitted):
        made = clone(fitted).set_output(transform="pandas").fit(*pairs(40)).transform(pairs(3)[0])
        assert made.shape == (3, 30) and made.columns[2] == "spectraltransfer2"

    def test_refusals_when_asked(self, fitted):
        X, Y = pairs(10)
        for prob in (0, "0.9", None, [0.9]):
            with pytest.raises(ProbspecError, match="prob"):
                fitted.predict_interval(X, prob=prob)
        with pytest.raises(DataError, match="name: 3 is taken"):
            fitted.add_secondary(3, X, Y)
        with pytest.raises(DataError, match="25 features, but SpectralTransfer is expecting 24"):
            fitted.transform(np.ones((2, 25)))
        with pytest.raises(DataError, match="X_primary: X has 29 features"):
            fitted.add_secondary("other", X, Y[:, 1:])
        with pytest.raises(DataError, match="secondary='b'"):
            fitted.transform(X, "b")
        with pytest.raises(ProbspecError, match="prob"):
            fitted.predict_interval(X, prob=90)
        with pytest.raises(DataError, match="preset"):
            ps.SpectralTransfer(preset="best").fit(X, Y)
        with pytest.raises(NotFittedError):
            ps.SpectralTransfer().transform(X)


MEASURED = {
    "nir_tablets_2instruments": (390, ["nir"]),
    "nir_corn_3instruments": (180, ["nir"]),
    "nir_sugarcane_7spectrometers": (45, ["Micronir1700", "Nirscan_nano"]),
    "libs_unlabelled_cranberry": (329, ["primary", "secondary"]),
    "libs_bhvo2_instruments": (1, ["chemcam", "supercam", "csa"]),
}


@pytest.mark.parametrize("name", MEASURED)
def test_measured_sets_are_read(name):
    rows, modalities = MEASURED[name]
    data = ps.open_spectra(shared_file(name), name)
    assert len(data) == rows and set(modalities) <= set(data.modalities)
    assert all(np.isfinite(data.spectra(modality, np.arange(1))).all() for modality in modalities)


class TestRepeats:
    def test_folds_keep_them_together(self):
        groups = np.repeat(np.arange(7), [1, 2, 3, 1, 4, 2, 5])
        asked = [held for _, held in left_out(groups, seed=3)]
        assert np.sort(np.concatenate(asked)).tolist() == list(range(len(groups)))
        for taught, held in left_out(groups, seed=3):
            assert not set(groups[taught]) & set(groups[held]) and len(taught) + len(held) == len(groups)

    def test_bands_hold_for_new_samples_where_repeats_share_an_error(self):
        """Each sample four times, with an error that its repeats share: rows held out singly would see it coming."""
        rng = np.random.default_rng(0)
        Y, X, new, truth = (np.repeat(block, 4, 0) for block in (*pairs(30)[::-1], *pairs(100, seed=1)))
        for block, count in ((X, 30), (new, 100)):
            block += np.repeat(0.5 * rng.standard_normal((count, X.shape[1])), 4, 0)
            block += 0.02 * rng.standard_normal(block.shape)
        groups = np.repeat(np.arange(30), 4)
        covered = {}
        for name, given in (("together", groups), ("singly", None)):
            lower, upper = ps.SpectralTransfer().fit(X, Y, groups=given).predict_interval(new)
            covered[name] = ((lower <= truth) & (truth <= upper)).mean()
        assert covered["together"] == pytest.approx(0.9, abs=0.08) and covered["singly"] < covered["together"] - 0.1

    def test_errors_of_repeats_are_not_asked_of_each_other(self):
        X, Y = pairs(24)
        reading = ps.SpectralTransfer().fit(X, Y, groups=np.arange(24) // 2).fit_.model.reading("secondary")
        assert reading.groups.tolist() == (np.arange(24) // 2).tolist()
        own = reading.widening(X, own=True)
        sizes = reading.sizes.copy()
        sizes[:2] = 100.0  # of the first sample: its own rows must not see it
        changed = replace(reading, sizes=sizes)
        np.testing.assert_array_equal(changed.widening(X, own=True)[:2], own[:2])

    @pytest.mark.parametrize(
        ("groups", "message"),
        [
            ([0, 1], r"groups: shape \(2,\)"),
            (np.r_[np.nan, np.arange(39)], r"groups\[0\]"),
            (np.arange(40) % 3, "3 samples"),
        ],
    )
    def test_refusals(self, groups, message):
        with pytest.raises(DataError, match=message):
            ps.SpectralTransfer().fit(*pairs(40), groups=groups)


class TestAxes:
    def test_they_need_not_agree_and_label_the_posterior(self):
        X, Y = pairs(30)
        secondary, primary = np.linspace(1000, 1400, X.shape[1]), np.linspace(600, 1640, Y.shape[1])
        fitted = ps.SpectralTransfer(draws=20).fit(X, Y, axis_secondary=secondary, axis_primary=primary)
        made = fitted.posterior(X[:2]).predictive("primary", draws=5)
        np.testing.assert_array_equal(made[made.dims[-1]].values, primary)

    @pytest.mark.parametrize(
        ("axes", "message"),
        [
            ({"axis_secondary": np.arange(23)}, "axis_secondary: 23 channels; expected 24"),
            ({"axis_primary": np.r_[np.arange(29), 3]}, r"axis_primary\[29\]"),
            ({"axis_secondary": np.r_[0, np.nan, np.arange(2, 24)]}, r"axis_secondary\[1\]"),
        ],
    )
    def test_refusals(self, axes, message):
        with pytest.raises(DataError, match=message):
            ps.SpectralTransfer().fit(*pairs(30), **axes)


class TestPreprocessing:
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
