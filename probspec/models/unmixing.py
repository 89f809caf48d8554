r"""Poisson unmixing with priors: spectra of few nuclides and cubes of pixels, after SEMSUN and SUSHI.

Counts are those of a mixture of components whose spectra depend on few parameters, through surrogates (Bobin 2023):

.. math:: X \sim \mathrm{Poisson}\Big(e \sum_c A_c \, \psi_c(\theta_c) + b\Big).

The published solvers answer with one point: block-coordinate descent for single spectra (SEMSUN, Phan et al.), gradient
steps, starlet thresholds and Newton steps for cubes (SUSHI, Lascar et al., arXiv 2404.03490). Here the same mixture has
priors, and a guide.

`CountedSpectra`: spectra are independent; components are present or absent.

=================  ======================  ==============================================================
site               shape                   law
=================  ======================  ==============================================================
each parameter     (sample)                as it was taught, or the user's, in its unit
``present``        (sample, component)     Bernoulli
``amplitude``      (sample, component)     counts; shares of an exponential total, 0 where absent (`Shared`)
``counts``         (sample, channel)       Poisson
=================  ======================  ==============================================================

The guide of a spectrum is found, not trained by gradients: nodes in the space of the parameters, for each set of
present components a normal law with the Fisher metric about the mode, cut at zero. Its density is known.

`CountedMaps`: neighbouring pixels go together.

====================  =====================  ============================================================
site                  shape                  law
====================  =====================  ============================================================
``field.<map>``       (grid y, grid x)       a spatial law (`probspec.fields`) of the logarithm of each
                                             amplitude, and of the normal quantile of each parameter
``counts``            (pixel, channel)       Poisson
====================  =====================  ============================================================

Its guide is metric Gaussian variational inference: Newton steps on the mean energy of samples whose covariance is the
inverse Fisher metric (Knollmueller & Ensslin 2019). It is known by its draws; its density is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from torch import Tensor

from probspec.counts import Counts
from probspec.errors import FitError, explain
from probspec.fields import FieldOptions, Law, MapPosterior, MapUnmixer
from probspec.fields.prior import FieldDistribution
from probspec.mixtures import Mixture
from probspec.seeding import child_seed
from probspec.unmixing import Counted, Drawn, SpectrumGuide, SpectrumUnmixer, UnmixingPriors

DARK = 1e-12  # counts expected in a channel that nothing reaches
PROPOSED = 3  # times as many draws are proposed as are kept


class Resampled(NamedTuple):
    """Draws of the posterior of one spectrum.

    Parameters
    ----------
    drawn : Drawn
        Those of the guide's draws that importance weights kept.
    presence : (component,) Tensor
        Probability that a component is present.
    efficiency : float
        Effective share of the guide's draws, and of its nodes where these were drawn: 1 if it is the posterior.
    """

    drawn: Drawn
    presence: Tensor
    efficiency: float


class CountedSpectra:
    """Independent spectra: `model` and `guide` are a pair of Pyro, for the counts that were trained on.

    Parameters
    ----------
    mixture : Mixture
    priors : UnmixingPriors, optional

    Examples
    --------
    >>> import numpy as np
    >>> from probspec.counts import check_counts
    >>> pair = CountedSpectra(Mixture({"low": np.array([3.0, 1.0, 1.0]), "high": np.array([1.0, 1.0, 3.0])}))
    >>> counts = check_counts([[30, 10, 11]], channels=3)
    >>> pair.train(counts).draws(0, 100).drawn.amplitude.shape
    torch.Size([100, 2])
    >>> loss = pyro.infer.Trace_ELBO(num_particles=10).loss(pair.model, pair.guide, counts)
    """

    def __init__(self, mixture: Mixture, priors: UnmixingPriors | None = None):
        self.mixture, self.priors = mixture, priors or UnmixingPriors()
        self._unmixer = SpectrumUnmixer(mixture, self.priors)
        self._guides: list[SpectrumGuide] = []
        self._seed = 0

    def train(self, counts: Counts, seed: int = 0) -> CountedSpectra:
        """Find the guide of each spectrum; same seed, same guides."""
        self._seed = seed
        rows = range(len(counts))
        self._guides = [self._unmixer(_row(counts, row), self._generator(2 * row)) for row in rows]
        return self

    def model(self, counts: Counts) -> None:
        """Tell how the spectra came about."""
        present = dist.Bernoulli(self.priors.presences(self.mixture)).to_event(1)
        held, exposure = self.priors.share_directions(self.mixture), counts.exposure
        total = torch.stack([_row(counts, row).total for row in range(len(counts))])
        with pyro.plate("sample", len(counts)):
            laws = self.priors.parameter_laws(self.mixture)
            parameters = [pyro.sample(name, law).expand(len(counts)) for name, law in laws.items()]
            here = pyro.sample("present", present)
            amplitude = pyro.sample("amplitude", self.priors.amplitude_law(here, total, held))
            place = torch.stack(parameters, -1) if parameters else amplitude[:, :0]
            known = 0.0 if counts.known is None else counts.known
            rate = exposure * self.mixture.expected(amplitude, place.double()) + known
            with poutine.scale(scale=self._weights(len(counts))):
                pyro.sample("counts", _poisson(rate), obs=counts.values)

    def guide(self, counts: Counts) -> None:
        """Draw from the approximate posterior of each spectrum, with its density."""
        drawn = [guide.draw(1, torch.default_generator) for guide in self._trained(len(counts))]
        parameters = torch.cat([one.parameters for one in drawn])
        log_q = torch.cat([one.log_q for one in drawn])
        with pyro.plate("sample", len(counts)):
            for name, values in zip(self.mixture.parameter_names, parameters.unbind(-1), strict=True):
                pyro.sample(name, dist.Delta(values))
            pyro.sample("present", dist.Delta(torch.cat([one.present for one in drawn]), event_dim=1))
            amplitude = torch.cat([one.amplitude for one in drawn])
            pyro.sample("amplitude", dist.Delta(amplitude, log_q, event_dim=1))

    def draws(self, row: int, number: int) -> Resampled:
        """Draw from the posterior of one spectrum: from its guide, by importance weights."""
        generator = self._generator(2 * row + 1)
        proposed = self._guides[row].draw(PROPOSED * number, generator)
        weight = (proposed.log_p - proposed.log_q).softmax(0)
        kept = torch.multinomial(weight, number, replacement=True, generator=generator)
        efficiency = float(1 / weight.square().sum() / len(weight)) * self._guides[row].effective_nodes
        return Resampled(proposed.take(kept), (weight @ proposed.present).clamp_max(1.0), efficiency)

    def _generator(self, number: int) -> torch.Generator:
        return torch.Generator().manual_seed(child_seed(self._seed, number))

    def _trained(self, count: int) -> list[SpectrumGuide]:
        if len(self._guides) != count:
            problem = f"{count} spectra, but {len(self._guides)} were trained on"
            raise FitError(explain("guide", problem, fix="call train(counts) with the same counts"))
        return self._guides

    def _weights(self, count: int) -> Tensor:
        """What the likelihood of each spectrum counts for: 1 before anything is trained."""
        weights = [guide.weight for guide in self._guides] if len(self._guides) == count else [1.0] * count
        return torch.tensor(weights, dtype=torch.float64)


class CountedMaps:
    """A cube: `model` and `guide` are a pair of Pyro, for the counts that were trained on.

    Parameters
    ----------
    mixture : Mixture
    laws : mapping of name -> Law, optional
        Of some maps, by the names of components and parameters.
    options : FieldOptions, optional
    """

    def __init__(self, mixture: Mixture, laws: Mapping[str, Law] | None = None, options: FieldOptions | None = None):
        self.mixture, self.laws, self.options = mixture, laws, options
        self._found: MapPosterior | None = None

    @property
    def found(self) -> MapPosterior:
        """Draws of the maps, and the laws that were learnt.

        Raises
        ------
        FitError
            If nothing was trained.
        """
        if self._found is None:
            raise FitError(explain("CountedMaps", "no cube was trained on", fix="call train(counts)"))
        return self._found

    def train(self, counts: Counts, seed: int = 0) -> CountedMaps:
        """Find the guide of a cube; same seed, same draws."""
        self._found = MapUnmixer(self.mixture, counts, self.laws)(self.options, seed)
        return self

    def model(self, counts: Counts) -> None:
        """Tell how the cube came about, under the laws as learnt, or as they are before."""
        unmixer = MapUnmixer(self.mixture, counts, self.laws)
        priors = dict(zip(unmixer.names, unmixer.priors, strict=True)) if self._found is None else self._found.priors
        fields = [pyro.sample(f"field.{name}", FieldDistribution(prior)) for name, prior in priors.items()]
        amplitude, parameters = unmixer.maps(torch.stack(fields))
        known = 0.0 if counts.known is None else counts.known
        rate = counts.exposure * self.mixture.expected(amplitude, parameters) + known
        with pyro.plate("pixel", len(counts)):
            pyro.sample("counts", _poisson(rate), obs=counts.values)

    def guide(self, counts: Counts) -> None:
        """Give one of the draws of the maps."""
        fields = self.found.fields
        drawn = fields[int(torch.randint(len(fields), ()))]
        for name, field in zip(self.found.names, drawn, strict=True):
            pyro.sample(f"field.{name}", dist.Delta(field, event_dim=2))


def _poisson(rate: Tensor) -> dist.TorchDistribution:
    """Law of the counts of a pixel; a fraction of a count has the density that the formula gives it."""
    return dist.Poisson(rate.clamp_min(DARK), validate_args=False).to_event(1)


def _row(counts: Counts, row: int) -> Counted:
    channels = counts.values.shape[1]
    known = counts.values.new_zeros(channels) if counts.known is None else counts.known.expand(len(counts), -1)[row]
    return Counted(counts.values[row], counts.exposure[row].expand(channels), known)
