"""Tables give back the same laws, and bad ones are refused by name."""

import json

import pyro.distributions as dist
import pytest
import torch
from torch.distributions import transforms

from probspec.distributions import LogisticNormal, LogUniform
from probspec.errors import PriorError
from probspec.laws import decode_law, encode_law
from probspec.transforms import SmoothedSimplex

ONES = torch.ones(3)
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
