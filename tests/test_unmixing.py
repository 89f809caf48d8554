"""Posteriors of mixtures: against closed forms and sums over all possibilities, and on spectra with known answers."""

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.infer import Trace_ELBO
from scipy.stats import gamma
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import validate_data

from probspec.counts import check_counts
from probspec.errors import DataError, FitError, PriorError, QueryError
from probspec.estimators import PoissonUnmixer
from probspec.mixtures import Mixture
from probspec.models.unmixing import CountedSpectra
from probspec.surrogates import Surrogate
from probspec.unmixing import UnmixingPriors
from probspec.unmixing.amplitudes import Counted, Terms, conditional
from probspec.unmixing.laws import AsTaught, Shared
from probspec.unmixing.nodes import first_grid, zoomed_grid
from probspec.unmixing.positive_normal import draw_positive
from probspec.unmixing.presence import possible_sets

CHANNELS = 60
AXIS = np.linspace(0, 1, CHANNELS)


def line(centre: float) -> Surrogate:
    """A peak that loses its height to a slope behind a shield."""
    depth = np.linspace(0, 2, 21)
    peak = np.exp(-0.5 * ((AXIS - centre) / 0.04) ** 2)
    slope = 0.1 * np.exp(-3 * np.abs(AXIS - centre))
    spectra = np.exp(-depth)[:, None] * peak + slope + 0.002
    return Surrogate.fit(spectra, depth, names=["depth"], units=["cm"])


@pytest.fixture(scope="module")
def lines() -> dict[str, Surrogate]:
    return {"one": line(0.3), "other": line(0.7)}


def mixtures(lines, n: int, total: float, seed: int = 0):
    """Counts, true amplitudes and depths, as the default priors have them."""
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0, 2, n)
    share = rng.exponential(1, (n, 3)) * np.c_[rng.random((n, 2)) < 0.6, np.ones(n)]
    share /= share.sum(1, keepdims=True)
    spectra = np.stack([*(surrogate.predict(depth) for surrogate in lines.values()), np.full((n, CHANNELS), 1 / 60)], 1)
    amplitude = total * share
    return rng.poisson((amplitude[..., None] * spectra).sum(1)), amplitude, depth


class TestOneFixedSpectrum:
    """A Gamma law and Poisson counts: the posterior is a Gamma law."""

    COUNTS = np.array([3, 0, 5, 2])

    def exact(self):
        return gamma(1 + self.COUNTS.sum(), scale=1 / (1 + 1 / self.COUNTS.sum()))  # the law's mean is the total

    def test_mean_and_intervals(self):
        found = PoissonUnmixer({"flat": np.ones(4)}, priors={"presence": 1.0}, draws=4000).fit(self.COUNTS[None])
        lower, upper = found.posterior_.interval("amplitude", 0.9)
        exact = self.exact()
        assert found.amplitudes_[0, 0] == pytest.approx(exact.mean(), rel=0.02)
        assert [lower.item(), upper.item()] == pytest.approx(exact.ppf([0.05, 0.95]), rel=0.05)

    def test_exposure_divides(self):
        longer = PoissonUnmixer({"flat": np.ones(4)}, exposure=[2.0], priors={"presence": 1.0}).fit(self.COUNTS[None])
        assert longer.amplitudes_[0, 0] == pytest.approx(self.exact().mean() / 2, rel=0.05)

    def test_masked_channels_are_not_heeded(self):
        counts = np.array([[3.0, 0, np.nan, 2]])
        found = PoissonUnmixer({"flat": np.ones(4)}, mask=np.isfinite(counts), priors={"presence": 1.0}).fit(counts)
        assert found.amplitudes_[0, 0] == pytest.approx((1 + 5) / (0.75 + 0.75 / 5), rel=0.05)


