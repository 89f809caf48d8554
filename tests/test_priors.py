"""Priors are immutable, misspelt names are refused with the known ones, and tables give back the same laws."""

import json
from copy import deepcopy

import pyro.distributions as dist
import pytest
import torch
from torch.distributions import transforms

from probspec.distributions import LogisticNormal, LogUniform
from probspec.errors import PriorError
from probspec.laws import decode_law, encode_law
from probspec.priors import Priors
from probspec.supports import SmoothedSimplex

ONES = torch.ones(3)


def after(earlier):
    return dist.Normal(earlier["abundance"].sum(-1), 1.0)


@pytest.fixture
def priors() -> Priors:
    return Priors({"abundance": dist.Dirichlet(ONES), "nuisance": dist.Normal(0.0, 1.0), "gain": after})


class TestPriors:
    def test_replace_makes_new_ones(self, priors):
        other = priors.replace(abundance=dist.Dirichlet(0.3 * ones(3)), nuisance=dist.Cauchy(0.0, 1.0))
        assert isinstance(priors["nuisance"], dist.Normal) and isinstance(other["nuisance"], dist.Cauchy)
        assert list(other) == list(priors) and other["gain"] is after

    def test_cannot_be_changed(self, priors):
        with pytest.raises(TypeError):
            priors["abundance"] = dist.Dirichlet(ONES)
        with pytest.raises(TypeError):
            del priors["abundance"]
        laws = {"a": dist.Normal(0.0, 1.0)}
        made = Priors(laws)
        laws["b"] = laws["a"]
        assert list(made) == ["a"]

    def test_misspelt_name(self, priors):
        message = "no site 'abundence'; did you mean 'abundance'\\? Known: abundance, gain, nuisance"
        for attempt in (lambda: priors.replace(abundence=dist.Dirichlet(ONES)), lambda: priors.law("abundence")):
            with pytest.raises(PriorError, match=message):
                attempt()

    @pytest.mark.parametrize(
        "law, message",
        [
            (dist.Dirichlet, "write Dirichlet"),
            (0.3, "float is not a law"),
            (torch.distributions.Normal(0.0, 1.0), "pyro.distributions"),
            (None, "NoneType is not a law"),
        ],
    )
    def test_what_is_no_law(self, priors, law, message):
        with pytest.raises(PriorError, match=message):
            priors.replace(abundance=law)

    def test_callables_see_earlier_sites(self, priors):
        assert priors.law("gain", {"abundance": 2 * ONES}).loc == 6
        assert priors.law("abundance") is priors["abundance"]
        with pytest.raises(PriorError, match="returned float"):
            Priors({"a": lambda earlier: 1.0}).law("a")
        with pytest.raises(PriorError, match="asks for site 'abundance', which is not drawn before it; Known: z"):
            priors.law("gain", {"z": ONES})

    def test_map_reaches_every_tensor(self):
        correlated = LogisticNormal(torch.zeros(3), ONES, torch.ones(3, 1))
        shift = transforms.AffineTransform(ONES, 2 * ONES)
        squashed = dist.TransformedDistribution(dist.Normal(0 * ONES, ONES), [shift])
        laws = {"a": correlated, "b": dist.LogNormal(ONES, ONES).to_event(1), "c": squashed, "d": dist.Gamma(ONES, 2.0)}
        priors = Priors(laws)
        moved = priors.map(torch.Tensor.double)
        for name in laws:
            assert moved.law(name).sample().dtype == torch.float64
            value = priors.law(name).sample((4,))
            expected = priors.law(name).log_prob(value)
            assert expected.dtype == torch.float32
            found = moved.law(name).log_prob(value.double())
            torch.testing.assert_close(found, expected.double(), rtol=1e-5, atol=1e-5)

    def test_survive_a_deepcopy(self, priors):
        assert torch.equal(deepcopy(priors).law("abundance").concentration, ONES)

    def test_repr_is_short(self, priors):
        assert repr(priors) == "Priors(abundance=Dirichlet, nuisance=Normal, gain=callable)"

    def test_config_round_trip(self, priors):
        stored = json.loads(json.dumps(priors.replace(gain=dist.LogNormal(ONES, 0.5).to_event(1)).to_config()))
        assert stored["abundance"] == {"law": "Dirichlet", "concentration": [1, 1, 1]}
        back = Priors.from_config(stored)
        assert back.law("gain").event_shape == (3,) and back.to_config() == stored

    def test_callables_cannot_be_stored(self, priors):
        with pytest.raises(PriorError, match=r"priors\['gain'\]: a callable cannot be stored"):
            priors.to_config()

    def test_scalars_are_repeated_over_components(self):
        tables = {"abundance": {"law": "Dirichlet", "concentration": 0.5}, "t": {"law": "Uniform", "low": 0, "high": 2}}
        priors = Priors.from_config(tables, {"abundance": 4})
        assert priors.law("abundance").concentration.tolist() == [0.5] * 4
        assert priors.law("t").event_shape == ()


