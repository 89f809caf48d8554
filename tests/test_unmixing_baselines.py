"""Baselines of Poisson unmixing: known mixtures come back, and none claims more than its likelihood allows."""

import h5py
import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from shared_data import shared_file
from test_mixtures import BLUE, CHANNELS, FLAT, PLACE, RED, WANDERING

from probspec.baselines.unmixing import NonNegativeLeastSquares, PixelLikelihood, RichardsonLucy, Sushi
from probspec.baselines.unmixing.poisson import log_likelihood
from probspec.errors import DataError, QueryError
from probspec.metrics.unmixing import amplitude_rmse, bright, parameter_error
from probspec.mixtures import Mixture
from probspec.simulate import simulate_cube
from probspec.simulators.xray import synchrotron_spectrum, thermal_spectrum
from probspec.surrogates import Surrogate

FIXED = {"falling": np.exp(-3 * PLACE), "line": np.exp(-0.5 * ((PLACE - 0.5) / 0.1) ** 2), "flat": FLAT}
ALL = (PixelLikelihood, NonNegativeLeastSquares, RichardsonLucy, Sushi)
EVERY = pytest.mark.parametrize("kind", ALL)


def rates(mixture: Mixture, amplitude: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    return mixture.expected(torch.tensor(amplitude), torch.tensor(parameters)).numpy()


def fixed_counts(rows: int = 12, total: float = 2000.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    amplitude = total * rng.dirichlet([1, 1, 1], rows)
    amplitude[::3, 1] = 0
    return amplitude, rng.poisson(rates(Mixture(FIXED), amplitude, np.zeros((rows, 0)))).astype(float)


@pytest.fixture(scope="module")
def shielded() -> tuple[Mixture, np.ndarray, np.ndarray]:
    """Two lines of one width over a background; 40 spectra without noise."""
    mixture, rng = Mixture({"red": RED, "blue": BLUE}, background=FLAT, shared=["width"]), np.random.default_rng(0)
    amplitude, width = 1000 * rng.dirichlet([2, 2, 2], 40), rng.uniform(0.11, 0.24, (40, 1))
    return mixture, amplitude, width


@pytest.fixture(scope="module")
def remnant() -> tuple[dict[str, Surrogate], np.ndarray, np.ndarray, np.ndarray]:
    """Surrogates, a small simulated cube, its true amplitudes and temperatures."""
    energy = torch.linspace(3.0, 8.4, 80, dtype=torch.float64)
    kT, z = (
        of.ravel() for of in torch.meshgrid(torch.linspace(0.8, 6, 10), torch.linspace(-0.033, 0.033, 8), indexing="ij")
    )
    index = torch.linspace(1, 4, 12)
    surrogates = {
        "thermal": Surrogate.fit(thermal_spectrum(kT, z, energy), torch.stack([kT, z], -1), ["kT", "z"], ["keV", "1"]),
        "synchrotron": Surrogate.fit(synchrotron_spectrum(index, energy), index, ["index"]),
    }
    cube = simulate_cube((12, 14), mean_counts=1000, seed=0, energy_keV=energy)
    return surrogates, cube.counts.values.astype(float), cube.amplitude.values, cube.kT.values


# the common face


@pytest.mark.parametrize(
    ("kind", "shape"),
    [(kind, (3, 4)) for kind in ALL] + [(kind, (12,)) for kind in ALL if kind is not Sushi],
)
def test_every_method_answers_in_the_shape_of_the_counts(kind, shape):
    _, counts = fixed_counts()
    fitted = kind({"falling": FIXED["falling"], "red": RED}, background=FLAT).fit(counts.reshape(*shape, CHANNELS))
    assert fitted.amplitudes_.shape == (*shape, 3) and (fitted.amplitudes_ >= 0).all()
    assert fitted.parameters_["red"].shape == (*shape, 1) and list(fitted.parameters_) == ["red"]
    assert fitted.components_.shape == (*shape, 3, CHANNELS)
    np.testing.assert_allclose(fitted.components_.sum(-1), fitted.amplitudes_)


@EVERY
def test_known_spectra_come_back_with_their_amplitudes(kind):
    amplitude, _ = fixed_counts()
    counts = rates(Mixture(FIXED), amplitude, np.zeros((12, 0)))
    fitted = kind(FIXED, shape=(3, 4)).fit(counts)
    np.testing.assert_allclose(fitted.amplitudes_.reshape(12, 3), amplitude, atol=0.01 * 2000)
    assert fitted.parameters_ == {}


@EVERY
def test_masked_channels_pixels_and_exposure_are_heeded(kind):
    amplitude, _ = fixed_counts()
    exposure = np.linspace(0.5, 3, 12)[:, None] * np.where(PLACE > 0.8, 0.3, 1.0)
    counts = exposure * rates(Mixture(FIXED), amplitude, np.zeros((12, 0)))
    counts[:, 7], counts[5] = np.nan, np.nan
    fitted = kind(FIXED, shape=(3, 4), exposure=exposure, mask=np.isfinite(counts)).fit(counts)
    found = fitted.amplitudes_.reshape(12, 3)
    assert np.isnan(found[5]).all()
    np.testing.assert_allclose(np.delete(found, 5, 0), np.delete(amplitude, 5, 0), atol=0.02 * 2000)


@EVERY
def test_what_cannot_be_unmixed_is_refused(kind):
    counts = np.ones((4, CHANNELS))
    with pytest.raises(DataError, match="have 40 channels"):
        kind(FIXED).fit(np.ones((4, 7)))
    with pytest.raises(DataError, match=r"counts\[1, 2\]: nan"):
        kind(FIXED).fit(np.where(np.arange(160).reshape(4, 40) == 42, np.nan, counts))
    with pytest.raises(DataError, match=r"counts\[0, 0\]: -1"):
        kind(FIXED).fit(-counts)
    with pytest.raises(QueryError, match="did you mean 'width'"):
        kind({"red": RED}, shared=["widht"]).fit(counts)
    with pytest.raises(QueryError, match="call fit"):
        _ = kind(FIXED).components_


@EVERY
def test_a_spectrum_without_counts_has_no_amplitudes(kind):
    counts = np.zeros((4, CHANNELS))
    counts[0] = 5
    found = kind({"red": RED, "flat": FLAT}, shape=(2, 2)).fit(counts)
    np.testing.assert_allclose(found.amplitudes_.reshape(4, 2)[1:], 0, atol=1e-3 if kind is not Sushi else 200)
    assert np.isfinite(found.parameters_["red"]).all()


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (PixelLikelihood, {"starts": 0}),
        (PixelLikelihood, {"iterations": 0}),
        (RichardsonLucy, {"iterations": 0}),
        (Sushi, {"step": 0.0}),
        (Sushi, {"scales": -1}),
    ],
)
def test_settings_are_checked(kind, settings):
    with pytest.raises(DataError, match=next(iter(settings))):
        kind(FIXED, shape=(2, 2), **settings).fit(np.ones((4, CHANNELS)))


