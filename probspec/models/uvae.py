r"""UVAE: a two-way variational autoencoder from fused spectra to composition (Parente & Gemp; Gemp et al. 2016).

The story. A composition y and a nuisance z make the spectrum x_m of each modality m,

.. math:: y \sim p(y), \qquad z \sim p(z), \qquad x_m \mid y, z \sim N(\mu_m(y, z), \sigma_m(y, z)^2),

and the guide inverts it by q(y | x), a conditional flow carried to the support of p(y), and q(z | x, y). Two ways:
the reverse pair is the forward pair with the roles of model and guide exchanged, and shares its networks.

.. math:: J = a_f J_f - a_{fd} J_{fd} + a_r J_r - a_{rd} J_{rd}

J_f bounds log p of labelled (x, y) and of unlabelled x; J_r that of labelled (x, y) and unlabelled y in the reverse
direction; J_fd = KL(y || mean of q(y | x)); J_rd = |mean of p(x | y, z) - x|^2.

The published networks are the preset ``paper`` and need hundreds of labelled spectra. The default also serves fifty.
There q(y | x) rests on summaries s_m of the spectra by frozen, cross-fitted encoders, whose error is known,

.. math:: s \mid y \sim N(y, S),

so that p(y | s) is a posterior in the plain sense and follows the prior when it is swapped. The spectrum itself
teaches the decoder where y is known and is not asked a second time where it is not (a cut, Plummer 2015): its channels
err together, and a likelihood that takes them one by one is far too sure. The decoder simulates spectra, and tells
when one looks like nothing that it could make.

=============  ========================  ==========================  ======================================
site           dims                      support                     unit
=============  ========================  ==========================  ======================================
target         sample, its own dim       that of its prior           the data spec's
nuisance       sample, direction         that of its prior           none
summary        sample, modality x comp.  real, observed (default)    that of the target
modality       sample, channel           real, observed              spread of its training spectra
=============  ========================  ==========================  ======================================
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import constraints

from probspec.batch import Batch
from probspec.data.spectra import Spectra
from probspec.errors import SpecError, explain, known
from probspec.guides import ConditionalGuide
from probspec.models.base import Model, SiteInfo, bound, rows
from probspec.nets.readings import NetworkReading, Reading, SummaryReading
from probspec.priors import Priors, flat
from probspec.seeding import seeded
from probspec.sites import Site
from probspec.spec import DataSpec
from probspec.training.options import TrainOptions

EDGE = 1e-6
RESOLUTION = 1e-3  # mass fraction below which a component cannot be told from an absent one
DREAMS = 256  # compositions dreamt a step
MEAN_OF = 8  # draws of q(y | x) for the mean in J_fd


@dataclass(frozen=True)
class Preset:
    """What tells one form of the UVAE from another.

    Parameters
    ----------
    reading : type of Reading
        What the guide is told of the spectra: frozen cross-fitted summaries, or networks trained with the rest.
    nuisance : callable
        Default law of the nuisance, given the number of modalities.
    forward, forward_discriminative, reverse, reverse_discriminative : float
        The weights a_f, a_fd, a_r and a_rd; a term of no weight is not computed.
    steps : int
        Of training.
    learning_rate : float
    clip_norm : float, optional
        Of the gradient.
    """

    reading: type[Reading]
    nuisance: Callable[[int], TorchDistribution]
    forward: float
    forward_discriminative: float
    reverse: float
    reverse_discriminative: float
    steps: int
    learning_rate: float
    clip_norm: float | None


def _normal(modalities: int) -> TorchDistribution:
    """Six directions a modality, as the linear mixing story has them."""
    return dist.Normal(torch.zeros(6 * modalities), 1.0).to_event(1)


def _uniform(modalities: int) -> TorchDistribution:
    """The published law: eight directions for all modalities together."""
    return dist.Uniform(torch.full((8,), -1.5), 1.5).to_event(1)


PRESETS = {
    # The gradients of its two guides differ by orders of magnitude; one norm for both would silence the smaller.
    "default": Preset(SummaryReading, _normal, 1.0, 0.0, 1.0, 0.0, steps=800, learning_rate=5e-3, clip_norm=None),
    "paper": Preset(NetworkReading, _uniform, 1.0, 1.0, 1.0, 1.0, steps=3000, learning_rate=1e-3, clip_norm=10.0),
}


class UVAE(Model):
    """Composition from one or more modalities of spectra, any of which may be missing.

    Parameters
    ----------
    spec : DataSpec
        Its modalities must say their numbers of channels; its first target that is not a category is asked for.
    priors : Priors, optional
        Laws of the target and of ``nuisance``, whose size sets the number of nuisance directions.
    preset : {"default", "paper"}
    flow : {"affine", "spline", "gaussian"}
        Family of q(y | x) in unconstrained coordinates.

    Raises
    ------
    SpecError
        If the preset is unknown, or the spec has no such target or leaves a number of channels open.

    Examples
    --------
    >>> from probspec import UVAE, load_spec
    >>> UVAE(load_spec("simulated_fusion")).priors
    Priors(abundance=Dirichlet, nuisance=Normal)
    """

    name: ClassVar[str] = "UVAE"

    def __init__(self, spec: DataSpec, priors: Priors | None = None, preset: str = "default", flow: str = "affine"):
        if preset not in PRESETS:
            raise SpecError(explain(f"preset={preset!r}", known(preset, PRESETS)))
        self.preset = PRESETS[preset]
        super().__init__(spec, priors or self.default_priors(spec, preset))
        self.chosen = {"preset": preset, "flow": flow}
        self.cross_fits = self.preset.reading.cut
        self.target, self._asked = spec.quantity()
        y, z = (Site.of(name, self.priors.law(name)) for name in (self.target, "nuisance"))
        self.channels = spec.channels()
        directions = self.priors.law("nuisance").event_shape.numel()
        self.reading = self.preset.reading(self.channels, len(self._asked.components), directions)
        self.decoders = nn.ModuleDict({name: self.reading.decoder(name) for name in self.channels})
        self.guide_y = ConditionalGuide(y, self.reading.told_y, flow)
        self.guide_z = ConditionalGuide(z, self.reading.told_z, "gaussian")

    @classmethod
    def default_priors(cls, spec: DataSpec, preset: str = "default") -> Priors:
        """Laws of the spec; where it has none, a flat one of the target and the preset's of the nuisance."""
        name, target = spec.quantity()
        tables = {site: law for site, law in spec.priors.items() if site in (name, "nuisance")}
        given = Priors.from_config(tables, {name: len(target.components)})
        return Priors({name: flat(target), "nuisance": PRESETS[preset].nuisance(len(spec.modalities)), **given})

    # The forward pair.

    def model(self, batch: Batch) -> None:
        """Composition, nuisance, then what was seen of them."""
        latent, explained = self._masks(batch)
        with rows(batch):
            with poutine.mask(mask=latent):
                y = pyro.sample(self.target, self.priors.law(self.target))
                for name, (law, seen) in self.reading.observed(batch, y).items():
                    pyro.sample(name, law, obs=seen)
            y = torch.where(batch.labelled[self.target][:, None], self._label(batch), y)
            with poutine.mask(mask=explained):
                z = pyro.sample("nuisance", self.priors.law("nuisance"))
                for name, decoder in self.decoders.items():
                    with poutine.mask(mask=batch.present[name]):
                        pyro.sample(name, decoder.law(y, z), obs=decoder.scaling(batch.x[name]))

    def guide(self, batch: Batch) -> None:
        """q(y | x), then q(z | x, y)."""
        latent, explained = self._masks(batch)
        with rows(batch):
            with poutine.mask(mask=latent):
                y = pyro.sample(self.target, self.composition(batch))
            y = torch.where(batch.labelled[self.target][:, None], self._label(batch), y)
            with poutine.mask(mask=explained):
                pyro.sample("nuisance", self.nuisance(batch, y))

    def _masks(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Rows whose composition is inferred, and rows whose channels count.

        With a cut every spectrum is inferred as if it had no label, and channels count where there is one.
        """
        seen, labelled = self._seen(batch), batch.labelled[self.target]
        return (seen, seen & labelled) if self.reading.cut else (seen & ~labelled, seen)

    def _seen(self, batch: Batch) -> Tensor:
        """Rows of which anything was measured."""
        return torch.stack(list(batch.present.values())).any(0)

    def composition(self, batch: Batch) -> TorchDistribution:
        """q(y | x)."""
        return self.guide_y(*self.reading.composition(batch, self.decoders, self.guide_y.site.support))

    def nuisance(self, batch: Batch, y: Tensor) -> TorchDistribution:
        """q(z | x, y)."""
        return self.guide_z(*self.reading.nuisance(batch, self.decoders, y))

    def _label(self, batch: Batch) -> Tensor:
        """Labels, moved off the faces of the simplex, where many laws have no finite density."""
        y = batch.y[self.target]
        return (y + EDGE) / (1 + EDGE * y.shape[-1]) if self._asked.support == "simplex" else y

    # The reverse pair: the same laws with the roles of model and guide exchanged.

    def reverse_model(self, batch: Batch) -> None:
        """Spectra first, then the composition that the guide reads off them, then the nuisance."""
        with rows(batch), poutine.mask(mask=batch.labelled[self.target]):
            x = {}
            for name, decoder in self.decoders.items():
                anything = dist.ImproperUniform(constraints.real_vector, (), (self.channels[name],))
                dreamt = decoder.scaling.inverse(pyro.sample(name, anything))
                x[name] = torch.where(batch.present[name][:, None], batch.x[name], dreamt)
            full = replace(batch, x=x, present={name: torch.ones_like(p) for name, p in batch.present.items()})
            y = pyro.sample(self.target, self.composition(full), obs=self._label(batch))
            pyro.sample("nuisance", self.nuisance(full, y))

    def reverse_guide(self, batch: Batch) -> None:
        """Nuisance, and what was not measured of the spectra, as the model makes them from compositions."""
        with rows(batch), poutine.mask(mask=batch.labelled[self.target]):
            z = pyro.sample("nuisance", self.priors.law("nuisance"))
            for name, decoder in self.decoders.items():
                with poutine.mask(mask=~batch.present[name]):
                    pyro.sample(name, decoder.law(self._label(batch), z))

    # Learning and asking.

    def objective(self, batch: Batch, kl_weight: float = 1.0) -> dict[str, Tensor]:
        """The terms of -J, weighted, in nats per spectrum (J_rd in squared spreads)."""
        terms = {
            "forward": lambda: bound(self.model, self.guide, batch, kl_weight),
            "forward_discriminative": lambda: self._composition_error(batch),
            "reverse": lambda: self._reverse(batch),
            "reverse_discriminative": lambda: self._spectrum_error(batch),
        }
        weights = {name: getattr(self.preset, name) for name in terms}
        return {name: weights[name] * term() for name, term in terms.items() if weights[name]}

    def _reverse(self, batch: Batch) -> Tensor:
        if not self.reading.cut:
            return bound(self.reverse_model, self.reverse_guide, batch)
        # All but q(y | s) is known: what remains of the bound is its density at compositions and summaries dreamt by
        # the model, with the widths of real ones and modalities left out at random.
        with torch.no_grad():
            lent = batch.rows(torch.randint(len(batch), (DREAMS,), device=batch.index.device))
            y = self.priors.law(self.target).expand((DREAMS,)).sample()
            dream = self.reading.dream(lent, y)
        return -self.composition(dream).log_prob(y).mean()

    def _composition_error(self, batch: Batch) -> Tensor:
        """KL(y || mean of q(y | x)) over the labelled spectra."""
        mean = self.composition(batch).rsample((MEAN_OF,)).mean(0).clamp_min(EDGE)  # whose logarithm has a gradient
        y, counted = self._label(batch), batch.labelled[self.target] & self._seen(batch)
        if self._asked.support != "simplex":
            return (counted * (y - mean).square().sum(-1)).mean()
        return (counted * (y * (y / mean).log()).sum(-1)).mean()

    def _spectrum_error(self, batch: Batch) -> Tensor:
        """Squared distance of labelled spectra from the mean that the decoder gives their composition."""
        z = self.priors.law("nuisance").expand((len(batch),)).sample()
        error = torch.zeros(())
        for name, decoder in self.decoders.items():
            counted = batch.labelled[self.target] & batch.present[name]
            mean, _ = decoder(self._label(batch), z)
            error = error + (counted * (decoder.scaling(batch.x[name]) - mean).square().sum(-1)).mean()
        return error

    def prepare(self, spectra: Spectra, seed: int) -> dict[str, Tensor]:
        """Fit scalings, decoders and encoders as far as closed forms and cross-fitting go."""
        batch = spectra.to_batch()
        groups = torch.from_numpy(spectra.alike(self.target))
        extras = self.reading.fit(batch, self.target, self.guide_y.site.support, groups, seed)
        for name, decoder in self.decoders.items():
            chosen = batch.labelled[self.target] & batch.present[name]
            decoder.fit(batch.x[name][chosen], batch.y[self.target][chosen], groups[chosen])
        return extras

    def encode(self, spectra: Spectra) -> dict[str, Tensor]:
        """What frozen encoders say of new spectra."""
        return self.reading.encode(spectra.to_batch()) if self.reading.cut else {}

    def predict_spectra(self, batch: Batch, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Spectra with noise at given compositions and nuisances."""
        y, z = values[self.target], values["nuisance"]
        return {name: decoder.scaling.inverse(decoder.law(y, z).sample()) for name, decoder in self.decoders.items()}

    def synthesise(self, y: Tensor, seed: int = 0) -> dict[str, Tensor]:
        """Simulate a spectrum of each modality for each composition `y` : (sample, component), in the target's unit.

        Nuisance and noise are drawn anew.

        Returns
        -------
        dict of modality -> (sample, channel) Tensor
        """
        with torch.no_grad(), seeded(seed):
            z = self.priors.law("nuisance").expand((len(y),)).sample()
            return {m: d.scaling.inverse(d.law(y, z).sample()) for m, d in self.decoders.items()}

    def anomaly(self, batch: Batch, values: dict[str, Tensor]) -> Tensor:
        """Mean square of what the decoder cannot explain, in units of what it could not of held-out compositions."""
        y, z = values[self.target], values["nuisance"]
        total, counted = torch.zeros(len(batch)), torch.zeros(len(batch))
        for name, decoder in self.decoders.items():
            weight = batch.present[name] * self.channels[name]
            total = total + weight * decoder.misfit(batch.x[name], y, z).mean(0)
            counted = counted + weight
        return total / counted

    def example(self, seed: int = 0) -> Batch:
        """Eight spectra of the prior's compositions: labelled but for the last two, one of each modality missing."""
        with seeded(seed):
            n = 8
            y = self.priors.law(self.target).expand((n,)).sample()
            x = {name: y @ torch.rand(y.shape[-1], count) for name, count in self.channels.items()}
            x = {name: spectra + 0.01 * torch.randn_like(spectra) for name, spectra in x.items()}
        rows_there = torch.arange(n)
        present = {name: (rows_there != k) | (len(x) == 1) for k, name in enumerate(x)}
        labelled = rows_there < n - 2
        batch = Batch(x, present, {self.target: y}, {self.target: labelled}, torch.arange(n), n)
        return replace(batch, extras=self.reading.pretend(batch, y))

    # What persistence and people are told.

    @property
    def config(self) -> dict[str, Any]:
        """Constructor arguments besides the spec and the priors."""
        return self.chosen

    @property
    def sites(self) -> dict[str, SiteInfo]:
        """Named dims, labels and units."""
        dim = self._asked.dim
        edges = (0.0, 1.0) if self._asked.support == "simplex" else ()
        asked = SiteInfo((dim,), {dim: self._asked.components}, self._asked.unit, edges, RESOLUTION)
        return {self.target: asked, "nuisance": SiteInfo(("direction",), None, "")}

    def architecture(self) -> dict[str, Any]:
        """Encoders that `prepare` chose."""
        return self.reading.architecture()

    def build(self, architecture: dict[str, Any]) -> None:
        """Make room for them."""
        self.reading.build(architecture)

    def options(self, count: int) -> TrainOptions:
        """As many epochs as the preset's number of steps takes."""
        size = min(128, count)
        epochs = math.ceil(self.preset.steps / math.ceil(count / size))
        chosen = {"learning_rate": self.preset.learning_rate, "clip_norm": self.preset.clip_norm}
        return TrainOptions(epochs=epochs, batch_size=size, schedule="cosine", **chosen)
