"""Posteriors against closed forms, and what their methods refuse."""

import warnings
from pathlib import Path

import numpy as np
import pyro.distributions as dist
import pytest
import torch
import xarray as xr
from conjugate import Conjugate, Shared, exact, fitted, means_of_repeats, simulated

from probspec.data.spectra import Spectra
from probspec.draws import gather
from probspec.errors import FileError, PriorError, ProbspecWarning, QueryError
from probspec.posterior import Posterior, posterior
from probspec.spec import anonymous_spec

DRAWS = 2000
SPECTRA = simulated(12)


@pytest.fixture(scope="module")
def post() -> Posterior:
    return posterior(fitted(), SPECTRA, draws=DRAWS, seed=1)


def normal(mean: float, sd: float) -> dist.TorchDistribution:
    return dist.Normal(torch.full((2,), mean), torch.full((2,), sd)).to_event(1)


def test_draws_are_labelled(post: Posterior):
    target = post.draws["target"]
    assert target.dims == ("chain", "draw", "sample", "component")
    assert target.shape == (1, DRAWS, 12, 2) and target.dtype == np.float32
    assert list(target["component"].values) == ["water", "salt"]
    assert target.attrs["unit"] == "g/L" and post.mean("target").attrs["unit"] == "g/L"
    assert len(post) == 12


def test_mean_sd_and_quantile_are_those_of_the_closed_form(post: Posterior):
    mean, sd = exact(means_of_repeats(SPECTRA))
    assert np.abs(post.mean("target") - mean).max() < 4.5 * sd / DRAWS**0.5
    np.testing.assert_allclose(post.sd("target"), sd, rtol=4.5 / (2 * DRAWS) ** 0.5)
    upper = post.quantile([0.5, 0.95], "target").sel(quantile=0.95)
    np.testing.assert_allclose(upper, mean + 1.645 * sd, atol=4.5 * sd * 2.11 / DRAWS**0.5)
    assert set(post.mean().data_vars) == {"target"}


@pytest.mark.parametrize("kind", ["eti", "hdi"])
def test_interval_holds_its_share_of_the_draws(post: Posterior, kind: str):
    lower, upper = found = post.interval("target", prob=0.8, kind=kind)
    assert found.lower is lower and lower.attrs == {"unit": "g/L", "prob": 0.8, "kind": kind}
    inside = ((post.draws["target"] >= lower) & (post.draws["target"] <= upper)).mean(("chain", "draw"))
    np.testing.assert_allclose(inside, 0.8, atol=1e-3)
    mean, sd = exact(means_of_repeats(SPECTRA))
    np.testing.assert_allclose(upper, mean + 1.2816 * sd, atol=0.25 * sd)


def test_questions(post: Posterior):
    mean, sd = exact(means_of_repeats(SPECTRA))
    water = post.prob(lambda d: d["target"].sel(component="water") > 0)
    assert water.dims == ("sample",)
    truth = dist.Normal(torch.as_tensor(mean[:, 0]), sd).cdf(torch.zeros(12)).numpy()
    np.testing.assert_allclose(water, 1 - truth, atol=0.05)
    square = post.expect(lambda d: d["target"].sel(component="salt") ** 2)
    np.testing.assert_allclose(square, mean[:, 1] ** 2 + sd**2, rtol=0.1, atol=0.01)
    one_chain = post.prob(lambda d: d["target"].isel(chain=0, component=0) > 0)
    np.testing.assert_array_equal(one_chain, water)


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (lambda d: d["target"].mean() > 0, "draw"),
        (lambda d: d["target"].sel(component="water"), "comparison"),
        (lambda d: True, "bool"),
    ],
)
def test_a_question_that_is_no_event_is_an_error(post: Posterior, question, message: str):
    with pytest.raises(QueryError, match=message):
        post.prob(question)


def test_what_is_not_there_is_named(post: Posterior):
    with pytest.raises(QueryError, match="did you mean 'target'"):
        post.interval("targets")
    with pytest.raises(QueryError, match="prob"):
        post.interval("target", prob=90)
    with pytest.raises(QueryError, match="eti"):
        post.interval("target", kind="hpd")
    with pytest.raises(QueryError, match="modality"):
        post.predictive("raman")
    with pytest.raises(QueryError, match="has not been reweighted"):
        _ = post.khat_
    with pytest.raises(QueryError, match="12 spectra"):
        post.select([12])


def test_summary(post: Posterior):
    table = post.summary(prob=0.8)
    assert list(table.columns) == ["mean", "sd", "10 %", "90 %"]
    assert table.index.names == ["site", "sample", "component"] and len(table) == 24
    row = table.loc[("target", 3, "salt")]
    assert row["mean"] == pytest.approx(float(post.mean("target").sel(sample=3, component="salt")))
    assert row["10 %"] == pytest.approx(float(post.interval("target", 0.8).lower.sel(sample=3, component="salt")))


def test_repr_is_short_and_html_is_a_table(post: Posterior):
    assert repr(post) == "Posterior(12 spectra x 2000 draws of target)"
    assert post._repr_html_().count("<table") == 1


