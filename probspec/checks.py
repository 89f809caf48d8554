"""Whether a posterior keeps its promises.

`coverage` asks whether intervals hold the truth as often as they say, `calibrate` does so at every level on data sets
from the model's own prior. `predictive_check` and `predictive_coverage` hold replicated spectra against measured ones,
`compare` holds several posteriors against each other, and `agreement` one against a reference such as a long MCMC run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from probspec.calibration import Calibration, calibrate
from probspec.draws.intervals import DRAW, coverage, interval
from probspec.draws.psis import TRUSTED
from probspec.errors import QueryError, explain, known
from probspec.posterior import Posterior
from probspec.seeding import child_seed

__all__ = ["Calibration", "agreement", "calibrate", "compare", "coverage", "predictive_check", "predictive_coverage"]

Array = NDArray[np.float64]
Statistic = Callable[[xr.DataArray], xr.DataArray]
Share = Callable[[xr.DataArray, xr.DataArray], xr.DataArray]

ROWS = 64
"""Rows of one block of predicted spectra."""


def predictive_check(
    posterior: Posterior, modality: str, statistic: Statistic, draws: int = 100, seed: int = 0
) -> xr.DataArray:
    """Share of replicated spectra whose statistic is at least that of the measured one.

    Parameters
    ----------
    posterior : Posterior
    modality : str
    statistic : callable
        Reduces the last dim, the channels, of a DataArray, such as ``lambda x: x.max(x.dims[-1])``.
    draws : int
        Replicates per spectrum.
    seed : int

    Returns
    -------
    DataArray (sample)
        Near 0 or 1 where the model does not make such spectra; NaN where the modality was not measured.
    """

    def share(replicates: xr.DataArray, measured: xr.DataArray) -> xr.DataArray:
        return (statistic(replicates) >= statistic(measured)).mean(DRAW)

    return _over_rows(share, posterior, modality, draws, seed)


def predictive_coverage(
    posterior: Posterior, modality: str, prob: float = 0.9, draws: int = 200, seed: int = 0
) -> xr.DataArray:
    """Share of channels whose measured value lies in its predictive interval.

    Parameters
    ----------
    posterior : Posterior
    modality : str
    prob : float
        Of the equal-tailed interval of each channel; what the share should be.
    draws : int
        Replicates per spectrum.
    seed : int

    Returns
    -------
    DataArray (sample)
        NaN where the modality was not measured.
    """

    def share(replicates: xr.DataArray, measured: xr.DataArray) -> xr.DataArray:
        lower, upper = interval(replicates, prob)
        return ((lower <= measured) & (measured <= upper)).mean(str(measured.dims[-1]))

    return _over_rows(share, posterior, modality, draws, seed)


def compare(
    posteriors: Mapping[str, Posterior], truth: Mapping[str, ArrayLike] | None = None, prob: float = 0.9
) -> pd.DataFrame:
    """Compare fits by their posteriors of the same spectra, the best predicted first.

    Parameters
    ----------
    posteriors : mapping of name -> Posterior
    truth : mapping of site -> (sample, ...) array, unit of the site, optional
        The labels of the spectra where left out.
    prob : float
        Of the intervals whose coverage is shown.

    Returns
    -------
    DataFrame, indexed by name
        elpd: log density of the spectra, latent sites integrated out by Pareto-smoothed importance sampling, in nats,
        summed (spectra that were not fitted make it an honest score); se: its standard error; behind, behind_se:
        distance to the best, from the differences by spectrum; unreached: share of spectra with k-hat above 0.7,
        whose density is not to be relied on. For each site with known truth: its mean absolute error and coverage.

    Raises
    ------
    QueryError
        If the posteriors are not of the same spectra.
    """
    sizes = {len(posterior) for posterior in posteriors.values()}
    if len(sizes) != 1:
        raise QueryError(explain("posteriors", f"of {sorted(sizes)} spectra", expected="the same spectra in all"))
    density = {name: posterior.log_evidence().values for name, posterior in posteriors.items()}
    best = max(density, key=lambda name: density[name].sum())
    rows = {}
    for name, posterior in posteriors.items():
        behind = density[best] - density[name]
        rows[name] = {
            "elpd": density[name].sum(),
            "se": _error_of_sum(density[name]),
            "behind": behind.sum(),
            "behind_se": _error_of_sum(behind),
            "unreached": float((posterior.khat() > TRUSTED).mean()),
            **_scores(posterior, truth, prob),
        }
    return pd.DataFrame.from_dict(rows, orient="index").sort_values("elpd", ascending=False)


def agreement(posterior: Posterior, reference: xr.Dataset, prob: float = 0.9) -> pd.DataFrame:
    """Hold a posterior against draws that are trusted, such as those of a long MCMC run.

    Parameters
    ----------
    posterior : Posterior
    reference : Dataset (chain, draw, sample, ...)
        Draws of some of its sites for the same spectra.
    prob : float
        Of the intervals whose widths are compared.

    Returns
    -------
    DataFrame, indexed by site
        shift: distance of the means in reference standard deviations, root mean square and worst; width: ratio of
        the equal-tailed intervals' widths, median and the worst ratio either way.

    Raises
    ------
    QueryError
        If the reference has other sites, or other numbers of spectra or components.
    """
    for name in reference:
        if name not in posterior.draws:
            raise QueryError(explain("reference", f"no site {name!r}; {known(str(name), map(str, posterior.draws))}"))
    rows = {}
    for name, trusted in reference.data_vars.items():
        ours = posterior.draws[name]
        if set(ours.dims) != set(trusted.dims) or _shape(ours) != _shape(trusted := trusted.transpose(*ours.dims)):
            problem = f"{name!r} has {dict(trusted.sizes)}"
            raise QueryError(explain("reference", problem, expected=f"{dict(ours.sizes)} but for chain and draw"))
        # Positions count, not labels, by which xarray would silently drop spectra.
        shift = np.abs(ours.mean(DRAW).values - trusted.mean(DRAW).values) / trusted.std(DRAW, ddof=1).values
        width = _width(ours, prob) / _width(trusted, prob)
        rows[name] = {
            "shift": np.sqrt(np.mean(shift**2)),
            "worst_shift": shift.max(),
            "width": np.median(width),
            "worst_width": np.exp(np.abs(np.log(width)).max()),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _over_rows(share: Share, posterior: Posterior, modality: str, draws: int, seed: int) -> xr.DataArray:
    """Apply `share` to replicated and measured spectra, in blocks of rows so that memory is bounded."""
    parts = []
    for number, start in enumerate(range(0, len(posterior), ROWS)):
        block = posterior.select(slice(start, start + ROWS))
        replicates = block.predictive(modality, draws, child_seed(seed, number))
        measured = block.measured(modality)
        parts.append(share(replicates, measured).where(measured.notnull().all(str(measured.dims[-1]))))
    return cast(xr.DataArray, xr.concat(parts, "sample"))


def _error_of_sum(terms: Array) -> float:
    return float(np.sqrt(len(terms)) * terms.std(ddof=1)) if len(terms) > 1 else float("nan")


def _scores(posterior: Posterior, truth: Mapping[str, ArrayLike] | None, prob: float) -> dict[str, float]:
    known_truth = posterior.truth() if truth is None else truth
    answer = {}
    for site, values in known_truth.items():
        mean = posterior.mean(site).transpose("sample", ...).values
        table = coverage(posterior.draws[site], np.asarray(values), [prob])
        answer[f"{site}: error"] = np.nanmean(np.abs(mean - np.reshape(values, mean.shape)))
        answer[f"{site}: covered at {100 * prob:g} %"] = table.loc[("all", prob), "covered"]
    return answer


def _shape(draws: xr.DataArray) -> list[int]:
    return [size for dim, size in draws.sizes.items() if dim not in DRAW]


def _width(draws: xr.DataArray, prob: float) -> Array:
    lower, upper = interval(draws, prob)
    return (upper - lower).values
