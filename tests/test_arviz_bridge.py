"""What `to_arviz` gives is taken by ArviZ's own functions."""

import warnings

import numpy as np
import pytest
import xarray as xr
from conjugate import fitted, simulated
from matplotlib.figure import Figure

from probspec import arviz_bridge
from probspec.posterior import posterior

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)
    import arviz

OLD = arviz.__version__.startswith("0.")
POST = posterior(fitted(), simulated(5), draws=300)


@pytest.fixture(scope="module")
def given():
    return POST.to_arviz(predictive=True)


def test_groups_and_dims(given):
    target = given["posterior"]["target"]
    assert target.dims == ("chain", "draw", "spectrum", "component") and target.attrs["unit"] == "g/L"
    np.testing.assert_array_equal(target, POST.draws["target"])
    assert given["log_likelihood"]["x"].dims == ("chain", "draw", "spectrum")
    assert given["posterior_predictive"]["x"].dims[2:] == given["observed_data"]["x"].dims == ("spectrum", "x_channel")


def test_summary_and_extract(given):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one chain has no R-hat
        table = arviz.summary(given, var_names=["target"], kind="stats", round_to="none")
    np.testing.assert_allclose(table["mean"], POST.mean("target").values.ravel(), rtol=1e-4)
    assert arviz.extract(given, var_names="target").sizes["sample"] == 300


def test_hdi_is_ours(given):
    lower, upper = POST.interval("target", prob=0.8, kind="hdi")
    found = arviz.hdi(given, **({"hdi_prob": 0.8} if OLD else {"prob": 0.8}))["target"]
    np.testing.assert_allclose(found, np.stack([lower, upper], -1), atol=1e-6 if OLD else 0.02)


def test_loo_takes_the_log_likelihood_of_a_modality(given):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the draws of a spectrum's own sites depend on the spectrum
        found = arviz.loo(given, var_name="x", pointwise=True)
    assert np.isfinite(found.elpd_loo if OLD else found.elpd)


@pytest.mark.skipif(not OLD, reason="ArviZ 1.x draws without axes")
def test_ppc_is_drawn(given):
    figure = Figure()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ArviZ 0.23 uses what newer matplotlib deprecates
        arviz.plot_ppc(given, num_pp_samples=5, ax=figure.subplots())
    assert len(figure.axes[0].lines) >= 6


def test_a_saved_posterior_is_opened_by_arviz(tmp_path):
    POST.to_netcdf(tmp_path / "posterior.nc")
    opened = arviz.from_netcdf(tmp_path / "posterior.nc", engine="h5netcdf")
    np.testing.assert_array_equal(opened["posterior"]["target"], POST.draws["target"])


def test_arviz_1_gets_a_tree(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(arviz_bridge, "version", lambda _: "1.3.0")
    tree = POST.to_arviz()
    assert isinstance(tree, xr.DataTree) and set(tree.children) == {"posterior", "log_density", "log_likelihood"}
    assert tree["posterior"]["target"].dims == ("chain", "draw", "spectrum", "component")
