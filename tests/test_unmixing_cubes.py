"""`PoissonUnmixer` on cubes: the pair of Pyro, its answers, the files, and what is refused."""

import numpy as np
import pyro
import pytest
import torch
import xarray as xr
from pyro import poutine
from pyro.infer import Trace_ELBO

from probspec import fields, plots
from probspec.counts import check_counts
from probspec.errors import DataError, FitError, PriorError, QueryError
from probspec.estimators import PoissonUnmixer
from probspec.mixtures import Mixture
from probspec.models.unmixing import CountedMaps
from probspec.posterior import Posterior
from probspec.surrogates import Surrogate

SIDE, CHANNELS = 10, 24


@pytest.fixture(scope="module")
def surrogates() -> dict[str, Surrogate]:
    """A peak that moves, and a slope that changes."""
    energy = np.linspace(0, 1, CHANNELS)
    place, slope = np.linspace(0.3, 0.7, 15), np.linspace(0.5, 3, 15)
    peak = np.exp(-0.5 * ((energy - place[:, None]) / 0.1) ** 2) + 0.05
    return {
        "peak": Surrogate.fit(peak, place, ["place"], ["keV"]),
        "slope": Surrogate.fit(np.exp(-slope[:, None] * energy), slope, ["index"]),
    }


@pytest.fixture(scope="module")
def cube(surrogates):
    """Counts, and the truth: amplitudes that fall from left to right, and a place that rises from top to bottom."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    amplitude = np.stack([800 * np.exp(-x), 300 + 200 * y], -1)
    place = 0.4 + 0.2 * y
    spectra = np.stack(
        [surrogates["peak"].predict(place.ravel()), surrogates["slope"].predict(np.full(y.size, 1.5))], 1
    )
    expected = (amplitude.reshape(-1, 2, 1) * spectra).sum(1).reshape(SIDE, SIDE, CHANNELS)
    return np.random.default_rng(0).poisson(expected), amplitude, place


@pytest.fixture(scope="module")
def answered(surrogates, cube) -> PoissonUnmixer:
    return PoissonUnmixer(surrogates, draws=40).fit(cube[0])


class TestAnswers:
    def test_maps_are_found_with_intervals_that_hold_them(self, answered, cube):
        _, amplitude, place = cube
        assert answered.amplitudes_.shape == amplitude.shape and answered.names_ == ("peak", "slope")
        error = np.abs(answered.amplitudes_ - amplitude).sum((0, 1)) / amplitude.sum((0, 1))
        assert error.max() < 0.06  # of single pixels the counts alone leave .07 and .09
        assert np.abs(answered.parameters_["peak"][..., 0] - place).mean() < 0.01
        lower, upper = answered.posterior_.interval("amplitude", 0.9)
        assert ((lower <= amplitude) & (amplitude <= upper)).mean() > 0.75
        found = answered.posterior_.coverage({"peak.place": place}, probs=[0.9])
        assert found.loc[("peak.place", "all", 0.9), "n"] == SIDE**2 and found["covered"].min() > 0.75

    def test_draws_answer_questions(self, answered):
        post = answered.posterior_
        assert post.draws["amplitude"].dims == ("chain", "draw", "y", "x", "component")
        assert post.draws["peak.place"].attrs["unit"] == "keV"
        chance = post.prob(lambda d: d["amplitude"].sel(component="peak") > d["amplitude"].sel(component="slope"))
        assert chance.dims == ("y", "x") and chance[0, 0] == 1 and chance[-1, -1] < 0.1
        assert repr(post).startswith("Posterior(10 x 10 pixels x 40 draws of amplitude, peak.place")
        assert "summary begins" in post._repr_html_() and len(post) == 1

    def test_components_are_those_of_the_draws(self, answered):
        made = answered.components_
        assert made.shape == (SIDE, SIDE, 2, CHANNELS)
        np.testing.assert_allclose(made.sum(-1), answered.amplitudes_, rtol=0.05)
        assert answered.contributions(3, 4).shape == (40, 2, CHANNELS)
        np.testing.assert_allclose(answered.contributions(3, 4).mean(0), made[3, 4], rtol=1e-4)
        with pytest.raises(QueryError, match="y and x"):
            answered.contributions(3)

    def test_a_component_that_is_missing_is_hardly_detected(self, surrogates, cube):
        rng = np.random.default_rng(1)
        alone = rng.poisson(400 * surrogates["peak"].predict(np.full(SIDE**2, 0.5))).reshape(SIDE, SIDE, CHANNELS)
        found = PoissonUnmixer(surrogates, draws=40).fit(alone)
        lower, _ = found.posterior_.interval("amplitude", 0.9)
        assert (lower[..., 1] == 0).mean() > 0.9 and (lower[..., 0] > 300).all()
        assert found.detection_[..., 0].min() == 1 and found.amplitudes_[..., 1].mean() < 40

    def test_rows_with_a_shape_are_a_cube(self, surrogates, cube, answered):
        found = PoissonUnmixer(surrogates, shape=(SIDE, SIDE), draws=40).fit(cube[0].reshape(-1, CHANNELS))
        np.testing.assert_array_equal(found.amplitudes_, answered.amplitudes_)

    def test_laws_can_be_swapped(self, surrogates, cube, answered):
        laws = {"peak": fields.Independent(), "peak.place": fields.StarletSparse(scales=2)}
        found = PoissonUnmixer(surrogates, priors=laws, draws=40).fit(cube[0])
        assert not found.priors_["peak.place"].stationary
        sd = [one.posterior_.sd("amplitude").sel(component="peak").mean() for one in (found, answered)]
        assert sd[0] > 1.3 * sd[1]  # pixels that do not help each other


class TestPair:
    def test_density_of_a_draw_is_that_of_laws_and_counts(self, surrogates, cube):
        counts = check_counts(cube[0], CHANNELS, known=np.full(CHANNELS, 0.5))
        mixture = Mixture(surrogates)
        pair = CountedMaps(mixture, options=fields.FieldOptions(pairs=(1,), draws=4)).train(counts)
        pyro.set_rng_seed(0)
        guide = poutine.trace(pair.guide).get_trace(counts)
        model = poutine.trace(poutine.replay(pair.model, guide)).get_trace(counts)
        drawn = torch.stack([guide.nodes[f"field.{name}"]["value"] for name in pair.found.names])
        (number,) = (pair.found.fields == drawn).flatten(1).all(1).nonzero()
        expected = sum(law.log_prob(field) for law, field in zip(pair.found.priors.values(), drawn, strict=True))
        at = pair.found.amplitude[number].double(), pair.found.parameters[number].double()
        rate = mixture.expected(*at).reshape(-1, CHANNELS) + 0.5
        expected = expected + torch.distributions.Poisson(rate).log_prob(counts.values).sum()
        assert model.log_prob_sum().item() == pytest.approx(expected.item(), rel=1e-4)
        assert np.isfinite(Trace_ELBO().loss(pair.model, pair.guide, counts))

    def test_the_model_makes_cubes_before_anything_is_seen(self, surrogates, cube):
        pair, counts = CountedMaps(Mixture(surrogates)), check_counts(cube[0], CHANNELS)
        pyro.set_rng_seed(0)
        trace = poutine.trace(poutine.uncondition(pair.model)).get_trace(counts)
        assert trace.nodes["counts"]["value"].shape == (SIDE**2, CHANNELS)
        with pytest.raises(FitError, match="train"):
            pair.guide(counts)


class TestFiles:
    def test_maps_return_with_units_and_intervals(self, answered, tmp_path):
        answered.write(tmp_path / "maps.nc", prob=0.8)
        with xr.open_dataset(tmp_path / "maps.nc", engine="h5netcdf") as read:
            xr.testing.assert_identical(read.load(), answered.to_dataset(0.8))
            assert read["peak.place_upper"].attrs == {"unit": "keV", "prob": 0.8}
            assert (read["amplitude_lower"] <= read["amplitude"]).all()

    def test_posteriors_return(self, answered, tmp_path):
        answered.posterior_.to_netcdf(tmp_path / "post.nc")
        read = Posterior.from_netcdf(tmp_path / "post.nc")
        xr.testing.assert_equal(read.draws, answered.posterior_.draws)

    def test_figures(self, answered, cube):
        figure, axes = plots.new_figure(1, 3)
        plots.posterior_map(axes[0, :2], answered.posterior_.draws["peak.place"], quantity="place", vmin=0.3, vmax=0.7)
        assert axes[0, 0].images[0].get_clim() == (0.3, 0.7)
        made = answered.contributions(2, 3)
        plots.component_bands(
            axes[0, 2], np.arange(CHANNELS), made, answered.names_, cube[0][2, 3], axis_name="channel", axis_unit="1"
        )
        labels = [text.get_text() for text in axes[0, 2].get_legend().get_texts()]
        assert labels == ["counted", "peak, 90 % band", "slope, 90 % band", "all"]
        figure.draw_without_rendering()
        with pytest.raises(QueryError, match=r"sel\(component"):
            plots.posterior_map(axes[0, :2], answered.posterior_.draws["amplitude"])
        with pytest.raises(QueryError, match="contributions"):
            plots.component_bands(axes[0, 2], np.arange(3), made, answered.names_)


class TestRefusals:
    def test_the_density_of_the_guide_is_not_known(self, answered):
        with pytest.raises(QueryError, match="draws only"):
            answered.posterior_.khat()
        with pytest.raises(QueryError, match="isel"):
            answered.posterior_.select([0])

    @pytest.mark.parametrize(
        ("given", "error", "message"),
        [
            ({"priors": {"presence": 0.5}}, PriorError, "independent spectra"),
            ({"priors": {"peak.plce": fields.Independent()}}, QueryError, "did you mean 'peak.place'"),
            ({"draws": 7}, FitError, "draws"),
            ({"shape": (3, 7)}, DataError, r"\(3, 7\)"),
        ],
    )
    def test_what_does_not_fit_a_cube_is_named(self, surrogates, given, error, message):
        counts = np.ones((SIDE * SIDE, CHANNELS)) if "shape" in given else np.ones((SIDE, SIDE, CHANNELS))
        with pytest.raises(error, match=message):
            PoissonUnmixer(surrogates, **given).fit(counts)

    def test_laws_of_maps_do_not_fit_spectra(self, surrogates):
        with pytest.raises(PriorError, match="independent spectra"):
            PoissonUnmixer(surrogates, priors={"peak.place": fields.Independent()}).fit(np.ones((2, CHANNELS)))
