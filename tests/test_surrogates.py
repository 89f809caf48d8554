"""Surrogates: held against the formulas that taught them, between the taught points."""

import json
from copy import deepcopy
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from shared_data import shared_file

from probspec.errors import DataError, FileError, FitError, QueryError
from probspec.surrogates import Convolution, Dense, IAEOptions, PCAOptions, Surrogate
from probspec.surrogates.coordinates import STRAIGHT, Coordinates
from probspec.surrogates.held_out import decibels, folds_of
from probspec.surrogates.maps import fit_map, grid_of
from probspec.surrogates.smoothing import fit_curve
from probspec.surrogates.splines import TensorSpline

CHANNELS = np.linspace(0, 1, 60)
QUICK = IAEOptions(layers=Dense((32, 4)), epochs=300, learning_rate=3e-3, folds=2)


def two_lines(ratio: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """A continuum that steepens and two lines that move together; unit sum."""
    ratio, shift = np.asarray(ratio)[..., None], np.asarray(shift)[..., None]
    lines = np.exp(-0.5 * ((CHANNELS - 0.3 - shift) / 0.05) ** 2) + np.exp(
        -0.5 * ((CHANNELS - 0.7 - shift) / 0.05) ** 2
    )
    spectra = np.exp(-CHANNELS * ratio) + lines / ratio
    return spectra / spectra.sum(-1, keepdims=True)


def behind(thickness: np.ndarray) -> np.ndarray:
    """Two gamma lines of which an absorber takes the softer first; five decades between channels; unit sum."""
    depth = np.asarray(thickness)[..., None]
    soft, hard = (np.exp(-0.5 * ((CHANNELS - place) / 0.03) ** 2) for place in (0.25, 0.8))
    spectra = (
        soft * np.exp(-8 * depth) + hard * np.exp(-depth) + 0.1 * (1 - np.exp(-2 * depth)) * (CHANNELS < 0.75) + 1e-5
    )
    return spectra / spectra.sum(-1, keepdims=True)


def grid(rows: int = 12, columns: int = 11) -> np.ndarray:
    ratio, shift = np.meshgrid(np.geomspace(0.5, 5, rows), np.linspace(-0.04, 0.04, columns), indexing="ij")
    return np.stack([ratio.ravel(), shift.ravel()], 1)


def between(count: int = 200, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform((0.5, -0.04), (5, 0.04), (count, 2))


@pytest.fixture(scope="module")
def on_grid() -> Surrogate:
    return Surrogate.fit(two_lines(*grid().T), grid(), ["ratio", "shift"], ["1", "keV"])


@pytest.fixture(scope="module")
def scattered() -> Surrogate:
    points = np.concatenate([between(150, seed=1), [[0.5, -0.04], [5, 0.04]]])
    return Surrogate.fit(two_lines(*points.T), points)


@pytest.fixture(scope="module")
def thickness() -> Surrogate:
    depths = np.geomspace(0.01, 2, 40)
    return Surrogate.fit(behind(depths), depths, names=["depth"], units=["cm"])


@pytest.fixture(scope="module")
def iae() -> Surrogate:
    depths = np.geomspace(0.01, 2, 40)
    return Surrogate.fit(behind(depths), depths, names=["depth"], units=["cm"], kind="iae", options=QUICK)


@pytest.fixture(scope="module")
def unnamed() -> Surrogate:
    return Surrogate.fit(behind(np.geomspace(0.01, 2, 40)), options=QUICK)


EVERY = pytest.mark.parametrize("name", ["on_grid", "scattered", "thickness", "iae", "unnamed"])


def made(name: str, request: pytest.FixtureRequest) -> Surrogate:
    return request.getfixturevalue(name)


def inside(surrogate: Surrogate, count: int = 40, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    share = torch.rand(count, len(surrogate.names), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (surrogate.lower + (surrogate.upper - surrogate.lower) * share).to(dtype)


# what every kind keeps


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_spectra_are_positive_and_of_unit_sum_in_the_precision_asked_for(name, dtype, request):
    surrogate = made(name, request)
    spectra = surrogate.decode(inside(surrogate, dtype=dtype).reshape(4, 10, -1))
    assert spectra.shape == (4, 10, 60) and spectra.dtype == dtype
    assert (spectra > 0).all()
    assert torch.allclose(
        spectra.sum(-1), torch.ones(4, 10, dtype=dtype), atol=1e-5 if dtype == torch.float32 else 1e-12
    )


@EVERY
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # torch's own, in its jvp
def test_jacobian_is_that_of_forward_and_reverse_differentiation(name, request):
    surrogate = made(name, request)
    points = inside(surrogate)
    spectra, jacobian = surrogate.decode_with_jacobian(points)
    tolerance = {"rtol": 1e-4, "atol": 1e-6} if surrogate.kind == "iae" else {"rtol": 1e-8, "atol": 1e-10}
    assert jacobian.shape == (40, 60, len(surrogate.names))
    assert torch.allclose(spectra, surrogate.decode(points), **tolerance)
    for number in range(len(surrogate.names)):
        along = torch.zeros_like(points)
        along[:, number] = 1
        assert torch.allclose(
            torch.func.jvp(surrogate.decode, (points,), (along,))[1], jacobian[..., number], **tolerance
        )
    reverse = torch.func.vmap(torch.func.jacrev(surrogate.decode))(points[:3])
    assert torch.allclose(reverse, jacobian[:3], **tolerance)


@EVERY
def test_jacobian_is_that_of_finite_differences(name, request):
    surrogate = deepcopy(made(name, request)).double()
    points = inside(surrogate) * 0.98 + 0.01 * (surrogate.lower + surrogate.upper)
    _, jacobian = surrogate.decode_with_jacobian(points)
    for number, span in enumerate(surrogate.upper - surrogate.lower):
        step = torch.zeros_like(points)
        step[:, number] = 1e-6 * span
        change = (surrogate.decode(points + step) - surrogate.decode(points - step)) / (2e-6 * span)
        assert (change - jacobian[..., number]).norm() < 1e-4 * jacobian[..., number].norm()


@EVERY
def test_saved_and_loaded_spectra_are_the_same_to_the_last_bit(name, request, tmp_path, untouched_generators):
    surrogate = made(name, request)
    surrogate.save(tmp_path / "kept")
    again = Surrogate.load(tmp_path / "kept")
    points = inside(surrogate)
    assert torch.equal(again.decode(points), surrogate.decode(points))
    assert repr(again) == repr(surrogate) and again.error == surrogate.error


@EVERY
def test_beyond_the_range_the_spectrum_is_that_of_the_bound(name, request):
    surrogate = made(name, request)
    beyond = torch.stack([surrogate.lower - 1e3, surrogate.upper + 1e3])
    spectra, jacobian = surrogate.decode_with_jacobian(beyond)
    assert torch.allclose(spectra, surrogate.decode(torch.stack([surrogate.lower, surrogate.upper])))
    assert torch.equal(jacobian, torch.zeros_like(jacobian))


# accuracy, where the truth is known


def test_a_grid_is_interpolated_between_its_nodes(on_grid):
    errors = decibels(on_grid.predict(between()), two_lines(*between().T))
    assert isinstance(on_grid.path, TensorSpline)
    assert np.median(errors) < -70 and errors.max() < -48


def test_scattered_points_are_interpolated(scattered):
    points = between().clip((0.6, -0.035), (4.9, 0.035))
    errors = decibels(scattered.predict(points), two_lines(*points.T))
    assert scattered.path.kind == "radial"
    assert np.median(errors) < -70 and errors.max() < -48


def test_one_parameter_is_interpolated_and_its_axis_bent(thickness):
    depths = np.random.default_rng(0).uniform(0.01, 2, 100)
    errors = decibels(thickness.predict(depths), behind(depths))
    assert errors.max() < -60
    assert thickness.path.axes.bends.item() > 1


def test_held_out_error_is_no_better_than_the_true_one(on_grid, thickness):
    errors = decibels(on_grid.predict(between()), two_lines(*between().T))
    assert on_grid.error.median >= np.median(errors)
    assert on_grid.error.rows == 12 * 11 - 4 and thickness.error.rows == 38


def test_monte_carlo_noise_is_not_reproduced():
    """Predictions lie nearer to the truth than any single taught spectrum, by far."""
    depths, rng = np.geomspace(0.01, 2, 60), np.random.default_rng(0)
    truth = behind(depths)
    counts = rng.poisson(1e4 * truth)
    surrogate = Surrogate.fit(counts, depths)
    noise = decibels(counts / counts.sum(1, keepdims=True), truth)
    errors = decibels(surrogate.predict(depths), truth)
    assert np.median(errors) < np.median(noise) - 6
    assert len(surrogate.chart.components) <= 6
    assert abs(surrogate.error.median - np.median(noise)) < 1.5


def test_rows_of_counts_weigh_by_their_totals_also_after_scaling():
    depths, rng = np.geomspace(0.01, 2, 40), np.random.default_rng(0)
    totals = np.where(np.arange(40) % 2, 1e6, 1e3)
    counts = rng.poisson(totals[:, None] * behind(depths)).astype(float)
    heeded = Surrogate.fit(counts, depths)
    unheeded = Surrogate.fit(counts + 1e-3 * rng.random(counts.shape), depths)
    scaled = Surrogate.fit(counts / counts.sum(1, keepdims=True), depths)
    errors = [np.median(decibels(one.predict(depths), behind(depths))) for one in (heeded, unheeded)]
    assert errors[0] < errors[1] - 5
    assert np.allclose(scaled.predict(depths), heeded.predict(depths))


def test_iae_by_parameters_and_without_them(iae, unnamed):
    depths = np.random.default_rng(0).uniform(0.01, 2, 50)
    assert decibels(iae.predict(depths), behind(depths)).max() < -35
    assert iae.error.worst < -30 and unnamed.error.worst < -30
    assert unnamed.names == ("weight_0",) and unnamed.path is None


def test_an_anchor_has_all_the_weight_at_its_own_code(unnamed):
    """The two spectra farthest apart are the thinnest and the thickest; weights 1 and 0 decode to them."""
    ends = unnamed.predict(np.array([unnamed.upper.item(), unnamed.lower.item()]))
    assert unnamed.upper.item() == pytest.approx(1, abs=1e-3) and unnamed.lower.item() == pytest.approx(0, abs=1e-3)
    truth = behind(np.array([0.01, 2]))
    assert min(decibels(ends, truth).max(), decibels(ends[::-1], truth).max()) < -30


def test_convolutions_decode_every_length():
    for channels in (60, 61, 67):
        spectra = np.random.default_rng(0).random((6, channels)) + 1
        layers = Convolution((3, 4), (4, 6), (1, 2))
        made = Surrogate.fit(spectra, options=IAEOptions(layers=layers, epochs=1, folds=0), anchors=[0, 1, 2])
        assert made.predict(np.full((2, 2), 1 / 3)).shape == (2, channels)
        assert made.error.rows == 0 and "not measured" in repr(made)


def test_published_convolutions_can_be_asked_for():
    assert IAEOptions.paper().layers == Convolution((12, 12, 12, 16, 16, 16), (4, 4, 6, 6, 6, 4), (1, 1, 2, 2, 2, 2))


# determinism


@pytest.mark.parametrize("kind", ["pca", "iae"])
def test_the_same_seed_gives_the_same_surrogate(kind, untouched_generators):
    depths = np.random.default_rng(0).uniform(0.01, 2, 30)
    options = IAEOptions(layers=Dense((16, 4)), epochs=20, folds=2) if kind == "iae" else None
    one, two = (Surrogate.fit(behind(depths), depths, kind=kind, options=options, seed=3) for _ in range(2))
    assert torch.equal(one.decode(inside(one)), two.decode(inside(two)))
    assert one.error == two.error


def test_rows_may_come_in_any_order(on_grid):
    order = np.random.default_rng(0).permutation(len(grid()))
    shuffled = Surrogate.fit(two_lines(*grid().T)[order], grid()[order])
    assert np.allclose(shuffled.predict(between()), on_grid.predict(between()), rtol=1e-6, atol=1e-9)


def test_scale_of_spectra_and_unit_of_parameters_do_not_matter(thickness):
    depths = np.geomspace(0.01, 2, 40)
    other = Surrogate.fit(7 * behind(depths), 10 * depths)
    assert np.allclose(other.predict(10 * depths), thickness.predict(depths), rtol=1e-6, atol=1e-9)


# parts


def test_a_tensor_spline_reproduces_cubics():
    points = grid(6, 5)
    cubic = lambda p: np.stack([p[:, 0] ** 3 - p[:, 0] * p[:, 1], 1 + p[:, 1] ** 3 * p[:, 0] ** 2], 1)  # noqa: E731
    path = fit_map(points, cubic(points), np.ones(30), (STRAIGHT, STRAIGHT), smoothed=False)
    assert np.allclose(path(torch.from_numpy(between())).numpy(), cubic(between()), atol=1e-5)


def test_a_bent_axis_is_the_logarithm_and_a_straight_one_the_parameter():
    axes = Coordinates(*torch.tensor([[1.0, 1.0], [100.0, 100.0], [99.0, STRAIGHT]], dtype=torch.float64))
    places = axes(torch.tensor([[10.0, 10.0]], dtype=torch.float64))
    assert torch.allclose(places, torch.tensor([[0.5, 9 / 99]], dtype=torch.float64), atol=1e-6)


@pytest.mark.parametrize("knots", [50, 25])
def test_smoothing_leaves_what_is_smooth_and_removes_what_is_not(knots):
    x = np.linspace(0, 1, 50)
    every = x if knots == 50 else np.linspace(0, 1, knots)
    design = np.stack([np.interp(x, every, unit) for unit in np.eye(knots)], 1)
    bend = np.diff(np.eye(knots), 2, axis=0)
    curve = lambda values: design @ fit_curve(values, np.ones(50), design, bend, 2, True)[:, 0]  # noqa: E731
    truth = np.sin(3 * x)
    noisy = truth + 0.1 * np.random.default_rng(0).normal(size=(20, 50))
    assert np.abs(curve(truth[:, None, None])[:, 0] - truth).max() < 3e-3
    assert ((curve(noisy.T[:, None]) - truth[:, None]) ** 2).mean() < 0.2 * ((noisy - truth) ** 2).mean()


def test_many_noisy_rows_at_random_places_are_smoothed():
    depths, rng = np.random.default_rng(0).uniform(0.01, 2, 600), np.random.default_rng(1)
    surrogate = Surrogate.fit(rng.poisson(1e3 * behind(depths)), depths)
    assert len(surrogate.path.breaks_0) < 130
    assert decibels(surrogate.predict(np.linspace(0.1, 1.9)), behind(np.linspace(0.1, 1.9))).max() < -20


def test_a_grid_is_known_in_any_order_and_a_gap_makes_it_scattered():
    order = np.random.default_rng(0).permutation(len(grid()))
    nodes, back = grid_of(grid()[order])
    assert [len(axis) for axis in nodes] == [12, 11]
    assert np.array_equal(grid()[order][back], grid())
    assert grid_of(grid()[1:]) is None


@pytest.mark.parametrize("points", [grid(), between(), grid()[:, :1][::11]], ids=["grid", "scattered", "one"])
def test_folds_leave_no_end_of_the_range_out(points):
    for rows in folds_of(points, 5, 0):
        kept = np.delete(points, rows, 0)
        assert np.array_equal(kept.min(0), points.min(0)) and np.array_equal(kept.max(0), points.max(0))


# few and many rows


@pytest.mark.parametrize("count", [3, 4, 5])
def test_a_handful_of_rows_will_do(count):
    depths = np.linspace(0.1, 1, count)
    surrogate = Surrogate.fit(behind(depths), depths)
    assert decibels(surrogate.predict(depths), behind(depths)).max() < -20
    assert surrogate.error.rows == count - 2


def test_four_corners_have_no_held_out_error_and_say_so():
    surrogate = Surrogate.fit(two_lines(*grid(2, 2).T), grid(2, 2))
    assert surrogate.error.rows == 0 and "not measured" in repr(surrogate)
    assert decibels(surrogate.predict(grid(2, 2)), two_lines(*grid(2, 2).T)).max() < -60


def test_equal_parameters_are_averaged():
    depths = np.repeat(np.geomspace(0.1, 1, 10), 2)
    spectra = behind(depths) * np.tile([0.9, 1.1], 10)[:, None]
    assert Surrogate.fit(spectra, depths).error.of == 10


def test_many_scattered_rows_are_thinned_for_the_choice_only():
    points = between(150, seed=2)
    surrogate = Surrogate.fit(two_lines(*points.T), points, options=PCAOptions(most_rows=50))
    assert surrogate.error.of < 60 and len(surrogate.path.centres) == 150


# queries


def test_predict_takes_arrays_and_names(on_grid, thickness):
    by_name = on_grid.predict({"shift": [0.0, 0.01], "ratio": 1.0})
    assert np.array_equal(by_name, on_grid.predict([[1.0, 0.0], [1.0, 0.01]]))
    assert thickness.predict(0.5).shape == (60,) and thickness.predict([0.5]).shape == (1, 60)


def test_bounds_of_single_precision_are_inside(thickness):
    assert thickness.predict(np.float64(np.float32(2.0) * (1 + 1e-7))).shape == (60,)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ([[1.0, 0.0], [1.0, 0.05]], ("[1, 1]", "shift = 0.05 keV", "-0.04 to 0.04 keV")),
        ([[np.nan, 0.0]], ("[0, 0]", "ratio = nan")),
        ({"ratio": 1.0, "shfit": 0.0}, ("shfit", "did you mean 'shift'")),
        ({"ratio": 1.0}, ("shift missing",)),
        ({"ratio": [1.0, 2.0], "shift": [0.0, 0.0, 0.0]}, ("shapes", "ratio (2,)")),
        ([1.0, 0.0, 0.0], ("shape (3,)", "ratio, shift")),
        ("one", ("not numbers",)),
    ],
)
def test_questions_outside_are_refused_by_name(on_grid, parameters, words):
    with pytest.raises(QueryError) as error:
        on_grid.predict(parameters)
    assert all(word in str(error.value) for word in words)


def test_decode_names_the_parameters_it_expects(on_grid):
    with pytest.raises(QueryError, match="ratio, shift"):
        on_grid.decode(torch.zeros(3, 3))
    with pytest.raises(QueryError, match="int64"):
        on_grid.decode_with_jacobian(torch.zeros(3, 2, dtype=torch.int64))


def test_repr_says_range_units_and_error(on_grid, iae):
    assert "ratio 0.5 to 5, shift -0.04 to 0.04 keV; 60 channels" in repr(on_grid)
    assert "dB worst of 128 held-out spectra" in repr(on_grid)
    assert "interpolatory autoencoder of 2 anchors; depth 0.01 to 2 cm" in repr(iae)


# bad input


GOOD = behind(np.linspace(0.1, 1, 8))
DEPTHS = np.linspace(0.1, 1, 8)


def spoilt(row: int, column: int, value: float) -> np.ndarray:
    spectra = GOOD.copy()
    spectra[row, column] = value
    return spectra


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"spectra": spoilt(2, 7, np.nan)}, ("spectra[2, 7]", "nan")),
        ({"spectra": spoilt(2, 7, np.inf)}, ("spectra[2, 7]", "inf")),
        ({"spectra": spoilt(3, 1, -0.1)}, ("spectra[3, 1]", "-0.1")),
        ({"spectra": GOOD * (np.arange(8) != 4)[:, None]}, ("spectra[4]", "sums to zero")),
        ({"spectra": GOOD[0]}, ("shape (60,)",)),
        ({"spectra": GOOD[:2], "parameters": DEPTHS[:2]}, ("2 row(s)",)),
        ({"spectra": [["a", "b"]] * 4}, ("spectra", "not numbers")),
        ({"parameters": DEPTHS[:5]}, ("parameters", "shape (5, 1)", "(8, parameter)")),
        ({"parameters": np.where(DEPTHS > 0.9, np.nan, DEPTHS)}, ("parameters[7, 0]", "nan")),
        ({"parameters": np.ones(8), "names": ["depth"]}, ("parameters[:, 0]", "depth is 1 in every row")),
        ({"parameters": np.repeat([1.0, 2.0], 4)}, ("2 different row(s)",)),
        ({"names": ["a", "b"]}, ("names", "2 given")),
        ({"parameters": np.c_[DEPTHS, DEPTHS**2], "names": ["a", "a"]}, ("names", "twice")),
        ({"units": ["cm", "cm"]}, ("units", "2 given")),
        ({"parameters": None, "names": ["a"]}, ("names", "without parameters")),
        ({"anchors": [0, 9], "kind": "iae"}, ("anchors", "no row 9", "0 to 7")),
        ({"anchors": [3, 3], "kind": "iae"}, ("anchors", "twice")),
        ({"anchors": [3], "kind": "iae"}, ("anchors", "two or more")),
        ({"anchors": [0, 7]}, ("anchors", 'kind="iae"')),
        ({"kind": "pac"}, ("kind", "did you mean 'pca'")),
        ({"kind": "pca", "parameters": None}, ("parameters", "missing")),
        ({"kind": "iae", "options": PCAOptions()}, ("options", "IAEOptions")),
        ({"parameters": None, "options": IAEOptions(anchors=8)}, ("anchors", "8 of 8 spectra")),
    ],
)
def test_what_cannot_be_learnt_is_named(arguments, words):
    with pytest.raises(DataError) as error:
        Surrogate.fit(**({"spectra": GOOD, "parameters": DEPTHS} | arguments))
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(
    "make",
    [
        lambda: PCAOptions(most_components=0),
        lambda: PCAOptions(links=("cubic",)),
        lambda: PCAOptions(links=()),
        lambda: Dense(()),
        lambda: Convolution((1, 2), (3,), (1,)),
        lambda: IAEOptions(learning_rate=float("nan")),
        lambda: IAEOptions(epochs=0),
        lambda: IAEOptions(folds=1),
    ],
)
def test_options_are_checked_when_made(make):
    with pytest.raises(FitError):
        make()