# maximum likelihood


def test_likelihood_finds_one_width_for_all_components(shielded):
    mixture, amplitude, width = shielded
    counts = rates(mixture, amplitude, width)
    fitted = PixelLikelihood({"red": RED, "blue": BLUE}, background=FLAT, shared=["width"]).fit(counts)
    np.testing.assert_allclose(fitted.amplitudes_, amplitude, atol=0.5)
    np.testing.assert_allclose(fitted.parameters_["red"], width, atol=1e-3)
    assert (fitted.parameters_["red"] == fitted.parameters_["blue"]).all()


def test_likelihood_is_the_highest_that_another_optimiser_finds(shielded):
    mixture, amplitude, width = shielded
    counts = np.random.default_rng(1).poisson(rates(mixture, amplitude / 5, width)).astype(float)[:6]
    fitted = PixelLikelihood({"red": RED, "blue": BLUE}, background=FLAT, shared=["width"]).fit(counts)

    def height(place: np.ndarray, row: np.ndarray) -> float:
        expected = mixture.expected(*torch.tensor(place).tensor_split([3]))
        return float(log_likelihood(torch.tensor(row), torch.ones(1), expected))

    bounds = [(0, None)] * 3 + [(float(mixture.lower), float(mixture.upper))]
    for row, a, w in zip(counts, fitted.amplitudes_, fitted.parameters_["red"], strict=True):
        starts = [np.array([60.0, 60.0, 60.0, start]) for start in (0.12, 0.17, 0.22)]
        best = max(-minimize(lambda p, x=row: -height(p, x), s, bounds=bounds).fun for s in starts)
        assert height(np.r_[a, w], row) >= best - 1e-3


