"""Training of the interpolatory autoencoder, its anchors, and the way from parameters to barycentric weights."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import torch
from torch import Tensor

from probspec.errors import DataError, FitError, explain
from probspec.seeding import child_seed, seeded
from probspec.surrogates.autoencoder import Autoencoder, barycentre, combine
from probspec.surrogates.coordinates import STRAIGHT
from probspec.surrogates.family import Array, Family
from probspec.surrogates.held_out import HeldOutError, Rows, at_an_end, deal, decibels, summarise
from probspec.surrogates.maps import Map, fit_map
from probspec.surrogates.options import IAEOptions

MOST_CORNERS = 3
"""Parameters up to which each corner of their range gives an anchor."""


def fit_iae(family: Family, options: IAEOptions, seed: int) -> tuple[Autoencoder, Map | None, Array, HeldOutError]:
    """Train on all rows; measure the error by networks trained without some.

    Returns
    -------
    chart : Autoencoder
    path : Map, optional
        From parameters to weights, where there are parameters.
    weights : (row, anchor - 1) array
        Coordinates of the taught rows.
    error : HeldOutError
        Without parameters, that of spectra which are themselves projected: their weights come from what is predicted.
    """
    family = replace(family, anchors=family.anchors or choose_anchors(family, options.anchors))
    errors = np.full(len(family.spectra), np.nan)
    for number, rows in enumerate(_folds(family, options.folds, seed)):
        rest, anchors = _without(family, rows)
        chart = train(rest, anchors, options, child_seed(seed, 1, number))
        errors[rows] = decibels(_predict(family, rows, chart, rest), family.spectra[rows])
    chart = train(family, family.anchors, options, child_seed(seed, 0))
    return chart, _path(family, chart), _weights(family.spectra, chart), summarise(errors)


def train(family: Family, anchors: tuple[int, ...], options: IAEOptions, seed: int) -> Autoencoder:
    """Minimise the mean logarithm of the relative squared error of interpolated and decoded spectra.

    The logarithm ("log cost" of SEMSUN) lets spectra that are nearly right count as much as the others.

    Raises
    ------
    FitError
        If the loss ceases to be finite.
    """
    spectra = torch.from_numpy(family.spectra).float()
    generator = torch.Generator().manual_seed(seed)
    with seeded(seed):
        chart = Autoencoder(spectra.shape[1], len(anchors), options.layers)
    chart.start(spectra)
    optimiser = torch.optim.Adam(chart.parameters(), lr=options.learning_rate)
    batches = -(-len(spectra) // options.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.epochs * batches)
    for epoch in range(options.epochs):
        for rows in torch.randperm(len(spectra), generator=generator).chunk(batches):
            loss = _cost(chart, spectra[rows], spectra[list(anchors)], options.code_weight)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        if not loss.isfinite():
            problem = f"the loss is {loss.item()} after epoch {epoch + 1}"
            raise FitError(explain("IAEOptions(learning_rate)", problem, fix=f"{options.learning_rate / 10:g}"))
    with torch.no_grad():
        chart.codes = chart.encode(spectra[list(anchors)])
    return chart.requires_grad_(False).eval()


def _cost(chart: Autoencoder, spectra: Tensor, anchors: Tensor, code_weight: float) -> Tensor:
    codes, corners = chart.encode(spectra), chart.encode(anchors)
    nearest = combine(barycentre(codes, corners), corners)
    misfit = (chart.decode(nearest) - spectra).square().sum(-1) / spectra.square().sum(-1)
    spread = (corners - corners.mean(0)).square().sum(-1).mean()
    return misfit.mean().log() + code_weight * ((codes - nearest).square().sum(-1) / spread).mean()


def choose_anchors(family: Family, count: int) -> tuple[int, ...]:
    """Rows nearest to the corners of the parameters' range; without parameters, spectra far from each other."""
    if family.parameters is None:
        return _far_apart(family.spectra, count)
    place = (family.parameters - family.lower) / (family.upper - family.lower)
    corners = [np.array(corner) for corner in product((0, 1), repeat=place.shape[1])]
    if place.shape[1] > MOST_CORNERS:
        corners = [corner for corner in corners if corner.sum() <= 1]
    return tuple(dict.fromkeys(int(((place - corner) ** 2).sum(1).argmin()) for corner in corners))


def _far_apart(spectra: Array, count: int) -> tuple[int, ...]:
    """Begin with the spectrum farthest from the mean (Hellinger), then add the one farthest from those chosen."""
    if len(spectra) <= count:
        problem = f"{count} of {len(spectra)} spectra"
        raise DataError(explain("anchors", problem, expected="more spectra than anchors", fix="IAEOptions(anchors=2)"))
    roots = np.sqrt(spectra)
    chosen = [int(((roots - roots.mean(0)) ** 2).sum(1).argmax())]
    while len(chosen) < count:
        distances = [((roots - roots[row]) ** 2).sum(1) for row in chosen]
        chosen.append(int(np.min(distances, axis=0).argmax()))
    return tuple(chosen)


def _folds(family: Family, count: int, seed: int) -> list[Rows]:
    if not count:
        return []
    kept = np.zeros(len(family.spectra), bool) if family.parameters is None else at_an_end(family.parameters)
    kept[list(family.anchors)] = True
    return deal(np.flatnonzero(~kept), count, seed)


def _without(family: Family, rows: Rows) -> tuple[Family, tuple[int, ...]]:
    """The other rows, and where the anchors are among them."""
    left = np.setdiff1d(np.arange(len(family.spectra)), rows)
    return family.without(rows), tuple(int(n) for n in np.searchsorted(left, family.anchors))


def _predict(family: Family, rows: Rows, chart: Autoencoder, taught: Family) -> Array:
    """Spectra of rows by their parameters, or, where there are none, by their own weights."""
    path = _path(taught, chart)
    if path is None:
        return chart(torch.from_numpy(_weights(family.spectra[rows], chart))).numpy()
    return chart(path(torch.from_numpy(family.taught[rows]))).numpy()


def _path(family: Family, chart: Autoencoder) -> Map | None:
    if family.parameters is None:
        return None
    straight = (STRAIGHT,) * len(family.names)
    return fit_map(family.parameters, _weights(family.spectra, chart), family.weights, straight, smoothed=True)


def _weights(spectra: Array, chart: Autoencoder) -> Array:
    with torch.no_grad():
        return barycentre(chart.encode(torch.from_numpy(spectra).float()), chart.codes).double().numpy()
