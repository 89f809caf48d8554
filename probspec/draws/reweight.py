"""Other priors for the same draws: importance weights p_new / p_old, without a refit.

The draws stay where the old prior put them; the weights say how much of the new posterior each one stands for. They
are Pareto-smoothed (`probspec.draws.psis`), and the draws are resampled with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution

from probspec.draws.gather import array, tensors
from probspec.draws.psis import Weights, smooth
from probspec.errors import QueryError, explain
from probspec.priors import Law, Priors
from probspec.supports import describe, same_support
from probspec.training.validation import validation


@dataclass(frozen=True, eq=False)
class Reweighting:
    """A step from the fitted priors to others.

    Parameters
    ----------
    laws : mapping of site -> law
        The new ones.
    log_ratio : (draw, sample) array, nats
        New over old prior density at the draws.
    weights : Weights
        The same, Pareto-smoothed.
    """

    laws: Mapping[str, Law]
    log_ratio: NDArray[np.float64]
    weights: Weights

    def select(self, index: NDArray[np.integer]) -> Reweighting:
        """Take some of the spectra."""
        return Reweighting(self.laws, self.log_ratio[:, index], self.weights.select(index))


def reweighting(priors: Priors, laws: Mapping[str, Law], draws: xr.Dataset) -> Reweighting:
    """Weigh draws by new over old prior density.

    Parameters
    ----------
    priors : Priors
        Those that the draws were made under.
    laws : dict of site -> law
        New laws of some sites.
    draws : Dataset (chain, draw, sample, ...), units of the sites

    Raises
    ------
    PriorError
        If there is no such prior.
    QueryError
        If a site is not one that each spectrum has for itself, or a new law has another shape or support.
    """
    if not laws:
        raise QueryError(explain("reweight", "no prior was named", fix=f"reweight({next(iter(priors))}=...)"))
    replaced = priors.replace(**laws)
    for name in laws:
        if name not in draws or "sample" not in draws[name].dims:
            raise QueryError(explain(f"site {name!r}", "was not drawn for single spectra", fix=refit(name)))
    values = tensors(draws)
    ratio = array(torch.stack([_site_ratio(name, priors, replaced, values) for name in laws]).sum(0)).astype(float)
    return Reweighting(laws, ratio, smooth(ratio))


def refit(site: str) -> str:
    """Say how to get a posterior under a prior that the draws cannot be carried to."""
    return f"fit again, ps.fit(fit.model.with_priors({site}=...), ...)"


def resample(log_weight: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """Systematic resampling: each draw is copied as often as its weight says, rounded up or down.

    Parameters
    ----------
    log_weight : (draw, sample) array
        Normalised for each sample.
    seed : int

    Returns
    -------
    (draw, sample) array
        Index of the draw to take, ascending.
    """
    size, samples = log_weight.shape
    start = np.random.default_rng(seed).uniform(size=samples)
    edges = np.exp(log_weight).cumsum(axis=0)
    edges /= edges[-1]
    points = (np.arange(size)[:, None] + start) / size
    picks = [np.searchsorted(edges[:, n], points[:, n], side="right") for n in range(samples)]
    return np.stack(picks, axis=1).clip(max=size - 1)


def _site_ratio(name: str, priors: Priors, replaced: Priors, values: Mapping[str, Tensor]) -> Tensor:
    old, new = priors.law(name, values), replaced.law(name, values)
    before: Any = old.support
    after: Any = new.support
    value = values[name]
    _check_shape(name, new, value)
    if not same_support(before, after, value.shape[2:]):
        problem = f"the new prior is {describe(after)}, the fitted one {describe(before)}"
        raise QueryError(explain(f"site {name!r}", problem, expected="the same support", fix=refit(name)))
    # Draws on the edge of a support (a float32 row that sums to 1 + 2e-7) are no mistake of the user.
    with validation(False):
        return (new.log_prob(value) - old.log_prob(value)).reshape(*value.shape[:2], -1).sum(-1)


def _check_shape(name: str, law: Distribution, value: Tensor) -> None:
    shape = law.batch_shape + law.event_shape
    try:
        fits = torch.broadcast_shapes(shape, value.shape) == value.shape
    except RuntimeError:
        fits = False
    if not fits:
        expected = f"one that fits {tuple(value.shape[2:])}"
        raise QueryError(explain(f"site {name!r}", f"the new prior has shape {tuple(shape)}", expected=expected))


def take_draws(dataset: xr.Dataset, pick: xr.DataArray) -> xr.Dataset:
    """Take for each sample its own draws, `pick` : (draw, sample); what has no dim "sample" stays."""
    if not dataset:
        return dataset
    here = xr.DataArray(np.arange(pick.sizes["sample"]), dims="sample")
    own = [name for name, values in dataset.items() if "sample" in values.dims]
    taken = dataset[own].drop_vars("draw", errors="ignore").isel(draw=pick, sample=here)
    return dataset.assign(taken.transpose("chain", "draw", "sample", ...).data_vars)
