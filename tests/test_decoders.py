"""Decoders: the mixing story in closed form, and the published networks."""

import pytest
import torch

from probspec.nets.decoders import MixingDecoder, NetworkDecoder

COMPONENTS, CHANNELS = 3, 40


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def end_members() -> torch.Tensor:
    channel = torch.linspace(0, 1, CHANNELS)
    return 1 + torch.stack([torch.exp(-0.5 * ((channel - centre) / 0.1) ** 2) for centre in (0.2, 0.5, 0.8)])


def compositions(rows: int, seed: int = 0) -> torch.Tensor:
    shares = -torch.rand(rows, COMPONENTS, generator=generator(seed)).log()
    return shares / shares.sum(-1, keepdim=True)


def mixtures(rows: int, noise: float | torch.Tensor, seed: int = 0, nuisance: float = 0.0):
    """Spectra, compositions, and the nuisance, which acts along one wave."""
    y, z = compositions(rows, seed), torch.randn(rows, 1, generator=generator(seed + 1))
    wave = torch.sin(torch.linspace(0, 12, CHANNELS))
    x = y @ end_members() + nuisance * z * wave + noise * torch.randn(rows, CHANNELS, generator=generator(seed + 2))
    return x, y


def fitted(x: torch.Tensor, y: torch.Tensor, directions: int = 2, groups: torch.Tensor | None = None) -> MixingDecoder:
    decoder = MixingDecoder(CHANNELS, y.shape[1], directions)
    decoder.fit(x, y, torch.arange(len(x)) if groups is None else groups)
    return decoder


