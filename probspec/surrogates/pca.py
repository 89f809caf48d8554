"""Principal components of spectra, and splines that lead from the parameters to their scores.

How many components, on which scale of the spectra, along which bent axes, and whether the scores are smoothed: held-out
spectra decide, so that Monte Carlo noise in the taught spectra is not taken for something that the parameters do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from probspec.surrogates.coordinates import STRAIGHT, bends_to_try
from probspec.surrogates.family import Family
from probspec.surrogates.held_out import HeldOutError, Rows, at_an_end, decibels, folds_of, summarise
from probspec.surrogates.links import LINKS, floors
from probspec.surrogates.maps import Map, fit_map, grid_of
from probspec.surrogates.options import PCAOptions

Array = NDArray[np.float64]

LADDER = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 28, 32, 40, 48, 64, 96, 128)
"""Numbers of components to try."""

BLOCK = 2**18
"""Values of a map of spectra that are made at once: so few stay in a processor's cache."""

CLOSE = 0.1
"""Errors that differ by so much, dB, count as equal: the fewer components are taken."""


class PrincipalComponents(nn.Module):
    """A chart of spectra: mean and principal components on the scale of a link.

    Parameters
    ----------
    mean, floor : (channel,) Tensor
    components : (component, channel) Tensor
    link : {"linear", "root", "log"}
    """

    kind = "pca"

    def __init__(self, mean: Tensor, components: Tensor, floor: Tensor, link: str):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("components", components)
        self.register_buffer("floor", floor)
        self.link = link

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.mean)

    def describe(self) -> str:
        """Say what the chart is, in a few words."""
        return f"{len(self.components)} principal components, {self.link}"

    def architecture(self) -> dict[str, Any]:
        """Plain values from which `build` makes a chart of the same shape."""
        return {"kind": self.kind, "link": self.link, "components": len(self.components), "channels": self.channels}

    @classmethod
    def build(cls, architecture: Mapping[str, Any]) -> PrincipalComponents:
        """Make a chart of the given shape, without values."""
        channels, count = architecture["channels"], architecture["components"]
        return cls(_zeros(channels), _zeros(count, channels), _zeros(channels), architecture["link"])

    def forward(self, scores: Tensor) -> Tensor:
        """Spectra of unit sum, (..., channel), of scores (..., component)."""
        spectra = [self._spectra(block) for block in scores.reshape(-1, scores.shape[-1]).split(self._block)]
        return torch.cat(spectra).reshape(*scores.shape[:-1], -1)

    def push(self, scores: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
        """Spectra, and their changes (..., direction, channel) with changes of the scores."""
        shape, directions = scores.shape[:-1], change.shape[-2:-1]
        points, moves = scores.reshape(-1, scores.shape[-1]), change.reshape(-1, *change.shape[-2:])
        spectra, changes = zip(*map(self._push, points.split(self._block), moves.split(self._block)), strict=True)
        return torch.cat(spectra).reshape(*shape, -1), torch.cat(changes).reshape(*shape, *directions, -1)

    def scores(self, spectra: Tensor) -> Tensor:
        """Scores of given spectra, (row, component)."""
        return (LINKS[self.link].scale(spectra, self.floor) - self.mean) @ self.components.T

    def leading(self, count: int) -> PrincipalComponents:
        """Keep the leading components only."""
        return PrincipalComponents(self.mean, self.components[:count], self.floor, self.link)

    @property
    def _block(self) -> int:
        return max(BLOCK // self.channels, 1)

    def _spectra(self, scores: Tensor) -> Tensor:
        return LINKS[self.link].spectrum(self._scaled(scores), self.floor.to(scores))

    def _push(self, scores: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
        return LINKS[self.link].push(self._scaled(scores), change @ self.components.to(scores), self.floor.to(scores))

    def _scaled(self, scores: Tensor) -> Tensor:
        return self.mean.to(scores) + scores @ self.components.to(scores)


def _zeros(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64)


def fit_chart(family: Family, link: str, most: int) -> PrincipalComponents:
    """Find the principal components of a family, rows counting by their weights."""
    spectra, weights = torch.from_numpy(family.spectra), torch.from_numpy(family.weights / family.weights.sum())
    floor = floors(spectra)
    scaled = LINKS[link].scale(spectra, floor)
    mean = weights @ scaled
    centred = weights.sqrt()[:, None] * (scaled - mean)
    if centred.shape[0] < centred.shape[1]:
        _, _, components = torch.linalg.svd(centred, full_matrices=False)
    else:  # the same by a smaller matrix; components that a square loses are far below any held-out error
        components = torch.linalg.eigh(centred.T @ centred)[1].flip(-1).T
    rank = min(most, len(spectra) - 1, spectra.shape[1] - 1)
    return PrincipalComponents(mean, components[:rank].contiguous(), floor, link)


@dataclass(frozen=True)
class Setting:
    """What held-out spectra decide.

    Parameters
    ----------
    link : {"linear", "root", "log"}
    components : int
    bends : tuple of float
        Of each parameter's axis.
    smoothed : bool
    """

    link: str
    components: int
    bends: tuple[float, ...]
    smoothed: bool


def fit_pca(family: Family, options: PCAOptions, seed: int) -> tuple[PrincipalComponents, Map, HeldOutError]:
    """Choose a setting, measure its error, and fit it to all rows."""
    setting, error = _Search(_thinned(family, options.most_rows, seed), options, seed).run()
    chart = fit_chart(family, setting.link, setting.components)
    return chart, _fit_scores(family, chart, setting), error


def _thinned(family: Family, most: int, seed: int) -> Family:
    """Draw some of many rows, unless these are a grid, which costs little; those at an end stay."""
    inner = np.flatnonzero(~at_an_end(family.taught))
    grid = grid_of(family.taught)
    if len(inner) <= most or (grid is not None and len(grid[0]) > 1):
        return family
    return family.without(np.random.default_rng(seed).permutation(inner)[most:])


def _fit_scores(family: Family, chart: PrincipalComponents, setting: Setting) -> Map:
    scores = chart.scores(torch.from_numpy(family.spectra)).numpy()
    return fit_map(family.taught, scores, family.weights, setting.bends, setting.smoothed)


class _Search:
    """Choice among settings by held-out spectra; the components of each fold are found once for each link."""

    def __init__(self, family: Family, options: PCAOptions, seed: int):
        self.family, self.options = family, options
        self.folds = folds_of(family.taught, options.folds, seed)
        self.charts: dict[str, list[PrincipalComponents]] = {}

    def run(self) -> tuple[Setting, HeldOutError]:
        most = self.options.most_components
        start = Setting(self.options.links[0], most, (STRAIGHT,) * len(self.family.names), smoothed=True)
        if not self.folds:
            return replace(start, smoothed=False), summarise(np.full(len(self.family.spectra), np.nan))
        bent = self._bend(start)
        ways = [replace(bent, link=link, smoothed=way) for link, way in product(self.options.links, (True, False))]
        best = min((self._fewest(way) for way in ways), key=lambda found: found[1])[0]
        return best, self._error(best)

    def _bend(self, setting: Setting) -> Setting:
        """Choose the bend of each axis in turn."""
        for axis, (lower, upper) in enumerate(zip(self.family.lower, self.family.upper, strict=True)):
            bends = bends_to_try(float(lower), float(upper))
            tried = [replace(setting, bends=_replaced(setting.bends, axis, bend)) for bend in bends]
            setting = min(tried, key=lambda one: self._mean(one, [one.components])[one.components])
        return setting

    def _fewest(self, setting: Setting) -> tuple[Setting, float]:
        """Choose the fewest components that do, and say what mean error they leave."""
        top = min(setting.components, *(len(chart.components) for chart in self._charts(setting.link)))
        found = self._mean(setting, [*(n for n in LADDER if n < top), top])
        wanted = max(min(found.values()) + CLOSE, self.options.enough)
        count = min(n for n, error in found.items() if error <= wanted)
        if count < top:
            return replace(setting, components=count), found[count]
        return setting, found[count]  # all that few rows have: the whole family has a few more

    def _mean(self, setting: Setting, counts: list[int]) -> dict[int, float]:
        """Mean error of held-out rows for several numbers of components, dB."""
        totals = {count: [] for count in counts}
        for _, count, errors in self._predicted(setting, counts):
            totals[count].append(errors)
        return {count: float(np.concatenate(errors).mean()) for count, errors in totals.items()}

    def _error(self, setting: Setting) -> HeldOutError:
        worst = np.full(len(self.family.spectra), np.nan)
        for rows, _, errors in self._predicted(setting, [setting.components]):
            worst[rows] = np.fmax(worst[rows], errors)
        return summarise(worst)

    def _predicted(self, setting: Setting, counts: list[int]) -> Iterator[tuple[Rows, int, Array]]:
        """Rows of each fold, a number of components, and the errors."""
        for rows, chart in zip(self.folds, self._charts(setting.link), strict=True):
            path = _fit_scores(self.family.without(rows), chart, setting)
            scores = path(torch.from_numpy(self.family.taught[rows]))
            for count in counts:
                predicted = chart.leading(count)(scores[:, :count])
                yield rows, count, decibels(predicted.numpy(), self.family.spectra[rows])

    def _charts(self, link: str) -> list[PrincipalComponents]:
        if link not in self.charts:
            most = self.options.most_components
            self.charts[link] = [fit_chart(self.family.without(rows), link, most) for rows in self.folds]
        return self.charts[link]


def _replaced(values: tuple[float, ...], place: int, value: float) -> tuple[float, ...]:
    return (*values[:place], value, *values[place + 1 :])
