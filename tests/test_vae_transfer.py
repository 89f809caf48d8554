"""The published networks of spectral transfer, small and trained fast; and sets that do not fit into memory."""

from dataclasses import replace

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from instruments import pairs
from torch import nn

import probspec as ps
from probspec.data.moments import moments
from probspec.errors import DataError, SpecError
from probspec.metrics import relative_squared_error
from probspec.models.transfer import LatentTransfer
from probspec.models.vae_transfer import VAETransfer
from probspec.spec import anonymous_spec
from probspec.training.options import TrainOptions
from probspec.transfer import folds
from probspec.transfer.published import primary_options

SMALL = {"latents": 4, "layers": (32, 16)}
QUICK = TrainOptions(epochs=300, batch_size=64, learning_rate=3e-3, schedule="cosine", clip_norm=None)


@pytest.fixture(scope="module")
def paper():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("probspec.transfer.published.LEARNING_RATE", 2e-3)
        return ps.SpectralTransfer(preset="paper", epochs=150, options=QUICK, draws=200, **SMALL).fit(*pairs(600))


class TestPaper:
    def test_it_learns(self, paper):
        new, truth = pairs(300, seed=1)
        assert relative_squared_error(truth, paper.transform(new)) < 0.05

    def test_bands_are_about_right(self, paper):
        new, truth = pairs(300, seed=1)
        lower, upper = paper.predict_interval(new, prob=0.9)
        assert 0.75 < ((lower <= truth) & (truth <= upper)).mean() < 0.99

    def test_the_secondary_is_stopped_by_rows_held_out(self, paper):
        assert np.isfinite(paper.fit_.history.best)

    def test_what_the_guide_says_counts_as_evidence(self, paper):
        post = paper.posterior(pairs(5, seed=1)[0])
        assert float(post.khat().max()) < 0.5

    def test_a_spectrum_unlike_all_others_is_told(self, paper):
        new, _ = pairs(40, seed=1)
        usual, odd = (
            np.asarray(paper.posterior(x).anomaly()) for x in (new, new + 2 * np.where(np.arange(24) % 2, 1.0, -1.0))
        )
        assert np.median(usual) == pytest.approx(1, abs=0.4) and np.median(odd) > 3 * np.median(usual)

    def test_the_published_annealing(self):
        model = VAETransfer(anonymous_spec({"primary": 30, "secondary": 24}, []))
        options = primary_options(313_600)
        assert (options.epochs, options.batch_size, options.learning_rate) == (50, 128, 1e-4)
        weights = [options.kl_weight_at(epoch) for epoch in np.linspace(0, 50, 2001)]
        falls = np.flatnonzero(np.diff(weights) < 0)
        assert len(falls) == 3 and weights[-1] == 0.5 and max(weights) == 0.5 and weights[0] == 0
        assert np.diff(weights)[0] == pytest.approx(0.5 / 500)
        assert primary_options(256).epochs == 2000  # as many as make 4000 steps
        assert [layer.out_features for layer in model.autoencoder.encoder.net if isinstance(layer, nn.Linear)] == [
            1024,
            512,
            128,
        ]

    @pytest.mark.parametrize("law", [dist.Uniform(torch.zeros(3), 2.0).to_event(1), dist.Dirichlet(torch.ones(5))])
    def test_priors_of_another_support(self, law):
        X, Y = pairs(40)
        spec = anonymous_spec({"primary": Y.shape[1], "secondary": X.shape[1]}, [])
        data = ps.Spectra.from_arrays({"primary": Y, "secondary": X}, spec)
        model = VAETransfer(spec, layers=(16,), reading_layers=(8,), epochs=2).with_priors(latent=law)
        fitted = ps.fit(model, data, options=TrainOptions(epochs=5))
        drawn = torch.from_numpy(ps.posterior(fitted, data.only("secondary"), draws=40).draws["latent"].values)
        assert np.isfinite(fitted.history.loss).all() and law.support.check(drawn).all()
        assert drawn.shape[-1] == law.event_shape[0] and fitted.model.transferred(X, "secondary").shape == Y.shape

    def test_two_secondaries_tell_more_than_one(self):
        """Where networks say N(m, s^2) twice, the product is narrower; with none measured it is the prior."""
        model = VAETransfer(anonymous_spec({"primary": 6, "a": 5, "b": 4}, []), latents=2, layers=(4,))
        batch = model.example()
        nothing = dict.fromkeys(batch.present, torch.zeros(8, dtype=torch.bool))
        with torch.no_grad():
            said = {name: reader(batch.x[name]) for name, reader in model.readers.items()}
            for seen in (("a",), ("b",), ("a", "b"), ()):
                there = nothing | {name: torch.ones(8, dtype=torch.bool) for name in seen}
                mean, width = model._read(replace(batch, present=there))
                precision = 1 + sum(said[name][1] ** -2 - 1 for name in seen)
                evidence = sum(said[name][0] * said[name][1] ** -2 for name in seen)
                torch.testing.assert_close(
                    width.expand(8, 2), torch.as_tensor(precision, dtype=torch.float32).rsqrt().expand(8, 2)
                )
                torch.testing.assert_close(
                    mean.expand(8, 2), torch.as_tensor(evidence / precision, dtype=torch.float32).expand(8, 2)
                )

    def test_refusals(self):
        spec = anonymous_spec({"primary": 30, "secondary": 24}, [])
        for bad in ({"layers": (0,)}, {"latents": 2.5}, {"epochs": -1}, {"reading_layers": ["8"]}):
            with pytest.raises(SpecError, match=next(iter(bad))):
                VAETransfer(spec, **bad)
        with pytest.raises(SpecError, match="at least one secondary"):
            VAETransfer(anonymous_spec({"primary": 30}, []))
        blocks = {"primary": np.ones((4, 30)), "secondary": np.full((4, 24), np.nan)}
        blocks["secondary"][:2], blocks["primary"][:2] = 1.0, np.nan
        with pytest.raises(DataError, match="primary has too"):
            ps.fit(VAETransfer(spec, **SMALL), ps.Spectra.from_arrays(blocks, spec))