class TestMixing:
    def test_end_members_of_noiseless_mixtures(self):
        """At a pure composition the decoder gives the end-member, though none was among the spectra."""
        x, y = mixtures(30, noise=0.0)
        decoder = fitted(x, y)
        pure, _ = decoder(torch.eye(COMPONENTS), torch.zeros(COMPONENTS, 2))
        assert y.max() < 0.99
        assert torch.allclose(decoder.scaling.inverse(pure), end_members(), atol=1e-3)

    def test_quantities_that_do_not_sum_to_one(self):
        y = 5 + 3 * torch.randn(60, 2, generator=generator(0))
        weights = torch.randn(2, CHANNELS, generator=generator(1))
        decoder = fitted(7 + y @ weights, y)
        mean, _ = decoder(torch.tensor([[1.0, 9.0]]), torch.zeros(1, 2))
        assert torch.allclose(decoder.scaling.inverse(mean), 7 + torch.tensor([[1.0, 9.0]]) @ weights, atol=0.02)

    def test_the_noise_of_each_channel_is_found(self):
        noise = torch.linspace(0.02, 0.1, CHANNELS)
        x, y = mixtures(400, noise, nuisance=0.3)
        decoder = fitted(x, y, directions=1)
        found = decoder.noise * decoder.scaling.spread
        # 400 rows: 3.5 % standard error a channel
        assert torch.allclose(found, noise, rtol=0.15)

    def test_the_nuisance_direction_is_found(self):
        x, y = mixtures(400, 0.02, nuisance=0.3)
        decoder = fitted(x, y, directions=1)
        wave = torch.sin(torch.linspace(0, 12, CHANNELS))
        found = decoder.directions[0] * decoder.scaling.spread
        assert torch.nn.functional.cosine_similarity(found, wave, dim=0).abs() > 0.995
        assert found.norm().item() == pytest.approx(0.3 * wave.norm().item(), rel=0.15)

    @pytest.mark.parametrize("rows", [30, 200])
    def test_new_spectra_are_as_far_off_as_it_says(self, rows):
        """Mean square over its own standard deviations near 1 on unseen rows, also where 40 channels meet 30 rows."""
        x, y = mixtures(rows, 0.05, nuisance=0.3)
        decoder = fitted(x, y, directions=1)
        new, truth = mixtures(300, 0.05, seed=9, nuisance=0.3)
        precision, shift = decoder.nuisance(decoder.scaling(new), truth)
        misfit = decoder.misfit(new, truth, torch.linalg.solve(precision, shift.T).T).mean().item()
        assert 0.9 < misfit < 1.35, misfit

    def test_held_out_groups_stay_together(self):
        """Five repeats of each composition: the noise must hold what a new composition brings, not a sixth repeat."""
        x, y = mixtures(8, 0.2)
        repeats = x.repeat_interleave(5, 0) + 0.001 * torch.randn(40, CHANNELS, generator=generator(5))
        y = y.repeat_interleave(5, 0)
        apart = fitted(repeats, y, groups=torch.arange(40))
        together = fitted(repeats, y, groups=torch.arange(8).repeat_interleave(5))
        assert together.noise.mean() > 2 * apart.noise.mean()

    def test_the_nuisance_posterior_is_that_of_the_joint_gaussian(self):
        x, y = mixtures(50, 0.05, nuisance=0.3)
        decoder = fitted(x, y, directions=3)
        scaled = decoder.scaling(x)
        precision, shift = decoder.nuisance(scaled, y)
        # By conditioning the joint covariance of (z, x) instead
        loading, noise = decoder.directions.double(), decoder.noise.double().square().diag()
        gain = loading @ torch.linalg.inv(loading.T @ loading + noise)
        expected, _ = decoder(y, torch.zeros(50, 3))
        mean = (scaled.double() - expected.double()) @ gain.T
        covariance = torch.eye(3).double() - gain @ loading.T
        posterior = torch.linalg.inv(torch.eye(3) + precision.double())
        assert torch.allclose(posterior, covariance, atol=1e-4)
        assert torch.allclose(shift.double() @ posterior, mean, atol=1e-3)

    def test_fewer_rows_than_directions(self):
        x, y = mixtures(5, 0.05)
        decoder = fitted(x, y, directions=9)
        assert decoder.directions.shape == (9, CHANNELS)
        assert decoder.noise.isfinite().all() and (decoder.noise > 0).all()
        assert torch.equal(decoder.directions[5:], torch.zeros(4, CHANNELS))

    def test_one_composition_alone(self):
        x, y = mixtures(6, 0.05)
        decoder = fitted(x, y[:1].expand(6, -1), groups=torch.zeros(6, dtype=torch.int64))
        assert all(value.isfinite().all() for value in decoder.state_dict().values())

    def test_equal_spectra(self):
        decoder = fitted(torch.ones(6, CHANNELS), compositions(6))
        assert all(value.isfinite().all() for value in decoder.state_dict().values())
        assert (decoder.noise > 0).all()

    def test_the_order_of_components_does_not_matter(self):
        x, y = mixtures(30, 0.05)
        order = torch.tensor([2, 0, 1])
        one, other = fitted(x, y), fitted(x, y[:, order])
        assert torch.allclose(one.endmembers[order], other.endmembers, atol=1e-4)
        assert torch.allclose(one.noise, other.noise, rtol=1e-3)


class TestNetwork:
    def test_shapes(self):
        decoder = NetworkDecoder(CHANNELS, COMPONENTS, 4)
        mean, width = decoder(compositions(6).expand(2, 6, -1), torch.zeros(2, 6, 4))
        assert mean.shape == width.shape == (2, 6, CHANNELS)
        assert decoder.law(compositions(6), torch.zeros(6, 4)).event_shape == (CHANNELS,)

    def test_the_width_cannot_collapse(self):
        decoder = NetworkDecoder(CHANNELS, COMPONENTS, 4)
        with torch.no_grad():
            decoder.net[-1].bias.fill_(-1e4)
        assert decoder(compositions(6), torch.zeros(6, 4))[1].min().item() == pytest.approx(0.01)

    def test_fit_sets_the_scaling(self):
        x, y = mixtures(30, 0.05)
        decoder = NetworkDecoder(CHANNELS, COMPONENTS, 4)
        decoder.fit(x, y, torch.arange(30))
        assert torch.allclose(decoder.scaling(x).mean(0), torch.zeros(CHANNELS), atol=1e-5)

    def test_misfit_counts_standard_deviations(self):
        decoder, y, z = NetworkDecoder(CHANNELS, COMPONENTS, 4), compositions(6), torch.zeros(6, 4)
        mean, width = decoder(y, z)
        assert torch.allclose(decoder.misfit(mean + 2 * width, y, z), torch.full((6,), 4.0), rtol=1e-4)