def test_presence_agrees_with_a_sum_over_amplitudes_on_a_grid():
    spectra, counts = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]]), np.array([9, 3, 4])
    found = PoissonUnmixer({"a": spectra[0], "b": spectra[1]}, priors={"presence": 0.5}, draws=4000).fit(counts[None])
    a = np.linspace(0, 60, 600)
    step, rate = a[1], 1 / counts.sum()
    law, both = (rate * np.exp(-rate * total) for total in (a, a[:, None] + a))
    both = both / np.maximum(a[:, None] + a, step)  # of the shares all are equally probable
    weights = {}
    for kind, (first, second) in {"none": (0, 0), "a": (a, 0), "b": (0, a), "both": (a[:, None], a)}.items():
        expected = np.asarray(first)[..., None] * spectra[0] + np.asarray(second)[..., None] * spectra[1]
        like = np.exp((counts * np.log(np.maximum(expected, 1e-300)) - expected).sum(-1))
        prior = {"none": 1.0, "a": law * step, "b": law * step, "both": both * step**2}[kind]
        weights[kind] = np.sum(like * prior)
    total = sum(weights.values())
    exact = [(weights[name] + weights["both"]) / total for name in "ab"]
    assert found.detection_[0] == pytest.approx(exact, abs=0.02)


@pytest.fixture(scope="module")
def answered(lines):
    counts, amplitude, depth = mixtures(lines, 200, total=600)
    unmixer = PoissonUnmixer(lines, background=np.ones(CHANNELS), shared=["depth"], draws=300)
    return unmixer.fit(counts), amplitude, depth


class TestCoverage:
    def test_intervals_hold_what_is_true_as_often_as_they_say(self, answered):
        unmixer, amplitude, depth = answered
        lower, upper = unmixer.posterior_.interval("amplitude", 0.9)
        inside = (amplitude >= lower.values) & (amplitude <= upper.values)
        present = amplitude > 0
        assert inside[present].mean() == pytest.approx(0.9, abs=4 * (0.09 / present.sum()) ** 0.5)
        lower, upper = unmixer.posterior_.interval("one.depth", 0.9)
        held = ((depth >= lower.values) & (depth <= upper.values)).mean()
        assert held == pytest.approx(0.9, abs=4 * (0.09 / 200) ** 0.5)

    def test_probabilities_of_presence_are_honest(self, answered):
        unmixer, amplitude, _ = answered
        stated, true = unmixer.detection_[:, :2].ravel(), (amplitude[:, :2] > 0).ravel()
        assert true.mean() == pytest.approx(
            stated.mean(), abs=4 * np.sqrt((stated * (1 - stated)).mean() / stated.size)
        )
        assert stated[true].mean() > 0.85 > 0.4 > stated[~true].mean()

    def test_weights_are_effective(self, answered):
        assert answered[0].efficiency_.min() > 0.05 and np.median(answered[0].efficiency_) > 0.7

    def test_expected_counts_add_up(self, answered):
        unmixer, _, _ = answered
        assert unmixer.components_.shape == (200, 3, CHANNELS)
        np.testing.assert_allclose(unmixer.components_.sum(-1), unmixer.amplitudes_, rtol=0.2, atol=15)


class TestParametersOfTheirOwn:
    def test_each_component_has_its_depth(self, lines):
        spectra = [lines["one"].predict([0.3]), lines["other"].predict([1.5])]
        counts = np.random.default_rng(0).poisson([4000 * spectra[0][0] + 4000 * spectra[1][0]] * 6)
        unmixer = PoissonUnmixer(lines, draws=300).fit(counts)
        for component, depth in (("one", 0.3), ("other", 1.5)):
            found = unmixer.posterior_
            apart = (found.mean(f"{component}.depth") - depth) / found.sd(f"{component}.depth")
            assert (abs(apart) < 3.3).all()  # of twelve, one in a hundred times one is further away
        assert np.abs(unmixer.amplitudes_ - 4000).max() < 600 and 0.05 < unmixer.efficiency_.min() < 0.9

    def test_nodes_that_are_drawn_agree_with_a_grid(self, lines):
        """One parameter, taken as one of two: the other component is fixed."""
        counts, _, _ = mixtures(lines, 4, total=800, seed=3)
        shared = PoissonUnmixer(lines, np.ones(CHANNELS), ["depth"], draws=2000).fit(counts)
        own = PoissonUnmixer(lines, np.ones(CHANNELS), draws=2000, priors={"presence": 0.6}).fit(counts)
        assert np.abs(shared.amplitudes_[:, 2] - own.amplitudes_[:, 2]).max() < 60


