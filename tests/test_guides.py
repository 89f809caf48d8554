"""Guides follow the supports of the priors; a pair that does not belong together is refused before it trains."""

from dataclasses import replace

import pyro
import pyro.distributions as dist
import pytest
import torch
from mixing import COMPONENTS, PRIORS, SWAPS, Mixing, elbo, end_members, make_batch, train
from pyro import poutine
from torch import nn
from torch.distributions import constraints
from torch.fx.experimental.proxy_tensor import make_fx

from probspec.batch import Batch
from probspec.errors import GuideError
from probspec.guides import AmortisedFlow, ConditionalGuide, LowRank, MeanField, Site, check_pair
from probspec.supports import same_support


class TestSwap:
    def test_each_prior_trains(self):
        """One model through five priors: each time a guide of the right size and support, which learns."""
        torch.manual_seed(0)
        batch, model = make_batch(), Mixing(PRIORS)
        least_squares = torch.linalg.lstsq(end_members().T, batch.x["raman"].T).solution.T
        for name, law in SWAPS.items():
            model = model.with_priors(abundance=law)
            check_pair(model, model.guide, batch)
            errors = []
            for steps in (0, 120):
                losses = train(model, lambda model=model: model.loss(batch), steps)
                values = drawn(model, batch, 50)
                assert law.support.check(values["abundance"]).all(), name
                errors.append((values["abundance"].mean(0) - least_squares).abs().mean())
            assert errors[1] < errors[0] / 2, name
            assert sum(losses[-10:]) < sum(losses[:10]), name

    @pytest.mark.parametrize("name", SWAPS)
    def test_a_step_is_one_graph(self, name):
        """The loss can be traced into a flat graph, as compiling asks for, and its draws stay random."""
        torch.manual_seed(2)
        batch, model = make_batch(), Mixing(PRIORS.replace(abundance=SWAPS[name]))
        with pyro.validation_enabled(False):
            graph = make_fx(lambda x: model.loss(replace(batch, x={"raman": x})))(batch.x["raman"])
            first, second = graph(batch.x["raman"]), graph(batch.x["raman"])
        assert first.isfinite() and second.isfinite() and first != second

    @pytest.mark.parametrize("flow", ["spline", "gaussian"])
    def test_other_flows_train(self, flow):
        torch.manual_seed(1)
        batch, model = make_batch(), Mixing(PRIORS, flow)
        losses = train(model, lambda: model.loss(batch), 40)
        assert sum(losses[-5:]) < sum(losses[:5])

    @pytest.mark.parametrize("old", SWAPS)
    @pytest.mark.parametrize("new", SWAPS)
    def test_a_stale_guide_is_refused(self, old, new):
        stale, model = (Mixing(PRIORS.replace(abundance=SWAPS[name])) for name in (old, new))
        if same_support(SWAPS[old].support, SWAPS[new].support, (COMPONENTS,)):
            check_pair(model, stale.guide, make_batch())
        else:
            with pytest.raises(GuideError, match=r"site 'abundance': the guide covers .*with_priors\(abundance="):
                check_pair(model, stale.guide, make_batch())

    def test_a_stale_guide_would_train_in_silence(self):
        """Why `check_pair` is there: a simplex guide under a positive prior has a finite loss."""
        stale, model = Mixing(PRIORS), Mixing(PRIORS.replace(abundance=SWAPS["LogNormal"]))
        assert elbo(model.model, stale.guide, make_batch()).isfinite()


def drawn(model: Mixing, batch: Batch, draws: int) -> dict[str, torch.Tensor]:
    with torch.no_grad(), pyro.plate("draw", draws, dim=-2):
        trace = poutine.trace(model.guide).get_trace(batch)
    return {name: trace.nodes[name]["value"] for name in ("noise", "abundance")}


SITES = {
    "simplex": Site("y", constraints.simplex, (4,)),
    "real": Site("y", constraints.real_vector, (3,)),
    "positive": Site("y", constraints.positive, ()),
    "interval": Site("y", constraints.independent(constraints.interval(-1.5, 1.5), 1), (2,)),
    "matrix": Site("y", constraints.independent(constraints.unit_interval, 2), (2, 3)),
}


