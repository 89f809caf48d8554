"""The smallest legal model: spectra are mixtures of end-members, with noise of one unknown size."""

from typing import Any, ClassVar

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from probspec.batch import Batch
from probspec.data.spectra import Spectra
from probspec.models.base import Model, SiteInfo, rows
from probspec.priors import Priors
from probspec.spec import DataSpec, anonymous_spec

NOISE, CHANNELS, COMPONENTS = 0.1, 12, ("quartz", "calcite", "gypsum")


def spec() -> DataSpec:
    return anonymous_spec({"raman": CHANNELS}, COMPONENTS)


class Toy(Model):
    """x ~ Normal(abundance @ end-members, noise); the abundance is a Dirichlet given the spectrum."""

    name: ClassVar[str] = "Toy"

    def __init__(self, spec: DataSpec, priors: Priors | None = None, hidden: int = 16, cross_fits: bool = False):
        super().__init__(spec, priors)
        self.hidden, self.cross_fits = hidden, cross_fits
        self.endmembers = nn.Parameter(endmembers() + 0.1)
        self.encoder = nn.Sequential(nn.Linear(CHANNELS, hidden), nn.Tanh(), nn.Linear(hidden, len(COMPONENTS)))
        self.noise_place = nn.Parameter(torch.tensor([-2.0, -2.0]))
        self.register_buffer("mean", torch.zeros(CHANNELS))
        self.scales = nn.ParameterDict()

    @classmethod
    def default_priors(cls, spec: DataSpec) -> Priors:
        return Priors({"abundance": dist.Dirichlet(torch.ones(3)), "noise": dist.Gamma(2.0, 20.0)})

    def model(self, batch: Batch) -> None:
        noise = pyro.sample("noise", self.priors.law("noise"))
        with rows(batch):
            abundance = pyro.sample("abundance", self.priors.law("abundance"))
            mean = abundance @ self.endmembers
            pyro.deterministic("brightness", mean.sum(-1), event_dim=0)
            with pyro.poutine.mask(mask=batch.present["raman"]):
                pyro.sample("raman", dist.Normal(mean, noise[..., None]).to_event(1), obs=batch.x["raman"])

    def guide(self, batch: Batch) -> None:
        location, log_scale = self.noise_place
        pyro.sample("noise", dist.LogNormal(location, log_scale.exp()))
        with rows(batch):
            pyro.sample("abundance", self.abundance(batch))

    def abundance(self, batch: Batch) -> dist.Dirichlet:
        return dist.Dirichlet(self.encoder(batch.x["raman"] - self.mean).exp() + 0.1)

    def objective(self, batch: Batch, kl_weight: float = 1.0) -> dict[str, Tensor]:
        known = torch.where(batch.labelled["abundance"], self.abundance(batch).log_prob(batch.y["abundance"]), 0.0)
        return {**super().objective(batch, kl_weight), "label": -known.mean()}

    def prepare(self, spectra: Spectra, seed: int) -> dict[str, Tensor]:
        x = torch.from_numpy(spectra.spectra("raman"))
        self.mean = x.mean(0)
        self.build({"scales": ["raman"]})
        with torch.no_grad():
            self.scales["raman"].copy_(x.std(0))
        return self.encode(spectra) if self.cross_fits else {}

    def encode(self, spectra: Spectra) -> dict[str, Tensor]:
        return {"brightest": torch.from_numpy(spectra.spectra("raman")).max(-1).values} if self.cross_fits else {}

    def architecture(self) -> dict[str, Any]:
        return {"scales": list(self.scales)}

    def build(self, architecture: dict[str, Any]) -> None:
        for name in architecture["scales"]:
            self.scales[name] = nn.Parameter(torch.zeros(CHANNELS), requires_grad=False)

    def example(self, seed: int = 0) -> Batch:
        return toy_spectra(8, seed).to_batch()

    @property
    def sites(self) -> dict[str, SiteInfo]:
        return {"abundance": SiteInfo(("component",), {"component": COMPONENTS}, "mass fraction"), "noise": SiteInfo()}

    @property
    def config(self) -> dict[str, Any]:
        return {"hidden": self.hidden, "cross_fits": self.cross_fits}


def endmembers() -> Tensor:
    channel = torch.arange(CHANNELS, dtype=torch.float32)
    return torch.stack([torch.exp(-((channel - centre) ** 2) / 4) for centre in (2.0, 6.0, 9.0)])


def toy_spectra(count: int, seed: int = 0, labelled: float = 0.75, grouped: bool = False) -> Spectra:
    rng = np.random.default_rng(seed)
    abundance = rng.dirichlet(np.ones(len(COMPONENTS)), count)
    spectra = abundance @ endmembers().numpy() + NOISE * rng.normal(size=(count, CHANNELS))
    abundance[rng.permutation(count)[round(labelled * count) :]] = np.nan
    return Spectra.from_arrays(spectra, spec(), targets=abundance, groups=np.arange(count) // 4 if grouped else None)