class TestPriors:
    def test_a_parameter_can_be_told(self, lines):
        counts, _, _ = mixtures(lines, 3, total=300)
        law = dist.Uniform(1.0, 1.2, validate_args=False)
        unmixer = PoissonUnmixer(lines, np.ones(CHANNELS), ["depth"], priors={"depth": law}).fit(counts)
        drawn = unmixer.posterior_.draws["one.depth"].values
        assert drawn.min() > 0.95 and drawn.max() < 1.25

    def test_absent_beforehand_is_absent_afterwards(self, lines):
        counts, _, _ = mixtures(lines, 2, total=300)
        unmixer = PoissonUnmixer(lines, np.ones(CHANNELS), ["depth"], priors={"presence": {"one": 0.0}}).fit(counts)
        assert (unmixer.amplitudes_[:, 0] == 0).all() and (unmixer.detection_[:, 0] == 0).all()

    def test_a_parameter_is_as_probable_as_it_was_taught_often(self):
        quantiles = torch.logspace(-2, 0, 33, dtype=torch.float64)
        value = torch.tensor([0.02, 0.1, 0.5], dtype=torch.float64)
        found = AsTaught(quantiles).log_prob(value)
        assert (found - found[0]).tolist() == pytest.approx((-value.log() + value[0].log()).tolist(), abs=0.05)

    @pytest.mark.parametrize("values", [np.geomspace(0.01, 1, 90), np.repeat(np.linspace(0.8, 6, 20), 20)])
    def test_the_taught_law_is_a_density_and_draws_from_it(self, values):
        law = AsTaught(torch.from_numpy(np.quantile(values, np.linspace(0, 1, 33))))
        grid = torch.linspace(float(values.min()), float(values.max()), 20001, dtype=torch.float64)
        density = law.log_prob(grid).exp()
        assert torch.trapezoid(density, grid).item() == pytest.approx(1, abs=2e-3)
        torch.manual_seed(0)
        drawn = law.sample(torch.Size([20000]))
        for share in (0.1, 0.5, 0.9):
            below = torch.trapezoid(density * (grid <= drawn.quantile(share)), grid)
            assert below.item() == pytest.approx(share, abs=0.02)

    def test_shared_amplitudes_have_the_density_that_they_say(self):
        """Two present components, one share told: moments of draws against a sum over a grid."""
        held = torch.tensor([[-3.0, 7.0, -3.0]], dtype=torch.float64)  # a share of 0.3, with standard deviation 0.1
        present, total = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64), torch.tensor(50.0, dtype=torch.float64)
        law = Shared(present, total, 2.0, held)
        torch.manual_seed(0)
        drawn = law.sample(torch.Size([20000]))
        assert (drawn[:, 2] == 0).all()
        axis = torch.linspace(0.25, 600, 1200, dtype=torch.float64)
        grid = torch.stack(torch.meshgrid(axis, axis, torch.zeros(1).double(), indexing="ij"), -1)[..., 0, :]
        weight = law.log_prob(grid).exp()
        for place in (0, 1):
            mean = (weight * grid[..., place]).sum() / weight.sum()
            assert drawn[:, place].mean().item() == pytest.approx(mean.item(), rel=0.04)

    @pytest.mark.parametrize(
        ("priors", "message"),
        [
            ({"presence": 1.5}, "presence: 1.5"),
            ({"presence": {"Co60": 0.5}}, r"presence\['Co60'\]"),
            ({"dpth": dist.Uniform(0.0, 1.0)}, "did you mean 'depth'"),
        ],
    )
    def test_what_is_wrong_is_named(self, lines, priors, message):
        with pytest.raises(PriorError, match=message):
            PoissonUnmixer(lines, shared=["depth"], priors=priors).fit(np.ones((1, CHANNELS)))


