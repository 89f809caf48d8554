"""A model for the tests of guides: linear mixtures, an abundance for each sample and one noise level for all."""

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from torch import nn

from probspec.batch import Batch
from probspec.distributions import LogisticNormal
from probspec.guides import AmortisedFlow, MeanField, latent_sites
from probspec.priors import Priors

CHANNELS, COMPONENTS = 12, 3
ONES = torch.ones(COMPONENTS)


def make_batch(samples: int = 32, seed: int = 0) -> Batch:
    """Spectra of linear mixtures."""
    generator = torch.Generator().manual_seed(seed)
    shares = torch.rand(samples, COMPONENTS, generator=generator).square()
    clean = shares / shares.sum(-1, keepdim=True) @ end_members()
    x = clean + 0.05 * torch.randn(samples, CHANNELS, generator=generator)
    none: dict[str, torch.Tensor] = {}
    return Batch({"raman": x}, {"raman": torch.ones(samples).bool()}, none, none, torch.arange(samples), samples)


def end_members() -> torch.Tensor:
    channel = torch.linspace(0, 1, CHANNELS)
    return torch.stack([torch.exp(-0.5 * ((channel - centre) / 0.15) ** 2) for centre in (0.2, 0.5, 0.8)])


class Mixing(nn.Module):
    """x[sample] ~ Normal(abundance @ end-members, noise): abundance of each sample, one noise level for all."""

    def __init__(self, priors: Priors, flow: str = "affine"):
        super().__init__()
        self.priors = priors
        self.register_buffer("end_members", end_members())
        sites = latent_sites(self, make_batch())
        self.local = AmortisedFlow([s for s in sites if s.per_sample], CHANNELS, flow, hidden=(32,))
        self.whole = MeanField([s for s in sites if not s.per_sample])

    def model(self, batch: Batch) -> None:
        noise = pyro.sample("noise", self.priors.law("noise"))
        with pyro.plate("sample", batch.total, subsample=batch.index, dim=-1):
            abundance = pyro.sample("abundance", self.priors.law("abundance"))
            law = dist.Normal(abundance @ self.end_members, noise.unsqueeze(-1)).to_event(1)
            pyro.sample("x", law, obs=batch.x["raman"])

    def guide(self, batch: Batch) -> None:
        self.whole()
        with pyro.plate("sample", batch.total, subsample=batch.index, dim=-1):
            self.local(batch.x["raman"])

    def loss(self, batch: Batch) -> torch.Tensor:
        return -elbo(self.model, self.guide, batch) / batch.total

    def with_priors(self, **laws) -> "Mixing":
        return Mixing(self.priors.replace(**laws))


def elbo(model, guide, *arguments) -> torch.Tensor:
    drawn = poutine.trace(guide).get_trace(*arguments)
    told = poutine.trace(poutine.replay(model, trace=drawn)).get_trace(*arguments)
    return told.log_prob_sum() - drawn.log_prob_sum()


def train(module: nn.Module, loss, steps: int, rate: float = 0.01) -> list[float]:
    optimiser = torch.optim.Adam(module.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        value = loss()
        value.backward()
        optimiser.step()
        schedule.step()
        losses.append(value.item())
    return losses


PRIORS = Priors({"noise": dist.LogNormal(-2.0, 1.0), "abundance": dist.Dirichlet(ONES)})
SWAPS = {
    "Dirichlet(1)": dist.Dirichlet(ONES),
    "Dirichlet(.3)": dist.Dirichlet(0.3 * ONES),
    "logistic-normal": LogisticNormal(0 * ONES, 1.5 * ONES),
    "LogNormal": dist.LogNormal(-1 * ONES, 1.0).to_event(1),
    "Uniform": dist.Uniform(0 * ONES, 2.0).to_event(1),
}
