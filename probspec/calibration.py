"""Are a fit's posteriors right at every level at once? Ranks of true values, and the band that honest ranks stay in.

Data sets are drawn from the model's own prior, the fit answers for them, and each true value is ranked among its
draws; the ranks are uniform if the posterior is right (simulation-based calibration: Talts et al. 2018,
arXiv 1804.06788). Their ECDF is held against a simultaneous band (Sailynoja, Buerkner & Vehtari 2022, Statistics and
Computing 32:32).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln
from scipy.stats import binom

from probspec.data.spectra import Spectra
from probspec.draws.intervals import DRAW, check_prob, component_names
from probspec.draws.replay import imagine
from probspec.errors import QueryError, explain
from probspec.posterior import posterior
from probspec.seeding import child_seed

if TYPE_CHECKING:
    from probspec.fit import Fit

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Ranks of true values among their posterior draws, and the band that honest ranks stay in.

    Parameters
    ----------
    ranks : (sample,) int array
        How many of the `draws` lie below the truth.
    draws : int
    prob : float
        Probability that the whole ECDF of honest ranks lies in the band.
    points : (point,) array
        Shares of the ranks' range, between 0 and 1.
    ecdf, lower, upper : (point,) array
        Share of the ranks below each point, and its band.
    """

    ranks: NDArray[np.int64]
    draws: int
    prob: float
    points: Array
    ecdf: Array
    lower: Array
    upper: Array

    @property
    def passed(self) -> bool:
        """Whether the ECDF lies inside the band everywhere."""
        return bool(np.all((self.lower <= self.ecdf) & (self.ecdf <= self.upper)))

    def __repr__(self) -> str:
        side = "inside" if self.passed else "outside"
        return f"Calibration({len(self.ranks)} ranks of {self.draws} draws: {side} the {100 * self.prob:g} % band)"


def calibration(ranks: ArrayLike, draws: int, prob: float = 0.99) -> Calibration:
    """Hold ranks against the uniform law that they have if the posterior is right.

    Parameters
    ----------
    ranks : (sample,) int array
        Between 0 and `draws`, both included.
    draws : int
    prob : float
        Of the simultaneous band.

    Raises
    ------
    QueryError
        If a rank is out of range, or `prob` is no probability.

    Examples
    --------
    >>> import numpy as np
    >>> calibration(np.random.default_rng(0).integers(0, 100, size=1000), draws=99)
    Calibration(1000 ranks of 99 draws: inside the 99 % band)
    """
    check_prob(prob)
    ranks = np.asarray(ranks)
    if ranks.ndim != 1 or not ranks.size or ranks.min() < 0 or ranks.max() > draws:
        raise QueryError(explain("ranks", f"shape {ranks.shape}", expected=f"(sample,) integers from 0 to {draws}"))
    edges = _edges(draws)
    below = np.searchsorted(np.sort(ranks), edges, side="left")
    lower, upper = ecdf_band(len(ranks), draws, prob)
    return Calibration(ranks, draws, prob, edges / (draws + 1), below / len(ranks), lower, upper)


def ranks(draws: xr.DataArray, truth: xr.DataArray, seed: int = 0) -> NDArray[np.int64]:
    """Count the draws below each true value; ties fall to either side at random.

    Parameters
    ----------
    draws : DataArray (chain, draw, ...)
    truth : (...) array, dims and unit of the draws

    Returns
    -------
    (...) int array
        Between 0 and the number of draws.
    """
    flat = draws.stack(all_draws=DRAW).transpose(*truth.dims, "all_draws").values
    value = truth.values[..., None]
    ties = (flat == value).sum(-1)
    return (flat < value).sum(-1) + np.random.default_rng(seed).integers(0, ties + 1)