class TestShareOfTheBackground:
    """Spectra of the same room tell each other how much of them is background."""

    @pytest.fixture
    def room(self, lines):
        rng = np.random.default_rng(5)
        depth, share = rng.uniform(0, 2, 60), rng.dirichlet([1, 1], 60)
        amplitude = 300 * np.c_[0.6 * share, np.full(60, 0.4)]
        flat = np.full((60, CHANNELS), 1 / CHANNELS)
        spectra = np.stack([*(surrogate.predict(depth) for surrogate in lines.values()), flat], 1)
        return rng.poisson((amplitude[..., None] * spectra).sum(1)), amplitude

    def test_it_is_learnt_and_helps(self, lines, room):
        counts, amplitude = room
        error = {}
        for learn in (True, False):
            unmixer = PoissonUnmixer(lines, np.ones(CHANNELS), ["depth"], draws=200, learn=learn).fit(counts)
            error[learn] = np.sqrt(np.mean((unmixer.amplitudes_ - amplitude) ** 2))
            assert ("background" in unmixer.priors_.share) is learn
            lower, upper = unmixer.posterior_.interval("amplitude", 0.9)
            inside = (amplitude >= lower.values) & (amplitude <= upper.values)
            assert inside[:, :2].mean() == pytest.approx(0.9, abs=4 * (0.09 / 120) ** 0.5)
            if learn:
                mean, sd = unmixer.priors_.share["background"]
                assert mean == pytest.approx(0.4, abs=0.05) and sd < 0.1
        assert error[True] < 0.9 * error[False]

    def test_few_spectra_teach_nothing(self, lines, room):
        unmixer = PoissonUnmixer(lines, np.ones(CHANNELS), ["depth"], draws=50).fit(room[0][:8])
        assert unmixer.priors_.share == {}

    def test_it_can_be_told(self, lines, room):
        told = {"share": {"background": (0.4, 0.001)}}
        unmixer = PoissonUnmixer(lines, np.ones(CHANNELS), ["depth"], priors=told, draws=200).fit(room[0][:5])
        share = unmixer.amplitudes_[:, 2] / unmixer.amplitudes_.sum(1)
        assert share == pytest.approx(0.4, abs=0.005)
        with pytest.raises(PriorError, match=r"share\['backgrond'\].*did you mean"):
            PoissonUnmixer(lines, np.ones(CHANNELS), priors={"share": {"backgrond": (0.4, 0.1)}}).fit(room[0][:2])


class AnyCounts(PoissonUnmixer):
    """Counts of three channels, made of whatever rows scikit-learn's checks bring."""

    def fit(self, X, y=None):
        values = validate_data(self, X, dtype=np.float64)
        super().fit(np.round(np.exp(np.tanh(values[:, [0, -1, 0]]) + [3, 3, 1])))
        self.n_features_in_ = values.shape[1]
        return self


@parametrize_with_checks([AnyCounts({"low": np.array([3.0, 1, 1]), "high": np.array([1.0, 1, 3])}, draws=5)])
def test_scikit_learn(estimator, check):
    """A face without predictions: what is unmixed are the spectra that it was fitted to."""
    check(estimator)


class TestCounts:
    def test_dark_spectra_say_little(self, lines):
        unmixer = PoissonUnmixer(lines, np.ones(CHANNELS), ["depth"]).fit(np.zeros((1, CHANNELS)))
        assert np.isfinite(unmixer.amplitudes_).all() and (unmixer.amplitudes_ < 3).all()

    def test_a_row_that_is_masked_is_not_answered(self, lines):
        counts, _, _ = mixtures(lines, 2, total=300)
        unmixer = PoissonUnmixer(lines, np.ones(CHANNELS), ["depth"], mask=np.array([True, False])).fit(counts)
        assert np.isfinite(unmixer.amplitudes_[0]).all() and np.isnan(unmixer.amplitudes_[1]).all()

    def test_bad_counts_are_named(self, lines):
        with pytest.raises(DataError, match=r"counts\[0, 3\]: -1"):
            PoissonUnmixer(lines).fit(np.where(np.arange(CHANNELS) == 3, -1, 1)[None])
        with pytest.raises(DataError, match=r"shape \(2, 7\)"):
            PoissonUnmixer(lines).fit(np.ones((2, 7)))
        with pytest.raises(QueryError, match="no component has 'thickness'"):
            PoissonUnmixer(lines, shared=["thickness"]).fit(np.ones((2, CHANNELS)))


