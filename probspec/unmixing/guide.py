"""The approximate posterior of one spectrum: over nodes and sets of present components, normal laws cut at zero."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from probspec.unmixing.amplitudes import Terms
from probspec.unmixing.nodes import Nodes
from probspec.unmixing.positive_normal import draw_positive
from probspec.unmixing.presence import Alternatives
from probspec.unmixing.priors import UnmixingPriors


@dataclass(frozen=True)
class Drawn:
    """Draws of a guide.

    Parameters
    ----------
    amplitude, present : (draw, component) Tensor
        Counts; 1 = present, where absent the amplitude is exactly 0.
    parameters : (draw, parameter) Tensor
    log_p, log_q : (draw,) Tensor, nats
        Joint log density of counts and draw, up to the factorials, and that of the guide.
    """

    amplitude: Tensor
    present: Tensor
    parameters: Tensor
    log_p: Tensor
    log_q: Tensor

    def take(self, index: Tensor) -> Drawn:
        """Take some of them."""
        of = (self.amplitude, self.present, self.parameters, self.log_p, self.log_q)
        return Drawn(*(values[index] for values in of))


@dataclass(frozen=True)
class SpectrumGuide:
    """A mixture over cells, one for each node and set of components.

    Parameters
    ----------
    nodes : Nodes
    sets : (set, component) Tensor
    log_chance : (set,) Tensor
        Log probability of each set before anything is counted.
    log_prior : (node,) Tensor
        Log density of the parameters of a node.
    terms : Terms
    made : Alternatives
    priors : UnmixingPriors
    total : () Tensor, counts
    held : (direction, component) Tensor
    weight : float
        What the likelihood counts for: less than 1 where the components cannot make the counts.
    """

    nodes: Nodes
    sets: Tensor
    log_chance: Tensor
    log_prior: Tensor
    terms: Terms
    made: Alternatives
    priors: UnmixingPriors
    total: Tensor
    held: Tensor
    weight: float

    @property
    def log_cell(self) -> Tensor:
        """Log probability of each cell, (node, set)."""
        height = self.made.log_evidence + (self.log_prior + self.nodes.log_volume)[:, None]
        return height.flatten().log_softmax(0).view_as(height)

    @property
    def effective_nodes(self) -> float:
        """Share of the nodes that matter, where they were drawn; those of a grid lie where they must: 1."""
        if len(self.nodes.parameters) == 1 or bool((self.nodes.half_width > 0).all()):
            return 1.0
        weight = self.log_cell.logsumexp(1).exp()
        return float(1 / weight.square().sum() / len(weight))

    def draw(self, number: int, generator: torch.Generator) -> Drawn:
        """Draw cells, then amplitudes and parameters within them."""
        log_cell = self.log_cell.flatten()
        cell = torch.multinomial(log_cell.exp(), number, replacement=True, generator=generator)
        node, kind = cell // len(self.sets), cell % len(self.sets)
        present = self.sets[kind]
        amplitude, log_drawn = draw_positive(
            self.made.mean[node, kind], self.made.covariance[node, kind], present, generator
        )
        law = self.priors.amplitude_law(present, self.total, self.held)
        log_p = self._log_likelihood(amplitude, node) + law.log_prob(amplitude)
        log_p = log_p + self.log_chance[kind] + self.log_prior[node]
        log_q = log_drawn + log_cell[cell] - self.nodes.log_volume[node]
        return Drawn(amplitude, present, self._within(node, generator), log_p, log_q)

    def _log_likelihood(self, amplitude: Tensor, node: Tensor) -> Tensor:
        """Of amplitudes : (draw, component), each at its node, node by node to spare memory."""
        found, terms = amplitude.new_empty(len(amplitude)), self.terms
        for number in node.unique():
            here = node == number
            expected = (amplitude[here] @ terms.spectra[number] + terms.known).clamp_min(1e-12)
            found[here] = expected.log() @ terms.counts - amplitude[here] @ terms.total[number]
        return found

    def _within(self, node: Tensor, generator: torch.Generator) -> Tensor:
        at = self.nodes.parameters[node]
        return at + self.nodes.half_width * (2 * torch.rand(at.shape, generator=generator, dtype=at.dtype) - 1)
