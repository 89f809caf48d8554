r"""Variational autoencoders that make absorption spectra for augmentation (after Mushchina et al. 2024).

The story. Concentrations c and a nuisance z make the spectrum x,

.. math:: c \sim p(c), \qquad z \sim N(0, 1), \qquad x \mid c, z \sim N(\mu(c, z), \sigma^2),

and the guide inverts it by q(c | x) and q(z | x, c). The published networks are two presets. ``vae``: channels-256-2x91
encoder, 91-256-channels decoder, which is not told c. ``cvae``: the decoder is told c as well. The sizes are those for
911 channels, and in proportion elsewhere.

The default, ``beer_lambert``, starts from the law of Beer and Lambert: with pure spectra K,

.. math:: K \sim p(K), \qquad \mu(c, z) = (c, 1) K + z W + d(c),

K by Bayesian linear regression, W the directions in which its left-out residuals vary together, and d, where spectra
show it, by ridge regression on nonlinear features of c. Gradient steps move W, d and the noise little. Twenty spectra
thus give a generator that knows how uncertain its pure spectra are, and thousands one that bends as they do.

q(c | x) rests on the generalised least squares estimate and is taught on readings of spectra dreamt by the model, so
that it follows the prior. Readings of real spectra, left out group by group, err more than those of dreamt ones: dreamt
readings are given the difference.

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

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from probspec.absorption_guides import Concentrations, PureSpectra, alone
from probspec.batch import Batch
from probspec.data.spectra import Spectra
from probspec.errors import DataError, SpecError, explain, known
from probspec.guides import ConditionalGuide
from probspec.models.base import Model, SiteInfo, bound, rows
from probspec.nets.absorption import HIDDEN, LATENT, NetworkDecoder, published_size
from probspec.nets.mixing import MixingDecoder
from probspec.priors import Priors, flat
from probspec.seeding import seeded
from probspec.sites import Site
from probspec.spec import DataSpec
from probspec.supports import describe
from probspec.training.options import TrainOptions

DREAMS = 128  # spectra dreamt a step
UNSURE = 0.25  # standard deviations of a reading: how near to 0 nine of ten 90 % intervals of an absent ion come
DIRECTIONS = 6  # of the nuisance in the default preset, at most
SHARED = 64  # generated spectra that share one draw of the pure spectra


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
    hidden : int, optional
        Width of the hidden layers of "cvae" and "vae"; the published one where left out.

    Raises
    ------
    SpecError
        If the preset is unknown, a width is below 1 or given to the preset without one, or the spec has several
        modalities, no such target, or leaves the channels open.

    Examples
    --------
    >>> from probspec import load_spec
    >>> CVAE(load_spec("simulated_ions")).priors
    Priors(concentration=Uniform, nuisance=Normal, pure=Normal)
    """

    name: ClassVar[str] = "CVAE"

    def __init__(
        self, spec: DataSpec, priors: Priors | None = None, preset: str = "beer_lambert", hidden: int | None = None
    ):
        if preset not in PRESETS:
            raise SpecError(explain(f"preset={preset!r}", known(preset, PRESETS)))
        if len(spec.modalities) != 1:
            raise SpecError(explain(spec.name, f"{len(spec.modalities)} modalities", expected="one"))
        if hidden is not None and (hidden < 1 or PRESETS[preset].mixes):
            raise SpecError(
                explain("hidden", f"{hidden} with preset={preset!r}", expected='1 or more, with "cvae" or "vae"')
            )
        self.preset = PRESETS[preset]
        super().__init__(spec, priors or self.default_priors(spec, preset))
        self.chosen = {"preset": preset, "hidden": hidden}
        self.target, self._asked = spec.quantity()
        ((self.modality, self.channels),) = spec.channels().items()
        z = Site.of("nuisance", self.priors.law("nuisance"))
        c = Site.of(self.target, self.priors.law(self.target))
        components, directions = len(self._asked.components), math.prod(z.event_shape)
        self._warm_z = describe(z.support) == describe(constraints.real)
        if self.preset.mixes:
            self.decoder = MixingDecoder(self.channels, components, directions)
            self.guide_z = ConditionalGuide(z, directions + components, "gaussian", hidden=(32,))
            pure = Site.of("pure", self.priors.law("pure"), per_sample=False)
            self.guide_pure = PureSpectra(pure, directions)
        else:
            hidden = hidden or published_size(HIDDEN, self.channels)
            self.decoder = NetworkDecoder(self.channels, components, directions, hidden, self.preset.conditional)
            self.guide_z = ConditionalGuide(z, self.channels, "diagonal", hidden=(hidden,))
            self.guide_pure = None
        self.guide_c = Concentrations(c, components)

    @classmethod
    def default_priors(cls, spec: DataSpec, preset: str = "beer_lambert") -> Priors:
        """Laws of the spec; where it has none, a flat one of the target and normal ones of the others."""
        name, target = spec.quantity()
        ((_, channels),) = spec.channels().items()
        mixes = PRESETS[preset].mixes
        latent = DIRECTIONS if mixes else published_size(LATENT, channels)
        laws: dict[str, Any] = {name: flat(target), "nuisance": dist.Normal(torch.zeros(latent), 1.0).to_event(1)}
        if mixes:
            laws["pure"] = dist.Normal(torch.zeros(len(target.components) + 1, channels), 5.0).to_event(2)
        tables = {site: law for site, law in spec.priors.items() if site in laws}
        return Priors(laws | dict(Priors.from_config(tables, {name: len(target.components)})))

    def model(self, batch: Batch) -> None:
        """Pure spectra, concentrations, nuisance, then the spectrum."""
        pure = alone(pyro.sample("pure", self.priors.law("pure"))) if self.guide_pure else None
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
        pure = self.guide_pure() if self.guide_pure else None
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

    def concentrations(self, x: Tensor) -> TorchDistribution:
        """q(c | x) of spectra `x` : (..., sample, channel)."""
        return self._read_as(self.decoder.read(x)[0])

    def _read_as(self, found: Tensor) -> TorchDistribution:
        """q(c | x) of a spectrum that reads as `found`."""
        doubt = self.decoder.doubt * self.decoder.largest
        return self.guide_c(found, doubt, self.decoder.centred(found).clamp(-5, 5))

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
        x, c = batch.x[self.modality][known_rows], batch.y[self.target][known_rows]
        groups = torch.from_numpy(np.unique(spectra.alike(self.target)[known_rows.numpy()], return_inverse=True)[1])
        found = self.decoder.fit(x, c, groups)
        if self.guide_pure:
            self.guide_pure.place(found, self.priors.law("pure"))
        with torch.no_grad(), seeded(seed):
            self.decoder.expect(self.decoder.left_out(x, c, groups), self._dream(c) - c)
        return {}

    def _dream(self, c: Tensor) -> Tensor:
        """Readings of dreamt spectra, of one draw of the pure ones: (sample, component)."""
        if not self.guide_pure:  # before it is trained a network makes no spectra worth reading
            return c
        z = self.priors.law("nuisance").expand((len(c),)).sample()
        found, _ = self.decoder.read(self.decoder.law(c, z, self._drawn()).sample() * self.decoder.spread)
        return found

    def _drawn(self) -> Tensor | None:
        return self.guide_pure.drawn() if self.guide_pure else None

    def _middle(self) -> Tensor | None:
        return self.guide_pure.middle() if self.guide_pure else None

    def objective(self, batch: Batch, kl_weight: float = 1.0) -> dict[str, Tensor]:
        """Negative bound of the pair, restrained, and of q(c | x) at dreamt readings, in nats per spectrum."""
        with torch.no_grad():
            c = self.priors.law(self.target).expand((DREAMS,)).sample()
            unforeseen = torch.randn_like(c) @ self.decoder.unforeseen.T * self.decoder.largest
            found = self._dream(c) + unforeseen
        z = self.priors.law("nuisance").expand((DREAMS,)).sample()
        return {
            "forward": bound(self.model, self.guide, batch, kl_weight) + self.decoder.restraint(c, z) / batch.total,
            "inverse": -self._read_as(found).log_prob(c).mean(),
        }

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

    def _given(self, values: dict[str, Tensor]) -> Tensor | None:
        return alone(values["pure"]) if self.guide_pure else None

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
        edges = {"positive": (0.0,), "simplex": (0.0, 1.0)}.get(self._asked.support, ())
        resolution = tuple((UNSURE * self.decoder.doubt * self.decoder.largest).tolist())
        names = {self._asked.dim: self._asked.components}
        asked = SiteInfo((self._asked.dim,), names, self._asked.unit, edges, resolution)
        sources = (*self._asked.components, "mean")
        pure = {"pure": SiteInfo(("source", "channel"), {"source": sources}, "")} if self.preset.mixes else {}
        return {self.target: asked, "nuisance": SiteInfo(("direction",), None, "")} | pure

    def options(self, count: int) -> TrainOptions:
        """As many epochs as the preset's number of steps takes, and no fewer than its number of epochs."""
        size = min(128, count)
        epochs = max(self.preset.epochs, math.ceil(self.preset.steps / math.ceil(count / size)))
        return TrainOptions(epochs=epochs, batch_size=size, learning_rate=1e-3, schedule="cosine")


def _both(a: Tensor, b: Tensor) -> list[Tensor]:
    batch = torch.broadcast_shapes(a.shape[:-1], b.shape[:-1])
    return [a.expand(*batch, -1), b.expand(*batch, -1)]