@pytest.mark.parametrize("flow", ["affine", "spline", "gaussian", "none"])
@pytest.mark.parametrize("name", SITES)
class TestConditionalGuide:
    def law(self, name: str, flow: str, start: str = ""):
        torch.manual_seed(0)
        site = SITES[name]
        guide = ConditionalGuide(site, 5, flow, hidden=(16,))
        for parameter in guide.parameters():
            nn.init.normal_(parameter, std=0.2)
        tril = 0.1 * torch.randn(7, site.size, site.size).tril(-1) + 0.2 * torch.eye(site.size)
        location = 0.1 * torch.randn(7, site.size)
        return guide(torch.randn(7, 5), *{"": (), "location": (location,), "both": (location, tril)}[start])

    @pytest.mark.parametrize("start", ["", "location", "both"])
    def test_draws_and_their_density_agree(self, name, flow, start):
        law = self.law(name, flow, start).expand((50, 7))
        value = law.rsample()
        assert value.shape == (50, 7, *SITES[name].event_shape)
        assert law.support.check(value).all()
        own, given = law.log_prob(value), law.log_prob(value.clone())
        assert own.shape == (50, 7) and own.isfinite().all()
        sane = (value.flatten(2) > 1e-30).all(-1) if name == "simplex" else torch.ones(50, 7).bool()
        assert sane.float().mean() > 0.5
        torch.testing.assert_close(own[sane], given[sane], rtol=1e-3, atol=1e-2)

    def test_as_an_observation_and_as_a_draw(self, name, flow):
        law, value = self.law(name, flow), self.law(name, flow).sample()

        def story(obs=None):
            with pyro.plate("draw", 3, dim=-2), pyro.plate("sample", 7, dim=-1):
                return pyro.sample("y", law, obs=obs)

        trace = poutine.trace(story).get_trace(value)
        trace.compute_log_prob()
        assert trace.nodes["y"]["log_prob"].shape == (3, 7)
        torch.testing.assert_close(trace.nodes["y"]["log_prob"][2], law.log_prob(value))
        drawn = story()
        assert drawn.shape == (3, 7, *SITES[name].event_shape) and not torch.equal(drawn[0], drawn[1])


def test_density_of_a_conditional_guide_integrates_to_one():
    torch.manual_seed(0)
    guide = ConditionalGuide(Site("y", constraints.simplex, (3,)), 2, hidden=(8,))
    for parameter in guide.parameters():
        nn.init.normal_(parameter, std=0.2)
    edge = torch.linspace(0, 1, 402, dtype=torch.float64)
    centre = (edge[1:] + edge[:-1]) / 2
    y = torch.cartesian_prod(centre, centre)
    y = torch.cat([y, 1 - y.sum(-1, keepdim=True)], -1)[y.sum(-1) < 1 - 1e-9]
    location, tril = torch.tensor([0.05, -0.1]), torch.tensor([[0.1, 0.0], [0.03, 0.08]])
    law = guide(torch.zeros(2), location, tril)
    assert law.log_prob(y.float()).exp().sum().item() / 401**2 == pytest.approx(1, abs=0.02)


def test_a_guide_starts_at_its_prior():
    torch.manual_seed(0)
    prior = dist.LogNormal(10.0, 0.1)
    guide = ConditionalGuide(Site.of("counts", prior), 2)
    draws = guide(torch.randn(4000, 2)).sample()
    assert draws.log().mean().item() == pytest.approx(10, abs=0.02)
    assert draws.log().std().item() == pytest.approx(0.1, rel=0.15)