class TestLargeSets:
    @pytest.fixture
    def file(self, tmp_path):
        X, Y = pairs(300)
        X[:20] = np.nan
        spec = anonymous_spec({"primary": Y.shape[1], "secondary": X.shape[1]}, [])
        ps.Spectra.from_arrays({"primary": Y, "secondary": X}, spec).write(tmp_path / "pairs.h5")
        return tmp_path / "pairs.h5", spec

    def test_moments_are_those_of_all_rows(self, file, monkeypatch):
        monkeypatch.setattr("probspec.data.rows.BLOCK_BYTES", 4 * 24 * 32)
        data = ps.open_spectra(*file)
        mean, spread = moments(data, "secondary")
        measured = data.spectra("secondary")[20:].astype(float)
        np.testing.assert_allclose(mean, measured.mean(0), atol=1e-12)
        np.testing.assert_allclose(spread, measured.std(0), rtol=1e-9)

    def test_closed_forms_take_a_seeded_part(self, file, monkeypatch):
        monkeypatch.setattr(folds, "MOST", 50)
        data = ps.open_spectra(*file)
        one, again, other = (ps.fit(LatentTransfer(data.spec, latents=3), data, seed=seed) for seed in (0, 0, 1))
        used = [fitted.model.reading("secondary").secondary for fitted in (one, again, other)]
        assert used[0].shape == (50, 24) and np.array_equal(used[0], used[1]) and not np.array_equal(used[0], used[2])
        new, truth = pairs(100, seed=1)
        assert relative_squared_error(truth, one.model.transferred(new, "secondary")) < 0.05

    def test_the_published_networks_read_a_file_in_blocks(self, file, monkeypatch):
        """The same weights, whether the file fits into the buffer or not (but for the order of rows)."""
        monkeypatch.setattr("probspec.data.batches.BUFFER_ROWS", 128)
        data = ps.open_spectra(*file)
        model = VAETransfer(data.spec, latents=3, layers=(16,), reading_layers=(16,), epochs=2)
        fitted = ps.fit(model, data, options=TrainOptions(epochs=2, batch_size=32))
        assert torch.isfinite(fitted.model.autoencoder.slow_log_noise).all() and np.isfinite(fitted.history.loss).all()
        mean, _ = moments(data, "primary")
        assert fitted.model.autoencoder.encoder.scaling.centre.numpy() == pytest.approx(mean, abs=0.3)
