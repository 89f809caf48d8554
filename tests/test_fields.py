"""Inference of maps: grids, laws, solutions, and posteriors of small cubes whose answer is known."""

import numpy as np
import pytest
import torch

from probspec.counts import check_counts
from probspec.errors import DataError, FitError, PriorError, QueryError
from probspec.fields import FieldOptions, GaussianField, Independent, StarletSparse, infer_maps
from probspec.fields.fisher import Metric
from probspec.fields.grid import Grid, inner
from probspec.fields.likelihood import PoissonMaps, Roots
from probspec.fields.solve import solve
from probspec.fields.spectrum import SmoothSpectrum
from probspec.mixtures import Mixture
from probspec.starlet import starlet
from probspec.surrogates import Surrogate

SIDE, CHANNELS = 12, 20
LAWS = (GaussianField(std=0.7), Independent(std=0.7), StarletSparse(scales=2))
QUICK = FieldOptions(pairs=(1, 1, 2, 2), draws=40)


@pytest.fixture(scope="module")
def mixture() -> Mixture:
    """A peak that moves, and a slope that changes."""
    energy = np.linspace(0, 1, CHANNELS)
    place, slope = np.linspace(0.3, 0.7, 15), np.linspace(0.5, 3, 15)
    peak = np.exp(-0.5 * ((energy - place[:, None]) / 0.1) ** 2) + 0.05
    return Mixture(
        {"peak": Surrogate.fit(peak, place, ["place"]), "slope": Surrogate.fit(np.exp(-slope[:, None] * energy), slope)}
    )


@pytest.fixture(scope="module")
def line() -> Mixture:
    """One component without parameters."""
    return Mixture({"line": np.exp(-(np.linspace(-2, 2, CHANNELS) ** 2))})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def complex_noise(grid: Grid, *shape: int, seed: int = 0) -> torch.Tensor:
    return grid.white(shape, generator(seed))


class TestGrid:
    @pytest.mark.parametrize("shape", [(94, 94), (12, 7), (1, 1)])
    def test_transforms_keep_lengths_and_return(self, shape: tuple[int, int]):
        grid = Grid(shape)
        assert all(whole >= part for whole, part in zip(grid.size, shape, strict=True))
        field = torch.randn(2, *grid.size, generator=generator())
        held = grid.coefficients(field)
        torch.testing.assert_close(grid.field(held), field)
        torch.testing.assert_close(inner(held, held, 2), field.square().sum((1, 2)))

    def test_spreading_is_the_adjoint_of_cutting(self):
        grid = Grid((12, 9))
        fields, maps = complex_noise(grid, 3), torch.randn(3, 12, 9, generator=generator(1))
        torch.testing.assert_close(inner(fields, grid.spread(maps)), (grid.cut(fields) * maps).sum())


