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
from typing import Any, ClassVar, cast

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
from probspec.transfer.anomaly import mean_square
from probspec.transfer.basis import Basis
from probspec.transfer.folds import FEWEST, part_of
from probspec.transfer.instrument import Instrument
from probspec.transfer.reading import Reading

LATENTS = 8
READ_TOGETHER = 4096  # spectra
ROUNDING = 1e-6  # of the primary's spread, of float32


class LatentTransfer(Model):
    """Spectra of a primary instrument from those of others.

    Of more than 1000 pairs a random part, chosen by the seed of `fit`, is read and used for each secondary,
    and of the primary's spectra likewise: maps are closed forms whose cost is cubic in their rows, and gain little by
    more. For sets that a network can learn from there is `VAETransfer`.

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
        self.instruments = nn.ModuleDict({name: Instrument(latents, channels[name]) for name in self.secondaries})
        real = describe(self.site.support) == "real"
        self.bent = None if real else ConditionalGuide(self.site, latents, "affine")

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
                told, variance = self._told(batch, name)
                with poutine.mask(mask=batch.present[name] & ~batch.present[self.primary]):
                    law = dist.Normal(z @ self.instrument(name).turn, variance.sqrt()).to_event(1)
                    pyro.sample(f"reading_{name}", law, obs=told)

    def guide(self, batch: Batch) -> None:
        """q(z | what was measured)."""
        with rows(batch):
            pyro.sample("latent", self.posterior_law(batch))

    def expected(self, z: Tensor) -> Tensor:
        """Spectra of the primary : (..., sample, channel)."""
        return self.centre.to(z) + (z * self.unit) @ self.directions.to(z)

    def instrument(self, name: str) -> Instrument:
        """What is kept of a secondary."""
        return cast(Instrument, self.instruments[name])

    def _told(self, batch: Batch, name: str) -> tuple[Tensor, Tensor]:
        return self.instrument(name).told(batch.extras[f"mean_{name}"], batch.extras[f"width_{name}"])

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
            told, variance = self._told(batch, name)
            yield self.instrument(name).turn.double(), variance, batch.present[name] & ~here, told

    # Learning and asking.

    def prepare(self, spectra: Spectra, seed: int) -> dict[str, Tensor]:
        """Directions of the primary's spectra, then the reading of each secondary from its pairs."""
        here = spectra.present(self.primary)
        y = self._read(spectra, self.primary, part_of(here, child_seed(seed, len(self.secondaries))))
        basis = Basis.of(y, len(self.unit))
        if len(basis.directions) < len(self.unit):
            problem, most = f"{here.sum()} primary spectra", len(basis.directions)
            raise DataError(explain(f"spectra/{self.primary}", problem, fix=f"latents={most}"))
        self.centre, self.directions = torch.from_numpy(basis.centre), torch.from_numpy(basis.directions)
        self.unit = torch.from_numpy(basis.scores(y).std(0) + 1e-12).to(self.unit)
        extras: dict[str, Tensor] = {}
        for number, name in enumerate(self.secondaries):
            extras |= self._learn(spectra, name, basis, child_seed(seed, number))
        left = np.mean([self.reading(name).left for name in self.secondaries], 0)
        floor = ROUNDING**2 * y.var(0).mean() + 1e-60  # directions may explain all of a few channels
        self.log_noise.data = torch.from_numpy(0.5 * np.log(left + floor)).to(self.log_noise)
        return extras

    def _learn(self, spectra: Spectra, name: str, basis: Basis, seed: int) -> dict[str, Tensor]:
        """The reading of a secondary; its extras are those of rows that it has not seen."""
        both = spectra.present(self.primary) & spectra.present(name)
        groups = np.arange(len(spectra)) if spectra.groups is None else spectra.groups
        if len(np.unique(groups[both])) < FEWEST:
            problem = f"{len(np.unique(groups[both]))} samples that the primary has too"
            raise DataError(explain(f"spectra/{name}", problem, expected=f"at least {FEWEST}"))
        used = part_of(both, seed)
        x, y = (self._read(spectra, modality, used) for modality in (name, self.primary))
        alone = self._alone(spectra) & ~np.isin(groups, groups[both])
        library = self._read(spectra, self.primary, part_of(alone, seed)) if alone.any() else y[:0]
        reading = Reading.fit(x, y, basis, seed, groups[used], library)
        self.instrument(name).keep(reading, self.unit.double().numpy())
        mean, width = basis.scores(y) + reading.errors, reading.widening(x, own=True)
        return self._extras(name, len(spectra), used, mean, width)

    def _alone(self, spectra: Spectra) -> NDArray[np.bool_]:
        """Rows that only the primary measured; those of another secondary may be samples of this one too."""
        measured = [spectra.present(name) for name in self.secondaries]
        return spectra.present(self.primary) & ~np.any(measured, 0)

    def _read(self, spectra: Spectra, modality: str, rows_read: NDArray[np.int64]) -> NDArray[np.float64]:
        return spectra.spectra(modality, rows_read).astype(np.float64)

    def _extras(
        self, name: str, count: int, known: NDArray[np.int64], mean: NDArray[np.float64], width: NDArray[np.float64]
    ) -> dict[str, Tensor]:
        """What is told of some rows; a row that has the primary is not asked for more."""
        told, widths = torch.zeros(count, len(self.unit)), torch.ones(count, 1)
        told[known] = (torch.from_numpy(mean) / self.unit.double()).float()
        widths[known] = torch.from_numpy(width).float()[:, None]
        return {f"mean_{name}": told, f"width_{name}": widths}

    def encode(self, spectra: Spectra) -> dict[str, Tensor]:
        """What the readings say of new spectra."""
        extras: dict[str, Tensor] = {}
        for name in self.secondaries:
            there = np.flatnonzero(spectra.present(name)) if name in spectra.axes else np.zeros(0, dtype=np.int64)
            means, widths = [np.zeros((0, len(self.unit)))], [np.zeros(0)]
            for start in range(0, len(there), READ_TOGETHER):
                x = self._read(spectra, name, there[start : start + READ_TOGETHER])
                means.append(self.reading(name).scores(x))
                widths.append(self.reading(name).widening(x))
            extras |= self._extras(name, len(spectra), there, np.concatenate(means), np.concatenate(widths))
        return extras

    def reading(self, name: str) -> Reading:
        """The reading of a secondary."""
        return self.instrument(name).reading(Basis(self.centre.numpy(), self.directions.numpy()))

    def transferred(self, spectra: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        """Most probable spectra of the primary : (sample, channel of the primary), in its unit.

        Parameters
        ----------
        spectra : (sample, channel) array
            Of the secondary `name`.
        """
        return self.reading(name).transferred(spectra)

    def band(
        self, spectra: NDArray[np.float64], name: str, prob: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Ends between which a channel lies with probability `prob` : (sample, channel of the primary) each."""
        return self.reading(name).band(spectra, prob)

    def predict_spectra(self, batch: Batch, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Spectra of every instrument, with noise; those of secondaries as a linear law of the latent makes them."""
        z = values["latent"]
        mean = self.expected(z)
        made = {self.primary: mean + self.log_noise.exp() * torch.randn_like(mean)}
        return made | {name: self.instrument(name).law.sample(z) for name in self.secondaries}

    def anomaly(self, batch: Batch, values: dict[str, Tensor]) -> Tensor:
        """Mean square of what the laws of the instruments leave, about 1 for spectra like the training set's.

        It is less where there are hardly more channels than directions.
        """
        z = values["latent"]
        laws = {self.primary: (self.expected(z), self.log_noise.exp())}
        laws |= {name: self.instrument(name).law(z) for name in self.secondaries}
        return mean_square((batch.x[name], *law, batch.present[name]) for name, law in laws.items())

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
        """What readings are made of."""
        return {name: self.instrument(name).architecture() for name in self.secondaries}

    def build(self, architecture: dict[str, Any]) -> None:
        """Make room for them."""
        for name, part in architecture.items():
            self.instrument(name).build(part)

    def options(self, count: int) -> TrainOptions:
        """Nothing is left to train: everything is set in closed form."""
        return TrainOptions(epochs=0 if self.bent is None else 200, batch_size=min(128, count))
