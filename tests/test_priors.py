"""Priors are immutable, misspelt names are refused with the known ones."""

import json
from copy import deepcopy

import pyro.distributions as dist
import pytest
import torch
from torch.distributions import transforms

from probspec.distributions import LogisticNormal
from probspec.errors import PriorError
from probspec.priors import Priors

ONES = torch.ones(3)


def after(earlier):
    return dist.Normal(earlier["abundance"].sum(-1), 1.0)


@pytest.fixture
def priors() -> Priors:
    return Priors({"abundance": dist.Dirichlet(ONES), "nuisance": dist.Normal(0.0, 1.0), "gain": after})


class TestPriors:
    def test_replace_makes_new_ones(self, priors):
        other = priors.replace(abundance=dist.Dirichlet(0.3 * ONES), nuisance=dist.Cauchy(0.0, 1.0))
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
