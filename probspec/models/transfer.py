r"""Transfer of spectra between instruments through the latent space of a primary (after Vrabel et al. 2023).

The story. Spectra y of the primary have a latent z; a reading r of a secondary's spectrum is z plus an error,

.. math:: z \sim p(z), \qquad y \mid z \sim N(c + W z, \sigma^2), \qquad r_s \mid z \sim N(z, b_s^2 S_s),

and the guide is the posterior of z given whichever of them were measured, in closed form where p(z) is normal. The
primary's directions W come from all its spectra, paired or not. A reading (`probspec.transfer`) is an ensemble of
cross-fitted maps that holds the linear one, so that nothing is lost where the truth is linear; S, the sizes b of
single spectra and sigma are those of rows that the maps had not seen. A reading is what the spectrum has to say: its
channels are not asked a second time (a cut, as in `probspec.models.uvae`).

=================  ===================  =====================  ==========================================
site               dims                 support                unit
=================  ===================  =====================  ==========================================
latent             sample, direction    that of its prior      spread over the primary's training spectra
first modality     sample, channel      real, observed         that of the primary
reading_<name>     sample, direction    real, observed         that of the latent
=================  ===================  =====================  ==========================================
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from numpy.typing import NDArray
from pyro import poutine
from pyro.distributions import TorchDistribution
from torch import Tensor, nn

from probspec.batch import Batch
from probspec.data.spectra import Spectra
from probspec.errors import DataError, SpecError, explain
from probspec.guides import ConditionalGuide
from probspec.models.base import Model, SiteInfo, rows
from probspec.priors import Priors
from probspec.seeding import child_seed, seeded
from probspec.sites import Site
from probspec.spec import DataSpec
from probspec.supports import describe
from probspec.training.options import TrainOptions
from probspec.transfer.basis import Basis
from probspec.transfer.reading import Reading

LATENTS = 8
FEWEST = 6  # pairs from which maps can be told apart at all
VAGUE = 0.98  # most of the prior's variance that a reading may leave
KEPT = ("secondary", "primary", "held_out", "errors", "left", "sizes")  # of a reading, as buffers


class LatentTransfer(Model):
    """Spectra of a primary instrument from those of others.

    Parameters
    ----------
    spec : DataSpec
        Its first modality is the primary, the others are secondaries; numbers of channels must be given.
    priors : Priors, optional
        Law of ``latent``; standard normal where left out.
    latents : int
        Directions of the primary; at most as many as its spectra span.

    Raises
    ------
    SpecError
        If there is no secondary, or a number of channels is left open.

    Examples
    --------
    >>> from probspec.spec import anonymous_spec
    >>> LatentTransfer(anonymous_spec({"primary": 30, "handheld": 12}, []), latents=3)
    LatentTransfer('anonymous', Priors(latent=Normal))
    """

    name: ClassVar[str] = "LatentTransfer"
    cross_fits = True

    def __init__(self, spec: DataSpec, priors: Priors | None = None, latents: int = LATENTS):
        super().__init__(spec, priors or self.default_priors(spec, latents))
        self.chosen = {"latents": latents}
        channels = spec.channels()
        self.primary, *self.secondaries = channels
        if not self.secondaries:
            expected = "a primary and at least one secondary"
            raise SpecError(explain(f"{spec.name}: modalities", f"only {self.primary!r}", expected=expected))
        self.site = Site.of("latent", self.priors.law("latent"))
        self.register_buffer("centre", torch.zeros(channels[self.primary], dtype=torch.float64))
        self.register_buffer("directions", torch.eye(latents, channels[self.primary], dtype=torch.float64))
        self.register_buffer("unit", torch.ones(latents))
        self.log_noise = nn.Parameter(torch.zeros(channels[self.primary]))
        for name in self.secondaries:
            self.register_buffer(f"turn_{name}", torch.eye(latents))
            self.register_buffer(f"variance_{name}", torch.full((latents,), 0.5))
            self.register_buffer(f"level_{name}", torch.zeros(channels[name]))
            self.register_buffer(f"loading_{name}", torch.zeros(latents, channels[name]))
            self.register_buffer(f"noise_{name}", torch.ones(channels[name]))
        real = describe(self.site.support) == "real"
        self.bent = None if real else ConditionalGuide(self.site, latents, "affine")
        self.readings: dict[str, Reading] = {}
        self.made: dict[str, dict[str, Any]] = {}

    @classmethod
    def default_priors(cls, spec: DataSpec, latents: int = LATENTS) -> Priors:
        """Standard normal."""
        return Priors({"latent": dist.Normal(torch.zeros(latents), 1.0).to_event(1)})

    def model(self, batch: Batch) -> None:
        """Latent, then what each instrument shows of it."""
        with rows(batch):
            z = pyro.sample("latent", self.priors.law("latent"))
            with poutine.mask(mask=batch.present[self.primary]):
                law = dist.Normal(self.expected(z), self.log_noise.exp()).to_event(1)
                pyro.sample(self.primary, law, obs=batch.x[self.primary])
            for name in self.secondaries:
                told, variance = self.told(batch, name)
                with poutine.mask(mask=batch.present[name] & ~batch.present[self.primary]):
                    law = dist.Normal(z @ self.get_buffer(f"turn_{name}"), variance.sqrt()).to_event(1)
                    pyro.sample(f"reading_{name}", law, obs=told)

    def guide(self, batch: Batch) -> None:
        """q(z | what was measured)."""
        with rows(batch):
            pyro.sample("latent", self.posterior_law(batch))

    def expected(self, z: Tensor) -> Tensor:
        """Spectra of the primary : (..., sample, channel)."""
        return self.centre.to(z) + (z * self.unit) @ self.directions.to(z)

    def told(self, batch: Batch, name: str) -> tuple[Tensor, Tensor]:
        """What a reading says of the latent in the axes of its error, and its variance : (sample, latent) each.

        Maps answer with posterior means, which are drawn towards the average; here that pull is taken back, so that
        any prior can be put in its place.
        """
        left = (self.get_buffer(f"variance_{name}") * batch.extras[f"width_{name}"].square()).clamp(max=VAGUE)
        return batch.extras[f"mean_{name}"] @ self.get_buffer(f"turn_{name}") / (1 - left), left / (1 - left)

    def posterior_law(self, batch: Batch) -> TorchDistribution:
        """Closed form for a normal prior; a flow about it for one of another support."""
        mean, spread = self._prior()
        weight = spread.square().reciprocal()
        precision = torch.diag_embed(weight).expand(len(batch), -1, -1)
        evidence = (weight * mean).expand(len(batch), -1)
        for design, noise, seen, told in self._sources(batch):
            certain = seen[:, None] / noise.double()
            precision = precision + (design * certain[:, None, :]) @ design.mT
            evidence = evidence + (certain * told.double()) @ design.mT
        factor = torch.linalg.cholesky(0.5 * (precision + precision.mT))
        location = torch.cholesky_solve(evidence[..., None], factor)[..., 0].to(self.unit)
        if self.bent is not None:
            return self.bent(location)
        wide = torch.linalg.cholesky(torch.cholesky_inverse(factor)).to(self.unit)
        return dist.MultivariateNormal(location, scale_tril=wide)

    def _prior(self) -> tuple[Tensor, Tensor]:
        """Mean and spread of the law that stands for the prior."""
        if self.bent is not None:
            return torch.zeros_like(self.unit).double(), torch.ones_like(self.unit).double()
        law = self.priors.law("latent")
        return law.mean.double(), law.stddev.double()

    def _sources(self, batch: Batch) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """What tells of the latent: design (latent, number), variances, rows where it was measured, values."""
        here = batch.present[self.primary]
        noise = (2 * self.log_noise).exp().expand(len(batch), -1)
        yield self.unit.double()[:, None] * self.directions, noise, here, batch.x[self.primary] - self.centre
        for name in self.secondaries:
            told, variance = self.told(batch, name)
            yield self.get_buffer(f"turn_{name}").double(), variance, batch.present[name] & ~here, told

    # Learning and asking.

    def prepare(self, spectra: Spectra, seed: int) -> dict[str, Tensor]:
        """Directions of all primary spectra, then the reading of each secondary from its pairs."""
        here = spectra.present(self.primary)
        y = spectra.spectra(self.primary).astype(np.float64)
        basis = Basis.of(y[here], len(self.unit))
        if len(basis.directions) < len(self.unit):
            problem, most = f"{here.sum()} primary spectra", len(basis.directions)
            raise DataError(explain(f"spectra/{self.primary}", problem, fix=f"latents={most}"))
        self._settle(basis, y[here])
        self.readings = {}
        extras: dict[str, Tensor] = {}
        for number, name in enumerate(self.secondaries):
            both = here & spectra.present(name)
            if both.sum() < FEWEST:
                problem, expected = f"{both.sum()} spectra of samples that the primary has too", f"at least {FEWEST}"
                raise DataError(explain(f"spectra/{name}", problem, expected=expected))
            x = spectra.spectra(name).astype(np.float64)[both]
            reading = Reading.fit(x, y[both], basis, child_seed(seed, number))
            self._keep(name, reading)
            mean, width = basis.scores(y[both]) + reading.errors, reading.widening(x, own=True)
            extras |= self._extras(name, both, mean, width)
        left = np.mean([reading.left for reading in self.readings.values()], 0)
        self.log_noise.data = torch.from_numpy(0.5 * np.log(left + 1e-12 * left.mean() + 1e-300)).to(self.log_noise)
        return extras

    def _settle(self, basis: Basis, spectra: NDArray[np.float64]) -> None:
        self.centre, self.directions = torch.from_numpy(basis.centre), torch.from_numpy(basis.directions)
        self.unit = torch.from_numpy(basis.scores(spectra).std(0) + 1e-12).to(self.unit)

    def _keep(self, name: str, reading: Reading) -> None:
        """A reading, and its error in units of the latent along axes in which it is independent."""
        self.readings[name] = reading
        unit = self.unit.double().numpy()
        values, vectors = np.linalg.eigh(reading.covariance() / unit[:, None] / unit)
        setattr(self, f"turn_{name}", torch.from_numpy(vectors).to(self.unit))
        setattr(self, f"variance_{name}", torch.from_numpy(values.clip(1e-8)).to(self.unit))
        self._simulate(name, reading)
        for part in KEPT:
            self.register_buffer(f"{part}_{name}", torch.from_numpy(getattr(reading, part).copy()))
        self.made[name] = {"rule": reading.rule, "maps": [list(found) for found in reading.maps]}

    def _simulate(self, name: str, reading: Reading) -> None:
        """How the secondary sees the latent, by least squares; only simulated spectra rest on it."""
        z = reading.basis.scores(reading.primary) / self.unit.double().numpy()
        level, *loading = np.linalg.lstsq(np.column_stack([np.ones(len(z)), z]), reading.secondary, rcond=None)[0]
        left = reading.secondary - level - z @ np.array(loading)
        for part, values in (("level", level), ("loading", np.array(loading)), ("noise", left.std(0))):
            setattr(self, f"{part}_{name}", torch.from_numpy(values).to(self.unit))

    def _extras(
        self, name: str, rows_there: NDArray[np.bool_], mean: NDArray[np.float64], width: NDArray[np.float64]
    ) -> dict[str, Tensor]:
        told = torch.zeros(len(rows_there), len(self.unit))
        told[rows_there] = (torch.from_numpy(mean) / self.unit.double()).float()
        widths = torch.ones(len(rows_there), 1)
        widths[rows_there] = torch.from_numpy(width).float()[:, None]
        return {f"mean_{name}": told, f"width_{name}": widths}

    def encode(self, spectra: Spectra) -> dict[str, Tensor]:
        """What the readings say of new spectra."""
        extras: dict[str, Tensor] = {}
        for name in self.secondaries:
            there = spectra.present(name) if name in spectra.axes else np.zeros(len(spectra), dtype=bool)
            mean, width = np.zeros((0, len(self.unit))), np.zeros(0)
            if there.any():
                x = spectra.spectra(name).astype(np.float64)[there]
                mean, width = self.reading(name).scores(x), self.reading(name).widening(x)
            extras |= self._extras(name, there, mean, width)
        return extras

    def reading(self, name: str) -> Reading:
        """The reading of a secondary; that of a loaded model is made anew from what it kept."""
        if name not in self.readings:
            kept = {part: self.get_buffer(f"{part}_{name}").numpy() for part in KEPT}
            basis = Basis(self.centre.numpy(), self.directions.numpy())
            maps = tuple(tuple(found) for found in self.made[name]["maps"])
            self.readings[name] = Reading(basis=basis, maps=maps, rule=self.made[name]["rule"], **kept)
        return self.readings[name]

    def predict_spectra(self, batch: Batch, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Spectra of every instrument, with noise; those of secondaries as a linear law of the latent makes them."""
        z = values["latent"]
        laws = {self.primary: (self.expected(z), self.log_noise.exp())}
        for name in self.secondaries:
            level, loading, noise = (self.get_buffer(f"{part}_{name}") for part in ("level", "loading", "noise"))
            laws[name] = level + z @ loading, noise
        return {name: mean + noise * torch.randn_like(mean) for name, (mean, noise) in laws.items()}

    def example(self, seed: int = 0) -> Batch:
        """Eight samples; the last two are not measured by the primary."""
        count, latents = 8, len(self.unit)
        with seeded(seed):
            z = self.priors.law("latent").expand((count,)).sample()
            x = {name: torch.randn(count, size) for name, size in self.spec.channels().items()}
            x[self.primary] = self.expected(z) + 0.1 * x[self.primary]
        present = {name: torch.ones(count, dtype=torch.bool) for name in x}
        present[self.primary] = torch.arange(count) < count - 2
        extras = {f"mean_{name}": 0.5 * z.reshape(count, latents) for name in self.secondaries}
        extras |= {f"width_{name}": torch.ones(count, 1) for name in self.secondaries}
        return replace(Batch(x, present, {}, {}, torch.arange(count), count), extras=extras)

    # What persistence and people are told.

    @property
    def config(self) -> dict[str, Any]:
        """Constructor arguments besides the spec and the priors."""
        return self.chosen

    @property
    def sites(self) -> dict[str, SiteInfo]:
        """Named dims."""
        return {"latent": SiteInfo(("direction",), None, "")}

    def architecture(self) -> dict[str, Any]:
        """Maps of the readings, and the sizes of what they keep."""
        sizes = {name: {part: list(self.get_buffer(f"{part}_{name}").shape) for part in KEPT} for name in self.made}
        return {"made": self.made, "sizes": sizes}

    def build(self, architecture: dict[str, Any]) -> None:
        """Make room for them."""
        self.made = architecture["made"]
        for name, parts in architecture["sizes"].items():
            for part, shape in parts.items():
                self.register_buffer(f"{part}_{name}", torch.zeros(shape, dtype=torch.float64))

    def options(self, count: int) -> TrainOptions:
        """Nothing is left to train: everything is set in closed form."""
        return TrainOptions(epochs=0 if self.bent is None else 200, batch_size=min(128, count))
