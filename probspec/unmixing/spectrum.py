"""The posterior of one counted spectrum: amplitudes, parameters, and which components are present."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from probspec.mixtures import Mixture
from probspec.unmixing.amplitudes import Terms, conditional
from probspec.unmixing.dispersion import dispersion
from probspec.unmixing.nodes import Nodes, drawn_nodes, first_grid, one_node, zoomed_grid
from probspec.unmixing.positive_normal import draw_positive
from probspec.unmixing.presence import alternatives, possible_sets
from probspec.unmixing.priors import UnmixingPriors
from probspec.unmixing.summits import summit

PROPOSED = 3  # times as many draws are proposed as are kept


@dataclass(frozen=True)
class SpectrumDraws:
    """Draws of the posterior of one spectrum.

    Parameters
    ----------
    amplitude : (draw, component) Tensor, counts
        Exactly 0 where a component is absent.
    parameters : (draw, parameter) Tensor
    presence : (component,) Tensor
        Probability that a component is present.
    log_p, log_q : (draw,) Tensor, nats
        Joint log density of counts and draw, up to the factorials, and that with which it was proposed.
    log_weight : (proposal,) Tensor, nats
        Log ratio of the two of all proposals, of which the draws are a sample in proportion.
    """

    amplitude: Tensor
    parameters: Tensor
    presence: Tensor
    log_p: Tensor
    log_q: Tensor
    log_weight: Tensor

    @property
    def efficiency(self) -> float:
        """Effective share of the proposals."""
        weight = self.log_weight.softmax(0)
        return float(1 / weight.square().sum() / len(weight))


class SpectrumUnmixer:
    """Draws from the posterior of one spectrum after the other; what they share is computed once.

    Parameters
    ----------
    mixture : Mixture
    priors : UnmixingPriors
    draws : int
    """

    def __init__(self, mixture: Mixture, priors: UnmixingPriors, draws: int = 500):
        self.mixture, self.priors, self.draws = mixture, priors, draws
        self.sets, self.log_chance = possible_sets(priors.presences(mixture))
        self.held = priors.share_directions(mixture)
        number = self.sets.sum(-1)
        self.number, self.log_orders = number, torch.lgamma(number.clamp_min(1))
        self.grid = first_grid(mixture.taught[:, 0]) if len(mixture.parameter_names) == 1 else None
        self.taught = None if self.grid is None else self._spectra(self.grid)

    def __call__(self, counts: Tensor, exposure: Tensor, seed: int = 0) -> SpectrumDraws:
        """Draw.

        Parameters
        ----------
        counts : (channel,) Tensor
        exposure : (channel,) or (1,) Tensor
        seed : int
            Same seed and spectrum, same draws.
        """
        generator = torch.Generator().manual_seed(seed)
        total = self._total(counts, exposure)
        rate = (1 / total).expand(len(self.mixture.names))
        log_chance = self.log_chance + self.log_orders - self.number * total.log()  # with that of flat shares
        nodes, weight = self._nodes(counts, exposure, rate, log_chance, generator)
        terms = Terms.of(counts, self._spectra(nodes.parameters), exposure, weight)
        found = conditional(terms, rate)
        made = alternatives(found, self.sets, log_chance, rate, self.held / total)
        prior = self.priors.parameter_log_prob(self.mixture, nodes.parameters) + nodes.log_volume
        chance = (made.log_evidence + prior[:, None]).flatten().softmax(0)
        drawn = torch.multinomial(chance, PROPOSED * self.draws, replacement=True, generator=generator)
        node, kind = drawn // len(self.sets), drawn % len(self.sets)
        present = self.sets[kind]
        amplitude, log_drawn = draw_positive(made.mean[node, kind], made.covariance[node, kind], present, generator)
        law = self.priors.amplitude_log_prob(amplitude, present, total, self.held)
        log_p = _log_likelihood(terms, amplitude, node) + law + self.log_chance[kind] + prior[node]
        log_q = log_drawn + chance[drawn].log()
        weight = (log_p - log_q).softmax(0)
        kept = torch.multinomial(weight, self.draws, replacement=True, generator=generator)
        parameters = self._spread(nodes, node[kept], generator)
        return SpectrumDraws(amplitude[kept], parameters, weight @ present, log_p[kept], log_q[kept], log_p - log_q)

    def _nodes(
        self, counts: Tensor, exposure: Tensor, rate: Tensor, log_chance: Tensor, generator: torch.Generator
    ) -> tuple[Nodes, float]:
        """Nodes, and what the likelihood counts for: less than 1 where the components cannot make the counts."""
        total = self._total(counts, exposure)

        def height(spectra: Tensor, parameters: Tensor, weight: float) -> Tensor:
            found = conditional(Terms.of(counts, spectra, exposure, weight), rate, newton=4)
            found = alternatives(found, self.sets, log_chance, rate, self.held / total)
            return found.log_evidence.logsumexp(1) + self.priors.parameter_log_prob(self.mixture, parameters)

        def weight_at(spectra: Tensor, best: int) -> float:
            one = spectra[best : best + 1]
            amplitude = conditional(Terms.of(counts, one, exposure), rate).mode
            expected = (amplitude @ one[0])[0] * exposure
            return 1 / dispersion(counts, expected, one.shape[1] + len(self.mixture.parameter_names))

        if not len(self.mixture.parameter_names):
            nodes = one_node()
            return nodes, weight_at(self._spectra(nodes.parameters), 0)
        if self.grid is None or self.taught is None:
            return self._scattered(counts, exposure, rate, height, weight_at, generator)
        coarse = height(self.taught, self.grid, 1.0)
        weight = weight_at(self.taught, int(coarse.argmax()))

        def evidence(parameters: Tensor) -> Tensor:
            return height(self._spectra(parameters), parameters, weight)

        return zoomed_grid(self.grid, coarse * weight, evidence), weight

    def _scattered(
        self,
        counts: Tensor,
        exposure: Tensor,
        rate: Tensor,
        height: Callable[..., Tensor],
        weight_at: Callable[..., float],
        generator: torch.Generator,
    ) -> tuple[Nodes, float]:
        """Nodes that are drawn, once more where the first show that the likelihood must count for less."""
        lower, upper, weight = self.mixture.lower, self.mixture.upper, 1.0
        for _ in range(2):
            used = weight

            def evidence(parameters: Tensor, used: float = used) -> Tensor:
                return height(self._spectra(parameters), parameters, used)

            def climb(start: Tensor, used: float = used) -> tuple[Tensor, Tensor]:
                terms = Terms.of(counts, self._spectra(start[None]), exposure)
                return summit(self.mixture, counts, exposure, conditional(terms, rate).mode[0], start, used)

            nodes = drawn_nodes(lower, upper, evidence, climb, generator)
            spectra = self._spectra(nodes.parameters)
            weight = weight_at(spectra, int(evidence(nodes.parameters).argmax()))
            if weight > 0.9 * used:
                break
        return nodes, weight

    def _spectra(self, parameters: Tensor) -> Tensor:
        return self.mixture.spectra(parameters).double()

    def _total(self, counts: Tensor, exposure: Tensor) -> Tensor:
        """Counts that unit exposure would have given."""
        return (counts.sum() / exposure.mean().clamp_min(1e-12)).clamp_min(1.0)

    def _spread(self, nodes: Nodes, node: Tensor, generator: torch.Generator) -> Tensor:
        at = nodes.parameters[node]
        return at + nodes.half_width * (2 * torch.rand(at.shape, generator=generator, dtype=at.dtype) - 1)


def _log_likelihood(terms: Terms, amplitude: Tensor, node: Tensor) -> Tensor:
    """Log likelihood of amplitudes : (draw, component), each at its node, node by node to spare memory."""
    found = amplitude.new_empty(len(amplitude))
    for number in node.unique():
        here = node == number
        expected = (amplitude[here] @ terms.spectra[number]).clamp_min(1e-12)
        found[here] = expected.log() @ terms.counts - amplitude[here] @ terms.total[number]
    return found