@cache
def ecdf_band(samples: int, draws: int, prob: float = 0.99) -> tuple[Array, Array]:
    """Band in which the ECDF of uniform ranks lies as a whole with the given probability.

    At every point the count of ranks below it is binomial; its two-sided level is the same everywhere and is chosen
    such that all counts together stay inside with probability `prob`. That probability is computed, not simulated:
    counts at successive points are a Markov chain with binomial steps (Sailynoja et al. 2022, section 2.2).

    Parameters
    ----------
    samples : int
        Number of ranks.
    draws : int
        Ranks go from 0 to this number.
    prob : float

    Returns
    -------
    lower, upper : (point,) array
        At the points of `Calibration`.
    """
    points = _edges(draws) / (draws + 1)
    # One point alone would need 1 - prob, Bonferroni over all of them is enough.
    enough, needed = np.log((1 - prob) / len(points)), np.log(1 - prob)
    for _ in range(12):
        middle = (enough + needed) / 2
        if _stays_inside(samples, points, *_limits(samples, points, np.exp(middle))) >= prob:
            enough = middle
        else:
            needed = middle
    lower, upper = _limits(samples, points, np.exp(enough))
    return lower / samples, upper / samples


def calibrate(fit: Fit, spectra: Spectra, draws: int = 99, seed: int = 0, prob: float = 0.99) -> dict[str, Calibration]:
    """Ask whether the posterior is right for spectra from the model's own prior (simulation-based calibration).

    For each given spectrum the latent sites are drawn from their priors and a spectrum is made at them; the fit
    answers for these, and the true values are ranked among the draws.

    Parameters
    ----------
    fit : Fit
    spectra : Spectra
        They only say how many data sets to make (1000 are good), with which modalities, axes and covariates.
    draws : int
        Per data set.
    seed : int
    prob : float
        Of the simultaneous band.

    Returns
    -------
    dict of "site" or "site[component]" -> Calibration

    Raises
    ------
    QueryError
        If the model does not predict spectra.
    """
    truth, made = imagine(fit.model, spectra, child_seed(seed, 0))
    shown = {name: np.where(spectra.present(name)[:, None], made[name], np.nan) for name in spectra.modalities}
    simulated = Spectra.from_arrays(shown, spectra.spec, axes=spectra.axes, covariates=spectra.covariates)
    drawn = posterior(fit, simulated, draws, child_seed(seed, 1)).draws
    answer = {}
    for name, site in truth.data_vars.items():
        true = site.isel(chain=0, draw=0, drop=True)
        ranked = ranks(drawn[name], true, child_seed(seed, 2)).reshape(true.sizes["sample"], -1)
        for component, column in zip(component_names(true), ranked.T, strict=True):
            answer[f"{name}[{component}]" if component else str(name)] = calibration(column, draws, prob)
    return answer


def _edges(draws: int) -> NDArray[np.int64]:
    """Ranks at which the ECDF is looked at: all, or about a hundred of them."""
    return np.unique(np.linspace(1, draws, min(draws, 100)).round().astype(int))


def _limits(samples: int, points: Array, level: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    lower, upper = binom.ppf([[level / 2], [1 - level / 2]], samples, points).astype(int)
    return lower, upper


def _stays_inside(samples: int, points: Array, lower: NDArray[np.int64], upper: NDArray[np.int64]) -> float:
    """Probability that the counts of uniform ranks below all points lie within their limits."""
    log_factorial = gammaln(np.arange(samples + 1) + 1.0)
    count, mass, passed = np.array([0]), np.array([1.0]), 0.0
    for point, low, high in zip(points, lower, upper, strict=True):
        following = np.arange(low, high + 1)
        left = samples - count[:, None]
        step = following - count[:, None]
        possible = (step >= 0) & (step <= left)
        step = np.where(possible, step, 0)
        share = (point - passed) / (1 - passed)
        choose = log_factorial[left] - log_factorial[step] - log_factorial[left - step]
        log_mass = choose + step * np.log(share) + (left - step) * np.log1p(-share)
        mass = mass @ np.where(possible, np.exp(log_mass), 0.0)
        count, passed = following, point
    return float(mass.sum())
