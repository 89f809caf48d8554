r"""Transfer of spectra between instruments by a variational autoencoder of the primary (Vrabel et al. 2023).

The story. A spectrum y of the primary, each channel standardised over its set, has a latent z,

.. math:: z \sim p(z), \qquad y \mid z \sim N(f(z), \sigma^2), \qquad q(z \mid y) = N(m(y), s(y)^2),

f, m and s networks. They are trained first, on all spectra of the primary, with a weight on KL(q || p) that rises in
four linear ramps from 0 to .5. Then a guide q(z | x) is trained for each secondary, to say what q(z | y) says of the
same samples, and the networks of the primary stay as they are. A spectrum x is transferred as f(z), z ~ q(z | x); one
latent serves any number of secondaries. What q(z | x) says beyond the prior enters the story as a factor, which is
what x has to say of z: weights of other priors (`Posterior.reweight`) rest on it.

Published are the sizes, leaky ReLU, L2, Adam at 1e-4, batches of 128, 50 epochs, and 100 with early stopping for the
secondary. Beyond it, so that a transferred spectrum has a band: sigma is learnt for each channel instead of one fixed
by a plain squared error, and q(z | x) has a width, where the published network gives latent means by squared error.
With the KL at half its weight q(z | y) is about 2^-1/2 as wide as a posterior; k-hat says so.

=================  ===================  =====================  ==========================================
site               dims                 support                unit
=================  ===================  =====================  ==========================================
latent             sample, direction    that of its prior      none
first modality     sample, channel      real, observed         spread of the channel over its training spectra
reading            sample               factor                 nat
=================  ===================  =====================  ==========================================
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from numpy.typing import NDArray
from pyro import poutine
from torch import Tensor, nn
from torch.distributions.transforms import AffineTransform

from probspec.batch import Batch
from probspec.data.batches import Batches
from probspec.data.moments import moments
from probspec.data.spectra import Spectra
from probspec.distributions import PushedForward
from probspec.errors import DataError, QueryError, SpecError, check_whole, explain
from probspec.guides import SiteGuide
from probspec.models.base import Model, SiteInfo, bound, rows
from probspec.nets.autoencoder import Autoencoder
from probspec.nets.linear_law import LinearLaw
from probspec.nets.standardised import SpectrumEncoder
from probspec.priors import Priors
from probspec.seeding import child_seed, seeded
from probspec.sites import Site
from probspec.spec import DataSpec
from probspec.training.history import History
from probspec.training.options import TrainOptions
from probspec.training.train import train
from probspec.transfer.anomaly import mean_square
from probspec.transfer.folds import FEWEST
from probspec.transfer.published import LATENTS, LAYERS, READING, check_sizes, primary_options, secondary_options

LEAST = 1e-4  # precision of what all secondaries say, as a share of the prior's
DRAWN = 2**24  # channel values of a band that are drawn together
LOOKED_AT = 4096  # rows by which the noise is set at last


class VAETransfer(Model):
    """Spectra of a primary instrument from those of others, by the published networks; for hundreds of pairs and more.

    Spectra may lie in a file (`open_spectra`) and are read in blocks: memory does not grow with their number.

    Parameters
    ----------
    spec : DataSpec
        Its first modality is the primary, the others are secondaries; numbers of channels must be given.
    priors : Priors, optional
        Law of ``latent``; standard normal where left out.
    latents : int
    layers : sequence of int
        Hidden layers of q(z | y); f has them in reverse.
    reading_layers : sequence of int
        Hidden layers of q(z | x).
    epochs : int, optional
        Of the primary's networks; those of the secondaries' are `TrainOptions.epochs`. Where left out, 50 as
        published, or as many as make 4000 steps: 50 epochs of the published set are 120,000.

    Attributes
    ----------
    primary_history : History or None
        Loss of the primary's networks by epoch; None before training and in a loaded model.

    Raises
    ------
    SpecError
        If there is no secondary, a number of channels is left open, or a size is no positive number.

    Examples
    --------
    >>> from probspec.spec import anonymous_spec
    >>> VAETransfer(anonymous_spec({"primary": 30, "handheld": 12}, []), latents=3, layers=(16, 8))
    VAETransfer('anonymous', Priors(latent=Normal))
    """

    name: ClassVar[str] = "VAETransfer"

    def __init__(
        self,
        spec: DataSpec,
        priors: Priors | None = None,
        latents: int = LATENTS,
        layers: Sequence[int] = LAYERS,
        reading_layers: Sequence[int] = READING,
        epochs: int | None = None,
    ):
        for argument, sizes in (("layers", layers), ("reading_layers", reading_layers)):
            if not isinstance(sizes, Sequence) or isinstance(sizes, str):
                expected, fix = "the sizes of the layers", f"{argument}=(512, 128)"
                raise SpecError(explain(argument, f"got {sizes!r}", expected=expected, fix=fix))
        chosen = {"latents": latents, "layers": [*layers], "reading_layers": [*reading_layers], "epochs": epochs}
        check_sizes(chosen)
        super().__init__(spec, priors or self.default_priors(spec, latents))
        self.chosen = chosen
        channels = spec.channels()
        self.primary, *self.secondaries = channels
        if not self.secondaries:
            expected = "a primary and at least one secondary"
            raise SpecError(explain(f"{spec.name}: modalities", f"only {self.primary!r}", expected=expected))
        law = self.priors.law("latent")
        self.law_of_latent = SiteGuide(Site.of("latent", law))
        size, values = self.law_of_latent.site.size, law.event_shape.numel()
        self.autoencoder = Autoencoder(channels[self.primary], layers, size, values)
        self.readers = nn.ModuleDict({m: SpectrumEncoder(channels[m], reading_layers, size) for m in self.secondaries})
        self.laws = nn.ModuleDict({name: LinearLaw(values, channels[name]) for name in self.secondaries})
        self.primary_history: History | None = None

    @classmethod
    def default_priors(cls, spec: DataSpec, latents: int = LATENTS) -> Priors:
        """Standard normal."""
        return Priors({"latent": dist.Normal(torch.zeros(latents), 1.0).to_event(1)})

    # The pair.

    def model(self, batch: Batch) -> None:
        """Latent, then what each instrument says of it."""
        with rows(batch):
            z = self._story(batch)
            with poutine.mask(mask=~batch.present[self.primary]):
                said = self.posterior_law(batch).log_prob(z) - self.priors.law("latent").log_prob(z)
                pyro.factor("reading", said)

    def guide(self, batch: Batch) -> None:
        """q(z | y) where the primary was measured, else q(z | x)."""
        with rows(batch):
            pyro.sample("latent", self.posterior_law(batch))

    def primary_model(self, batch: Batch) -> None:
        """The story of the primary alone."""
        with rows(batch), poutine.mask(mask=batch.present[self.primary]):
            self._story(batch)

    def primary_guide(self, batch: Batch) -> None:
        """q(z | y)."""
        with rows(batch), poutine.mask(mask=batch.present[self.primary]):
            pyro.sample("latent", self.carried(*self.autoencoder.encoder(batch.x[self.primary])))

    def _story(self, batch: Batch) -> Tensor:
        z = pyro.sample("latent", self.priors.law("latent"))
        with poutine.mask(mask=batch.present[self.primary]):
            law = dist.Normal(self.autoencoder.decoder(self._flat(z)), self.autoencoder.noise()).to_event(1)
            pyro.sample(self.primary, law, obs=self.autoencoder.encoder.scaling(batch.x[self.primary]))
        return z

    def _flat(self, z: Tensor) -> Tensor:
        return z.reshape(*z.shape[: z.dim() - len(self.law_of_latent.site.event_shape)], -1)

    def carried(self, mean: Tensor, width: Tensor) -> PushedForward:
        """Law of the latent, on its support, that is normal in unconstrained coordinates."""
        place = AffineTransform(self.law_of_latent.location, self.law_of_latent.scale, event_dim=1, cache_size=1)
        return self.law_of_latent.pushed(dist.Normal(mean, width).to_event(1), place)

    def posterior_law(self, batch: Batch) -> PushedForward:
        """q(z | what was measured)."""
        here = batch.present[self.primary][:, None]
        (mean, width), (other, other_width) = self.autoencoder.encoder(batch.x[self.primary]), self._read(batch)
        return self.carried(torch.where(here, mean, other), torch.where(here, width, other_width))

    def _read(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the secondaries say together: the product of what each says beyond the prior."""
        precision, evidence = torch.ones(()), torch.zeros(())
        for name, reader in self.readers.items():
            mean, width = reader(batch.x[name])
            there, certain = batch.present[name][:, None], width.square().reciprocal()
            precision = precision + there * (certain - 1)
            evidence = evidence + there * certain * mean
        precision = precision.clamp_min(LEAST)  # two that know less than the prior
        return evidence / precision, precision.rsqrt()

    # Learning: first the primary, then the secondaries.

    def objective(self, batch: Batch, kl_weight: float = 1.0) -> dict[str, Tensor]:
        """The bound of the primary while it is learnt, and how badly each secondary's guide says the same."""
        terms = {f"reading_{name}": self._disagreement(batch, name) for name in self.secondaries}
        if not self.autoencoder.is_learnt:
            terms["elbo"] = bound(self.primary_model, self.primary_guide, batch, kl_weight)
        return terms

    def _disagreement(self, batch: Batch, name: str) -> Tensor:
        """-E log q(z | x) over z ~ q(z | y), in unconstrained coordinates, in nats per row."""
        with torch.no_grad():
            truth, spread = self.autoencoder.encoder(batch.x[self.primary])
        mean, width = self.readers[name](batch.x[name])
        nats = width.log() + 0.5 * ((truth - mean).square() + spread.square()) / width.square()
        return (nats.sum(-1) * (batch.present[self.primary] & batch.present[name])).mean()

    def prepare(self, spectra: Spectra, seed: int) -> dict[str, Tensor]:
        """Standardise, and train the networks of the primary; afterwards they stay as they are."""
        here = spectra.present(self.primary)
        for name, encoder in {self.primary: self.autoencoder.encoder, **self.readers}.items():
            shared = int((spectra.present(name) & here).sum())
            if shared < FEWEST:
                problem = f"{shared} sample{'s' * (shared != 1)} that the primary has too"
                raise DataError(explain(f"spectra/{name}", problem, expected=f"at least {FEWEST}"))
            mean, spread = moments(spectra, name)
            if not spread.any():
                raise DataError(explain(f"spectra/{name}", "all spectra are equal", expected="spectra that differ"))
            encoder.scaling.set(mean, spread)
        alone = spectra.select(here).only(self.primary)
        options = primary_options(len(alone), self.chosen["epochs"])
        batches = Batches(alone, options.batch_size, child_seed(seed, 0))
        self.primary_history = train(self, self._primary_loss, batches, options, seed=child_seed(seed, 1))
        self.to("cpu").eval()
        with torch.no_grad(), seeded(child_seed(seed, 2)):
            self._settle(spectra)
        return {}

    def _primary_loss(self, batch: Batch, kl_weight: float) -> dict[str, Tensor]:
        return {"elbo": bound(self.primary_model, self.primary_guide, batch, kl_weight)}

    def _settle(self, spectra: Spectra) -> None:
        """Noise of the primary, and the laws by which secondaries are simulated, from evenly spread rows."""
        here = np.flatnonzero(spectra.present(self.primary))
        batch = spectra.to_batch(here[:: max(1, -(-len(here) // LOOKED_AT))])
        z = self._flat(self.carried(*self.autoencoder.encoder(batch.x[self.primary])).sample())
        self.autoencoder.settle(self.autoencoder.encoder.scaling(batch.x[self.primary]), z)
        for name, law in self.laws.items():
            there = batch.present[name]
            if there.any():
                law.fit(z[there], batch.x[name][there])

    def options(self, count: int) -> TrainOptions:
        """As published, for the secondaries; nothing is held out of small sets, and then every epoch is run."""
        return secondary_options(count)

    # Asking.

    def transferred(self, spectra: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        """Spectra of the primary at the mean of q(z | x), as published.

        Parameters
        ----------
        spectra : (sample, channel) array
            Of the secondary `name`.

        Returns
        -------
        (sample, channel of the primary) array
        """
        with torch.no_grad():
            mean, _ = self.readers[name](torch.from_numpy(spectra).float())
            place = self.carried(mean, torch.ones_like(mean)).transform(mean)
            return self.autoencoder.spectra(self._flat(place)).double().numpy()

    def band(
        self, spectra: NDArray[np.float64], name: str, prob: float, draws: int = 1000, seed: int = 0
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Quantiles of transferred spectra, noise included : (sample, channel of the primary) each.

        Raises
        ------
        QueryError
            If `draws` is no positive number.
        """
        check_whole("draws", draws, least=1, error=QueryError, fix="draws=1000")
        ends = 0.5 - prob / 2, 0.5 + prob / 2
        each, found = max(1, DRAWN // (draws * len(self.autoencoder.slow_log_noise))), []
        with torch.no_grad(), seeded(seed):
            for x in torch.from_numpy(spectra).float().split(each):
                z = self.carried(*self.readers[name](x)).sample(torch.Size([draws]))
                found.append(np.quantile(self.autoencoder.sample(self._flat(z)).numpy(), ends, axis=0))
        lower, upper = np.concatenate(found, 1).astype(np.float64)
        return lower, upper

    def predict_spectra(self, batch: Batch, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Spectra of every instrument, with noise; those of secondaries as a linear law of the latent makes them."""
        z = self._flat(values["latent"])
        return {self.primary: self.autoencoder.sample(z)} | {name: law.sample(z) for name, law in self.laws.items()}

    def anomaly(self, batch: Batch, values: dict[str, Tensor]) -> Tensor:
        """Mean square of what the laws of the instruments leave, about 1 for spectra like the training set's."""
        z, scaled = self._flat(values["latent"]), self.autoencoder.encoder.scaling(batch.x[self.primary])
        own = scaled, self.autoencoder.decoder(z), self.autoencoder.noise(), batch.present[self.primary]
        return mean_square([own, *((batch.x[n], *law(z), batch.present[n]) for n, law in self.laws.items())])

    def example(self, seed: int = 0) -> Batch:
        """Eight samples; the last two are not measured by the primary."""
        count = 8
        with seeded(seed):
            x = {name: torch.randn(count, size) for name, size in self.spec.channels().items()}
        present = {name: torch.ones(count, dtype=torch.bool) for name in x}
        present[self.primary] = torch.arange(count) < count - 2
        return Batch(x, present, {}, {}, torch.arange(count), count)

    # What persistence and people are told.

    @property
    def config(self) -> dict[str, Any]:
        """Constructor arguments besides the spec and the priors."""
        return self.chosen

    @property
    def sites(self) -> dict[str, SiteInfo]:
        """Named dims."""
        return {"latent": SiteInfo(("direction",), None, "")}
