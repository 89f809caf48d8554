"""The posterior of one counted spectrum: amplitudes, parameters, and which components are present."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from probspec.mixtures import Mixture
from probspec.unmixing.amplitudes import Counted, Terms, conditional
from probspec.unmixing.dispersion import dispersion
from probspec.unmixing.guide import SpectrumGuide
from probspec.unmixing.nodes import Nodes, drawn_nodes, first_grid, one_node, zoomed_grid
from probspec.unmixing.presence import Alternatives, alternatives, possible_sets
from probspec.unmixing.priors import UnmixingPriors
from probspec.unmixing.summits import summit


class SpectrumUnmixer:
    """Finds the guide of one spectrum after the other; what they share is computed once.

    Parameters
    ----------
    mixture : Mixture
    priors : UnmixingPriors
    """

    def __init__(self, mixture: Mixture, priors: UnmixingPriors):
        self.mixture, self.priors = mixture, priors
        self.sets, self.log_chance = possible_sets(priors.presences(mixture))
        self.held = priors.share_directions(mixture)
        self.laws = priors.parameter_laws(mixture)
        number = self.sets.sum(-1)
        self.number, self.log_orders = number, torch.lgamma(number.clamp_min(1))
        self.grid = first_grid(mixture.taught[:, 0]) if len(mixture.parameter_names) == 1 else None
        self.taught = None if self.grid is None else self._spectra(self.grid)

    def __call__(self, counted: Counted, generator: torch.Generator) -> SpectrumGuide:
        """Find the guide of a spectrum; where there are several parameters, its nodes are drawn."""
        nodes, weight = self._nodes(counted, generator)
        terms = Terms.of(counted, self._spectra(nodes.parameters), weight)
        return SpectrumGuide(
            nodes=nodes,
            sets=self.sets,
            log_chance=self.log_chance,
            log_prior=self._log_prior(nodes.parameters),
            terms=terms,
            made=self._alternatives(counted, terms),
            priors=self.priors,
            total=counted.total,
            held=self.held,
            weight=weight,
        )

    def _alternatives(self, counted: Counted, terms: Terms, newton: int = 6) -> Alternatives:
        """Weigh the sets of components at each node, under flat shares."""
        rate = (1 / counted.total).expand(len(self.mixture.names))
        log_chance = self.log_chance + self.log_orders - self.number * counted.total.log()
        found = conditional(terms, rate, newton=newton)
        return alternatives(found, self.sets, log_chance, rate, self.held / counted.total)

    def _log_prior(self, parameters: Tensor) -> Tensor:
        """Log density (node,) of parameters : (node, parameter)."""
        log_prior = parameters.new_zeros(len(parameters))
        for law, values in zip(self.laws.values(), parameters.unbind(-1), strict=True):
            log_prior += law.log_prob(values)
        return log_prior

    def _nodes(self, counted: Counted, generator: torch.Generator) -> tuple[Nodes, float]:
        """Nodes, and what the likelihood counts for: less than 1 where the components cannot make the counts."""

        def height(spectra: Tensor, parameters: Tensor, weight: float) -> Tensor:
            made = self._alternatives(counted, Terms.of(counted, spectra, weight), newton=4)
            return made.log_evidence.logsumexp(1) + self._log_prior(parameters)

        def weight_at(spectra: Tensor, best: int) -> float:
            one, rate = spectra[best : best + 1], (1 / counted.total).expand(spectra.shape[1])
            amplitude = conditional(Terms.of(counted, one), rate).mode
            expected = counted.expected((amplitude @ one[0])[0])
            return 1 / dispersion(counted.counts, expected, one.shape[1] + len(self.mixture.parameter_names))

        if not len(self.mixture.parameter_names):
            nodes = one_node()
            return nodes, weight_at(self._spectra(nodes.parameters), 0)
        if self.grid is None or self.taught is None:
            return self._scattered(counted, height, weight_at, generator)
        coarse = height(self.taught, self.grid, 1.0)
        weight = weight_at(self.taught, int(coarse.argmax()))

        def evidence(parameters: Tensor) -> Tensor:
            return height(self._spectra(parameters), parameters, weight)

        return zoomed_grid(self.grid, coarse * weight, evidence), weight

    def _scattered(
        self,
        counted: Counted,
        height: Callable[..., Tensor],
        weight_at: Callable[..., float],
        generator: torch.Generator,
    ) -> tuple[Nodes, float]:
        """Nodes that are drawn, once more where the first show that the likelihood must count for less."""
        lower, upper, weight = self.mixture.lower, self.mixture.upper, 1.0
        rate = (1 / counted.total).expand(len(self.mixture.names))
        for _ in range(2):
            used = weight

            def evidence(parameters: Tensor, used: float = used) -> Tensor:
                return height(self._spectra(parameters), parameters, used)

            def climb(start: Tensor, used: float = used) -> tuple[Tensor, Tensor]:
                terms = Terms.of(counted, self._spectra(start[None]))
                return summit(self.mixture, counted, conditional(terms, rate).mode[0], start, used)

            nodes = drawn_nodes(lower, upper, evidence, climb, generator)
            spectra = self._spectra(nodes.parameters)
            weight = weight_at(spectra, int(evidence(nodes.parameters).argmax()))
            if weight > 0.9 * used:
                break
        return nodes, weight

    def _spectra(self, parameters: Tensor) -> Tensor:
        return self.mixture.spectra(parameters).double()