def test_likelihood_errors_are_those_of_the_information(shielded):
    mixture, amplitude, width = shielded
    of, at = np.repeat(100 * amplitude[:1], 300, 0), np.repeat(width[:1], 300, 0)
    counts = np.random.default_rng(2).poisson(rates(mixture, of, at)).astype(float)
    fitted = PixelLikelihood({"red": RED, "blue": BLUE}, background=FLAT, shared=["width"]).fit(counts)
    expected, jacobian = mixture.expected_with_jacobian(torch.tensor(of[0]), torch.tensor(at[0]))
    covariance = torch.linalg.inv((jacobian / expected) @ jacobian.T)
    found = np.column_stack([fitted.amplitudes_, fitted.parameters_["red"]])
    np.testing.assert_allclose(found.std(0), covariance.diagonal().sqrt(), rtol=0.2)


def test_likelihood_stays_within_the_taught_range(shielded):
    narrow = np.exp(-0.5 * ((PLACE - 0.3) / 0.05) ** 2)[None]
    fitted = PixelLikelihood({"red": RED}).fit(1000 * narrow)
    assert fitted.parameters_["red"][0, 0] == pytest.approx(0.1)


def test_two_parameters_of_one_component_are_found():
    mixture, rng = Mixture({"wandering": WANDERING}, background=FLAT), np.random.default_rng(3)
    theta = rng.uniform((0.42, 0.12), (0.58, 0.28), (10, 2))
    counts = rates(mixture, np.tile([500.0, 200.0], (10, 1)), theta)
    fitted = PixelLikelihood({"wandering": WANDERING}, background=FLAT).fit(counts)
    np.testing.assert_allclose(fitted.parameters_["wandering"], theta, atol=2e-3)


# fixed spectra


def test_multiplication_reaches_the_maximum_of_the_likelihood():
    _, counts = fixed_counts()
    multiplied = RichardsonLucy(FIXED, iterations=20000, tolerance=1e-9).fit(counts)
    np.testing.assert_allclose(multiplied.amplitudes_, PixelLikelihood(FIXED).fit(counts).amplitudes_, atol=0.5)
    np.testing.assert_allclose(multiplied.amplitudes_.sum(-1), counts.sum(-1))


def test_closed_least_squares_sums_to_the_counts():
    _, counts = fixed_counts()
    free, closed = (NonNegativeLeastSquares(FIXED, closed=way).fit(counts).amplitudes_ for way in (False, True))
    np.testing.assert_allclose(closed.sum(-1), counts.sum(-1), rtol=1e-4)
    assert np.abs(free.sum(-1) - counts.sum(-1)).max() > 1


def test_least_squares_is_the_same_with_and_without_the_small_problem():
    _, counts = fixed_counts()
    alike = NonNegativeLeastSquares(FIXED).fit(counts).amplitudes_
    one = NonNegativeLeastSquares(FIXED, exposure=np.ones_like(counts)).fit(counts).amplitudes_
    np.testing.assert_allclose(alike, one, atol=1e-6)


