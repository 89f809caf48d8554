r"""Variational autoencoders that make absorption spectra for augmentation (after Mushchina et al. 2024).

The story. Concentrations c and a nuisance z make the spectrum x,

.. math:: c \sim p(c), \qquad z \sim N(0, 1), \qquad x \mid c, z \sim N(\mu(c, z), \sigma^2),

and the guide inverts it by q(c | x) and q(z | x, c). The published networks are two presets. ``vae``: channels-256-2x91
encoder, 91-256-channels decoder, which is not told c. ``cvae``: the decoder is told c as well. The sizes are those for
911 channels, and in proportion elsewhere.

The default, ``beer_lambert``, starts from the law of Beer and Lambert: with pure spectra K,

.. math:: K \sim p(K), \qquad \mu(c, z) = (c, 1) K + z W + d(c),

K by Bayesian linear regression, W the directions in which its left-out residuals vary together, and d, from a hundred
spectra on, by ridge regression on nonlinear features of c. Gradient steps move W, d and the noise little. Twenty
spectra thus give a linear generator that knows how uncertain its pure spectra are, and thousands a curved one.

q(c | x) rests on the generalised least squares estimate and is taught on spectra dreamt by the model, so that it
follows the prior.

========  =========================  ====================  ==========================================
site      dims                       support               unit
========  =========================  ====================  ==========================================
target    sample, its own dim        that of its prior     the data spec's
nuisance  sample, direction          that of its prior     none
pure      source, channel            that of its prior     spread of the spectra, at the largest
                                                           concentration of the training set
modality  sample, channel            real, observed        spread of the training spectra
========  =========================  ====================  ==========================================

The last source is the spectrum at the mean concentrations of the training set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from probspec.batch import Batch
from probspec.data.spectra import Spectra
from probspec.errors import DataError, SpecError, explain, known
from probspec.guides import ConditionalGuide, LowRank
from probspec.models.base import Model, SiteInfo, bound, rows
from probspec.nets.absorption import AbsorptionDecoder, MixingDecoder, NetworkDecoder, Regression
from probspec.priors import Priors, flat
from probspec.seeding import seeded
from probspec.sites import Site
from probspec.spec import DataSpec
from probspec.supports import describe
from probspec.training.options import TrainOptions

DREAMS = 128  # spectra dreamt a step
SHARED = 64  # generated spectra that share one draw of the pure spectra
DRAWN = 300  # draws of a prior between whose extremes pure spectra start
FAR = 1e4  # unconstrained coordinate at which a value is at the end of its support
PUBLISHED_CHANNELS, PUBLISHED_HIDDEN, PUBLISHED_LATENT = 911, 256, 91


@dataclass(frozen=True)
class Preset:
    """What tells one form from another.

    Parameters
    ----------
    conditional : bool
        Whether the decoder is told the concentrations.
    mixes : bool
        Whether it starts from the Beer-Lambert law.
    steps, epochs : int
        Least number of steps, and of epochs, of training.
    """

    conditional: bool
    mixes: bool
    steps: int
    epochs: int


PRESETS = {
    "beer_lambert": Preset(True, True, steps=400, epochs=60),
    "cvae": Preset(True, False, steps=1000, epochs=100),
    "vae": Preset(False, False, steps=1000, epochs=100),
}


class CVAE(Model):
    """Absorption spectra from concentrations, and back.

    Parameters
    ----------
    spec : DataSpec
        One modality, whose number of channels is given; its first target that is not a category is what c is.
    priors : Priors, optional
        Laws of the target, of ``nuisance`` and, in the default preset, of ``pure``.
    preset : {"beer_lambert", "cvae", "vae"}

    Raises
    ------
    SpecError
        If the preset is unknown, or the spec has several modalities, no such target, or leaves the channels open.

    Examples
    --------
    >>> from probspec import load_spec
    >>> CVAE(load_spec("simulated_ions")).priors
    Priors(concentration=Uniform, nuisance=Normal, pure=Normal)
    """

    name: ClassVar[str] = "CVAE"

    def __init__(self, spec: DataSpec, priors: Priors | None = None, preset: str = "beer_lambert"):
        if preset not in PRESETS:
            raise SpecError(explain(f"preset={preset!r}", known(preset, PRESETS)))
        if len(spec.modalities) != 1:
            raise SpecError(explain(spec.name, f"{len(spec.modalities)} modalities", expected="one"))
        self.preset = PRESETS[preset]
        super().__init__(spec, priors or self.default_priors(spec, preset))
        self.chosen = {"preset": preset}
        self.target, self._asked = spec.quantity()
        ((self.modality, self.channels),) = spec.channels().items()
        z = Site.of("nuisance", self.priors.law("nuisance"))
        c = Site.of(self.target, self.priors.law(self.target))
        components, directions = len(self._asked.components), math.prod(z.event_shape)
        self.decoder = _decoder(self.preset, self.channels, components, directions)
        self._warm_z = describe(z.support) == describe(constraints.real)
        if self.preset.mixes:
            self.guide_z = ConditionalGuide(z, directions + components, "gaussian", hidden=(32,))
            pure = Site.of("pure", self.priors.law("pure"), per_sample=False)
            self.guide_pure = LowRank([pure], (components + 1) * directions)
        else:
            hidden = _scaled(PUBLISHED_HIDDEN, self.channels)
            self.guide_z = ConditionalGuide(z, self.channels, "diagonal", hidden=(hidden,))
        self.guide_c = ConditionalGuide(c, components, "gaussian")
        for name, end in (("low", -FAR), ("high", FAR)):
            self.register_buffer(
                name, self.guide_c.coordinates.transform()(torch.full((c.size,), end)), persistent=False
            )

    @classmethod
    def default_priors(cls, spec: DataSpec, preset: str = "beer_lambert") -> Priors:
        """Laws of the spec; where it has none, a flat one of the target and normal ones of the others."""
        name, target = spec.quantity()
        ((_, channels),) = spec.channels().items()
        mixes = PRESETS[preset].mixes
        latent = 3 if mixes else _scaled(PUBLISHED_LATENT, channels)
        laws: dict[str, Any] = {name: flat(target), "nuisance": dist.Normal(torch.zeros(latent), 1.0).to_event(1)}
        if mixes:
            laws["pure"] = dist.Normal(torch.zeros(len(target.components) + 1, channels), 5.0).to_event(2)
        tables = {site: law for site, law in spec.priors.items() if site in laws}
        return Priors(laws | dict(Priors.from_config(tables, {name: len(target.components)})))

    def model(self, batch: Batch) -> None:
        """Pure spectra, concentrations, nuisance, then the spectrum."""
        pure = self._pure(pyro.sample("pure", self.priors.law("pure"))) if self.preset.mixes else None
        with rows(batch):
            with poutine.mask(mask=self._hidden(batch)):
                c = pyro.sample(self.target, self.priors.law(self.target))
            c = self._told(batch, c)
            with poutine.mask(mask=batch.present[self.modality]):
                z = pyro.sample("nuisance", self.priors.law("nuisance"))
                seen = batch.x[self.modality] / self.decoder.spread
                pyro.sample(self.modality, self.decoder.law(c, z, pure), obs=seen)

    def guide(self, batch: Batch) -> None:
        """q(K), q(c | x), then q(z | x, c)."""
        pure = self._pure(self.guide_pure()["pure"]) if self.preset.mixes else None
        x = batch.x[self.modality]
        with rows(batch):
            with poutine.mask(mask=self._hidden(batch)):
                c = pyro.sample(self.target, self.concentrations(x))
            with poutine.mask(mask=batch.present[self.modality]):
                pyro.sample("nuisance", self.nuisance(x, self._told(batch, c), pure))

    def _hidden(self, batch: Batch) -> Tensor:
        """Rows whose concentrations are inferred from a spectrum."""
        return batch.present[self.modality] & ~batch.labelled[self.target]

    def _told(self, batch: Batch, c: Tensor) -> Tensor:
        return torch.where(batch.labelled[self.target][:, None], batch.y[self.target], c)

    def _pure(self, value: Tensor) -> Tensor:
        """Without the dim of the plate, which draws in parallel leave."""
        return value.squeeze(-3) if value.dim() > 2 else value

    def concentrations(self, x: Tensor) -> TorchDistribution:
        """q(c | x) of spectra `x` : (..., sample, channel)."""
        found, doubt = self.decoder.read(x)
        guide = self.guide_c
        context = self.decoder.centred(found).clamp(-5, 5)
        if guide.site.size != len(doubt):  # a simplex: its coordinates are not those of single components
            return guide(context)
        inset = torch.minimum(doubt, 0.25 * (self.high - self.low))  # where logarithms stay moderate
        middle = torch.minimum(torch.maximum(found, self.low + inset), self.high - inset)
        low, centre, high = guide.coordinates.flat(torch.stack([middle - 0.5 * inset, middle, middle + 0.5 * inset]))
        return guide(context, centre, torch.diag_embed((high - low).clamp_min(1e-4)))

    def nuisance(self, x: Tensor, c: Tensor, pure: Tensor | None) -> TorchDistribution:
        """q(z | x, c)."""
        if not isinstance(self.decoder, MixingDecoder):
            return self.guide_z(x / self.decoder.spread - self.decoder.offset)
        location, scale = self.decoder.nuisance(x, c, pure)
        centred = self.decoder.centred(c).clamp(-5, 5)
        context = torch.cat(_both(location.clamp(-5, 5), centred), -1)  # networks are lost far outside
        return self.guide_z(context, location, scale) if self._warm_z else self.guide_z(context)

    # Learning and asking.

    def prepare(self, spectra: Spectra, seed: int) -> dict[str, Tensor]:
        """Scales and pure spectra in closed form, from labelled rows."""
        batch = spectra.to_batch()
        known_rows = batch.labelled[self.target] & batch.present[self.modality]
        if known_rows.sum() < 2:
            problem = f"{int(known_rows.sum())} spectra with concentrations"
            raise DataError(explain("spectra", problem, expected="two or more, of which pure spectra are estimated"))
        found = self.decoder.fit(batch.x[self.modality][known_rows], batch.y[self.target][known_rows])
        if self.preset.mixes:
            self._place(found)
        with torch.no_grad(), seeded(seed):
            pairs = self._dream(8 * DREAMS), (batch.y[self.target][known_rows], batch.x[self.modality][known_rows])
            errors = torch.stack([(self.decoder.read(x)[0] - c).square().mean(0) for c, x in pairs])
            self.decoder.doubt = errors.amax(0).sqrt() / self.decoder.largest
        return {}

    def _dream(self, n: int) -> tuple[Tensor, Tensor]:
        """Concentrations of the prior, and spectra of one draw of the pure ones."""
        c = self.priors.law(self.target).expand((n,)).sample()
        z = self.priors.law("nuisance").expand((n,)).sample()
        return c, self.decoder.law(c, z, self._drawn()).sample() * self.decoder.spread

    def _place(self, found: Regression) -> None:
        """Set the guide of the pure spectra to the posterior of the regression, which is certain along no direction."""
        guide, (loading,) = self._normal(), self.guide_pure.loadings
        spread = found.root.square().sum(1, keepdim=True).sqrt() * found.noise
        low, high = _edges(self.priors.law("pure"))
        points = torch.stack([found.pure - spread, found.pure, found.pure + spread]).clamp(low, high)
        below, middle, above = guide.coordinates.flat(points)
        width = (0.5 * (above - below)).clamp_min(1e-5)
        guide.centre.data, guide.log_scale.data = middle, width.log()
        if len(middle) == found.pure.numel():
            common = torch.einsum("ij,dc->icjd", found.root, found.directions).reshape(len(middle), -1)
            loading.data = common * (width / spread.flatten().clamp_min(1e-12))[:, None]

    def objective(self, batch: Batch, kl_weight: float = 1.0) -> dict[str, Tensor]:
        """Negative bound of the pair, restrained, and of q(c | x) at dreamt spectra, in nats per spectrum."""
        with torch.no_grad():
            c, dreamt = self._dream(DREAMS)
        z = self.priors.law("nuisance").expand((DREAMS,)).sample()
        return {
            "forward": bound(self.model, self.guide, batch, kl_weight) + self.decoder.restraint(c, z) / batch.total,
            "inverse": -self.concentrations(dreamt).log_prob(c).mean(),
        }

    def _drawn(self) -> Tensor | None:
        """One draw of the pure spectra, apart from any trace."""
        with poutine.block():
            return self.guide_pure()["pure"] if self.preset.mixes else None

    def generate(self, c: Tensor, seed: int = 0, z: Tensor | None = None) -> Tensor:
        """Spectra of concentrations, with new nuisance, noise and draws of the pure spectra.

        Parameters
        ----------
        c : (sample, component) Tensor, unit of the target
        seed : int
        z : (sample, direction) Tensor, optional
            Nuisance; from its prior where left out.

        Returns
        -------
        (sample, channel) Tensor, unit of the spectra
        """
        made = []
        with torch.no_grad(), seeded(seed):
            z = self.priors.law("nuisance").expand((len(c),)).sample() if z is None else z
            for part, nuisance in zip(c.split(SHARED), z.split(SHARED), strict=True):
                made.append(self.decoder.law(part, nuisance, self._drawn()).sample())
        return torch.cat(made) * self.decoder.spread

    def expected(self, c: Tensor) -> Tensor:
        """Spectra of concentrations without noise, at the middle of nuisance and pure spectra: (sample, channel)."""
        with torch.no_grad():
            onto: Any = self.guide_z.coordinates.transform()
            z = onto(self.guide_z.location).expand(len(c), -1)
            return self.decoder(c, z, self._middle()) * self.decoder.spread

    def _middle(self) -> Tensor | None:
        if not self.preset.mixes:
            return None
        guide = self._normal()
        return guide.coordinates.transform()(guide.centre)

    def encode_nuisance(self, x: Tensor, c: Tensor, seed: int = 0) -> Tensor:
        """One draw of q(z | x, c) for each spectrum: (sample, direction)."""
        with torch.no_grad(), seeded(seed):
            return self.nuisance(x, c, self._middle()).sample()

    def predict_spectra(self, batch: Batch, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Spectra with noise at given concentrations and nuisances."""
        made = self.decoder.law(values[self.target], values["nuisance"], self._given(values)).sample()
        return {self.modality: made * self.decoder.spread}

    def anomaly(self, batch: Batch, values: dict[str, Tensor]) -> Tensor:
        """Mean square of what the decoder cannot explain, in units of the noise."""
        law = self.decoder.law(values[self.target], values["nuisance"], self._given(values))
        rest = (batch.x[self.modality] / self.decoder.spread - law.mean) / law.stddev
        return rest.square().mean((0, -1))

    def _normal(self) -> Any:
        (guide,) = self.guide_pure.normals
        return guide

    def _given(self, values: dict[str, Tensor]) -> Tensor | None:
        return self._pure(values["pure"]) if self.preset.mixes else None

    def example(self, seed: int = 0) -> Batch:
        """Eight spectra, the last two unlabelled."""
        with seeded(seed):
            n = 8
            c = self.priors.law(self.target).expand((n,)).sample()
            x = c / c.abs().amax(0) @ torch.rand(c.shape[-1], self.channels)
            x = x + 0.01 * torch.randn_like(x)
        there, labelled = torch.ones(n, dtype=torch.bool), torch.arange(n) < n - 2
        return Batch(
            {self.modality: x}, {self.modality: there}, {self.target: c}, {self.target: labelled}, torch.arange(n), n
        )

    # What persistence and people are told.

    @property
    def config(self) -> dict[str, Any]:
        """Constructor arguments besides the spec and the priors."""
        return self.chosen

    @property
    def sites(self) -> dict[str, SiteInfo]:
        """Named dims, labels and units."""
        asked = SiteInfo((self._asked.dim,), {self._asked.dim: self._asked.components}, self._asked.unit)
        sources = (*self._asked.components, "mean")
        pure = {"pure": SiteInfo(("source", "channel"), {"source": sources}, "")} if self.preset.mixes else {}
        return {self.target: asked, "nuisance": SiteInfo(("direction",), None, "")} | pure

    def options(self, count: int) -> TrainOptions:
        """As many epochs as the preset's number of steps takes, and no fewer than its number of epochs."""
        size = min(128, count)
        epochs = max(self.preset.epochs, math.ceil(self.preset.steps / math.ceil(count / size)))
        return TrainOptions(epochs=epochs, batch_size=size, learning_rate=1e-3, schedule="cosine")


def _decoder(preset: Preset, channels: int, components: int, directions: int) -> AbsorptionDecoder:
    if preset.mixes:
        return MixingDecoder(channels, components, directions)
    hidden = _scaled(PUBLISHED_HIDDEN, channels)
    return NetworkDecoder(channels, components, directions, hidden, preset.conditional)


def _scaled(size: int, channels: int) -> int:
    """Published size of a layer, in proportion to the channels, and no less than a twelfth."""
    return max(round(size * channels / PUBLISHED_CHANNELS), size // 12)


def _edges(law: TorchDistribution) -> tuple[Tensor, Tensor]:
    """Extremes, by element, of some draws of a law."""
    with seeded(0):
        drawn = law.sample(torch.Size((DRAWN,)))
    return drawn.amin(0), drawn.amax(0)


def _both(a: Tensor, b: Tensor) -> list[Tensor]:
    batch = torch.broadcast_shapes(a.shape[:-1], b.shape[:-1])
    return [a.expand(*batch, -1), b.expand(*batch, -1)]