def test_sites_of_a_chain_depend_on_each_other():
    """Two sites of which only the sum is seen: their posterior is correlated, which independent factors cannot be."""
    torch.manual_seed(0)
    sites = [Site("a", constraints.real, ()), Site("b", constraints.real, ())]
    guide = AmortisedFlow(sites, 1, hidden=(16,))

    def model(x):
        with pyro.plate("sample", len(x), dim=-1):
            total = sum(pyro.sample(name, dist.Normal(torch.zeros(()), 1.0)) for name in "ab")
            pyro.sample("x", dist.Normal(total, 0.1), obs=x[:, 0])

    def inverse(x):
        with pyro.plate("sample", len(x), dim=-1):
            guide(x)

    def loss():
        x = 1.4 * torch.randn(64, 1)
        return -elbo(model, inverse, x) / len(x)

    train(guide, loss, 300, 0.03)
    values = guide(torch.full((2000, 1), 1.0))
    correlation = torch.corrcoef(torch.stack([values["a"], values["b"]]))[0, 1]
    assert correlation.item() == pytest.approx(-0.99, abs=0.01)


def test_a_chain_works_under_outer_plates():
    torch.manual_seed(0)
    guide = AmortisedFlow([replace(site, name=name) for name, site in SITES.items()], 2, hidden=(8,))
    starts = {"simplex": (torch.zeros(7, 3), None), "real": (torch.zeros(7, 3), 0.1 * torch.eye(3).expand(7, 3, 3))}

    def story():
        with pyro.plate("draw", 5, dim=-2), pyro.plate("sample", 7, dim=-1):
            guide(torch.randn(7, 2), **starts)

    trace = poutine.trace(story).get_trace()
    trace.compute_log_prob()
    for name, site in SITES.items():
        assert trace.nodes[name]["value"].shape == (5, 7, *site.event_shape)
        assert trace.nodes[name]["log_prob"].shape == (5, 7)


def test_misspelt_warm_start():
    guide = AmortisedFlow([SITES["simplex"]], 2)
    with pytest.raises(GuideError, match="no site 'z'; Known: y"):
        guide(torch.zeros(3, 2), z=(None, None))


@pytest.mark.parametrize("wrong", [lambda: MeanField([SITES["real"]]), lambda: LowRank([SITES["real"]], 2)])
def test_local_sites_are_not_global(wrong):
    with pytest.raises(GuideError, match="give it to AmortisedFlow"):
        wrong()


def test_global_sites_are_not_local():
    with pytest.raises(GuideError, match="give it to MeanField"):
        AmortisedFlow([replace(SITES["real"], per_sample=False)], 2)


