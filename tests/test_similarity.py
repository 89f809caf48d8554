"""Generated spectra beside real ones: the numbers, and their pictures."""

import matplotlib as mpl
import numpy as np
import pytest
from scipy.spatial import cKDTree

from probspec import plots
from probspec.augmentation import channel_statistics, nearest_neighbours
from probspec.errors import QueryError

RNG = np.random.default_rng(0)
PURE = np.exp(-0.5 * ((np.linspace(0, 1, 40) - np.array([[0.3], [0.7]])) / 0.1) ** 2)
AXIS = np.linspace(400, 800, 40)
LABELS = {"quantity": "absorbance", "unit": "a.u."}


def pairs(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    C = rng.random((n, 2))
    return C @ PURE + 0.01 * rng.standard_normal((n, 40)), C


@pytest.fixture
def ax():
    return plots.new_figure()[1][0, 0]


def test_distances_are_those_of_a_search_tree(monkeypatch):
    monkeypatch.setattr("probspec.augmentation.similarity.BLOCK", 7)
    (X, C), (more_X, more_C) = pairs(30), pairs(20, 1)
    found = nearest_neighbours(X, C, more_X, 3 * more_C)
    distance, row = cKDTree(X).query(more_X)
    np.testing.assert_allclose(found.generated["spectral"], distance / 40**0.5)
    np.testing.assert_array_equal(found.generated["spectral_row"], row)
    unit = np.ptp(C, axis=0) * 2**0.5
    np.testing.assert_allclose(found.generated["chemical"], cKDTree(C / unit).query(3 * more_C / unit)[0])
    apart = np.linalg.norm((3 * more_C - C[row]) / unit, axis=1)
    np.testing.assert_allclose(found.generated["chemical_of_spectral"], apart)
    np.testing.assert_allclose(found.real["spectral"], cKDTree(X).query(X, k=2)[0][:, 1] / 40**0.5)


def test_good_copied_and_strange_spectra_are_told_apart():
    (X, C), (more_X, more_C) = pairs(60), pairs(500, 1)
    good, copied, strange = (
        nearest_neighbours(X, C, m, more_C) for m in (more_X, X[np.arange(500) % 60] + 1e-6, more_X + 1)
    )
    assert good.copies < 0.2 and good.strangers < 0.2
    assert copied.copies == 1 and strange.strangers == 1
    assert good.summary.loc["spectral", "ratio median"] == pytest.approx(1, abs=0.15)
    assert copied.summary.loc["chemical_of_spectral", "ratio median"] > 3 * good.summary["ratio median"].max()


def test_replicates_are_no_neighbours():
    X, C = pairs(20)
    twice = np.repeat(X, 2, 0) + 1e-6 * RNG.standard_normal((40, 40)), np.repeat(C, 2, 0)
    once, grouped, not_grouped = (
        nearest_neighbours(x, c, X, C, groups=g).real
        for (x, c), g in (((X, C), None), (twice, np.arange(40) // 2), (twice, None))
    )
    np.testing.assert_allclose(grouped["spectral"][::2], once["spectral"], atol=1e-5)
    assert not_grouped["spectral"].max() < 1e-5 < grouped["spectral"].min()
    with pytest.raises(QueryError, match="groups"):
        nearest_neighbours(X, C, X, C, groups=np.zeros(20))


def test_statistics_by_channel():
    X, made = RNG.random((50, 3)), 2 * RNG.random((80, 3))
    table = channel_statistics(X, made)
    np.testing.assert_allclose(table["real_mean"], X.mean(0))
    np.testing.assert_allclose(table["generated_sd"], made.std(0, ddof=1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda X, C: (X, C, X[:, 1:], C), "generated_X: 39 columns"),
        (lambda X, C: (X, C, X, C[:, :1]), "generated_C: 1 columns"),
        (lambda X, C: (X, C[1:], X, C), "C: 9 rows"),
        (lambda X, C: (X[:1], C[:1], X, C), "X: shape"),
        (lambda X, C: (X, C, np.where(X == X[2, 5], np.nan, X), C), r"generated_X\[2, 5\]"),
    ],
)
def test_bad_pairs_are_named(arguments, message):
    with pytest.raises(QueryError, match=message):
        nearest_neighbours(*arguments(*pairs(10)))


def test_channels_are_drawn_as_they_are(ax):
    X, made = RNG.random((50, 40)), RNG.random((80, 40))
    table, before = channel_statistics(X, made), dict(mpl.rcParams)
    assert plots.channel_statistics(ax, AXIS, table, axis_name="wavelength", axis_unit="nm", **LABELS) is ax
    ax.figure.canvas.draw()
    drawn = [line.get_ydata() for line in ax.lines]
    names = ("real_mean", "generated_mean", "real_sd", "generated_sd")
    np.testing.assert_array_equal(drawn, table[list(names)].to_numpy().T)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Wavelength (nm)", "Absorbance (a.u.)")
    assert dict(mpl.rcParams) == before
    with pytest.raises(QueryError, match="statistic='max'"):
        plots.channel_statistics(ax, AXIS, table, "max", axis_name="wavelength", axis_unit="nm", **LABELS)
    with pytest.raises(QueryError, match="same channels"):
        plots.channel_statistics(ax, AXIS[1:], table, axis_name="wavelength", axis_unit="nm", **LABELS)


def test_distances_are_drawn_where_they_are(ax):
    (X, C), (more_X, more_C) = pairs(30), pairs(100, 1)
    more_C[0], more_X[0] = C[0], X[0]  # at a distance of 0, which a logarithmic axis does not have
    found = nearest_neighbours(X, C, more_X, more_C)
    plots.neighbour_distances(ax, found.generated, found.real, **LABELS)
    ax.figure.canvas.draw()
    made, real = (line.get_xydata() for line in ax.lines if len(line.get_xydata()) in (100, 30))
    np.testing.assert_array_equal(real, found.real[["chemical", "spectral"]])
    true = found.generated[["chemical", "spectral"]].to_numpy()
    there = (true > 0.5 * np.quantile(true[1:], 0.02, axis=0)).all(1)
    np.testing.assert_array_equal(made[there], true[there])
    assert there.sum() >= 95 and (made >= true).all()
    low, high = ax.get_xlim(), ax.get_ylim()
    assert (made > 0).all() and (made[:, 0] > low[0]).all() and (made[:, 1] < high[1]).all()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "generated (n = 100)",
        "real (n = 30)",
        "medians",
    ]
    assert ax.get_ylabel() == "Distance to nearest absorbance (a.u.)"
    with pytest.raises(QueryError, match="no unit"):
        plots.neighbour_distances(ax, found.generated, found.real, quantity="absorbance")