def test_a_kernel_wider_than_its_spectrum_is_refused():
    with pytest.raises(DataError, match="channels"):
        Surrogate.fit(np.random.default_rng(0).random((5, 12)), options=IAEOptions.paper())


def test_a_loss_that_breaks_down_is_an_error():
    options = IAEOptions(layers=Dense((8, 2)), epochs=50, learning_rate=1e30, folds=0)
    with pytest.raises(FitError, match="learning_rate"):
        Surrogate.fit(GOOD, options=options)


# files


def test_damaged_and_foreign_folders_are_refused(thickness, tmp_path):
    folder = tmp_path / "kept"
    thickness.save(folder)
    with pytest.raises(FileError, match="no such folder"):
        Surrogate.load(tmp_path / "lost")
    flip(folder / "tensors.safetensors")
    with pytest.raises(FileError, match="damaged"):
        Surrogate.load(folder)
    (tmp_path / "mine").mkdir()
    with pytest.raises(FileError, match="not a saved surrogate"):
        thickness.save(tmp_path / "mine")


def test_a_newer_format_is_refused(thickness, tmp_path):
    thickness.save(tmp_path / "kept")
    meta = tmp_path / "kept" / "meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"format_version": 99}))
    with pytest.raises(FileError, match="upgrade"):
        Surrogate.load(tmp_path / "kept")


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