class TestGlobal:
    sites = tuple(replace(site, name=name, per_sample=False) for name, site in SITES.items())

    @pytest.mark.parametrize("make", [MeanField, lambda sites: LowRank(sites, 2)], ids=["mean field", "low rank"])
    def test_vectorised_draws(self, make):
        torch.manual_seed(0)
        guide = make(self.sites)
        with pyro.plate("draw", 20, dim=-2):
            trace = poutine.trace(guide).get_trace()
        trace.compute_log_prob()
        for site in self.sites:
            node = trace.nodes[site.name]
            assert node["value"].shape == (20, 1, *site.event_shape) and node["log_prob"].shape == (20, 1)
            assert site.support.check(node["value"]).all()
        trace.log_prob_sum().backward()
        assert all(parameter.grad is not None for parameter in guide.parameters())

    def test_start(self):
        start = {"simplex": torch.tensor([0.7, 0.1, 0.1, 0.1]), "positive": torch.tensor(30.0)}
        values = MeanField(self.sites, start, width=1e-4)()
        for name, expected in start.items():
            torch.testing.assert_close(values[name], expected, rtol=0.01, atol=0)
        with pytest.raises(GuideError, match="did you mean 'positive'"):
            MeanField(self.sites, {"positiv": start["positive"]})

    def test_low_rank_is_one_joint_normal(self):
        """Site by site, the chain of conditionals gives the density of the joint law."""
        torch.manual_seed(0)
        sites = [Site("a", constraints.real_vector, (3,), False), Site("b", constraints.real, (), False)]
        guide = LowRank([*sites, Site("c", constraints.real_vector, (2,), False)], 2, width=1.0)
        for loading in guide.loadings:
            nn.init.normal_(loading)
        with pyro.plate("draw", 500, dim=-2):
            trace = poutine.trace(guide).get_trace()
        trace.compute_log_prob()
        value = torch.cat([trace.nodes[name]["value"].reshape(500, -1) for name in "abc"], -1)
        loading, scale = torch.cat(list(guide.loadings)), torch.cat([part.log_scale for part in guide.normals]).exp()
        joint = dist.LowRankMultivariateNormal(torch.zeros(6), loading, scale**2)
        own = sum(trace.nodes[name]["log_prob"][:, 0] for name in "abc")
        torch.testing.assert_close(own, joint.log_prob(value), rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(value.T.cov(), joint.covariance_matrix, atol=1.0, rtol=0.3)

    def test_low_rank_refuses(self):
        with pytest.raises(GuideError, match="rank"):
            LowRank(self.sites, 0)


class TestClosedForm:
    """A linear Gaussian model, whose posterior is known: mean within .05 sd, sd within 5 %."""

    design = torch.tensor([[1.0, 0.4], [0.4, 1.0], [0.5, -0.5]])
    noise = 0.5

    def exact(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        covariance = torch.linalg.inv(torch.eye(2) + self.design.T @ self.design / self.noise**2)
        return x @ self.design @ covariance / self.noise**2, covariance

    def model(self, x: torch.Tensor) -> None:
        with pyro.plate("sample", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z @ self.design.T, self.noise).to_event(1), obs=x)

    def spectra(self, samples: int) -> torch.Tensor:
        return torch.randn(samples, 2) @ self.design.T + self.noise * torch.randn(samples, 3)

    @pytest.mark.parametrize("flow", ["affine", "gaussian"])
    def test_amortised(self, flow):
        torch.manual_seed(0)
        guide = AmortisedFlow([Site("z", constraints.real_vector, (2,))], 3, flow, hidden=(32,))

        def inverse(x: torch.Tensor) -> None:
            with pyro.plate("sample", len(x), dim=-1):
                guide(x)

        def loss() -> torch.Tensor:
            x = self.spectra(256)
            return -elbo(self.model, inverse, x) / len(x)

        train(guide, loss, 400, 0.02)
        x = self.spectra(20)
        with torch.no_grad(), pyro.plate("draw", 20_000, dim=-2), pyro.plate("sample", 20, dim=-1):
            draws = guide(x)["z"]
        mean, covariance = self.exact(x)
        sd = covariance.diagonal().sqrt()
        assert ((draws.mean(0) - mean) / sd).abs().mean() < 0.05
        torch.testing.assert_close(draws.std(0).mean(0), sd, rtol=0.05, atol=0)

    def test_low_rank(self):
        torch.manual_seed(0)
        x = self.spectra(1)
        guide = LowRank([Site(name, constraints.real, (), False) for name in "ab"], 1, width=0.5)

        def model() -> None:
            z = torch.stack([pyro.sample(name, dist.Normal(torch.zeros(()), 1.0)) for name in "ab"], -1)
            pyro.sample("x", dist.Normal(z @ self.design.T, self.noise).to_event(1), obs=x[0])

        def particles(program):
            def vectorised():
                with pyro.plate("draw", 64, dim=-1):
                    program()

            return vectorised

        train(guide, lambda: -elbo(particles(model), particles(guide)) / 64, 400, 0.03)
        with torch.no_grad(), pyro.plate("draw", 50_000, dim=-1):
            draws = torch.stack(list(guide().values()), -1)
        mean, covariance = self.exact(x)
        sd = covariance.diagonal().sqrt()
        assert ((draws.mean(0) - mean[0]) / sd).abs().max() < 0.05
        torch.testing.assert_close(draws.std(0), sd, rtol=0.05, atol=0)
        torch.testing.assert_close(draws.T.corrcoef()[0, 1], covariance[0, 1] / sd.prod(), atol=0.05, rtol=0)