def test_select_keeps_labels_and_answers(post: Posterior):
    part = post.select([7, 3])
    assert len(part) == 2 and list(part.draws["sample"]) == [7, 3]
    xr.testing.assert_identical(part.mean("target"), post.mean("target").sel(sample=[7, 3]))
    xr.testing.assert_identical(part.khat(), post.khat().sel(sample=[7, 3]))
    assert len(post.select(4)) == 1 and len(post.select(np.arange(12) > 8)) == 3
    np.testing.assert_array_equal(part.measured("x"), SPECTRA.spectra("x")[[7, 3]])


def test_khat_tells_a_good_guide_from_a_narrow_one(post: Posterior):
    assert post.khat().dims == ("sample",) and (post.khat() < 0.5).all()
    # A normal law under one of `stretch` times its width has a ratio whose tail has the shape 1 - stretch^2.
    narrow = posterior(fitted(stretch=0.3), SPECTRA, draws=20_000).khat()
    assert abs(narrow.mean() - 0.91) < 0.1 and narrow.mean() > 0.7


def test_reweighted_draws_are_the_posterior_under_the_new_prior():
    wide = posterior(fitted(), SPECTRA, draws=4000, seed=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        new = wide.reweight(target=normal(0.3, 0.8))
    mean, sd = exact(means_of_repeats(SPECTRA), 0.3, 0.8)
    error = sd / new.effective_draws_.values[:, None] ** 0.5
    assert (np.abs(new.mean("target") - mean) < 4.5 * error).all()
    np.testing.assert_allclose(new.sd("target"), sd, rtol=0.1)
    assert (new.khat_ < 0.5).all() and (new.effective_draws_ > 2000).all() and (new.khat() < 0.5).all()
    assert new.draws.sizes == wide.draws.sizes and new.draws["target"].dims == wide.draws["target"].dims
    np.testing.assert_allclose(new.predictive("x").mean(("chain", "draw")), np.repeat(mean, 3, 1), atol=0.35)
    # A second step replaces the first one: it starts from the same draws.
    back = new.reweight(target=normal(0.0, 1.0))
    xr.testing.assert_allclose(back.mean("target"), wide.mean("target"), atol=0.01)
    assert (back.effective_draws_ > 3999).all()


def test_too_large_a_step_is_warned_of_by_sample(post: Posterior):
    with pytest.warns(ProbspecWarning, match=r"k-hat above 0.7 for \d+ of 12 spectra \(0, .*with_priors") as caught:
        far = post.reweight(target=normal(6.0, 0.1))
    assert caught[0].filename == __file__
    assert (far.khat_ > 0.7).all() and (far.effective_draws_ < 100).all()


def test_priors_that_cannot_be_reweighted_to_are_refused(post: Posterior):
    with pytest.raises(QueryError, match=r"positive.*with_priors\(target"):
        post.reweight(target=dist.LogNormal(torch.zeros(2), torch.ones(2)).to_event(1))
    with pytest.raises(QueryError, match="shape"):
        post.reweight(target=dist.Normal(torch.zeros(3), torch.ones(3)).to_event(1))
    with pytest.raises(PriorError, match="did you mean 'target'"):
        post.reweight(targets=normal(0.0, 1.0))
    with pytest.raises(QueryError, match="no prior was named"):
        post.reweight()


def test_sites_of_the_whole_set_are_drawn_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gather, "BLOCK", 30 * 6 * 5)  # 5 rows a block
    post = posterior(fitted(kind=Shared), SPECTRA, draws=30)
    assert post.draws["offset"].dims == ("chain", "draw")
    assert post.draws["target"].sizes["sample"] == 12
    assert post.draws["offset"].std() > 0.5
    assert set(post.draws.data_vars) == {"offset", "target", "twice", "sum"}  # derived sites where they are declared
    xr.testing.assert_allclose(post.draws["twice"], 2 * post.draws["offset"])
    xr.testing.assert_allclose(post.draws["sum"], post.draws["target"] + post.draws["offset"])
    assert "all" in post.summary().loc["offset"].index.get_level_values("sample")
    assert post.predictive("x").sizes["sample"] == 12 and len(post.select([0]).draws["offset"].dims) == 2
    xr.testing.assert_identical(post.reweight(target=normal(0.1, 1.0)).draws["offset"], post.draws["offset"])
    with pytest.raises(QueryError, match="not drawn for single spectra.*with_priors"):
        post.reweight(offset=dist.Normal(0.0, 2.0))


def test_blocks_of_rows_change_memory_not_answers(post: Posterior, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gather, "BLOCK", DRAWS * 6 * 5)
    blocks = posterior(fitted(), SPECTRA, draws=DRAWS, seed=3)
    assert blocks.draws.sizes == post.draws.sizes
    xr.testing.assert_equal(blocks.draws["sample"], post.draws["sample"])
    mean, sd = exact(means_of_repeats(SPECTRA))
    assert np.abs(blocks.mean("target") - mean).max() < 4.5 * sd / DRAWS**0.5
    np.testing.assert_array_equal(blocks.measured("x"), SPECTRA.spectra("x"))