class TestLaws:
    grid = Grid((5, 6), size=(6, 8))

    def covariance(self, power: torch.Tensor) -> torch.Tensor:
        """By the sum of cosines over the whole plane, pixel by pixel."""
        rows, columns = self.grid.size
        y, x = (v.flatten().double() for v in torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij"))
        dy, dx = y[:, None] - y, x[:, None] - x
        made = torch.zeros(rows * columns, rows * columns, dtype=torch.float64)
        for row in range(rows):
            for column in range(columns):
                held = power[row, column] if column <= columns // 2 else power[-row % rows, columns - column]
                made += held * torch.cos(2 * torch.pi * (row * dy / rows + column * dx / columns))
        return made / (rows * columns)

    @pytest.mark.parametrize("law", LAWS[:2], ids=lambda law: type(law).__name__)
    def test_log_prob_is_that_of_the_dense_covariance(self, law):
        prior = law.on(self.grid)
        fields = torch.randn(3, *self.grid.size, generator=generator(), dtype=torch.float64)
        dense = torch.distributions.MultivariateNormal(torch.zeros(48).double(), self.covariance(prior.power))
        torch.testing.assert_close(prior.log_prob(fields), dense.log_prob(fields.flatten(1)))

    def test_sparse_log_prob_is_that_of_the_starlet_of_a_tiled_map(self):
        law = StarletSparse(std=0.3, scales=2, coarse_std=1.5, mean_std=2.0)
        field = torch.randn(*self.grid.size, generator=generator(), dtype=torch.float64)
        parts = starlet(field.repeat(5, 5), 2)[:, 12:18, 16:24]  # the middle tile does not feel the mirrors
        details, coarse = parts[:-1], parts[-1]
        prior = law.on(self.grid)
        expected = -(details.abs() / prior.scale[:, None, None]).sum() - 0.5 * field.mean().square() / 4
        expected -= 0.5 * (coarse - coarse.mean()).square().sum() / 1.5**2
        torch.testing.assert_close(prior.log_prob(field), expected, rtol=1e-5, atol=1e-4)

    def test_bound_of_the_sparse_law_touches_where_it_was_learnt(self):
        grid, law = Grid((12, 12)), StarletSparse(std=0.3, scales=2)
        field = complex_noise(grid)
        prior = law.on(grid).learned(field, 0 * torch.stack([field, field]))
        step = 1e-3 * complex_noise(grid, seed=1)
        change = prior.log_prob(grid.field(field + step)) - prior.log_prob(grid.field(field - step))
        torch.testing.assert_close(change, -2 * inner(prior.precision(field), step, 2), rtol=0.02, atol=1e-3)

    @pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
    def test_noise_has_the_inverse_covariance(self, law):
        grid = Grid((12, 12))
        prior, probe = law.on(grid), complex_noise(grid)
        noise = inner(prior.noise(4000, generator(1)), probe, 2)
        expected = inner(prior.precision(probe), probe, 2)
        assert abs(noise.mean()) < 4 * noise.std() / 4000**0.5
        assert abs(noise.square().mean() / expected - 1) < 4 * (2 / 4000) ** 0.5

    def test_spectrum_of_known_fields_is_learnt(self):
        grid = Grid((48, 48), size=(48, 48))
        true, prior = (GaussianField(std=std, slope=slope).on(grid) for std, slope in ((1.0, -3.0), (0.3, -1.0)))
        field = complex_noise(grid) * true.power.sqrt().float()
        for _ in range(15):
            prior = prior.learned(field, 0 * torch.stack([field, field]))
        ratio = (prior.power / true.power)[grid.frequency > 1.5 / 48].log()  # of the lowest there are few
        assert ratio.abs().max() < 1 and ratio.abs().mean() < 0.2

    def test_power_law_has_the_asked_variance(self):
        grid = Grid((32, 32))
        power = GaussianField(std=0.5, mean_std=1e-3).on(grid).power
        assert grid.field(complex_noise(grid, 400) * power.sqrt().float()).std() == pytest.approx(0.5, rel=0.05)
        assert SmoothSpectrum(grid, -2.0).power_law(1.0).diff().lt(0).all()

    @pytest.mark.parametrize(
        "wrong", [lambda: GaussianField(std=0), lambda: Independent(mean_std=-1), lambda: StarletSparse(scales=0)]
    )
    def test_laws_that_are_none_are_refused(self, wrong):
        with pytest.raises(PriorError, match="expected"):
            wrong()


class TestSolutions:
    def metric(self, mixture: Mixture, laws=None) -> tuple[Grid, Metric]:
        """Where counts differ by decades between pixels."""
        grid = Grid((4, 5), size=(6, 8))
        rng = np.random.default_rng(0)
        cube = rng.poisson(10 ** rng.uniform(0, 3, (4, 5, 1)) * np.ones(CHANNELS) / CHANNELS)
        likelihood = PoissonMaps(mixture, check_counts(cube, CHANNELS))
        maps = torch.randn(len(likelihood.links.names), 20, generator=generator()) + 2
        fisher = likelihood.linearised(maps).fisher
        return grid, Metric(grid, [law.on(grid) for law in laws or [LAWS[0]] * len(maps)], fisher)

    @pytest.mark.parametrize("sparse", [False, True])
    def test_solution_is_that_of_the_dense_matrix(self, mixture: Mixture, sparse: bool):
        grid, metric = self.metric(mixture, [LAWS[0], LAWS[2], LAWS[0], LAWS[1]] if sparse else None)
        basis = torch.eye(4 * 48).reshape(-1, 4, 6, 8)
        dense = grid.field(metric.product(grid.coefficients(basis))).flatten(1)
        torch.testing.assert_close(dense, dense.T, rtol=1e-4, atol=1e-3)
        right = torch.randn(2, 4, 6, 8, generator=generator())
        found = solve(metric.product, grid.coefficients(right), metric.preconditioner(), 200, 1e-5)
        expected = torch.linalg.solve(dense.double(), right.flatten(1).double().T).T
        torch.testing.assert_close(grid.field(found).flatten(1).double(), expected, rtol=1e-2, atol=1e-3)

    def test_preconditioner_is_symmetric_and_positive(self, mixture: Mixture):
        grid, metric = self.metric(mixture)
        basis = torch.eye(4 * 48).reshape(-1, 4, 6, 8)
        dense = grid.field(metric.preconditioner()(grid.coefficients(basis))).flatten(1).double()
        torch.testing.assert_close(dense, dense.T, rtol=1e-4, atol=1e-5)
        assert torch.linalg.eigvalsh((dense + dense.T) / 2).min() > 0

    def test_preconditioner_saves_steps_where_counts_differ_by_decades(self, line: Mixture):
        grid = Grid((40, 40))
        bright = torch.hypot(torch.arange(40.0)[:, None] - 20, torch.arange(40.0) - 20) < 12
        fisher = (0.1 * 1e4**bright).reshape(-1, 1, 1)
        metric = Metric(grid, [GaussianField(std=2.0).on(grid)], fisher)
        right = complex_noise(grid, 1)

        def misses(precondition, steps: int) -> float:
            found = solve(metric.product, right[:, None], precondition, steps, 1e-6)
            rest = right[:, None] - metric.product(found)
            return float(inner(rest, metric.preconditioner()(rest)).sqrt())

        assert misses(metric.preconditioner(), 25) < misses(lambda fields: fields / metric.priors[0].inverse, 100)


class TestLikelihood:
    @pytest.mark.parametrize("roots", [False, True])
    def test_gradient_and_fisher_are_those_of_autograd(self, mixture: Mixture, roots: bool):
        cube = np.random.default_rng(0).poisson(30.0, (2, 3, CHANNELS)).astype(float)
        exposure = np.random.default_rng(1).uniform(0.5, 2, (2, 3, CHANNELS))
        counts = check_counts(cube, CHANNELS, exposure=exposure, known=np.full(CHANNELS, 2.0))
        likelihood = PoissonMaps(mixture, counts)
        maps = torch.randn(4, 6, generator=generator()) + torch.tensor([[5.0], [5.0], [0.0], [0.0]])
        misfit = Roots(2 * counts.values.float().sqrt()) if roots else None
        found = likelihood.linearised(maps, misfit)
        leaf = maps.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(likelihood.energy(leaf, misfit), leaf)
        torch.testing.assert_close(found.gradient, gradient, rtol=1e-3, atol=1e-2)
        torch.testing.assert_close(found.energy, likelihood.energy(maps, misfit))
        jacobian = torch.func.jacrev(likelihood.roots)(maps)  # (pixel, channel, map, pixel)
        own = torch.stack([jacobian[n, :, :, n] for n in range(6)])
        torch.testing.assert_close(found.fisher, own.mT @ own, rtol=1e-3, atol=1e-2)
        noise = torch.randn(6, CHANNELS, generator=generator(1))
        torch.testing.assert_close(likelihood.pulled(maps, noise), (noise[:, None] @ own)[:, 0].T, rtol=1e-3, atol=1e-2)


class TestPosterior:
    @pytest.mark.parametrize("mean", [8.0, 400.0])
    def test_pixels_of_a_known_spectrum_have_gamma_posteriors(self, line: Mixture, mean: float):
        # a flat law of log A makes A gamma distributed, with the counts as shape; nothing is learnt
        spectrum = line.spectra(torch.zeros(0))[0].numpy()
        cube = np.random.default_rng(0).poisson(mean * spectrum, (SIDE, SIDE, CHANNELS))
        options = FieldOptions(pairs=(), bends=2, draws=60, newton_tolerance=1e-2, sample_tolerance=1e-2)
        laws = {"line": Independent(std=5.0)}
        draws = infer_maps(line, check_counts(cube, CHANNELS), laws, options).amplitude[..., 0].numpy()
        total = cube.sum(-1)
        assert np.mean((draws.mean(0) - total) / total**0.5) == pytest.approx(0, abs=0.1)
        assert np.mean(draws.std(0) / total**0.5) == pytest.approx(1, abs=0.08)

    def test_coverage_of_simulated_fields(self, mixture: Mixture):
        # about sixteen independent places in each of four maps of each cube: three sigma of 3 x 64 are .065, and
        # an approximation with learnt spectra is allowed a little more
        shares = []
        for seed in range(3):
            counts, amplitude, parameters = simulated(mixture, seed)
            found = infer_maps(mixture, counts, options=QUICK, seed=seed)
            draws = torch.cat([found.amplitude, found.parameters], -1).numpy()
            lower, upper = np.quantile(draws, [0.05, 0.95], axis=0)
            truth = np.concatenate([amplitude, parameters], -1)
            shares.append(((truth >= lower) & (truth <= upper)).mean((0, 1)))
        assert np.mean(shares) == pytest.approx(0.9, abs=0.1), np.mean(shares, 0)

    def test_neighbours_help(self, mixture: Mixture):
        counts, amplitude, _ = simulated(mixture, 7)
        names = (*mixture.names, *mixture.parameter_names)
        laws = (None, dict.fromkeys(names, Independent()), dict.fromkeys(names, StarletSparse()))
        found = [infer_maps(mixture, counts, law, QUICK).amplitude.mean(0).numpy() for law in laws]
        smooth, alone, sparse = (np.abs(one - amplitude).sum() for one in found)
        assert smooth < alone and sparse < alone

    def test_masked_pixels_follow_from_the_prior(self, line: Mixture):
        spectrum = line.spectra(torch.zeros(0))[0].numpy()
        cube = np.random.default_rng(0).poisson(200 * spectrum, (SIDE, SIDE, CHANNELS)).astype(float)
        mask = np.ones((SIDE, SIDE), bool)
        mask[3:7, 4:9] = False
        cube[~mask] = np.nan
        laws = {"line": Independent(std=0.5, mean_std=1.0)}
        counts = check_counts(cube, CHANNELS, mask=mask)
        found = infer_maps(line, counts, laws, FieldOptions(pairs=(), draws=100, sample_tolerance=1e-2))
        log = found.amplitude[..., 0].log().numpy()[:, ~mask]
        assert log.std() == pytest.approx(0.5, rel=0.05)  # as before anything was counted
        assert log.mean() == pytest.approx(np.log(200), abs=0.15)  # about the level of the others
        smooth = infer_maps(line, counts, None, QUICK).amplitude[..., 0]
        assert smooth.std(0)[~mask].mean() > smooth.std(0)[mask].mean()
        assert np.abs(smooth.mean(0).numpy()[~mask] / 200 - 1).mean() < 0.2

    def test_exposure_and_a_known_background_are_taken_off(self, line: Mixture):
        spectrum, rng = line.spectra(torch.zeros(0))[0].numpy(), np.random.default_rng(0)
        exposure = np.where(np.arange(SIDE) < SIDE // 2, 1.0, 4.0) * np.ones((SIDE, 1))
        known = np.full(CHANNELS, 5.0)
        cube = rng.poisson(exposure[..., None] * 300 * spectrum + known)
        found = infer_maps(line, check_counts(cube, CHANNELS, exposure=exposure, known=known), None, QUICK)
        mean = found.amplitude[..., 0].mean(0).numpy()
        assert mean[:, :6].mean() == pytest.approx(300, rel=0.03) and mean[:, 6:].mean() == pytest.approx(300, rel=0.03)

    def test_same_seed_same_draws_and_global_generators_stay(self, mixture: Mixture):
        counts, _, _ = simulated(mixture, 1)
        before = torch.get_rng_state()
        one, other, third = (
            infer_maps(mixture, counts, None, FieldOptions(pairs=(1,), draws=10), seed=s) for s in (3, 3, 4)
        )
        assert torch.equal(before, torch.get_rng_state())
        assert torch.equal(one.amplitude, other.amplitude) and not torch.equal(one.amplitude, third.amplitude)
        assert one.amplitude.shape == (10, SIDE, SIDE, 2) and one.parameters.shape == (10, SIDE, SIDE, 2)
        assert list(one.priors) == [*mixture.names, *mixture.parameter_names]
        expected = mixture.contributions(one.amplitude[:, :1], one.parameters[:, :1]).mean(0)
        torch.testing.assert_close(one.contributions(mixture)[:1], expected, rtol=1e-4, atol=1e-4)


class TestBadInput:
    cube = np.ones((3, 4, CHANNELS))

    def test_counts_must_be_of_a_map(self, line: Mixture):
        with pytest.raises(DataError, match=r"shape=\(y, x\)"):
            infer_maps(line, check_counts(self.cube.reshape(12, -1), CHANNELS))
        with pytest.raises(DataError, match="channels"):
            infer_maps(line, check_counts(self.cube[..., :9], 9))

    def test_laws_must_be_of_maps_that_exist(self, line: Mixture):
        counts = check_counts(self.cube, CHANNELS)
        with pytest.raises(QueryError, match="did you mean 'line'"):
            infer_maps(line, counts, {"lime": Independent()})
        with pytest.raises(QueryError, match="no law"):
            infer_maps(line, counts, {"line": 3.0})

    def test_known_counts_must_fit(self):
        with pytest.raises(DataError, match="known_counts"):
            check_counts(self.cube, CHANNELS, known=np.ones(7))
        with pytest.raises(DataError, match=r"known_counts\[3\]"):
            check_counts(self.cube, CHANNELS, known=np.where(np.arange(CHANNELS) == 3, -1.0, 1.0))

    @pytest.mark.parametrize("name, value", [("draws", 7), ("pairs", (0,)), ("steps", 0), ("sample_tolerance", 2.0)])
    def test_options_must_be_in_range(self, name: str, value):
        with pytest.raises(FitError, match=name):
            FieldOptions(**{name: value})


def simulated(mixture: Mixture, seed: int):
    """Counts drawn from smooth fields, with their amplitudes and parameters."""
    grid = Grid((SIDE, SIDE))
    power = GaussianField(std=0.6, slope=-4.0, mean_std=0.3).on(grid).power.sqrt().float()
    maps = grid.cut(complex_noise(grid, 4, seed=100 + seed) * power).permute(1, 2, 0)
    amplitude = (maps[..., :2] + np.log(500.0)).exp()
    parameters = mixture.lower + (mixture.upper - mixture.lower) * torch.special.ndtr(maps[..., 2:].double())
    expected = mixture.expected(amplitude.double(), parameters)
    counts = np.random.default_rng(seed).poisson(expected.numpy())
    return check_counts(counts, CHANNELS), amplitude.numpy(), parameters.numpy()
