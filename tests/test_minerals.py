"""The Bayesian neural network of minerals: gaps tell nothing, priors are laws of weights, draws are kept."""

import numpy as np
import pyro.distributions as dist
import pytest
import torch

from probspec.data.spectra import Spectra
from probspec.errors import PriorError, SpecError
from probspec.fit import Fit, fit
from probspec.models.minerals import DOUBT, MineralBNN, layer_shapes, weight_priors
from probspec.nets.completion import complete, veil
from probspec.nets.typicality import Typicality
from probspec.posterior import posterior
from probspec.simulate import simulate
from probspec.spec import DataSpec, load_spec
from probspec.training.options import TrainOptions

FEW = ("Olivine", "Plagioclase", "Clinopyroxene", "Amphibole")
QUICK = TrainOptions(epochs=60, batch_size=128, learning_rate=1e-2, schedule="cosine", kl_weight=0.1, clip_norm=None)


def few() -> DataSpec:
    config = load_spec("epma_minerals").to_config()
    config["targets"]["mineral"]["components"] = list(FEW)
    return DataSpec.from_config(config | {"simulator": {"name": "minerals", "minerals": list(FEW)}})


def codes(analyses: Spectra) -> np.ndarray:
    return analyses.targets["mineral"][:, 0].astype(int)


def with_gaps(analyses: Spectra, gaps: np.ndarray) -> Spectra:
    table = np.where(gaps, np.nan, analyses.spectra("oxides"))
    return Spectra.from_arrays(table, analyses.spec, targets=analyses.targets)


def habit(analyses: Spectra, oxide_of: dict[int, int]) -> np.ndarray:
    """Gaps as laboratories make them: each mineral lacks an oxide of its own."""
    gaps = np.zeros(analyses.spectra("oxides").shape, bool)
    for code, oxide in oxide_of.items():
        gaps[codes(analyses) == code, oxide] = True
    return gaps


def accuracy(fitted: Fit, analyses: Spectra) -> float:
    found = posterior(fitted, analyses, draws=30).mean("probability").values.argmax(-1)
    return float((found == codes(analyses)).mean())


LACKS = {0: 7, 1: 9, 2: 8, 3: 4}  # Na2O of olivine, Cr2O3 of plagioclase, K2O of clinopyroxene, MnO of amphibole


@pytest.fixture(scope="module")
def fitted() -> Fit:
    analyses = simulate(few(), 600, seed=0)
    return fit(MineralBNN(few(), hidden=(32, 16)), with_gaps(analyses, habit(analyses, LACKS)), options=QUICK)


@pytest.fixture(scope="module")
def new() -> Spectra:
    return simulate(few(), 400, seed=1)


class TestGaps:
    def test_their_pattern_says_nothing_of_the_class(self, fitted, new):
        """Trained where each mineral lacks its own oxide; asked where each lacks that of another."""
        permuted = {0: 9, 1: 7, 2: 4, 3: 8}
        own, other = (accuracy(fitted, with_gaps(new, habit(new, lacks))) for lacks in (LACKS, permuted))
        assert own > 0.97 and other > own - 0.02

    def test_an_analysis_without_oxides_is_not_believed(self, fitted, new):
        nothing = np.full((3, 10), np.nan)
        nothing[:, 0] = 50.0
        answer = posterior(fitted, Spectra.from_arrays(nothing, new.spec), draws=30).mean("probability").values
        assert answer.max() < 0.95

    def test_uncertainty_grows_with_them(self, fitted, new):
        def doubt(analyses: Spectra) -> float:
            p = posterior(fitted, analyses, draws=30).mean("probability").values
            return float(-(p * np.log(p.clip(1e-12))).sum(-1).mean())

        gaps = np.zeros((len(new), 10), bool)
        gaps[:, [0, 2, 5, 6]] = True
        assert doubt(with_gaps(new, gaps)) > 5 * doubt(new)