@pytest.mark.parametrize("kind", [NonNegativeLeastSquares, RichardsonLucy])
def test_spectra_are_held_at_given_parameters(kind):
    mixture = Mixture({"red": RED}, background=FLAT)
    counts = rates(mixture, np.array([[700.0, 300.0]]), np.array([[0.13]]))
    given = kind({"red": RED}, background=FLAT, at={"red": 0.13}).fit(counts)
    np.testing.assert_allclose(given.amplitudes_, [[700, 300]], atol=1)
    assert given.parameters_["red"].tolist() == [[0.13]]
    assert kind({"red": RED}, background=FLAT).fit(counts).parameters_["red"][0, 0] == pytest.approx(0.2)
    with pytest.raises(QueryError, match=r"red.width = 0.9; expected 0.1 to 0.3"):
        kind({"red": RED}, at={"red": 0.9}).fit(counts)
    with pytest.raises(QueryError, match="did you mean 'red'"):
        kind({"red": RED}, at={"rde": 0.2}).fit(counts)
    with pytest.raises(QueryError, match="one value of width"):
        kind({"red": RED}, at={"red": [0.2, 0.25]}).fit(counts)


# maps


def test_sparse_maps_come_nearer_the_truth_as_the_cost_falls(remnant):
    surrogates, counts, amplitude, kT = remnant
    sushi = Sushi(surrogates, iterations=150).fit(counts)
    found, start = sushi.parameters_["thermal"][..., 0], (0.8 + 6) / 2
    scored = bright(amplitude)
    assert parameter_error(kT[scored], found[scored]) < 0.6 * np.abs(kT[scored] - start).mean()
    assert sushi.cost_[0] > sushi.cost_[20] > sushi.cost_[-1]
    held = RichardsonLucy(surrogates).fit(counts)
    expected = torch.tensor(held.components_.sum(-2))
    assert sushi.cost_[-1] < -float(log_likelihood(torch.tensor(counts), torch.ones(1), expected).mean())


def test_a_high_threshold_makes_maps_smooth(remnant):
    surrogates, counts, _, _ = remnant
    rough, smooth = (Sushi(surrogates, threshold=k, iterations=40).fit(counts) for k in (0.0, 5.0))
    steps = [np.abs(np.diff(of.parameters_["thermal"][..., 0], axis=1)).mean() for of in (rough, smooth)]
    assert steps[1] < 0.7 * steps[0]


def test_a_shared_parameter_of_maps_is_moved_by_all_its_components(shielded):
    mixture, amplitude, _ = shielded
    width = np.full((36, 1), 0.15)
    counts = rates(mixture, amplitude[:36] + 100, width)
    fitted = Sushi({"red": RED, "blue": BLUE}, background=FLAT, shared=["width"], shape=(6, 6)).fit(counts)
    np.testing.assert_allclose(fitted.parameters_["blue"], 0.15, atol=0.01)


def test_sushi_wants_a_map():
    with pytest.raises(DataError, match="tell the map's shape"):
        Sushi(FIXED).fit(np.ones((4, CHANNELS)))


# the shared sets


def test_lead_is_unmixed_about_as_well_as_with_known_spectra():
    with h5py.File(shared_file("gamma_lead_simulated")) as file:
        taught, at, background = file["X_train"][:], file["t_train"][:], file["background"][:]
        counts, amplitude = file["counts_2000"][:], file["A_2000"][:]
    names = ("Co60", "Ba133", "Co57", "Cs137")
    surrogates = {name: Surrogate.fit(x, at, names=["thickness"]) for name, x in zip(names, taught, strict=True)}
    fitted = PixelLikelihood(surrogates, background, shared=["thickness"]).fit(counts)
    assert amplitude_rmse(amplitude[:, :4], fitted.amplitudes_[:, :4], 2000.0) < 0.0187  # IAE and likelihood, published