def test_same_seed_same_draws(lines, untouched_generators):
    counts, _, _ = mixtures(lines, 2, total=300)
    one, same, other = (
        PoissonUnmixer(lines, shared=["depth"], random_state=s, draws=50).fit(counts) for s in (0, 0, 1)
    )
    assert np.array_equal(one.posterior_.draws["amplitude"], same.posterior_.draws["amplitude"])
    assert not np.array_equal(one.posterior_.draws["amplitude"], other.posterior_.draws["amplitude"])


class TestParts:
    def test_the_mode_is_where_the_slope_is_that_of_the_law(self, lines):
        mixture, rate = Mixture(lines, np.ones(CHANNELS), ["depth"]), torch.full((3,), 1e-3, dtype=torch.float64)
        counts = torch.from_numpy(mixtures(lines, 1, total=900)[0][0]).double()
        spectra = mixture.spectra(torch.tensor([[0.5], [1.5]])).double()
        found = conditional(
            Terms.of(Counted(counts, torch.ones(CHANNELS).double(), torch.zeros(CHANNELS).double()), spectra),
            rate,
            newton=20,
        )
        inside = found.mode > 1e-3
        assert (found.slope - rate)[inside].abs().max() < 1e-6 and (found.slope - rate)[~inside].max() < 1e-6

    def test_positive_normals_have_the_density_they_say(self):
        mean = torch.tensor([[0.5, -0.5]], dtype=torch.float64).expand(40000, 2)
        covariance = torch.tensor([[1.0, 0.6], [0.6, 1.0]], dtype=torch.float64).expand(40000, 2, 2)
        value, log_q = draw_positive(mean, covariance, torch.ones_like(mean), torch.Generator().manual_seed(0))
        normal = torch.distributions.MultivariateNormal(mean[0], covariance[0])
        weight = (normal.log_prob(value) - log_q).exp()
        drawn = normal.sample((400000,))
        kept = drawn[(drawn > 0).all(1)]
        assert weight.mean().item() == pytest.approx(len(kept) / len(drawn), rel=0.02)
        assert (weight @ value / weight.sum()).tolist() == pytest.approx(kept.mean(0).tolist(), rel=0.02)

    def test_far_tails_stay_finite(self):
        mean, covariance = torch.full((1000, 1), -30.0).double(), torch.ones(1000, 1, 1).double()
        value, log_q = draw_positive(mean, covariance, torch.ones_like(mean), torch.Generator().manual_seed(0))
        assert value.mean().item() == pytest.approx(1 / 30, rel=0.15) and log_q.isfinite().all()

    def test_sets_have_probabilities_that_sum_to_one(self):
        sets, log_chance = possible_sets(torch.tensor([0.2, 0.7, 1.0]))
        assert len(sets) == 4 and log_chance.exp().sum().item() == pytest.approx(1)

    def test_a_grid_draws_together_about_a_narrow_peak(self):
        def evidence(parameters):
            return -0.5 * ((parameters[:, 0] - 0.123) / 1e-4).square()

        grid = first_grid(torch.linspace(0, 1, 33))
        nodes = zoomed_grid(grid, evidence(grid), evidence)
        weight = (evidence(nodes.parameters) + nodes.log_volume).exp()
        assert weight.sum().item() == pytest.approx(1e-4 * np.sqrt(2 * np.pi), rel=0.01)


