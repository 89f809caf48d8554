"""A model whose posterior has a closed form: noisy repeats of each component, under independent normal priors."""

from dataclasses import dataclass

import numpy as np
import pyro
import pyro.distributions as dist
import torch

from probspec.batch import Batch
from probspec.data.spectra import Spectra
from probspec.models.base import Model, SiteInfo, rows
from probspec.priors import Priors
from probspec.spec import DataSpec, anonymous_spec

COMPONENTS = ("water", "salt")
REPEATS, NOISE = 3, 0.5


class Conjugate(Model):
    """target ~ N(0, 1); x[channel] ~ N(target[channel // REPEATS], NOISE).

    The guide is the exact posterior under N(0, 1), its standard deviation multiplied by `stretch`.
    """

    name = "conjugate"

    def __init__(self, spec: DataSpec, priors: Priors | None = None, stretch: float = 1.0):
        super().__init__(spec, priors)
        self.stretch = stretch

    @classmethod
    def default_priors(cls, spec: DataSpec) -> Priors:
        return Priors({"target": dist.Normal(torch.zeros(2), torch.ones(2)).to_event(1)})

    @property
    def sites(self) -> dict[str, SiteInfo]:
        return {"target": SiteInfo(("component",), {"component": COMPONENTS}, "g/L")}

    def model(self, batch: Batch) -> None:
        with rows(batch):
            target = pyro.sample("target", self.priors.law("target"))
            pyro.sample("x", self.likelihood(target), obs=batch.x["x"])

    def guide(self, batch: Batch) -> None:
        mean, sd = exact(batch.x["x"].reshape(-1, 2, REPEATS).mean(-1))
        with rows(batch):
            pyro.sample("target", dist.Normal(mean, self.stretch * sd).to_event(1))

    def likelihood(self, target: torch.Tensor) -> dist.TorchDistribution:
        return dist.Normal(target.repeat_interleave(REPEATS, -1), NOISE).to_event(1)

    def predict_spectra(self, batch: Batch, values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"x": self.likelihood(values["target"]).sample()}

    def anomaly(self, batch: Batch, values: dict[str, torch.Tensor]) -> torch.Tensor:
        return -self.likelihood(values["target"]).log_prob(batch.x["x"]).mean(0)

    def example(self, seed: int = 0) -> Batch:
        return simulated(6, seed).to_batch()


class Shared(Conjugate):
    """The same with an offset of the whole set, whose guide is as wide as its prior."""

    @classmethod
    def default_priors(cls, spec: DataSpec) -> Priors:
        return Priors({**super().default_priors(spec), "offset": dist.Normal(0.0, 1.0)})

    @property
    def sites(self) -> dict[str, SiteInfo]:
        return {**super().sites, "offset": SiteInfo(), "twice": SiteInfo(), "sum": SiteInfo(("component",))}

    def model(self, batch: Batch) -> None:
        offset = pyro.sample("offset", self.priors.law("offset"))
        pyro.deterministic("twice", 2 * offset)
        with rows(batch):
            target = pyro.sample("target", self.priors.law("target"))
            pyro.deterministic("sum", target + offset[..., None], event_dim=1)
            pyro.deterministic("undeclared", target.sum(-1))
            pyro.sample("x", self.likelihood(target + offset[..., None]), obs=batch.x["x"])

    def predict_spectra(self, batch: Batch, values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return super().predict_spectra(batch, {"target": values["target"] + values["offset"][..., None]})

    def guide(self, batch: Batch) -> None:
        pyro.sample("offset", dist.Normal(0.0, 1.0))
        super().guide(batch)


@dataclass(frozen=True)
class Fitted:
    """What a posterior asks of a fit."""

    model: Model


def exact(repeats_mean, prior_mean: float = 0.0, prior_sd: float = 1.0):
    """Mean and standard deviation of the posterior, given the mean of the repeats : (sample, component)."""
    precision = prior_sd**-2 + REPEATS / NOISE**2
    return (prior_mean * prior_sd**-2 + repeats_mean * REPEATS / NOISE**2) / precision, precision**-0.5


def simulated(n: int, seed: int = 0, labelled: bool = True) -> Spectra:
    """Spectra from the model's own prior."""
    random = np.random.default_rng(seed)
    target = random.normal(size=(n, 2))
    x = random.normal(np.repeat(target, REPEATS, axis=1), NOISE)
    spec = anonymous_spec({"x": 2 * REPEATS}, COMPONENTS, support="real")
    return Spectra.from_arrays(x, spec, targets=target if labelled else None)


def fitted(stretch: float = 1.0, kind: type[Conjugate] = Conjugate) -> Fitted:
    return Fitted(kind(anonymous_spec({"x": 2 * REPEATS}, COMPONENTS, support="real"), stretch=stretch))


def means_of_repeats(spectra: Spectra) -> np.ndarray:
    return spectra.spectra("x").reshape(-1, 2, REPEATS).mean(-1)
