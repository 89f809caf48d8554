"""Counted light: channels that are found, an instrument that is learned from a dozen pairs, and its inversion."""

import numpy as np
import pytest
from counted_light import BLUR, CHANNELS, DARK, PLACES, READ, RESPONSE, counted, emission, light

import probspec as ps
from probspec.baselines import DirectStandardisation, RidgeTransfer
from probspec.metrics import relative_squared_error
from probspec.transfer.alignment import Alignment
from probspec.transfer.correction import corrected
from probspec.transfer.inversion import Inversion
from probspec.transfer.optics import Optics


@pytest.fixture(scope="module")
def optics():
    X, Y = counted(60)
    alignment = Alignment.find(X.mean(0), Y.mean(0))
    assert alignment is not None
    return Optics.fit(alignment, X, Y)


class TestAlignment:
    def test_channels_are_found_without_an_axis(self, optics):
        assert np.median(np.abs(optics.alignment.positions - PLACES)) < 1
        assert optics.alignment.blur == pytest.approx(BLUR, rel=0.3)

    def test_a_part_may_lie_outside(self):
        X, Y = counted(60)
        found = Alignment.find(X.mean(0), Y[:, 300:].mean(0))
        assert found is not None
        assert np.median(np.abs(found.positions + 300 - PLACES)[found.inside(CHANNELS - 300)]) < 1
        assert found.inside(CHANNELS - 300).sum() == pytest.approx((PLACES > 300).sum(), abs=2)

    def test_other_lines_are_not_aligned(self):
        X, Y = counted(60)
        assert Alignment.find(X.mean(0)[::-1], Y.mean(0)) is None
        assert Alignment.find(X[:, :40].mean(0), Y.mean(0)) is None


class TestOptics:
    def test_instrument_is_learned(self, optics):
        assert optics.dark == pytest.approx(DARK, abs=6) and optics.gain == pytest.approx(0.15, abs=0.05)
        assert np.median(np.abs(optics.response / RESPONSE - 1)) < 0.1
        assert np.median(optics.noise / (optics.mean + DARK + READ**2)) == pytest.approx(1, abs=0.2)

    def test_what_it_simulates_is_what_was_measured(self, optics):
        X, Y = counted(200, seed=3)
        made = optics.simulated(Y, np.random.default_rng(0))
        assert np.median(made.std(0) / X.std(0)) == pytest.approx(1, abs=0.1)
        assert np.median(np.abs(made.mean(0) + optics.dark - X.mean(0)) / X.std(0)) < 0.3


class TestInversion:
    def test_gain_and_noise_are_taken_away(self, optics):
        X, Y = counted(40)
        new, truth = counted(100, seed=1)
        inversion = Inversion.through(optics, Y, 30)
        ridge = RidgeTransfer().fit(X, Y).transform(new)
        said = inversion.spectra(inversion.told(optics.light(new)))
        assert relative_squared_error(truth, said) < 0.3 * relative_squared_error(truth, ridge)

    def test_light_without_noise_goes_there_and_back(self, optics):
        Y = emission(60)
        inversion = Inversion.through(optics, Y, 5)
        np.testing.assert_allclose(inversion.spectra(inversion.latent(Y)), Y, atol=0.02 * Y.max())
        told = inversion.told(2 * optics.seen(Y))  # at twice the gain
        assert np.corrcoef(told[:, 0], inversion.latent(Y)[:, 0])[0, 1] > 0.99

    def test_correction_learns_what_is_not_normal(self, optics):
        """Two kinds of spectra: a normal cloud would set ambiguous ones between them."""
        rng = np.random.default_rng(0)
        ends = emission(2, seed=8)
        kind = rng.integers(0, 2, 260)
        Y = ends[kind] + 3 * rng.standard_normal((260, CHANNELS))
        dim = 0.002 * light(Y)  # little light: a normal law reads it as something between
        Y_known, dim_known, Y_new, dim_new = Y[:200], dim[:200], Y[200:], dim[200:]
        X_known, X_new = (rng.poisson(block + 1).astype(float) for block in (dim_known, dim_new))
        weak = Optics.fit(optics.alignment, X_known, Y_known)
        inversion = Inversion.through(weak, Y_known, 1)
        plain = inversion.spectra(inversion.told(weak.light(X_new)))
        (better,) = corrected(inversion, X_known, Y_known, Y_known, X_new, (1e-3,))
        assert relative_squared_error(Y_new, better) < 0.9 * relative_squared_error(Y_new, plain)


@pytest.fixture(scope="module")
def new():
    return counted(100, seed=1)


class TestFewPairs:
    @pytest.mark.parametrize("unpaired", [None, emission(60, seed=3)], ids=["alone", "with unpaired spectra"])
    def test_a_dozen_are_enough(self, new, unpaired):
        X, Y = counted(12, seed=2)
        transfer = ps.SpectralTransfer().fit(X, Y, unpaired=unpaired)
        plain = DirectStandardisation().fit(X, Y).transform(new[0])
        said = transfer.transform(new[0])
        assert relative_squared_error(new[1], said) < 0.3 * relative_squared_error(new[1], plain)
        lower, upper = transfer.predict_interval(new[0])
        assert 0.84 < ((lower <= new[1]) & (new[1] <= upper)).mean() < 0.96

    def test_saved_and_loaded(self, new, tmp_path):
        X, Y = counted(12, seed=2)
        fit = ps.SpectralTransfer().fit(X, Y, unpaired=emission(20, seed=3)).fit_
        ps.save(fit, tmp_path / "fit")
        again = ps.load(tmp_path / "fit").model
        np.testing.assert_array_equal(
            again.transferred(new[0][:5], "secondary"), fit.model.transferred(new[0][:5], "secondary")
        )