def ones(n: int) -> torch.Tensor:
    return torch.ones(n)


LAWS = [
    dist.Bernoulli(0.2 * ONES).to_event(1),
    dist.Beta(ONES, 3.0),
    dist.Categorical(torch.tensor([0.2, 0.8])),
    dist.Dirichlet(torch.tensor([0.1, 7.0])),
    dist.Exponential(2.0),
    dist.Gamma(0.3, 2.0),
    dist.HalfCauchy(2.0),
    dist.HalfNormal(torch.rand(2, 3)).to_event(2),
    dist.InverseGamma(3.0, 2.0),
    dist.Laplace(1.0, 2.0),
    dist.LogNormal(torch.tensor(1 / 3), 2.0),
    dist.LowRankMultivariateNormal(ONES, torch.ones(3, 1), ONES),
    dist.MultivariateNormal(ONES, torch.tensor([[2.0, 0.5, 0], [0.5, 1, 0], [0, 0, 1]])),
    dist.OneHotCategorical(torch.tensor([0.2, 0.8])),
    dist.Poisson(4.0),
    dist.StudentT(4.0, 1.0, 2.0),
    dist.Uniform(-1.5, 1.5).expand((2,)).to_event(1),
    dist.Weibull(1.0, 2.0),
    dist.MixtureSameFamily(dist.Categorical(torch.tensor([0.9, 0.1])), dist.Gamma(torch.tensor([0.1, 3.0]), 1.0)),
    dist.TransformedDistribution(dist.Normal(torch.zeros(2), 1.0).to_event(1), [SmoothedSimplex(0.05)]),
    dist.TransformedDistribution(
        dist.Normal(0.0, 1.0), [transforms.ExpTransform(), transforms.AffineTransform(loc=1.0, scale=torch.tensor(3.0))]
    ),
    LogisticNormal(torch.arange(3.0), ONES),
    LogisticNormal(torch.arange(3.0), ONES, torch.ones(3, 1)),
    LogUniform(0.1, 5.0),
]


@pytest.mark.parametrize("law", LAWS, ids=[f"{i}-{type(law).__name__}" for i, law in enumerate(LAWS)])
def test_tables_give_back_the_law(law):
    torch.manual_seed(0)
    table = json.loads(json.dumps(encode_law(law)))
    back = decode_law(table)
    value = law.sample((5,))
    assert type(back) is type(law) and back.event_shape == law.event_shape
    assert torch.equal(back.log_prob(value), law.log_prob(value))
    assert encode_law(back) == table


@pytest.mark.parametrize(
    "table, size, message",
    [
        ({"law": "Dirichlett", "concentration": 1.0}, None, "did you mean 'Dirichlet'"),
        ({"concentration": 1.0}, None, "no law None"),
        ("Dirichlet", None, "no law None"),
        ({"law": ["Dirichlet"]}, None, "no law"),
        ({"law": "Dirichlet", "alpha": 1.0}, 3, "no parameter 'alpha'; Known: concentration"),
        ({"law": "Normal", "loc": 0.0}, None, "parameter 'scale' is missing"),
        ({"law": "Normal", "loc": 0.0, "scale": -1.0}, None, "GreaterThan"),
        ({"law": "Normal", "loc": "zero", "scale": 1.0}, None, "'zero'; expected a number"),
        ({"law": "Normal", "loc": [0.0, 1.0], "scale": 1.0}, 3, "numbers; expected 3"),
        ({"law": "Dirichlet", "concentration": [1.0, 1.0]}, 3, "expected"),
        ({"law": "Dirichlet", "concentration": [1.0, [1.0]]}, None, "Dirichlet: .*list of numbers"),
        ({"law": "LogUniform", "low": 2.0, "high": 1.0}, None, "0 < low < high"),
        ({"law": "Independent", "base": {"law": "Nrmal"}, "dims": 1}, None, "did you mean 'Normal'"),
        ({"law": "Independent", "base": {"law": "Normal", "loc": 0.0, "scale": 1.0}, "dims": 1}, None, "Independent"),
        ({"law": "TransformedDistribution", "base": {}, "transforms": 3}, None, "TransformedDistribution"),
        ({"law": "Categorical", "probs": [0.5, 0.5]}, 3, "expected"),
    ],
)
def test_bad_tables(table, size, message):
    with pytest.raises(PriorError, match=message) as caught:
        decode_law(table, size, "priors['x']")
    assert str(caught.value).startswith("priors['x']")


@pytest.mark.parametrize("law", [dist.VonMises(0.0, 1.0), dist.Dirichlet(ONES).mask(False)])
def test_laws_without_a_table(law):
    with pytest.raises(PriorError, match="has no table"):
        encode_law(law)