class TestPriors:
    @pytest.mark.parametrize(
        "law",
        [
            dist.Laplace(0.0, 0.3),
            {"weight_1": dist.Normal(0.0, 0.1)},
            lambda name, shape: dist.Normal(0.0, 2.0 if name.startswith("bias") else shape[1] ** -0.5),
        ],
        ids=["one law", "by layer", "callable"],
    )
    def test_each_form_trains(self, law):
        priors = weight_priors(few(), law, hidden=(8,))
        model = MineralBNN(few(), priors, hidden=(8,))
        found = fit(model, simulate(few(), 60, seed=0), options=TrainOptions(epochs=2, batch_size=30))
        assert np.isfinite(found.history.terms["elbo"]).all()

    def test_a_narrow_prior_holds_the_weights(self):
        options = TrainOptions(epochs=40, batch_size=60, learning_rate=1e-2)
        sizes = []
        for width in (0.01, 1.0):
            model = MineralBNN(few(), weight_priors(few(), dist.Normal(0.0, width), hidden=(8,)), hidden=(8,))
            found = fit(model, simulate(few(), 60, seed=0), options=options)
            drawn = posterior(found, simulate(few(), 2, seed=0), draws=50).draws["weight_1"].values
            sizes.append(float(np.sqrt(np.square(drawn).mean())))
        assert sizes[0] < 0.3 * sizes[1]

    def test_a_misspelt_layer(self):
        with pytest.raises(PriorError, match="weigth_1.*did you mean 'weight_1'"):
            weight_priors(few(), {"weigth_1": dist.Normal(0.0, 1.0)})

    def test_a_law_of_another_shape(self):
        with pytest.raises(PriorError, match="weight_1.*expected one number or"):
            weight_priors(few(), {"weight_1": dist.Normal(torch.zeros(3), 1.0)})

    def test_low_rank_guide(self):
        options = TrainOptions(epochs=2, batch_size=30)
        found = fit(MineralBNN(few(), hidden=(8,), family="low-rank"), simulate(few(), 60, seed=0), options=options)
        assert posterior(found, simulate(few(), 3), draws=5).draws["probability"].shape == (1, 5, 3, 4)


def test_the_posterior_and_the_short_way_agree(fitted, new):
    long = posterior(fitted, new, draws=400).mean("probability").values
    short = fitted.model.probabilities(torch.from_numpy(new.spectra("oxides")), 400, seed=3).mean(0).numpy()
    assert np.abs(long - short).max() < 0.1 and np.abs(long - short).mean() < 2e-3


def test_draws_are_labelled(fitted, new):
    draws = posterior(fitted, new.select(slice(4)), draws=6).draws
    assert draws["probability"].dims == ("chain", "draw", "sample", "mineral")
    assert tuple(draws["mineral"].values) == FEW
    assert draws["weight_1"].sizes["weight_1_output"] == 32
    assert np.allclose(draws["probability"].sum("mineral"), 1, atol=1e-5)


def test_arviz_is_given_the_draws_of_weights_and_probabilities(fitted, new):
    given = posterior(fitted, new.select(slice(4)), draws=6).to_arviz()["posterior"]
    assert given["weight_1"].sizes["draw"] == given["probability"].sizes["draw"] == 6
    assert given["probability"].dims[2:] == ("spectrum", "mineral")


def test_analyses_are_measured_anew_with_an_error_that_grows_with_the_amount():
    model = MineralBNN(few(), error=(0.03, 0.2))
    batch = model.example()
    batch.extras["completed"] = torch.tensor([0.0, 50.0]).repeat(12, 8, 5)
    errors = torch.cat([model._veiled(batch).x["oxides"] - torch.tensor([0.0, 50.0]).repeat(5) for _ in range(200)])
    seen = [column[~column.isnan()].std().item() for column in (errors[:, ::2], errors[:, 1::2])]
    assert seen == pytest.approx([0.2, np.hypot(0.03 * 50, 0.2)], rel=0.05)


