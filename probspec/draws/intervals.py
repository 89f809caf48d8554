"""Intervals of draws, and how often they hold the truth.

The probability of an interval is always stated. An equal-tailed interval leaves as many draws below it as above; a
highest-density one is the narrowest that holds the wanted share of the draws.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from probspec.errors import QueryError, explain, known

PROBS = (0.5, 0.8, 0.9, 0.95)
"""Probabilities at which coverage is reported."""

DRAW = ("chain", "draw")


class Interval(NamedTuple):
    """Lower and upper end of an interval, which unpacks as ``lower, upper``.

    Parameters
    ----------
    lower, upper : DataArray, unit of the site
        `attrs` say the probability ("prob"), the "kind" and the unit.
    """

    lower: xr.DataArray
    upper: xr.DataArray


def interval(draws: xr.DataArray, prob: float = 0.9, kind: str = "eti") -> Interval:
    """Give the interval that holds one more draw with probability `prob`.

    Of few draws the ends lie a little further out than those of the share `prob` of them, which one more draw would
    miss too often (Hyndman & Fan 1996, definition 6).

    Parameters
    ----------
    draws : DataArray (chain, draw, ...)
    prob : float
        Between 0 and 1.
    kind : "eti" or "hdi"
        Equal-tailed or highest-density. Where the draws know the edges of their support and a resolution (`attrs`), an
        end that comes closer to an edge reaches it: an absent component, exactly 0, can then lie inside.

    Raises
    ------
    QueryError
        If `prob` or `kind` is none of these.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> draws = xr.DataArray(np.arange(1, 100)[None] / 100, dims=("chain", "draw"))
    >>> lower, upper = interval(draws, prob=0.5)
    >>> float(lower), float(upper)
    (0.25, 0.75)
    """
    check_prob(prob)
    if kind not in _ENDS:
        raise QueryError(explain("kind", f"got {kind!r}", fix=known(kind, _ENDS)))
    lower, upper = xr.apply_ufunc(
        _ENDS[kind], draws, kwargs={"prob": prob}, input_core_dims=[DRAW], output_core_dims=[(), ()]
    )
    attrs = dict(draws.attrs) | {"prob": prob, "kind": kind}
    lower, upper = (_to_edge(end, draws.attrs) for end in (lower, upper))
    return Interval(lower.assign_attrs(attrs), upper.assign_attrs(attrs))


def _to_edge(end: xr.DataArray, attrs: Mapping[str, Any]) -> xr.DataArray:
    """Let an end reach an edge of the support that it cannot be told apart from."""
    for edge in attrs.get("edges", ()):
        end = end.where(abs(end - edge) > _resolution(end, attrs), edge)
    return end


def _resolution(end: xr.DataArray, attrs: Mapping[str, Any]) -> float | xr.DataArray:
    """One number, or one for each label of a dim; the least of them once labels were selected."""
    each, dim = np.atleast_1d(attrs["resolution"]), attrs.get("resolution_dim")
    selected = dim not in end.dims and (dim in end.coords or not end.dims)
    if len(each) == 1 or selected or end.shape[-1] != len(each):
        return float(each.min())
    return xr.DataArray(each, dims=end.dims[-1])


def check_prob(prob: float) -> None:
    """Refuse what is no probability strictly between 0 and 1.

    Raises
    ------
    QueryError
    """
    if not 0 < prob < 1:
        raise QueryError(explain("prob", f"got {prob}", expected="a number between 0 and 1", fix="prob=0.9"))


def coverage(draws: xr.DataArray, truth: NDArray, probs: Sequence[float] = PROBS, kind: str = "eti") -> pd.DataFrame:
    """Compare the share of true values inside their intervals with the intervals' probability.

    Parameters
    ----------
    draws : DataArray (chain, draw, sample, ...)
    truth : (sample, ...) array, unit of the draws
        A spectrum with a NaN has no known truth and is left out.
    probs : sequence of float
    kind : "eti" or "hdi"

    Returns
    -------
    DataFrame, indexed by component and prob
        covered: the share; n: how many spectra; error: its binomial standard deviation if the intervals are honest;
        z: how many of these it is off. The rows "all" pool the components, but count each spectrum once in `error`,
        for the components of a spectrum are not independent.

    Raises
    ------
    QueryError
        If shapes differ or no truth is known.
    """
    example = draws.isel(chain=0, draw=0, drop=True).transpose("sample", ...)
    if truth.size != example.size or len(truth) != len(example):
        raise QueryError(explain("truth", f"has shape {truth.shape}", expected=f"{example.shape}"))
    known_truth = example.copy(data=truth.reshape(example.shape))
    rows = known_truth.notnull().all(example.dims[1:]).values
    if not rows.any():
        raise QueryError(explain("truth", "is not known for any spectrum", fix="pass truth={site: values}"))
    draws, known_truth = draws.isel(sample=rows), known_truth.isel(sample=rows)
    tables = []
    for prob in probs:
        lower, upper = interval(draws, prob, kind)
        inside = (lower <= known_truth) & (known_truth <= upper)
        tables.append(_covered(inside.transpose("sample", ...), prob))
    return pd.concat(tables).set_index(["component", "prob"]).sort_index(level="prob", sort_remaining=False)


def summary(draws: xr.Dataset, prob: float = 0.9) -> pd.DataFrame:
    """Tabulate mean, sd and the ends of the equal-tailed interval.

    Parameters
    ----------
    draws : Dataset (chain, draw, sample, ...)
    prob : float
        Between 0 and 1.

    Returns
    -------
    DataFrame, indexed by site, sample and component
        Units of the sites; a site of the whole set has the sample "all".
    """
    return pd.concat({name: _table(site, prob) for name, site in draws.data_vars.items()}, names=["site"])


def _table(draws: xr.DataArray, prob: float) -> pd.DataFrame:
    tail = 50 * (1 - prob)
    parts = {"mean": draws.mean(DRAW), "sd": draws.std(DRAW, ddof=1)}
    parts |= dict(zip((f"{tail:g} %", f"{100 - tail:g} %"), interval(draws, prob), strict=True))
    samples = parts["mean"]["sample"].values if "sample" in draws.dims else ["all"]
    index = pd.MultiIndex.from_product([samples, component_names(parts["mean"])], names=["sample", "component"])
    return pd.DataFrame({name: part.values.ravel() for name, part in parts.items()}, index)


def component_names(values: xr.DataArray) -> list[str]:
    """Name the elements of one sample, in the order of the flattened array."""
    dims = [dim for dim in values.dims if dim != "sample"]
    return [", ".join(map(str, words)) for words in itertools.product(*(values[dim].values for dim in dims))]


def _covered(inside: xr.DataArray, prob: float) -> pd.DataFrame:
    n = inside.sizes["sample"]
    shares = dict(zip(component_names(inside), inside.values.reshape(n, -1).mean(0), strict=True))
    shares["all"] = inside.values.mean()
    error = np.sqrt(prob * (1 - prob) / n)
    table = pd.DataFrame({"component": list(shares), "prob": prob, "covered": list(shares.values()), "n": n})
    return table.assign(error=error, z=(table["covered"] - prob) / error)


def _equal_tailed(draws: NDArray, prob: float) -> tuple[NDArray, NDArray]:
    tail = (1 - prob) / 2
    ends = np.quantile(_flat(draws), (tail, 1 - tail), axis=-1, method="weibull")
    lower, upper = ends.astype(np.result_type(draws, np.float32))
    return lower, upper


def _highest_density(draws: NDArray, prob: float) -> tuple[NDArray, NDArray]:
    ordered = np.sort(_flat(draws), axis=-1)
    span = int(prob * ordered.shape[-1])
    start = np.argmin(ordered[..., span:] - ordered[..., : ordered.shape[-1] - span], axis=-1)[..., None]
    lower, upper = (np.take_along_axis(ordered, start + shift, -1)[..., 0] for shift in (0, span))
    return lower, upper


def _flat(draws: NDArray) -> NDArray:
    return draws.reshape(*draws.shape[:-2], -1)


_ENDS: Mapping[str, Callable[..., tuple[NDArray, NDArray]]] = {"eti": _equal_tailed, "hdi": _highest_density}
