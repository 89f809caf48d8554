"""Metric Gaussian variational inference of maps (Knollmueller & Ensslin 2019, arXiv 1901.11033), with bent samples.

The posterior is approximated by a Gaussian whose covariance is the inverse metric at its mean. Mirrored pairs of
samples of it stand for it; the mean goes downhill on the energy averaged over them, by Newton steps in the metric. The
laws' own quantities are learnt from the samples as it goes (expectation maximisation). Every round draws afresh, so
that no few samples are fitted; before the first one, the most probable maps are found.

Where an amplitude is hardly there, its logarithm is no Gaussian. A sample of the Gaussian solves a least-squares
problem, linearised: the maps must meet 2 sqrt(rate) of the mean, plus noise of variance one, and draws of the prior.
Newton steps take it on to where it solves the problem itself (in the spirit of geometric variational
inference, Frank, Leike & Ensslin 2021, Entropy 23, 853; randomise then optimise, Bardsley et al. 2014, SIAM J. Sci.
Comput. 36, A1895).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from probspec.fields.fisher import Metric
from probspec.fields.grid import Grid, inner
from probspec.fields.likelihood import PoissonMaps, Roots
from probspec.fields.options import FieldOptions
from probspec.fields.prior import FieldPrior
from probspec.fields.solve import solve

HALVINGS = 8
"""Times that a step is halved before it is given up."""


@dataclass(frozen=True, eq=False)
class State:
    """An approximate posterior: where its mean is, and under which laws.

    Parameters
    ----------
    fields : (map, row, column) Tensor
    priors : tuple of FieldPrior
    """

    fields: Tensor
    priors: tuple[FieldPrior, ...]


class Inference:
    """Energy and metric of fields, and the steps that lower it."""

    def __init__(self, likelihood: PoissonMaps, grid: Grid, levels: Tensor, options: FieldOptions, seed: int):
        self.likelihood, self.grid, self.levels = likelihood, grid, levels
        self.options, self.generator = options, torch.Generator(levels.device).manual_seed(seed)

    def __call__(self, state: State) -> tuple[State, Tensor]:
        """Go all the way; the last state, and fields (draw, map, row, column) drawn from it."""
        state = self.first(state)
        for pairs in self.options.pairs:
            state = self.round(state, pairs)
        return state, state.fields + self.samples(state, self.options.draws // 2)

    def maps(self, fields: Tensor) -> Tensor:
        """Maps (..., map, pixel) of fields."""
        return self.grid.cut(fields).flatten(-2) + self.levels

    def first(self, state: State) -> State:
        """Go to the most probable maps, or near them."""
        nothing = torch.zeros_like(state.fields).unsqueeze(0)
        before, idle = torch.inf, 0
        for _ in range(self.options.first_steps):
            state, energy = self.step(state, nothing)
            idle = idle + 1 if before - energy < self.options.first_gain else 0
            if idle == 2:  # a single step may be halved to nearly nothing, and the next one not
                break
            before = energy
        return state

    def round(self, state: State, pairs: int) -> State:
        """Draw samples, go downhill on their mean energy, and learn the laws' quantities."""
        around = self.samples(state, pairs)
        for _ in range(self.options.steps):
            state, _ = self.step(state, around)
        priors = tuple(p.learned(state.fields[n], around[:, n]) for n, p in enumerate(state.priors))
        return replace(state, priors=priors)

    def samples(self, state: State, pairs: int) -> Tensor:
        """Draw mirrored pairs of deviations from the mean, (2 pair, map, row, column)."""
        maps, options = self.maps(state.fields), self.options
        metric = Metric(self.grid, state.priors, self.likelihood.linearised(maps).fisher)
        precondition, roots, drawn = metric.preconditioner(), self.likelihood.roots(maps), []
        for _ in range(pairs):
            prior = metric.prior_noise(self.generator)
            counted = torch.randn(roots.shape, generator=self.generator, device=roots.device)
            right = prior + self._spread(self.likelihood.pulled(maps, counted))
            found = solve(metric.product, right[None], precondition, options.sample_cg, options.sample_tolerance)[0]
            drawn += [self._bent(state, sign * found, sign * prior, roots + sign * counted) for sign in (1, -1)]
        return torch.stack(drawn)

    def step(self, state: State, around: Tensor) -> tuple[State, float]:
        """One Newton step on the energy averaged over samples, halved until it leads downhill; the energy before."""
        found = [self.likelihood.linearised(self.maps(state.fields + one)) for one in around]
        metric = Metric(self.grid, state.priors, torch.stack([one.fisher for one in found]).mean(0))
        middle = state.fields + around.mean(0)
        slope = self._spread(torch.stack([one.gradient for one in found]).mean(0))
        move = self._downhill(metric, metric.prior_product(middle) + slope)

        def energy(fields: Tensor) -> Tensor:
            counted = torch.stack([self.likelihood.energy(self.maps(fields + one)) for one in around]).mean()
            return counted + metric.prior_energy(fields + around.mean(0))

        now = torch.stack([one.energy for one in found]).mean() + metric.prior_energy(middle)
        return replace(state, fields=_halved(state.fields, move, now, energy)), float(now)

    def _bent(self, state: State, found: Tensor, prior: Tensor, wanted: Tensor) -> Tensor:
        """Move a sample of the Gaussian to where its own noise puts it without linearisation."""
        misfit = Roots(wanted)
        for _ in range(self.options.bends):
            near = self.likelihood.linearised(self.maps(state.fields + found), misfit)
            metric = Metric(self.grid, state.priors, near.fisher)
            move = self._downhill(metric, metric.prior_product(found) - prior + self._spread(near.gradient))

            def energy(fields: Tensor, metric: Metric = metric) -> Tensor:
                counted = self.likelihood.energy(self.maps(state.fields + fields), misfit)
                return counted + metric.prior_energy(fields) - inner(fields, prior).double()

            now = near.energy + metric.prior_energy(found) - inner(found, prior).double()
            found = _halved(found, move, now, energy)
        return found

    def _downhill(self, metric: Metric, gradient: Tensor) -> Tensor:
        options = self.options
        solved = solve(
            metric.product, gradient[None], metric.preconditioner(), options.newton_cg, options.newton_tolerance
        )
        return -solved[0]

    def _spread(self, maps: Tensor) -> Tensor:
        return self.grid.spread(maps.reshape(-1, *self.grid.shape))


def _halved(fields: Tensor, move: Tensor, now: Tensor, energy: Callable[[Tensor], Tensor]) -> Tensor:
    """Fields after a move that is halved until it lowers the energy; unmoved where none does."""
    for halvings in range(HALVINGS):
        moved = fields + move / 2**halvings
        if bool(energy(moved) < now):
            return moved
    return fields