def test_same_seed_same_draws_and_no_global_randomness():
    state = torch.get_rng_state()
    first, second, other = (posterior(fitted(), SPECTRA, draws=30, seed=seed) for seed in (4, 4, 5))
    xr.testing.assert_identical(first.draws, second.draws)
    xr.testing.assert_identical(first.predictive("x"), second.predictive("x"))
    assert not first.draws.equals(other.draws)
    assert torch.equal(state, torch.get_rng_state())


def test_labels_are_not_looked_at(post: Posterior):
    unlabelled = posterior(fitted(), simulated(12, labelled=False), draws=DRAWS, seed=1)
    xr.testing.assert_identical(unlabelled.draws, post.draws)


def test_predicted_spectra_have_the_spread_of_the_closed_form(post: Posterior):
    made = post.predictive("x", draws=1000)
    assert made.dims == ("chain", "draw", "sample", "x_channel") and made.sizes["draw"] == 1000
    mean, sd = exact(means_of_repeats(SPECTRA))
    np.testing.assert_allclose(made.std(("chain", "draw")), (sd**2 + 0.25) ** 0.5, rtol=0.1)
    np.testing.assert_allclose(made.mean(("chain", "draw")), np.repeat(mean, 3, 1), atol=0.1)
    assert set(post.predictive().data_vars) == {"x"} and post.predictive().sizes["draw"] == 100


def test_anomaly_is_highest_for_the_strange_spectrum():
    x = np.array(SPECTRA.spectra("x"))
    x[5, 0] += 10.0
    score = posterior(fitted(), Spectra.from_arrays(x, SPECTRA.spec), draws=50).anomaly()
    assert score.dims == ("sample",) and int(score.values.argmax()) == 5


def test_coverage(post: Posterior):
    many = posterior(fitted(), simulated(1000, seed=6), draws=400)
    table = many.coverage(probs=(0.5, 0.9))
    assert table.index.names == ["site", "component", "prob"]
    assert (table["z"].abs() < 4).all() and (table["n"] == 1000).all()
    assert table.loc[("target", "all", 0.9), "error"] == pytest.approx((0.09 / 1000) ** 0.5)
    narrow = posterior(fitted(stretch=0.5), simulated(1000, seed=6), draws=400).coverage(probs=(0.9,))
    assert (narrow["z"] < -10).all()
    half = np.where(np.arange(12)[:, None] < 6, SPECTRA.targets["target"], np.nan)
    assert (post.coverage({"target": half})["n"] == 6).all()
    with pytest.raises(QueryError, match="no truth is known"):
        Posterior(post.draws, post.log_density).coverage()
    with pytest.raises(QueryError, match="not known for any"):
        post.coverage({"target": np.full((12, 2), np.nan)})
    with pytest.raises(QueryError, match="shape"):
        post.coverage({"target": np.zeros((12, 3))})


def test_netcdf_gives_the_same_posterior(post: Posterior, tmp_path: Path):
    file = tmp_path / "posterior.nc"
    post.to_netcdf(file)
    assert [path.name for path in tmp_path.iterdir()] == ["posterior.nc"]
    bare = Posterior.from_netcdf(file)
    xr.testing.assert_identical(bare.draws, post.draws)
    xr.testing.assert_equal(bare.khat(), post.khat())
    assert bare.interval("target").lower.attrs["unit"] == "g/L"
    with pytest.raises(QueryError, match="fit=..., spectra=..."):
        bare.predictive()
    whole = Posterior.from_netcdf(file, post.fit, post.spectra)
    xr.testing.assert_identical(whole.predictive("x"), post.predictive("x"))


def test_reweighted_draws_are_saved_by_their_origin(post: Posterior, tmp_path: Path):
    with pytest.raises(QueryError, match="origin"):
        post.reweight(target=normal(0.1, 1.0)).to_netcdf(tmp_path / "posterior.nc")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_posterior_is_refused(tmp_path: Path):
    with pytest.raises(FileError, match="missing.nc"):
        Posterior.from_netcdf(tmp_path / "missing.nc")
    (tmp_path / "text.nc").write_text("no netCDF")
    with pytest.raises(FileError, match="cannot be read"):
        Posterior.from_netcdf(tmp_path / "text.nc")
    xr.Dataset({"x": ("a", [1.0])}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(FileError, match="no saved posterior"):
        Posterior.from_netcdf(tmp_path / "other.nc")


def test_what_was_not_fitted_is_refused():
    other = Spectra.from_arrays(np.ones((2, 3)), anonymous_spec({"raman": 3}, ["a"], support="real"))
    with pytest.raises(QueryError, match="no 'raman' was fitted; Known: x"):
        posterior(fitted(), other)
    with pytest.raises(QueryError, match="positive"):
        posterior(fitted(), SPECTRA, draws=0)


class Unlabelled(Conjugate):
    @property
    def sites(self):
        return {}


def test_sites_that_the_model_does_not_describe_get_plain_dims():
    post = posterior(fitted(kind=Unlabelled), SPECTRA, draws=30)
    assert post.draws["target"].dims == ("chain", "draw", "sample", "target_dim_0")