def test_a_stranger_may_be_any_mineral(fitted, new):
    usual = torch.from_numpy(new.spectra("oxides"))
    strange = torch.full_like(usual[:1], 10.0)
    assert fitted.model.strangeness(strange) > 100 > fitted.model.strangeness(usual).median()
    assert (fitted.model.probabilities(strange, 20) >= 0.99 * DOUBT / len(FEW)).all()
    sure = fitted.model.probabilities(usual, 20).mean(0).amax(1)
    assert sure.median() > 0.98


def test_what_it_cannot_be_made_of():
    config = few().to_config()
    config["targets"] = {"abundance": {"components": ["a", "b"], "support": "simplex"}}
    with pytest.raises(SpecError, match="0 categories; expected one modality and a target with support = 'category'"):
        MineralBNN(DataSpec.from_config({k: v for k, v in config.items() if k != "simulator"}))
    with pytest.raises(SpecError, match="family='full'"):
        MineralBNN(few(), family="full")


def test_shapes_of_the_layers():
    assert layer_shapes(few(), (8,)) == {"weight_1": (8, 30), "bias_1": (8,), "weight_2": (4, 8), "bias_2": (4,)}


class TestCompletion:
    def test_donors_are_of_the_same_class(self):
        x = torch.tensor([[1.0]] * 20 + [[5.0]] * 20)
        classes = torch.arange(40) // 20
        x[::2] = torch.nan
        filled = complete(x, classes, 3, torch.Generator().manual_seed(0))
        assert torch.equal(filled[:20], torch.ones(20, 3, 1)) and torch.equal(filled[20:], torch.full((20, 3, 1), 5.0))

    def test_what_is_never_analysed_is_a_trace(self):
        filled = complete(torch.full((50, 1), torch.nan), torch.zeros(50, dtype=torch.int64), 2, torch.Generator())
        assert (filled >= 0).all() and filled.max() < 0.2 and filled.std() > 0

    def test_reported_values_stay(self):
        x = torch.rand(30, 4)
        assert torch.equal(complete(x, torch.arange(30) % 3, 2, torch.Generator()), x[:, None].expand(-1, 2, -1))

    def test_veils_leave_two_values(self):
        hidden = veil((5000, 3), torch.device("cpu"))
        assert ((~hidden).sum(1) >= 2).all() and 0.02 < hidden.float().mean() < 0.35


class TestTypicality:
    def test_tail_probabilities_are_uniform(self):
        z = torch.randn(20000, 4, dtype=torch.float64) @ (torch.eye(4) + 0.3 * torch.rand(4, 4)).double()
        typicality = Typicality(1, 4)
        typicality.fit(z, torch.zeros(20000, dtype=torch.int64))
        z[torch.rand(20000) < 0.5, 1] = torch.nan
        tail = (-typicality(z)[:, 0]).exp()
        share = torch.tensor([(tail < q).double().mean() for q in (0.01, 0.1, 0.5, 0.9)])
        assert torch.allclose(share, torch.tensor([0.01, 0.1, 0.5, 0.9], dtype=torch.float64), atol=0.02)

    def test_a_gap_is_integrated_out(self):
        z = torch.randn(500, 3, dtype=torch.float64)
        whole, part = Typicality(1, 3), Typicality(1, 2)
        zeros = torch.zeros(500, dtype=torch.int64)
        whole.fit(z, zeros)
        part.mean, part.covariance = whole.mean[:, :2], whole.covariance[:, :2, :2]
        gap = torch.cat([z[:, :2], torch.full((500, 1), torch.nan)], 1)
        assert torch.allclose(whole(gap), part(z[:, :2]))

    def test_far_tails_keep_their_order(self):
        typicality = Typicality(1, 2)
        values = typicality(torch.tensor([[10.0, 0.0], [40.0, 0.0], [41.0, 0.0], [1e4, 0.0]]))[:, 0]
        assert values.isfinite().all() and (values.diff() > 0).all()

    def test_nothing_reported_is_no_stranger(self):
        assert Typicality(3, 2)(torch.full((1, 2), torch.nan)).tolist() == [[0.0, 0.0, 0.0]]
