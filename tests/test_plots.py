"""Plots: what is on the axes is what was handed in, labels carry units, and nothing global changes."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from scipy.stats import beta

from probspec import plots
from probspec.errors import QueryError
from probspec.metrics import calibration_table, expected_calibration_error, selective_accuracy
from probspec.plots.maps import shades
from probspec.plots.style import PALETTE, styles

NAMES = ("water", "1,2-ethanediol", "3-amino-1-propanol")
WAVELENGTH = np.linspace(700, 1100, 81)
LABELS = {"quantity": "abundance", "unit": "mass fraction"}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def ax():
    return plots.new_figure()[1][0, 0]


@pytest.fixture(autouse=True)
def nothing_global_changes():
    before = dict(mpl.rcParams)
    yield
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def band(ax):
    """Lower and upper end by place of the filled area."""
    x, y = ax.collections[0].get_paths()[0].vertices.T
    return {place: (y[np.isclose(x, place)].min(), y[np.isclose(x, place)].max()) for place in np.unique(x)}


def drawable(ax):
    """Render, so that errors which matplotlib puts off come out."""
    ax.figure.canvas.draw()
    return ax


def compositions(rng, samples=20, components=3):
    truth = rng.dirichlet(np.ones(components), samples)
    mean = np.clip(truth + rng.normal(0, 0.02, truth.shape), 0, 1)
    return mean, mean - 0.05, mean + 0.05, truth


@pytest.mark.parametrize("prob", [0.5, 0.9])
def test_band_holds_the_promised_share_of_the_draws(ax, rng, prob):
    draws = 1 + 0.1 * rng.standard_normal((2000, 81))
    labels = {"axis_name": "wavelength", "axis_unit": "nm", "quantity": "absorbance", "unit": "a.u."}
    drawable(plots.spectra_band(ax, WAVELENGTH, draws, draws[0], prob=prob, **labels))
    lower, upper = band(ax)[WAVELENGTH[40]]
    assert np.mean((draws[:, 40] >= lower) & (draws[:, 40] <= upper)) == pytest.approx(prob, abs=1e-3)
    median, measured = (line.get_ydata() for line in ax.lines)
    np.testing.assert_allclose(median, np.median(draws, axis=0))
    np.testing.assert_array_equal(measured, draws[0])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Wavelength (nm)", "Absorbance (a.u.)")
    assert legend(ax) == [f"{100 * prob:.0f} % predictive band", "predictive median", "measured"]


def test_band_reads_names_and_units_from_labelled_arrays_and_takes_chains(ax, rng):
    axis = xr.DataArray(np.linspace(100, 1700, 81), dims="shift", name="Raman shift", attrs={"unit": "cm^-1"})
    draws = xr.DataArray(
        rng.poisson(100, (1, 300, 81)), dims=("chain", "draw", "shift"), name="intensity", attrs={"unit": "counts"}
    )
    drawable(plots.spectra_band(ax, axis, draws))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Raman shift (cm$^{-1}$)", "Intensity (counts)")
    assert legend(ax) == ["90 % predictive band", "predictive median"]


def test_lines_are_the_spectra_in_a_colour_each(ax, rng):
    spectra = rng.random((3, 81))
    drawable(plots.spectra_lines(ax, WAVELENGTH, spectra, NAMES, axis_name="Wavelength", axis_unit="nm", **LABELS))
    np.testing.assert_array_equal([line.get_ydata() for line in ax.lines], spectra)
    assert [to_hex(line.get_color()) for line in ax.lines] == [color.lower() for color in PALETTE[:3]]
    assert legend(ax) == list(NAMES)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Wavelength (nm)", "Abundance (mass fraction)")


def test_intervals_stand_where_the_truth_is(ax, rng):
    mean, lower, upper, truth = compositions(rng)
    drawable(plots.intervals(ax, mean, lower, upper, truth, NAMES, prob=0.8, **LABELS))
    for k, bars in enumerate(ax.collections):
        segments = np.stack(bars.get_segments())
        np.testing.assert_allclose(segments[:, :, 0], truth[:, [k, k]])
        np.testing.assert_allclose(segments[:, :, 1], np.c_[lower[:, k], upper[:, k]])
        assert to_hex(bars.get_color()[0]) == PALETTE[k].lower()
    assert legend(ax) == list(NAMES)
    assert ax.get_legend().get_title().get_text() == "mean, 80 % interval"
    assert ax.get_xlabel() == "True abundance (mass fraction)"
    assert ax.get_ylabel() == "Predicted abundance (mass fraction)"


def test_intervals_as_differences_are_relative_to_the_truth(ax, rng):
    mean, lower, upper, truth = compositions(rng)
    drawable(plots.intervals(ax, mean, lower, upper, truth, NAMES, difference=True, **LABELS))
    np.testing.assert_allclose(ax.lines[1].get_ydata(), (mean - truth)[:, 1])
    np.testing.assert_allclose(np.stack(ax.collections[1].get_segments())[:, 1, 1], (upper - truth)[:, 1])
    assert ax.get_ylabel() == "Predicted \N{MINUS SIGN} true abundance (mass fraction)"


def test_intervals_read_labelled_arrays(ax, rng):
    mean, *others = compositions(rng)
    labelled = xr.DataArray(
        mean, {"component": list(NAMES)}, ("sample", "component"), name="abundance", attrs={"unit": "mass fraction"}
    )
    plots.intervals(ax, labelled, *others)
    assert legend(ax) == list(NAMES)
    assert ax.get_xlabel() == "True abundance (mass fraction)"


def test_many_components_all_look_different():
    looks = [(style.color, style.marker) for style in styles([f"mineral {k}" for k in range(23)])]
    assert len(set(looks)) == 23


def test_ternary_puts_pure_components_in_their_corners_with_their_ticks(ax, rng):
    draws = rng.dirichlet([60, 30, 10], 400)
    drawable(plots.ternary(ax, draws, [1.0, 0.0, 0.0], NAMES, unit="fraction"))
    np.testing.assert_allclose(np.ravel(ax.lines[-1].get_data()), [0, 0], atol=1e-12)
    texts = {(t.get_text(), t.get_color()): t.xy for t in ax.texts}
    for k, corner in enumerate([(0, 0), (1, 0), (0.5, np.sqrt(3) / 2)]):
        np.testing.assert_allclose(texts["1.0", PALETTE[k]], corner, atol=1e-12)
    assert {"water (fraction)", "1,2-ethanediol (fraction)", "3-amino-1-propanol (fraction)"} < {t for t, _ in texts}
    assert legend(ax) == ["50 % posterior region", "90 % posterior region", "true"]


def test_ternary_regions_hold_the_promised_share_of_the_draws(ax, rng):
    draws = rng.dirichlet([60, 30, 10], 2000)
    plots.ternary(ax, draws, names=NAMES, unit="fraction", probs=(0.5, 0.9))
    places = draws @ np.array([[0, 0], [1, 0], [0.5, np.sqrt(3) / 2]])
    filled = [c for c in ax.collections if c.get_facecolor().size]
    shares = [np.mean([path.contains_points(places) for path in region.get_paths()]) for region in filled]
    np.testing.assert_allclose(shares, [0.5, 0.9], atol=0.01)


def test_ternary_zoom_labels_the_window_truly(ax, rng):
    truth = np.array([0.62, 0.28, 0.10])
    drawable(plots.ternary(ax, rng.dirichlet(3000 * truth, 500), truth, NAMES, unit="fraction", zoom=True))
    corners = np.array([[0, 0], [1, 0], [0.5, np.sqrt(0.75)]])
    ticks = [[t for t in ax.texts if t.get_color() == colour and t.get_text()[0] == "0"] for colour in PALETTE[:3]]
    least = np.array([min(float(t.get_text()) for t in along) for along in ticks])
    size = 1 - least.sum()
    assert 0.02 < size < 0.2
    for k, along in enumerate(ticks):
        at_corner = next(t for t in along if np.allclose(t.xy, corners[k]))
        assert float(at_corner.get_text()) == pytest.approx(least[k] + size)
    np.testing.assert_allclose(np.ravel(ax.lines[-1].get_data()), (truth - least) / size @ corners, atol=1e-9)


@pytest.mark.parametrize("end", [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
def test_ternary_draws_without_area_are_shown_as_points(ax, end):
    draws = np.linspace([0.2, 0.3, 0.5], end, 50)
    drawable(plots.ternary(ax, draws, names=NAMES, unit="fraction", zoom=True))
    assert legend(ax) == ["posterior draws"]
    assert len(ax.lines[-1].get_xdata()) == 50


def test_calibration_band_is_binomial_and_says_its_n(ax):
    levels = np.array([0.5, 0.8, 0.9])
    drawable(plots.calibration(ax, levels, {"UVAE": [0.48, 0.83, 0.9], "PLS": [0.2, 0.4, 0.6]}, n=100))
    lower, upper = band(ax)[0.5]
    assert (lower, upper) == pytest.approx((0.40, 0.60))
    assert legend(ax) == ["95 % binomial band, n = 100", "UVAE", "PLS"]
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), [0.2, 0.4, 0.6])
    assert ax.get_xlabel() == "Nominal probability of the interval"


def test_calibration_takes_a_single_curve(ax):
    assert "measured" in legend(plots.calibration(ax, [0.5, 0.9], [0.4, 0.9], n=20))


def test_loss_history_names_terms_of_different_lengths(ax):
    drawable(plots.loss_history(ax, {"forward": [3.0, 2.0, 1.0], "validation": [4.0]}))
    assert legend(ax) == ["forward", "validation"]
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [1, 2, 3])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Epoch", "Loss (nats per spectrum)")


def test_loss_history_puts_entries_at_their_epochs_and_shows_a_single_one(ax):
    drawable(plots.loss_history(ax, {"elbo": [3.0, 2.0]}, at=[8, 16]))
    plots.loss_history(ax, {"one": [1.0]}, at=[8])
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [8, 16])
    assert ax.lines[1].get_marker() == "o"


def test_long_names_go_before_names(ax):
    axis = xr.DataArray(WAVELENGTH, dims="w", name="nir_w", attrs={"unit": "nm", "long_name": "wavelength"})
    plots.spectra_band(ax, axis, np.ones((9, 81)), **LABELS)
    assert ax.get_xlabel() == "Wavelength (nm)"


def test_bars_stand_beside_the_truth_with_mean_kl_in_the_legend(ax):
    truth, ours, pls = np.array([0.6, 0.3, 0.1]), np.array([0.58, 0.32, 0.1]), np.array([0.5, 0.3, 0.2])
    plots.abundance_bars(
        ax, truth, {"UVAE": ours, "PLS": pls}, NAMES, mean_kl={"UVAE": 0.006, "PLS": 0.0261},
        bounds={"UVAE": (ours - 0.03, ours + 0.05)}, **LABELS,
    )  # fmt: skip
    drawable(ax)
    heights = np.array([bar.get_height() for bar in ax.patches]).reshape(3, 3)
    np.testing.assert_array_equal(heights, [truth, ours, pls])
    assert legend(ax) == ["true", "UVAE, mean KL 0.0060 nat", "PLS, mean KL 0.0261 nat", "90 % interval"]
    whisker = ax.collections[0].get_segments()[0]
    np.testing.assert_allclose(whisker[:, 1], [0.55, 0.63])
    left, right = ax.patches[0].get_x(), ax.patches[6].get_x() + ax.patches[6].get_width()
    assert ax.get_xticks()[0] == pytest.approx((left + right) / 2)
    assert [t.get_text() for t in ax.get_xticklabels()] == list(NAMES)
    assert ax.get_ylabel() == "Abundance (mass fraction)"


def test_symbols_keep_their_case(ax):
    plots.spectra_band(ax, WAVELENGTH, np.ones((9, 81)), axis_name="kT", axis_unit="keV", quantity="z", unit="1")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("kT (keV)", "z (1)")


MINERALS = [f"mineral {k}" for k in range(17)]


def named(rng, count=400, classes=4):
    proba = rng.dirichlet(np.full(classes, 0.3), count)
    return proba, np.array([rng.choice(classes, p=p) for p in proba])


def test_confusion_writes_numbers_where_there_are_rows_and_names_all_classes(ax, rng):
    counts = np.diag(rng.integers(1, 20_000, 17))
    counts[3, 5] = 7
    plots.confusion(ax, pd.DataFrame(counts, MINERALS, MINERALS))
    drawable(ax)
    texts = {t.get_position(): t.get_text() for t in ax.texts}
    assert len(texts) == 18
    assert texts[5, 3] == "7"  # x is what was predicted
    shares = ax.images[0].get_array()
    assert shares[3, 5] == pytest.approx(7 / counts[3].sum())
    assert [t.get_text() for t in ax.get_xticklabels()] == MINERALS
    assert [t.get_text() for t in ax.get_yticklabels()] == MINERALS
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Predicted class", "True class")


def test_confusion_numbers_fit_their_cells(rng):
    figure, axes = plots.new_figure(1, 1, 8, 6.5)
    plots.confusion(axes[0, 0], pd.DataFrame(np.full((17, 17), 18686), MINERALS, MINERALS))
    drawable(axes[0, 0])
    cell = axes[0, 0].get_window_extent().width / 17
    assert max(t.get_window_extent().width for t in axes[0, 0].texts) < cell
    assert min(t.get_fontsize() for t in axes[0, 0].texts) > 5


def test_confusion_of_a_class_without_rows_is_blank(ax):
    drawable(plots.confusion(ax, pd.DataFrame([[2, 1], [0, 0]], ["a", "b"], ["a", "b"])))
    assert sorted(t.get_text() for t in ax.texts) == ["1", "2"]


def test_reliability_shows_shares_with_their_beta_intervals_and_n(ax, rng):
    proba, y = named(rng)
    drawable(plots.reliability(ax, proba, y, bins=10, prob=0.8))
    table = calibration_table(proba, y, bins=10)
    np.testing.assert_allclose(ax.lines[0].get_data(), [table["confidence"], table["accuracy"]])
    lower, upper = np.stack(ax.collections[0].get_segments())[:, :, 1].T
    n, right = table["n"].to_numpy(), table["n"].to_numpy() * table["accuracy"].to_numpy()
    inner = (right > 0) & (right < n)
    law = beta(right + 0.5, n - right + 0.5)
    np.testing.assert_allclose((law.cdf(upper) - law.cdf(lower))[inner], 0.8)
    assert [t.get_text() for t in ax.texts][:-1] == [f"{count:,}" for count in n]
    assert legend(ax) == ["80 % interval", "share right"]
    assert (
        ax.get_legend().get_title().get_text() == f"ECE (10 bins) {expected_calibration_error(proba, y, bins=10):.4f}"
    )


def test_reliability_interval_reaches_1_where_all_are_right(ax):
    plots.reliability(ax, [[0.99, 0.01]] * 20, [0] * 20)
    ((_, lower), (_, upper)) = ax.collections[0].get_segments()[0]
    assert upper == 1
    assert 0.8 < lower < 1


def test_selective_draws_a_curve_for_each_method(ax, rng):
    curves = {name: selective_accuracy(*named(rng)) for name in ("network", "GDA")}
    drawable(
        plots.selective(ax, {k: c.coverage for k, c in curves.items()}, {k: c.accuracy for k, c in curves.items()})
    )
    assert legend(ax) == ["network", "GDA"]
    np.testing.assert_array_equal(ax.lines[2].get_data(), curves["GDA"])
    assert ax.get_xlabel() == "Coverage (share of rows kept)"


def test_selective_takes_a_single_curve(ax):
    plots.selective(ax, [0.5, 1.0], [1.0, 0.9])
    assert ax.get_legend() is None


def test_latent_map_keeps_the_looks_of_a_class_whatever_occurs(ax, rng):
    labels = np.array(MINERALS)[rng.integers(3, 17, 200)]
    drawable(plots.latent_map(ax, rng.random((200, 2)), labels, names=MINERALS))
    looks = {h.get_label(): (h.get_color(), h.get_marker()) for h in ax.lines if not h.get_label().startswith("_")}
    expected = {s.name: (s.color, s.marker) for s in styles(MINERALS)}
    assert looks == {name: expected[name] for name in np.unique(labels)}
    drawn = sum(len(line.get_xdata()) for line in ax.lines)
    assert drawn == 200


def test_latent_map_draws_unassigned_rows_in_grey_beneath(ax, rng):
    plots.latent_map(ax, rng.random((50, 2)), np.repeat([-1, 0, 1], [10, 20, 20]))
    assert legend(ax) == ["unassigned", "0", "1"]
    assert ax.lines[0].get_color() == "0.75"
    assert len(ax.lines[0].get_xdata()) == 10


def test_map_of_classes_lists_those_that_occur_with_their_shares(ax):
    codes = np.zeros((10, 20), int)
    codes[:, :5], codes[0, 0], codes[0, 1] = 16, -1, 3
    drawable(plots.element_map(ax, codes, names=MINERALS, pixel=2.5))
    assert legend(ax) == ["mineral 0, 75 %", "mineral 3, < 1 %", "mineral 16, 24 %", "none"]
    patches = ax.get_legend().get_patches()
    shown = ax.images[0].cmap(ax.images[0].norm(codes))
    assert to_hex(shown[5, 3]) == to_hex(patches[2].get_facecolor())
    assert len(set(shades(21))) == 21


def test_map_scale_bar_is_a_round_length_true_to_the_pixels(ax):
    drawable(plots.element_map(ax, np.zeros((50, 200)), quantity="MgO", unit="wt%", pixel=2.5))
    (bar,) = (artist for artist in ax.artists if isinstance(artist, AnchoredSizeBar))
    assert bar.txt_label.get_text() == "100 µm"  # of 500 µm
    assert bar.size_bar.get_children()[0].get_width() == pytest.approx(100 / 2.5)


def test_map_of_a_quantity_has_a_colour_bar_with_its_unit(ax):
    values = xr.DataArray([[1.0, np.nan], [3.0, 4.0]], dims=("y", "x"), name="MgO", attrs={"unit": "wt%"})
    drawable(plots.element_map(ax, values))
    assert [a.get_ylabel() for a in (ax, *ax.child_axes)] == ["y (pixel)", "MgO (wt%)"]
    assert ax.images[0].get_array().mask.tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_save_writes_the_format_of_the_ending(tmp_path, ax, ending):
    plots.loss_history(ax, {"elbo": [2.0, 1.0]})
    written = plots.save(ax.figure, tmp_path / f"loss.{ending}", dpi=50)
    assert written.stat().st_size > 1000


def test_what_cannot_be_labelled_or_drawn_is_refused_with_its_reason(ax, rng):
    four = compositions(rng)
    refusals = {
        "no unit": lambda: plots.intervals(ax, *four, NAMES, quantity="abundance"),
        "no quantity": lambda: plots.intervals(ax, *four, NAMES, unit="mass fraction"),
        "names": lambda: plots.intervals(ax, *four, NAMES[:2], **LABELS),
        "intervals: shapes": lambda: plots.intervals(ax, *four[:3], four[3][:5], NAMES, **LABELS),
        "the same channels": lambda: plots.spectra_band(ax, WAVELENGTH, np.ones((5, 7)), **LABELS),
        "a name for each": lambda: plots.spectra_lines(ax, WAVELENGTH, np.ones((3, 81)), NAMES[:2], **LABELS),
        "draws: shape": lambda: plots.spectra_band(ax, WAVELENGTH, WAVELENGTH, **LABELS),
        "prob: 90": lambda: plots.spectra_band(ax, WAVELENGTH, np.ones((5, 81)), prob=90, **LABELS),
        "ternary: 4 components": lambda: plots.ternary(ax, np.full((5, 4), 0.25), names=NAMES, unit="fraction"),
        "'PLS'.*mean_kl": lambda: plots.abundance_bars(
            ax, four[3][0], {"PLS": four[0][0]}, NAMES, mean_kl={}, **LABELS
        ),
        "table": lambda: plots.confusion(ax, pd.DataFrame([[-1.0]])),
        "prob: 2": lambda: plots.reliability(ax, [[0.5, 0.5]], [0], prob=2),
        "selective: coverage": lambda: plots.selective(ax, [0.5, 1.0], [1.0]),
        "latent and labels": lambda: plots.latent_map(ax, np.ones((4, 3)), np.ones(4)),
        "names: lack": lambda: plots.latent_map(ax, np.ones((2, 2)), np.array(["a", "b"]), names=["a"]),
        r"values: shape \(3,\)": lambda: plots.element_map(ax, np.ones(3)),
        "values: int64 from 0 to 5": lambda: plots.element_map(ax, np.array([[0, 5]]), names=["a"]),
        "axis label: no quantity": lambda: plots.element_map(ax, np.ones((2, 2)), unit="wt%"),
        "pixel: 0": lambda: plots.element_map(ax, np.ones((2, 2)), quantity="MgO", unit="wt%", pixel=0),
    }
    for message, call in refusals.items():
        with pytest.raises(QueryError, match=message):
            call()


class TestHyperspectral:
    """Two halves of unlike spectra; one pixel not measured, one transferred as of the other half, one too bright."""

    @pytest.fixture
    def images(self):
        truth = np.zeros((4, 6, 3))
        truth[:, :3], truth[:, 3:] = (1.0, 2.0, 3.0), (9.0, 0.0, 1.0)
        truth += 0.01 * np.random.default_rng(0).random(truth.shape)
        said = truth.copy()
        said[0, 0], said[2, 2] = truth[0, 5], 2 * truth[2, 2]
        truth[3, 5] = np.nan
        return truth, said

    def test_intensity_is_the_sum_of_the_channels(self, ax, images):
        truth, _ = images
        drawable(plots.intensity_map(ax, truth, unit="counts"))
        shown = ax.images[0].get_array()
        np.testing.assert_allclose(shown.compressed(), truth.sum(-1)[np.isfinite(truth).all(-1)])
        assert shown.mask[3, 5] and shown.mask.sum() == 1
        assert ax.images[0].colorbar.ax.get_ylabel() == "Total intensity (counts)"

    def test_distances_pixel_by_pixel(self, ax, images):
        truth, said = images
        drawable(plots.distance_map(ax, truth, said, unit="counts"))
        shown = ax.images[0].get_array()
        assert shown[2, 2] == pytest.approx(np.linalg.norm(truth[2, 2])) and shown[1, 1] == 0 and shown.mask[3, 5]
        other = plots.new_figure()[1][0, 0]
        drawable(plots.distance_map(other, truth, said, kind="cosine"))
        angles = other.images[0].get_array()
        assert angles[2, 2] == pytest.approx(0, abs=1e-12) and angles[0, 0] > 0.3  # brightness is no angle

    def test_clusters_and_where_they_differ(self, images):
        truth, said = images
        axes = plots.new_figure(1, 3)[1][0]
        plots.cluster_maps(axes, truth, said, clusters=2)
        one, other, differ = (drawable(ax).images[0].get_array() for ax in axes)
        assert (one[:, :3] == 0).all() and (one[:3, 3:] == 1).all()  # the larger half first
        assert other[0, 0] == 1 and one.mask[3, 5] and other.mask[3, 5]
        assert np.argwhere(differ == 1).tolist() == [[0, 0]]
        assert axes[2].get_title() == f"Where they differ, k-score {22 / 23:.4f}"
        assert legend(axes[0]) == ["cluster 1, 52 %", "cluster 2, 48 %", "none"]

    def test_refusals(self, ax, images):
        truth, said = images
        with pytest.raises(QueryError, match="reshape"):
            plots.intensity_map(ax, truth.reshape(-1, 3), unit="counts")
        with pytest.raises(QueryError, match="as the true spectra"):
            plots.distance_map(ax, truth, said[:2], unit="counts")
        with pytest.raises(QueryError, match="kind='cosin'"):
            plots.distance_map(ax, truth, said, kind="cosin")
        with pytest.raises(QueryError, match="unit"):
            plots.distance_map(ax, truth, said)
        with pytest.raises(QueryError, match="three"):
            plots.cluster_maps([ax], truth, said)
        with pytest.raises(QueryError, match="colours"):
            plots.element_map(ax, np.zeros((2, 2), int), names=["a", "b"], colours=["red"])