class TestPair:
    """The guide's own account of the joint density, against that of the model as Pyro traces it."""

    def pair(self, lines, background=True, **given):
        counts, _, _ = mixtures(lines, 3, total=400)
        mixture = Mixture(lines, np.ones(CHANNELS) if background else None, ["depth"])
        checked = check_counts(counts, CHANNELS, **given)
        return CountedSpectra(mixture, UnmixingPriors(share={"background": (0.3, 0.2)})).train(checked), checked

    @pytest.mark.parametrize("given", [{}, {"exposure": [0.5, 1.0, 2.0], "known": np.full(CHANNELS, 0.7)}])
    def test_densities_are_those_of_the_model(self, lines, given):
        pair, counts = self.pair(lines, **given)
        factorials = torch.lgamma(counts.values + 1).sum(-1)
        pyro.set_rng_seed(0)
        drawn = [guide.draw(1, torch.default_generator) for guide in pair._guides]
        pyro.set_rng_seed(0)
        guide = poutine.trace(pair.guide).get_trace(counts)
        model = poutine.trace(poutine.replay(pair.model, guide)).get_trace(counts)
        guide.compute_log_prob()
        model.compute_log_prob()
        log_q = sum(site["log_prob"] for site in guide.nodes.values() if site["type"] == "sample")
        log_p = sum(site["log_prob"] for site in model.nodes.values() if site["type"] == "sample")
        known = 0.0 if counts.known is None else counts.known.sum(-1)
        torch.testing.assert_close(log_q, torch.cat([one.log_q for one in drawn]))
        # a draw lies beside its node, at which the guide takes the likelihood
        expected = torch.cat([one.log_p for one in drawn]) - factorials - known
        torch.testing.assert_close(log_p, expected, atol=0.3, rtol=0)

    def test_elbo_of_the_pair_is_near_the_evidence(self, lines):
        pair, counts = self.pair(lines)
        pyro.set_rng_seed(1)
        elbo = -Trace_ELBO(num_particles=200).loss(pair.model, pair.guide, counts)
        drawn = [guide.draw(4000, torch.default_generator) for guide in pair._guides]
        evidence = sum((one.log_p - one.log_q).logsumexp(0) - np.log(4000) for one in drawn)
        evidence -= torch.lgamma(counts.values + 1).sum()
        assert evidence - 1.5 < elbo < evidence + 0.3

    def test_an_untrained_guide_says_so(self, lines):
        _, counts = self.pair(lines)
        with pytest.raises(FitError, match="train"):
            CountedSpectra(Mixture(lines)).guide(counts)

    def test_the_model_makes_counts_before_anything_is_seen(self, lines):
        counts = check_counts(np.full((4, CHANNELS), 5.0), CHANNELS)
        mixture = Mixture(lines, np.ones(CHANNELS), ["depth"])
        pyro.set_rng_seed(0)
        trace = poutine.trace(poutine.uncondition(CountedSpectra(mixture).model)).get_trace(counts)
        assert trace.nodes["counts"]["value"].shape == (4, CHANNELS)
        assert (trace.nodes["amplitude"]["value"] >= 0).all() and trace.nodes["depth"]["value"].shape == (4,)


class TestKnownCounts:
    def test_they_are_taken_off(self, lines):
        depth, rng = 0.5, np.random.default_rng(0)
        known = np.full(CHANNELS, 20.0)
        counts = rng.poisson(3000 * lines["one"].predict([depth]) + known, (5, CHANNELS))
        found = PoissonUnmixer(lines, shared=["depth"], known_counts=known, draws=100).fit(counts)
        assert found.amplitudes_[:, 0] == pytest.approx(3000, abs=250)
        assert found.posterior_.mean("one.depth").values == pytest.approx(depth, abs=0.15)


def test_a_background_may_be_a_surrogate(lines):
    counts = np.random.default_rng(0).poisson(2000 * lines["one"].predict([0.5]) + 1000 * lines["other"].predict([1.0]))
    found = PoissonUnmixer({"one": lines["one"]}, background=lines["other"], draws=200).fit(counts)
    assert found.names_ == ("one", "background") and found.detection_[0, 1] == pytest.approx(1)
    assert found.posterior_.mean("background.depth").item() == pytest.approx(1.0, abs=0.3)
