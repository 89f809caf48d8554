"""UVAE: honest intervals, one model for every modality, priors that can be swapped, and a score for strange spectra."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from fused import CHANNELS, COMPONENTS, few_candidates, fused, mean_abundance, parted, spec, trained
from scipy.stats import chisquare

from probspec.batch import Batch
from probspec.data.spectra import Spectra
from probspec.errors import SpecError
from probspec.fit import Fit
from probspec.models.uvae import UVAE
from probspec.posterior import Posterior, posterior
from probspec.seeding import seeded
from probspec.simulate import simulate
from probspec.spec import anonymous_spec, load_spec

SPARSE = dist.Dirichlet(torch.full((3,), 0.3))
ROWS, EPOCHS = 300, 300


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    with few_candidates():
        yield


@pytest.fixture(scope="module")
def fitted(quick) -> Fit:
    return trained(parted(fused(60)), EPOCHS)


@pytest.fixture(scope="module")
def new() -> Spectra:
    return fused(ROWS, seed=5)


@pytest.fixture(scope="module")
def answers(fitted, new) -> dict[str, Posterior]:
    """What one model says of the same rows from raman alone, libs alone, and both."""
    seen = {"raman": new.only("raman"), "libs": new.only("libs"), "both": new}
    return {name: posterior(fitted, rows, draws=500) for name, rows in seen.items()}


@pytest.fixture(scope="module")
def paper(quick) -> Fit:
    return trained(parted(fused(60, labelled=0.7)), 60, preset="paper")


@pytest.mark.parametrize("seen", ["raman", "libs", "both"])
def test_intervals_hold_new_compositions_as_often_as_they_say(answers, seen):
    table = answers[seen].coverage(probs=(0.5, 0.8, 0.9, 0.95)).query("component == 'all'")
    assert (table["n"] == ROWS).all()
    assert (table["z"].abs() <= 3).all(), table


def test_more_seen_is_narrower_and_closer(answers, new):
    widths = {name: float(post.sd("abundance").mean()) for name, post in answers.items()}
    errors = {n: np.abs(p.mean("abundance").values - new.targets["abundance"]).mean() for n, p in answers.items()}
    assert widths["both"] < 0.9 * min(widths["raman"], widths["libs"])
    assert errors["both"] < 0.95 * min(errors["raman"], errors["libs"])


@pytest.mark.parametrize("seen", ["raman", "libs", "both"])
def test_khat_is_mostly_good(answers, seen):
    assert (answers[seen].khat() < 0.7).mean() > 0.85


def test_a_missing_modality_is_not_a_zero(fitted, new, answers):
    """Rows of zeros that were measured are strange, and believed so little that raman decides; missing ones are not."""
    zeros = {"raman": new.spectra("raman"), "libs": np.zeros_like(new.spectra("libs"))}
    dark = posterior(fitted, Spectra.from_arrays(zeros, new.spec), draws=100)
    assert dark.anomaly().min() > 5 * answers["raman"].anomaly().median()
    assert np.abs(mean_abundance(dark) - mean_abundance(answers["raman"])).max() < 0.05


class TestPriors:
    def test_reweighting_agrees_with_a_refit(self, answers, new):
        """Where the weights can be trusted, to a fifth of a posterior standard deviation.

        Monte Carlo error of 500 reweighted draws is below 0.1; two trained guides differ by about as much again.
        """
        with pytest.warns(UserWarning, match="k-hat above 0.7"):
            carried = answers["both"].reweight(abundance=SPARSE)
        refit = posterior(trained(parted(fused(60)), EPOCHS, abundance=SPARSE), new, draws=500)
        trusted = carried.khat_.values < 0.7
        distance = ((mean_abundance(carried) - mean_abundance(refit)) / refit.sd("abundance").values)[trusted]
        assert trusted.mean() > 0.7
        assert rms(distance) < 0.2 and np.abs(distance).max() < 1.0
        moved = ((mean_abundance(answers["both"]) - mean_abundance(refit)) / refit.sd("abundance").values)[trusted]
        assert rms(moved) > 1.5 * rms(distance)

    def test_against_the_exact_posterior(self, fitted, new):
        """Of p(y | s) by quadrature: mean within .05 sd, sd within 5 %; a fourth of an sd where it leans on a face."""
        rows = new.select(slice(0, 60))
        batch, points = rows.to_batch(extras=fitted.model.encode(rows)), _grid()
        with torch.no_grad():
            law = fitted.model.reading.summaries.law(batch, points[:, None].expand(-1, 60, -1))
            share = torch.softmax(law.log_prob(batch.extras["summary"]).double(), 0)
        mean = (share.T @ points).numpy()
        sd = np.sqrt((share.T @ points.square()).numpy() - mean**2)
        post = posterior(fitted, rows, draws=4000)
        shift, ratio = (mean_abundance(post) - mean) / sd, post.sd("abundance").values / sd
        inside = (mean > 2.5 * sd).all(1)
        assert 30 < inside.sum() < 60
        assert rms(shift[inside]) < 0.05 and rms(ratio[inside] - 1) < 0.05
        assert rms(shift[~inside]) < 0.25 and rms(ratio[~inside] - 1) < 0.25

    def test_ranks_of_dreamt_compositions_are_uniform(self, fitted, new):
        """Simulation-based calibration of q(y | s) under the model's own prior, modalities missing at random."""
        draws, dreams, bins = 63, 640, 16
        lent = new.to_batch(extras=fitted.model.encode(new)).rows(torch.arange(dreams) % ROWS)
        with torch.no_grad(), seeded(11):
            y = fitted.model.priors.law("abundance").expand((dreams,)).sample()
            guide = fitted.model.composition(fitted.model.reading.summaries.dream(lent, y))
            ranks = (guide.sample((draws,)) < y).sum(0)
        for k, component in enumerate(COMPONENTS):
            counts = torch.bincount(ranks[:, k] * bins // (draws + 1), minlength=bins)
            assert chisquare(counts.numpy()).pvalue > 1e-3, (component, counts)


def _grid(size: int = 400) -> torch.Tensor:
    """Points spread evenly inside the triangle; the prior is flat."""
    first, second = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    inside = first + second < size
    a, b = ((index[inside] + 1 / 3) / size for index in (first, second))
    return torch.stack([a, b, 1 - a - b], -1).double()


class TestAnomaly:
    def test_near_one_for_its_own_kind(self, answers):
        for name, post in answers.items():
            assert 0.7 < post.anomaly().median() < 2.0, (name, post.anomaly())

    def test_strange_spectra_stand_out(self, fitted, new, answers):
        x = {m: new.spectra(m, np.arange(40)) for m in CHANNELS}
        own = answers["both"].anomaly()
        line = np.exp(-0.5 * ((np.linspace(0, 1, CHANNELS["raman"]) - 0.35) / 0.02) ** 2)
        strange = Spectra.from_arrays(x | {"raman": x["raman"] + line}, new.spec)  # a line of no component
        assert posterior(fitted, strange, draws=100).anomaly().min() > own.quantile(0.99)
        swapped = Spectra.from_arrays(x | {"raman": x["raman"][::-1]}, new.spec)  # two samples in one row
        assert posterior(fitted, swapped, draws=100).anomaly().median() > own.quantile(0.95)

    def test_shared_by_the_modalities_that_were_measured(self, fitted, new):
        x = {m: new.spectra(m, np.arange(20)) for m in CHANNELS}
        x["libs"] = x["libs"] + 5 * np.sin(np.arange(CHANNELS["libs"]))
        broken = Spectra.from_arrays(x, new.spec)
        assert posterior(fitted, broken, draws=100).anomaly().min() > 20
        assert posterior(fitted, broken.only("raman"), draws=100).anomaly().median() < 2


class TestPermutation:
    def test_of_components(self, answers, new):
        """Another order of the components is the same answer, to a fifth of its width."""
        order = (2, 0, 1)
        turned = trained(parted(fused(60, order=order)), EPOCHS)
        post = posterior(turned, fused(ROWS, seed=5, order=order), draws=500)
        back = mean_abundance(post)[:, [order.index(k) for k in range(3)]]
        distance = (back - mean_abundance(answers["both"])) / answers["both"].sd("abundance").values
        assert rms(distance) < 0.2

    def test_of_rows(self, fitted, new, answers):
        back = mean_abundance(posterior(fitted, new.select(np.arange(ROWS)[::-1]), draws=500))[::-1]
        distance = (back - mean_abundance(answers["both"])) / answers["both"].sd("abundance").values
        assert rms(distance) < 0.1


class TestSpectra:
    def test_synthesised_ones_are_of_the_kind(self, fitted):
        """Mean and noise of simulated libs spectra at one composition are those of the instrument."""
        y = torch.tensor([[0.2, 0.5, 0.3]]).expand(800, -1)
        made, again = (fitted.model.synthesise(y, seed=3)["libs"] for _ in range(2))
        truth = fused(2000, seed=8)
        near = np.abs(truth.targets["abundance"] - [0.2, 0.5, 0.3]).max(1) < 0.04
        x = torch.from_numpy(truth.spectra("libs")[near])
        assert torch.equal(made, again) and not torch.equal(made, fitted.model.synthesise(y, seed=4)["libs"])
        assert (made.mean(0) - x.mean(0)).abs().max() < 0.06
        assert made.std(0).mean().item() == pytest.approx(x.std(0).mean().item(), rel=0.25)

    def test_predicted_ones_cover_the_measured(self, answers):
        post = answers["both"].select(slice(0, 60))
        for modality in CHANNELS:
            drawn, x = post.predictive(modality, draws=100), post.measured(modality)
            lower, upper = (drawn.quantile(q, ("chain", "draw")) for q in (0.05, 0.95))
            assert 0.8 < float(((lower <= x) & (x <= upper)).mean()) < 0.98

    def test_a_modality_that_was_not_measured_is_predicted(self, answers, new):
        """LIBS from Raman: closer than the mean spectrum."""
        made = answers["raman"].predictive("libs", draws=50).mean(("chain", "draw")).values
        x = new.spectra("libs")
        assert np.square(made - x).mean() < 0.4 * np.square(x.mean(0) - x).mean()


class TestPaper:
    TERMS = ("forward", "forward_discriminative", "reverse", "reverse_discriminative")

    def test_four_terms(self, paper, fitted):
        assert tuple(paper.history.terms) == self.TERMS and tuple(fitted.history.terms) == ("forward", "reverse")
        assert all(np.isfinite(values).all() for values in paper.history.terms.values())

    def test_it_learns(self, paper):
        """All terms together, and each but the reverse, which loses the entropy of dreamt spectra as noise shrinks."""
        assert paper.history.loss[-1] < paper.history.loss[0]
        for name, values in paper.history.terms.items():
            assert values[-1] < values[0] or name == "reverse", (name, values)

    def test_it_predicts(self, paper, new):
        error = np.abs(posterior(paper, new, draws=100).mean("abundance").values - new.targets["abundance"]).mean()
        assert error < 0.5 * np.abs(new.targets["abundance"].mean(0) - new.targets["abundance"]).mean()

    def test_the_reverse_term_is_the_bound_of_the_exchanged_pair(self):
        """Where z is the only latent of the reverse pair: E[log q(y, z | x) - log p(z)]."""
        model, data = UVAE(spec(), preset="paper"), fused(8)
        batch = data.to_batch()
        model.prepare(data, 0)
        with torch.no_grad(), seeded(0):
            said = torch.stack([model.objective(batch)["reverse"] for _ in range(120)])
            y, prior = model._label(batch), model.priors.law("nuisance")
            z = prior.expand((120, 8)).sample()
            told = model.composition(batch).log_prob(y) + model.nuisance(batch, y).log_prob(z) - prior.log_prob(z)
        expected = -told.mean(1)
        error = ((said.var() + expected.var()) / 120).sqrt()
        assert (said.mean() - expected.mean()).abs() < 4 * error

    def test_the_composition_error_is_a_divergence(self):
        """KL(y || mean of q), by hand; zero for rows without a label."""
        model, data = UVAE(spec(), preset="paper"), fused(8, labelled=0.5)
        batch = data.to_batch()
        model.prepare(data, 0)
        with torch.no_grad(), seeded(0):
            said = model.objective(batch)["forward_discriminative"]
            many = model.composition(batch).sample((2000,)).mean(0)
        y = batch.y["abundance"]
        assert said.item() == pytest.approx((y * (y / many).log()).sum(1)[:4].sum().item() / 8, rel=0.5)


class TestStory:
    def test_labels_do_not_move_the_default_guide(self, fitted, new):
        batch = new.to_batch(extras=fitted.model.encode(new))
        with torch.no_grad(), seeded(0):
            told = fitted.model.composition(batch).sample()
        with torch.no_grad(), seeded(0):
            blind = fitted.model.composition(batch.without_labels()).sample()
        assert torch.equal(told, blind)

    def test_rows_without_any_spectrum_count_for_nothing_in_the_forward_bound(self, fitted):
        batch = _batch(fitted, fused(12))
        first = torch.arange(12) < 6
        extras = batch.extras | {"measured": first[:, None].expand(-1, 6)}
        none = replace(batch, present=dict.fromkeys(CHANNELS, first), extras=extras)
        half = replace(batch.rows(torch.arange(6)), total=12)
        with torch.no_grad():
            with seeded(0):
                one = torch.stack([fitted.model.objective(none)["forward"] for _ in range(60)])
            with seeded(1):
                other = torch.stack([fitted.model.objective(replace(half, total=6))["forward"] for _ in range(60)])
        error = ((one.var() + other.var() / 4) / 60).sqrt()
        assert (one.mean() - other.mean() / 2).abs() < 4 * error

    def test_faces_of_the_simplex_are_labels_too(self):
        """Binary mixtures: two thirds of the labels lie on a face, where the density of many laws is 0 or infinite."""
        data = fused(30)
        y = data.targets["abundance"].copy()
        y[:20, 2] = 0
        x = {m: data.spectra(m) for m in CHANNELS}
        once = trained(Spectra.from_arrays(x, spec(), targets=y / y.sum(1, keepdims=True)), 5, abundance=SPARSE)
        assert np.isfinite(once.history.loss).all()

    def test_a_published_spec(self):
        """The simulated set of the package, its own axes, units and priors."""
        data = simulate("simulated_fusion", 60, seed=2)
        once = trained(data.select(slice(0, 45)), 20)
        post = posterior(once, data.select(slice(45, 60)), draws=100)
        truth = data.targets["abundance"][45:]
        assert post.draws["abundance"].attrs["unit"] == "mass fraction"
        error = np.abs(post.mean("abundance").values - truth).mean()
        assert error < 0.6 * np.abs(truth - truth.mean(0)).mean()


def _batch(fitted: Fit, spectra: Spectra) -> Batch:
    return spectra.to_batch(extras=fitted.model.encode(spectra))


class TestMistakes:
    def test_unknown_preset(self):
        with pytest.raises(SpecError, match="did you mean 'paper'"):
            UVAE(spec(), preset="papre")

    def test_nothing_to_infer(self):
        with pytest.raises(SpecError, match=r"no composition or quantity to infer\. To mend it: add a table \[targets"):
            UVAE(anonymous_spec({"x": 20}, []))

    def test_channels_left_open(self):
        config = load_spec("simulated_fusion").to_config()
        config["modalities"]["libs"].pop("channels")
        with pytest.raises(SpecError, match=r"modalities\.libs\.channels: not given"):
            UVAE(type(load_spec("simulated_fusion")).from_config(config))