# the published families


def test_shared_thermal_family_is_held_out_below_57_and_48():
    with h5py.File(shared_file("xray_remnant_simulated")) as file:
        spectra, parameters = file["thermal/spectra"][:], file["thermal/parameters"][:]
    surrogate = Surrogate.fit(spectra, parameters, ["kT", "z"], ["keV", "1"])
    assert surrogate.error.median <= -57 and surrogate.error.worst <= -48


@pytest.mark.parametrize("nuclide", range(4))
def test_shared_lead_signatures_are_predicted_below_50(nuclide):
    with h5py.File(shared_file("gamma_lead_simulated")) as file:
        taught, held_out = file["X_train"][nuclide], file["X_valid"][nuclide]
        surrogate = Surrogate.fit(taught, file["t_train"][:], ["lead"], ["cm"])
        predicted = surrogate.predict(file["t_valid"][:])
    assert decibels(predicted, held_out / held_out.sum(1, keepdims=True)).max() <= -50
    assert (predicted > 0).all()


def test_shared_steel_signatures_are_predicted_down_to_their_noise():
    """Mean squared error of held-out rows over that of their counts, which no prediction can undercut: near 1."""
    with h5py.File(shared_file("gamma_semsun_steel")) as file:
        nuclide = file["nuclide"].asstr()[:]
        counts, steel = (file[name][:][nuclide == "Cs137"].astype(float) for name in ("spectra", "targets"))
    left_out = np.argsort(steel[:, 0])[2:-2:4]
    taught = np.setdiff1d(np.arange(len(counts)), left_out)
    surrogate = Surrogate.fit(counts[taught], steel[taught, 0], ["steel"], ["mm"])
    totals = counts[left_out].sum(1)
    true = counts[left_out] / totals[:, None]
    noise = (1 - (true**2).sum(1)) / totals
    ratio = ((surrogate.predict(steel[left_out, 0]) - true) ** 2).sum(1) / noise
    assert np.median(ratio) < 1.3
