"""Baselines by pybaselines, and chemotools' steps before our faces; both are an optional dependency."""

import builtins
import importlib.util
import sys

import numpy as np
import pytest
from instruments import pairs
from sklearn.base import clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.feature_selection import VarianceThreshold
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import probspec as ps
from probspec.errors import DataError, ProbspecWarning
from probspec.estimators import BaselineCorrection

missing = [name for name in ("pybaselines", "chemotools") if importlib.util.find_spec(name) is None]
needs_extra = pytest.mark.skipif(
    bool(missing), reason=f"not installed: {', '.join(missing)}; pip install 'probspec[preprocessing]'"
)

POSITIONS = np.linspace(400.0, 1800.0, 700)
LINES = np.exp(-0.5 * ((POSITIONS - np.array([[700.0], [1100.0]])) / 12) ** 2)


def drifting(rows: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spectra of two lines on a curved baseline, those baselines, and the heights of the lines."""
    rng = np.random.default_rng(seed)
    t = np.linspace(-1, 1, len(POSITIONS))
    under = rng.uniform(1, 3, (rows, 1)) + rng.uniform(-1, 1, (rows, 1)) * t + rng.uniform(0, 1, (rows, 1)) * t**2
    heights = rng.uniform(1, 4, (rows, 2))
    return under + heights @ LINES + 0.01 * rng.standard_normal(under.shape), under, heights


@needs_extra
@parametrize_with_checks([BaselineCorrection("imodpoly", {"poly_order": 0})])
def test_scikit_learn(estimator, check):
    check(estimator)


@needs_extra
@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("arpls", {"lam": 1e6}),
        ("imodpoly", {"poly_order": 2}),
        ("snip", {"max_half_window": 30, "decreasing": True, "smooth_half_window": 3}),
        ("mixture_model", None),
    ],
)
def test_the_baseline_is_found(method, settings):
    X, under, heights = drifting()
    correction = BaselineCorrection(method, settings, POSITIONS)
    left = correction.fit_transform(X)
    assert np.abs(correction.baseline(X) - under).max() < 0.2
    assert np.allclose(left + correction.baseline(X), X)
    assert np.abs(left.max(1) - heights.max(1)).max() < 0.2


@needs_extra
def test_positions_may_fall_and_need_not_be_even():
    uneven = POSITIONS**2
    X, _, _ = drifting(3)
    correction = BaselineCorrection("imodpoly", {"poly_order": 3})
    rising = clone(correction).set_params(positions=uneven).fit(X).baseline(X)
    falling = clone(correction).set_params(positions=uneven[::-1]).fit(X).baseline(X[:, ::-1])
    assert np.allclose(rising, falling[:, ::-1])
    assert not np.allclose(rising, clone(correction).fit(X).baseline(X), atol=1e-3)


BAD = {
    "method": ({"method": "arlps"}, "pybaselines has no method 'arlps' here; expected one of 61, such as arpls"),
    "of many spectra": ({"method": "collab_pls"}, "no method 'collab_pls' here"),
    "no name": ({"method": None}, "no method None"),
    "private": ({"method": "_setup_whittaker"}, "no method '_setup_whittaker'"),
    "setting": (
        {"settings": {"lamb": 1e5}},
        r"settings\['lamb'\]: arpls has none such; did you mean 'lam'\? Known: di",
    ),
    "no dict": ({"settings": ["lam"]}, r"settings: got \['lam'\]; expected a dict"),
    "data as a setting": ({"settings": {"data": 1}}, r"settings\['data'\]"),
    "value": ({"settings": {"lam": -1}}, r"X\[0\]: no baseline \(.*lam"),
    "type of a value": ({"settings": {"lam": "much"}}, r"X\[0\]: no baseline"),
    "positions too short": ({"positions": POSITIONS[1:]}, "positions: 699 positions; expected 700"),
    "positions of two dims": ({"positions": POSITIONS[None]}, r"positions: shape \(1, 700\)"),
    "positions of text": ({"positions": ["a"] * 700}, "positions: dtype"),
    "positions that repeat": ({"positions": POSITIONS.round(-1)}, r"positions\[1\]: 400 after 400; expected positions"),
    "a position that is NaN": ({"positions": np.where(np.arange(700) == 5, np.nan, POSITIONS)}, r"positions\[5\]: nan"),
    "an infinite position": ({"positions": np.where(POSITIONS > 1799, np.inf, POSITIONS)}, r"positions\[699\]: inf"),
}


@needs_extra
@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_named(case):
    changed, message = BAD[case]
    with pytest.raises(DataError, match=message):
        BaselineCorrection(**changed).fit_transform(drifting(2)[0])


@needs_extra
def test_warnings_name_the_spectra_once():
    X, _, _ = drifting(4)
    with pytest.warns(
        ProbspecWarning, match=r"X\[0\]: golotvin of pybaselines warns of 4 of 4 spectra: .*points"
    ) as told:
        BaselineCorrection("golotvin", {"num_std": 0.0}).fit_transform(X)
    assert len(told) == 1


@needs_extra
def test_settings_can_be_searched():
    X, _, heights = drifting(24)
    grid = {"baselinecorrection__settings": [{"lam": 1.0}, {"lam": 1e6}]}
    search = GridSearchCV(make_pipeline(BaselineCorrection(), PLSRegression(2, scale=False)), grid, cv=3).fit(
        X, heights
    )
    assert search.best_score_ > 0.99 and search.best_params_["baselinecorrection__settings"] == {"lam": 1e6}


@needs_extra
class TestChemotools:
    """Its steps are scikit-learn transformers already; these are the three faces that they may stand before."""

    def test_scatter_correction_before_a_regressor(self):
        from chemotools.scatter import StandardNormalVariate

        X, _, heights = drifting(40)
        Y = heights / heights.sum(1, keepdims=True)
        regressor = ps.CompositionRegressor(draws=50, options=ps.TrainOptions(epochs=100, learning_rate=5e-3))
        chain = make_pipeline(BaselineCorrection(settings={"lam": 1e6}), StandardNormalVariate(), regressor)
        predicted = chain.fit(X[:30], Y[:30]).predict(X[30:])
        assert np.abs(predicted - Y[30:]).mean() < 0.2 * np.abs(Y - Y.mean(0)).mean()

    def test_derivatives_before_a_transfer(self):
        from chemotools.derivative import SavitzkyGolay

        X, Y = pairs(60)
        chain = make_pipeline(SavitzkyGolay(window_length=5, polyorder=2), ps.SpectralTransfer())
        made = chain.fit(X[:50], Y[:50]).transform(X[50:])
        assert np.square(made - Y[50:]).sum() < 0.1 * np.square(Y[50:] - Y[:50].mean(0)).sum()

    def test_linear_steps_before_an_augmenter(self):
        from chemotools.baseline import LinearCorrection

        X, _, C = drifting(30)
        steps = make_pipeline(LinearCorrection(), VarianceThreshold(1e-12))  # both ends are left at zero
        flat = steps.fit_transform(X)
        made, c = ps.SpectralAugmenter(n_generated=50).fit_resample(flat, C)
        assert made.shape == (80, 698) and np.isfinite(made).all() and c.shape == (80, 2)


def test_without_pybaselines_it_says_what_to_install(monkeypatch):
    imported = builtins.__import__

    def without(name, *rest):
        if name.startswith("pybaselines"):
            raise ModuleNotFoundError(name)
        return imported(name, *rest)

    for name in [name for name in sys.modules if name.startswith("pybaselines")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'probspec\[preprocessing\]'"):
        BaselineCorrection().fit(drifting(2)[0])
