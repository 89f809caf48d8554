"""What every model must keep, whatever method it is: one suite over the registry."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from fused import few_candidates, fused, parted
from pyro import poutine

import probspec.models
from probspec.batch import Batch
from probspec.data.spectra import Spectra
from probspec.distributions import LogisticNormal
from probspec.errors import QueryError
from probspec.fit import Fit, fit
from probspec.models.base import Model
from probspec.models.cvae import CVAE
from probspec.models.minerals import MineralBNN
from probspec.models.transfer import LatentTransfer
from probspec.models.uvae import UVAE
from probspec.models.vae_transfer import VAETransfer
from probspec.persist import load, save
from probspec.posterior import posterior
from probspec.seeding import seeded
from probspec.simulate import simulate
from probspec.sites import check_pair, latent_sites
from probspec.spec import DataSpec, anonymous_spec, load_spec
from probspec.training.options import TrainOptions

MODELS = probspec.models.ALL or (UVAE,)
FEW = TrainOptions(epochs=5, batch_size=16, learning_rate=1e-3)
ONES = torch.ones(3)
ROUNDS = 60
SWAPS = {
    "Dirichlet(1)": dist.Dirichlet(ONES),
    "Dirichlet(.3)": dist.Dirichlet(0.3 * ONES),
    "logistic-normal": LogisticNormal(0 * ONES, 1.5 * ONES),
    "LogNormal": dist.LogNormal(-1 * ONES, 1.0).to_event(1),
    "Uniform": dist.Uniform(0 * ONES, 2.0).to_event(1),
}


NUISANCES = [dist.Normal(torch.zeros(4), 1.0).to_event(1), dist.Uniform(-1 * torch.ones(5), 1.0).to_event(1)]


@dataclass(frozen=True)
class Case:
    """One model in one form, and spectra of the kind that it takes."""

    kind: type[Model]
    config: dict[str, object]

    def __str__(self) -> str:
        return "-".join([self.kind.name, *map(str, self.config.values())])

    def make(self) -> Model:
        with seeded(0):
            return self.kind(self.spectra().spec, **self.config)

    def spectra(self) -> Spectra:
        return DATA[self.kind]()

    @property
    def asked(self) -> str:
        """Site with one value for each spectrum that answers for the target."""
        names = {UVAE: "abundance", MineralBNN: "probability", CVAE: "concentration"}
        return names.get(self.kind, "latent")


def analyses() -> Spectra:
    made = simulate("epma_minerals", 30, seed=0)
    codes = np.where(np.arange(30)[:, None] < 24, made.targets["mineral"], np.nan)
    return Spectra.from_arrays(made.spectra("oxides"), made.spec, targets=codes)


def solutions() -> Spectra:
    spec = load_spec("simulated_ions").to_config()
    spec["modalities"]["absorbance"]["channels"] = spec["simulator"]["channels"] = 60
    made = simulate(DataSpec.from_config(spec), 30, seed=0)
    c = np.where(np.arange(30)[:, None] < 24, made.targets["concentration"], np.nan)
    return Spectra.from_arrays(made.spectra("absorbance"), made.spec, axes=made.axes, targets=c)


def paired() -> Spectra:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((30, 4))
    blocks = {name: z @ rng.standard_normal((4, size)) for name, size in (("primary", 20), ("secondary", 12))}
    blocks = {name: block + 0.1 * rng.standard_normal(block.shape) for name, block in blocks.items()}
    blocks["secondary"][24:] = np.nan
    return Spectra.from_arrays(blocks, anonymous_spec({"primary": 20, "secondary": 12}, []))


DATA = {
    UVAE: lambda: parted(fused(30, labelled=0.8)),
    MineralBNN: analyses,
    CVAE: solutions,
    LatentTransfer: paired,
    VAETransfer: paired,
}
FORMS = {
    UVAE: [{"preset": "default"}, {"preset": "paper"}, {"preset": "default", "flow": "gaussian"}],
    MineralBNN: [{"family": "mean-field"}, {"family": "low-rank"}],
    CVAE: [{"preset": "beer_lambert"}, {"preset": "cvae"}, {"preset": "vae"}],
    LatentTransfer: [{"latents": 4}],
    VAETransfer: [{"latents": 4, "layers": [16, 8], "reading_layers": [8], "epochs": 2}],
}
CASES = [Case(kind, config) for kind in MODELS for config in FORMS[kind]]


@pytest.fixture(params=CASES, ids=str)
def case(request) -> Case:
    return request.param


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with few_candidates():
        yield


@pytest.fixture(autouse=True, scope="module")
def registered() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probspec.models, "ALL", MODELS)
        yield


@pytest.fixture(scope="module")
def fits() -> dict[str, Fit]:
    return {}


@pytest.fixture
def fitted(case, fits) -> Fit:
    """Fitted once, for the tests that only look."""
    if str(case) not in fits:
        fits[str(case)] = fit(case.make(), case.spectra(), options=FEW)
    return fits[str(case)]


def example(model: Model) -> Batch:
    return model.example(0)


def test_the_registry_has_names_of_its_own():
    assert len({kind.name for kind in MODELS}) == len(MODELS)
    assert all(probspec.models.by_name(kind.name) is kind for kind in MODELS)
    assert set(FORMS) == set(MODELS), "every model has its forms here"


def test_the_example_is_seeded_and_has_both_kinds_of_rows(case, untouched_generators):
    model = case.make()
    one, again, other = model.example(3), model.example(3), model.example(4)
    assert all(torch.allclose(one.x[name], again.x[name], rtol=0, atol=0, equal_nan=True) for name in one.x)
    assert any(not torch.allclose(one.x[name], other.x[name], equal_nan=True) for name in one.x)
    assert all(flags.any() and not flags.all() for flags in one.labelled.values())
    assert set(one.x) == set(model.spec.modalities)


def test_simulated_shapes_are_finite(case):
    """The story told forwards: every site has its shape and a finite value, also under an outer plate of draws."""
    model = case.make()
    batch = example(model)
    with seeded(0), pyro.plate("draw", 3, dim=-2):
        nodes = poutine.trace(poutine.uncondition(model.model)).get_trace(batch.without_labels()).nodes
    sites = {site.name: site for site in latent_sites(model, batch)}
    for name, site in sites.items():
        assert nodes[name]["value"].shape == (3, len(batch) if site.per_sample else 1, *site.event_shape)
    for name in batch.x.keys() & nodes.keys():  # a model that tells the target from the spectrum does not make these
        assert nodes[name]["value"].shape == (3, *batch.x[name].shape)
    assert all(node["value"].isfinite().all() for node in nodes.values() if node["type"] == "sample")


def test_the_guide_covers_exactly_the_latent_sites(case):
    model = case.make()
    check_pair(model, model.guide, example(model))
    assert {site.name for site in latent_sites(model, example(model))} == set(model.priors)


def test_every_site_is_described(case):
    model = case.make()
    for site in latent_sites(model, example(model)):
        info = model.sites[site.name]
        assert len(info.dims) == len(site.event_shape)
        for size, dim in zip(site.event_shape, info.dims, strict=True):
            assert dim not in (info.coords or {}) or len(info.coords[dim]) == size


def test_the_gradient_reaches_every_parameter(case):
    """Over a few draws of the objective; a parameter that none of its terms can move is named."""
    model, data = case.make(), case.spectra()
    batch = data.to_batch(extras=model.prepare(data, 0))
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    with torch.no_grad(), seeded(2):
        for p in parameters.values():  # away from starts at zero, which block what lies behind them
            p.add_(0.05 * torch.randn_like(p))
    with seeded(1):
        sum(sum(model.objective(batch).values()) for _ in range(5)).backward()
    still = [name for name, p in parameters.items() if p.grad is None or not p.grad.abs().sum() > 0]
    assert parameters and not still, f"no gradient reaches {still}"


def test_the_objective_of_minibatches_is_that_of_the_whole_in_mean(case):
    model = case.make()
    whole = example(model)
    halves = [whole.rows(torch.arange(k, len(whole), 2)) for k in range(2)]
    assert all(half.total == len(whole) for half in halves)

    def terms(batches: list[Batch], seed: int) -> dict[str, torch.Tensor]:
        with torch.no_grad(), seeded(seed):
            draws = [model.objective(batch) for _ in range(ROUNDS) for batch in batches]
        per_pair = {n: torch.stack([d[n] for d in draws]).reshape(ROUNDS, len(batches)).mean(1) for n in draws[0]}
        return {n: torch.stack([v.mean(), v.std() / ROUNDS**0.5]) for n, v in per_pair.items()}

    one, other = terms([whole], 0), terms(halves, 1)
    for name in one:
        (mean, error), (expected, expected_error) = other[name], one[name]
        bound = 4.5 * (error**2 + expected_error**2) ** 0.5 + 1e-4 * expected.abs()
        assert (mean - expected).abs() < bound, (name, mean, expected, bound)


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_each_prior_is_swapped(preset):
    """Dirichlet -> Dirichlet(.3) -> logistic-normal -> LogNormal -> Uniform: each time a guide that belongs."""
    data = parted(fused(24))
    model: Model = UVAE(data.spec, preset=preset)
    for name, law in SWAPS.items():
        model = model.with_priors(abundance=law)
        check_pair(model, model.guide, example(model))
        once = fit(model, data, options=FEW)
        assert np.isfinite(once.history.loss).all(), name
        drawn = torch.from_numpy(posterior(once, data.select(slice(0, 4)), draws=50).draws["abundance"].values)
        assert law.support.check(drawn).all(), name


@pytest.mark.parametrize("preset", ["default", "paper"])
@pytest.mark.parametrize("law", NUISANCES, ids=["Normal", "Uniform"])
def test_the_nuisance_is_swapped(preset, law):
    data = parted(fused(24))
    once = fit(UVAE(data.spec, preset=preset).with_priors(nuisance=law), data, options=FEW)
    drawn = torch.from_numpy(posterior(once, data.select(slice(0, 4)), draws=50).draws["nuisance"].values)
    assert law.support.check(drawn).all() and drawn.shape[-1] == law.event_shape[0]


def test_same_seed_same_losses(case, fitted, untouched_generators):
    again, other = (fit(case.make(), case.spectra(), seed=seed, options=FEW) for seed in (0, 1))
    assert np.array_equal(fitted.history.loss, again.history.loss)
    assert not np.array_equal(fitted.history.loss, other.history.loss)


def test_saving_changes_nothing_and_loading_gives_the_same_draws(case, fitted, tmp_path):
    data = case.spectra()
    before = posterior(fitted, data, draws=30, seed=4)
    weights = {name: value.clone() for name, value in fitted.model.state_dict().items()}
    save(fitted, tmp_path / "fit")
    loaded = load(tmp_path / "fit")
    assert all(torch.equal(value, fitted.model.state_dict()[name]) for name, value in weights.items())
    assert before.draws.identical(posterior(fitted, data, draws=30, seed=4).draws)
    after = posterior(loaded, data, draws=30, seed=4)
    assert before.draws.identical(after.draws) and before.log_density.identical(after.log_density)
    assert not loaded.model.training and repr(loaded) == repr(fitted)


def test_arviz_dims_are_those_of_the_spec(case, fitted):
    groups = posterior(fitted, case.spectra(), draws=30).to_arviz()
    for target in fitted.spec.targets.values():
        drawn = groups["posterior"][case.asked]
        assert drawn.dims[:2] == ("chain", "draw") and drawn.dims[-1] == target.dim
        assert tuple(drawn[target.dim].values) == target.components and drawn.attrs["unit"] == (target.unit or "")


def test_predicted_spectra_have_the_dims_of_the_spec(case, fitted):
    post = posterior(fitted, case.spectra(), draws=30)
    if case.kind.predict_spectra is Model.predict_spectra:
        with pytest.raises(QueryError, match="does not predict spectra"):
            post.predictive(draws=5)
        return
    made = post.predictive(draws=5)
    for name, modality in fitted.spec.modalities.items():
        assert made[name].shape == (1, 5, len(post), modality.channels) and bool(made[name].notnull().all())


def test_labels_are_not_looked_at(case, fitted):
    data = case.spectra()
    blind = Spectra.from_arrays({m: data.spectra(m) for m in data.modalities}, data.spec, axes=data.axes)
    assert posterior(fitted, data, draws=20).draws.identical(posterior(fitted, blind, draws=20).draws)


def test_a_row_does_not_depend_on_its_neighbours(case, fitted):
    data = case.spectra()
    whole, part = (posterior(fitted, rows, draws=400) for rows in (data, data.select([3, 5])))
    bound = 5 * 2**0.5 * whole.sd(case.asked).values[[3, 5]] / 400**0.5 + 1e-6
    assert (np.abs(whole.mean(case.asked).values[[3, 5]] - part.mean(case.asked).values) < bound).all()


def test_repr_is_short(case, fitted):
    assert len(repr(fitted)) < 120 and len(repr(fitted.model.priors)) < 120
    assert len(repr(fitted.model)) < 200, repr(fitted.model)[:300]


def test_parameters_live_in_the_module(case, fitted):
    """Also after a fit and a query, Pyro's store is empty."""
    posterior(fitted, case.spectra(), draws=5)
    assert not list(pyro.get_param_store().keys())
    names = {name for name, _ in fitted.model.named_parameters()}
    assert names <= set(fitted.model.state_dict())


def test_the_config_makes_the_model_again(case):
    model = case.make()
    other = type(model)(model.spec, model.priors, **model.config)
    assert other.config == model.config and {n: v.shape for n, v in other.state_dict().items()} == {
        n: v.shape for n, v in model.state_dict().items()
    }


def test_bounds_are_in_nats_per_row(case):
    """Twice the rows, the same objective: neither the step size nor the report depends on the size of the set."""
    model = case.make()
    once = example(model)
    if not all(site.per_sample for site in latent_sites(model, once)):
        pytest.skip("what the prior says of a site of the whole set is shared by all rows, and halves a row")
    both = 2 * len(once)
    twice = replace(once.rows(torch.arange(len(once)).repeat(2)), index=torch.arange(both), total=both)
    with torch.no_grad(), seeded(0):
        small, large = (np.mean([sum(model.objective(b).values()).item() for _ in range(60)]) for b in (once, twice))
    assert large == pytest.approx(small, rel=0.1)
