"""What spectra say: draws of every latent site, and the answers taken from them.

Draws have the dims chain, draw and sample (a sample is one spectrum) and then the site's own, with units in `attrs`.
The log densities of the model and of the guide are kept beside them; they tell how far the draws can be trusted
(`Posterior.khat`) and let priors be exchanged without a refit (`Posterior.reweight`).
"""

from __future__ import annotations

import html
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from probspec.arviz_bridge import to_arviz
from probspec.draws.gather import gather
from probspec.draws.intervals import DRAW, PROBS, Interval, coverage, interval, summary
from probspec.draws.netcdf import read_groups, write_groups
from probspec.draws.psis import TRUSTED, smooth
from probspec.draws.replay import label_spectra, predict, strangeness
from probspec.draws.reweight import Reweighting, refit, resample, reweighting, take_draws
from probspec.errors import ProbspecWarning, QueryError, explain, known
from probspec.models.base import Model

if TYPE_CHECKING:
    from probspec.data.spectra import Spectra
    from probspec.fit import Fit
    from probspec.priors import Law

MAP = ("y", "x")
"""Dims of the pixels of a map, which is one sample."""

Question = Callable[[xr.Dataset], xr.DataArray]


@dataclass(frozen=True, eq=False, repr=False)
class Posterior:
    """Answers about given spectra, made by `posterior`.

    Parameters
    ----------
    draws : Dataset (chain, draw, sample, ...)
        Latent sites in their units; sites of the whole set have no dim "sample".
    log_density : Dataset (chain, draw, sample), nats
        Of each spectrum's own part: "log_p" of the model and "log_q" of the guide.
    log_likelihood : Dataset (chain, draw, sample), nats
        The observed sites' share of "log_p".
    fit, spectra : Fit and Spectra, optional
        What the draws were made from; needed by `predictive`, `anomaly` and `reweight`.
    reweighting : Reweighting, optional
        How `reweight` came from the draws of `origin`.
    origin : Posterior, optional

    Examples
    --------
    >>> water = np.array([[[0.2, 0.6], [0.4, 0.7], [0.3, 0.8]]])
    >>> draws = xr.Dataset({"water": (("chain", "draw", "sample"), water)}, {"sample": [0, 1]})
    >>> post = Posterior(draws, log_density=draws.rename(water="log_p").assign(log_q=draws["water"]))
    >>> post
    Posterior(2 spectra x 3 draws of water)
    >>> post.prob(lambda d: d["water"] > 0.35).values.round(2)
    array([0.33, 1.  ])
    """

    draws: xr.Dataset
    log_density: xr.Dataset
    log_likelihood: xr.Dataset = field(default_factory=xr.Dataset)
    fit: Fit | None = None
    spectra: Spectra | None = None
    reweighting: Reweighting | None = None
    origin: Posterior | None = None

    def __len__(self) -> int:
        return self.log_density.sizes.get("sample", 1)

    def __repr__(self) -> str:
        sites = ", ".join(map(str, self.draws.data_vars))
        changed = f", reweighted: {', '.join(self.reweighting.laws)}" if self.reweighting else ""
        pixels = [str(self.draws.sizes[dim]) for dim in MAP if dim in self.draws.sizes]
        what = f"{' x '.join(pixels)} pixels" if pixels else f"{len(self)} spectra"
        return f"Posterior({what} x {self.draws.sizes['draw']} draws of {sites}{changed})"

    def _repr_html_(self) -> str:
        first = {dim: slice(5) for dim in ("sample", *MAP)}
        few = replace(self, draws=self.draws.isel(first, missing_dims="ignore"))
        table = few.summary().head(15).to_html(float_format="{:.4g}".format)
        return f"<p>{html.escape(repr(self))}; its summary begins:</p>{table}"

    def select(self, rows: int | slice | Sequence[int] | NDArray) -> Posterior:
        """Take some of the spectra.

        Parameters
        ----------
        rows : int, slice, sequence of int, or (sample,) bool array
            Positions, counted from 0; the labels along "sample" stay what they were.

        Raises
        ------
        QueryError
            If there is no such row.
        """
        if "y" in self.draws.dims:
            fix = "post.draws.isel(y=..., x=...)"
            raise QueryError(explain("rows", "a map is one sample and has no rows", fix=fix))
        try:
            index = np.atleast_1d(np.arange(len(self))[rows])
        except IndexError:
            raise QueryError(explain("rows", f"{rows!r} does not fit {len(self)} spectra")) from None
        return replace(
            self._map(lambda dataset: dataset.isel(sample=index, missing_dims="ignore")),
            spectra=None if self.spectra is None else self.spectra.select(index),
            reweighting=None if self.reweighting is None else self.reweighting.select(index),
            origin=None if self.origin is None else self.origin.select(index),
        )

    def mean(self, site: str | None = None) -> Any:
        """Posterior mean of one site (DataArray), or of all (Dataset) : (sample, ...), unit of the site."""
        return self._of(site).mean(DRAW, keep_attrs=True)

    def sd(self, site: str | None = None) -> Any:
        """Posterior standard deviation : (sample, ...), unit of the site."""
        return self._of(site).std(DRAW, ddof=1, keep_attrs=True)

    def quantile(self, q: float | Sequence[float], site: str | None = None) -> Any:
        """Posterior quantiles : (quantile, sample, ...), unit of the site; without the first dim for a single `q`."""
        if np.min(q) < 0 or np.max(q) > 1:
            raise QueryError(explain("q", f"got {q}", expected="probabilities between 0 and 1", fix="q=[0.05, 0.95]"))
        return self._of(site).quantile(q, DRAW, keep_attrs=True)

    def interval(self, site: str, prob: float = 0.9, kind: str = "eti") -> Interval:
        """Interval of each spectrum that holds the share `prob` of the draws.

        Parameters
        ----------
        site : str
        prob : float
        kind : {"eti", "hdi"}
            Equal-tailed, or the narrowest.

        Returns
        -------
        Interval
            `lower` and `upper` : (sample, ...), unit of the site; unpacks as ``lower, upper``.

        Raises
        ------
        QueryError
            If there is no such site or kind, or `prob` is no probability.
        """
        return interval(self._of(site), prob, kind)

    def summary(self, prob: float = 0.9) -> pd.DataFrame:
        """Tabulate mean, sd and the ends of the equal-tailed interval, one row per site, spectrum and component."""
        return summary(self.draws, prob)

    def expect(self, f: Question) -> xr.DataArray:
        """Posterior mean of any quantity, one per spectrum.

        Parameters
        ----------
        f : callable
            Takes `draws` and returns a DataArray that still has the dim "draw", such as
            ``lambda d: d["abundance"].sel(component="water") ** 2``.

        Raises
        ------
        QueryError
            If it returns anything else.
        """
        return _ask(f, self.draws).mean(DRAW, keep_attrs=True)

    def prob(self, f: Question) -> xr.DataArray:
        """Posterior probability of an event, one per spectrum.

        Parameters
        ----------
        f : callable
            Takes `draws` and says for each draw whether the event occurs, such as
            ``lambda d: d["abundance"].sel(component="water") > 0.3``.

        Raises
        ------
        QueryError
            If it returns no booleans, or has lost the dim "draw".
        """
        event = _ask(f, self.draws)
        if event.dtype != bool:
            fix = "end the function with a comparison, such as > 0.3"
            raise QueryError(explain("prob", f"the function returned {event.dtype}", expected="booleans", fix=fix))
        return event.mean(DRAW)

    def coverage(
        self, truth: Mapping[str, ArrayLike] | None = None, probs: Sequence[float] = PROBS, kind: str = "eti"
    ) -> pd.DataFrame:
        """Share of known truths inside their intervals, against the probability of these.

        Parameters
        ----------
        truth : mapping of site -> (sample, ...) or (y, x, ...) array, unit of the site, optional
            The labels of `spectra` where left out. NaN is unknown. Pixels of a map count as samples, though
            neighbours err together: `error` and `z` are too small and too large then.
        probs : sequence of float
        kind : {"eti", "hdi"}

        Returns
        -------
        DataFrame, indexed by site, component and prob
            The columns are those of `probspec.draws.intervals.coverage`.

        Raises
        ------
        QueryError
            If no truth is known, or its shape is not that of the site.
        """
        truth = self.truth() if truth is None else truth
        if not truth:
            raise QueryError(explain("coverage", "no truth is known", fix="pass truth={site: values}"))
        tables = {site: coverage(*_by_row(self._of(site), values), probs, kind) for site, values in truth.items()}
        return pd.concat(tables, names=["site"])

    def truth(self) -> dict[str, NDArray]:
        """Give the labels of the spectra, for the sites that were drawn : (sample, component), NaN where unknown."""
        labels = {} if self.spectra is None else self.spectra.targets
        return {site: values for site, values in labels.items() if site in self.draws}

    def khat(self) -> xr.DataArray:
        """How far the guide's draws reach the posterior : (sample).

        Pareto k-hat of p(spectrum, sites) / q(sites) (Yao et al. 2018): below 0.5 good, up to 0.7 usable; above, what
        the draws say of this spectrum should not be relied on. After `reweight` the new prior is part of the ratio.

        Raises
        ------
        QueryError
            With fewer than 25 draws.
        """
        return self._per_sample(smooth(self._log_ratio()).khat, "khat")

    def log_evidence(self) -> xr.DataArray:
        """Log density of each spectrum, its own sites integrated out by smoothed importance sampling : (sample), nats.

        Raises
        ------
        QueryError
            With fewer than 25 draws.
        """
        return self._per_sample(smooth(self._log_ratio()).log_mean, "log_evidence")

    def reweight(self, seed: int = 0, /, **priors: Law) -> Posterior:
        """Carry the draws to other priors, without a refit.

        Draws are weighted by p_new / p_old of the named sites, the weights Pareto-smoothed, and as many draws as
        before resampled with them, each spectrum for itself; sites of the whole set keep their draws. Reweighting
        twice starts from the first draws again.

        Parameters
        ----------
        seed : int
            Of the resampling.
        **priors : law
            New laws by site, with the supports of the old ones.

        Returns
        -------
        Posterior
            Its `khat_` and `effective_draws_` say for which spectra the step is too large.

        Raises
        ------
        PriorError
            If there is no such prior.
        QueryError
            If a law has another support or shape, or its site belongs to the whole set: fit again with
            ``fit.model.with_priors(...)``.

        Warns
        -----
        ProbspecWarning
            Naming the spectra with k-hat above 0.7.
        """
        model, _ = self._source()
        origin = self.origin or self
        laws = {**(self.reweighting.laws if self.reweighting else {}), **priors}
        step = reweighting(model.priors.map(Tensor.cpu), laws, origin.draws)
        pick = xr.DataArray(resample(step.weights.log, seed), dims=("draw", "sample"))
        resampled = origin._map(lambda dataset: take_draws(dataset, pick))
        answer = replace(resampled, reweighting=step, origin=origin)
        far = answer.khat_["sample"].values[answer.khat_.values > TRUSTED]
        if far.size:
            named = ", ".join(map(str, far[:10])) + (", ..." if far.size > 10 else "")
            problem = f"k-hat above {TRUSTED} for {far.size} of {len(self)} spectra ({named})"
            warnings.warn(explain("reweight", problem, fix=refit(next(iter(laws)))), ProbspecWarning, stacklevel=2)
        return answer

    @property
    def khat_(self) -> xr.DataArray:
        """Pareto k-hat of the weights of `reweight` : (sample)."""
        return self._per_sample(self._reweighted().weights.khat, "khat")

    @property
    def effective_draws_(self) -> xr.DataArray:
        """Number of independent draws that those of `reweight` are worth : (sample)."""
        return self._per_sample(self._reweighted().weights.effective, "effective_draws")

    def predictive(self, modality: str | None = None, draws: int = 100, seed: int = 0) -> Any:
        """Spectra that the model would make at the draws, noise included.

        Parameters
        ----------
        modality : str, optional
            One modality (DataArray), measured or not; all of them (Dataset) where left out.
        draws : int
            How many of the draws are used, evenly spaced.
        seed : int
            Of the noise.

        Returns
        -------
        DataArray or Dataset (chain, draw, sample, channel), unit of the spectra
            The last dim is called ``<modality>_<axis>`` and holds the axis.

        Raises
        ------
        QueryError
            If there is no such modality.
        """
        model, spectra = self._source()
        names = list(model.spec.modalities) if modality is None else [modality]
        made = predict(model, spectra, self._thinned(draws), names, seed)
        return made if modality is None else made[modality]

    def measured(self, modality: str) -> xr.DataArray:
        """Give the spectra, labelled as `predictive` labels its own : (sample, channel), NaN where not measured."""
        _, spectra = self._source()
        if modality not in spectra.modalities:
            problem = f"no {modality!r} was measured; {known(modality, spectra.modalities)}"
            raise QueryError(explain("modality", problem))
        return label_spectra(spectra, modality, spectra.spectra(modality), {"sample": self.log_density["sample"]})

    def anomaly(self, draws: int = 100, seed: int = 0) -> xr.DataArray:
        """Say how little each spectrum looks like anything that the model can make : (sample), higher is stranger.

        Parameters
        ----------
        draws : int
            How many of the draws are used, evenly spaced.
        seed : int
            Of what the model may draw for comparison.
        """
        model, spectra = self._source()
        return strangeness(model, spectra, self._thinned(draws), seed)

    def to_arviz(self, predictive: bool = False) -> Any:
        """Give what the installed ArviZ's functions accept: InferenceData (ArviZ 0.x) or DataTree (1.x).

        Parameters
        ----------
        predictive : bool
            Add the groups that `plot_ppc` compares: predicted and measured spectra.

        Notes
        -----
        The dim "sample" is called "spectrum" there.
        """
        groups = self._groups()
        if predictive:
            _, spectra = self._source()
            measured = {name: self.measured(name) for name in spectra.modalities}
            groups["posterior_predictive"] = self.predictive()[list(measured)]
            groups["observed_data"] = xr.Dataset(measured)
        return to_arviz(groups)

    def to_netcdf(self, path: str | Path) -> None:
        """Write the draws to a netCDF file that ArviZ and xarray can open; it appears whole or not at all.

        Raises
        ------
        FileError
            If the file cannot be written.
        QueryError
            If the posterior is reweighted: save its `origin`, and reweight again after loading.
        """
        if self.origin is not None:
            fix = "save post.origin, and reweight again after loading"
            raise QueryError(explain("to_netcdf", "the draws are reweighted", fix=fix))
        write_groups(path, self._groups())

    @classmethod
    def from_netcdf(cls, path: str | Path, fit: Fit | None = None, spectra: Spectra | None = None) -> Posterior:
        """Read a posterior.

        Parameters
        ----------
        path : str or Path
        fit, spectra : Fit and Spectra, optional
            What it was made from, for the questions that need them.

        Raises
        ------
        FileError
            If the file is missing, damaged, or something else.
        QueryError
            If there are not as many spectra as in the file.
        """
        groups = read_groups(path, required=("posterior",))
        read = cls(
            groups["posterior"],
            groups.get("log_density", xr.Dataset()),
            groups.get("log_likelihood", xr.Dataset()),
            fit,
            spectra,
        )
        if spectra is not None and len(spectra) != len(read):
            raise QueryError(explain("spectra", f"{len(spectra)} rows", expected=f"the {len(read)} spectra of {path}"))
        return read

    def _map(self, f: Callable[[xr.Dataset], xr.Dataset]) -> Posterior:
        parts = f(self.draws), f(self.log_density), f(self.log_likelihood)
        return replace(self, draws=parts[0], log_density=parts[1], log_likelihood=parts[2])

    def _groups(self) -> dict[str, xr.Dataset]:
        return {"posterior": self.draws, "log_density": self.log_density, "log_likelihood": self.log_likelihood}

    def _of(self, site: str | None) -> Any:
        if site is None:
            return self.draws
        if site not in self.draws:
            raise QueryError(explain("site", f"no {site!r}; {known(site, map(str, self.draws.data_vars))}"))
        return self.draws[site]

    def _source(self) -> tuple[Model, Spectra]:
        if self.fit is None or self.spectra is None:
            fix = "Posterior.from_netcdf(path, fit=..., spectra=...)"
            raise QueryError(explain("posterior", "it was loaded without its fit and its spectra", fix=fix))
        return self.fit.model, self.spectra

    def _reweighted(self) -> Reweighting:
        if self.reweighting is None:
            fix = "ask khat() how good the guide is, or call reweight(...) first"
            raise QueryError(explain("posterior", "it has not been reweighted", fix=fix))
        return self.reweighting

    def _log_ratio(self) -> NDArray[np.float64]:
        """Log of model over guide at the guide's own draws : (draw, sample)."""
        if not self.log_density:
            problem = "the guide of maps is known by its draws only; its density is not"
            raise QueryError(explain("khat", problem, fix="compare seeds, or simulate and count coverage"))
        density = (self.origin or self).log_density.isel(chain=0).astype(float)
        step = self.reweighting.log_ratio if self.reweighting else 0.0
        return (density["log_p"] - density["log_q"]).values + step

    def _per_sample(self, values: NDArray, name: str) -> xr.DataArray:
        return xr.DataArray(values, {"sample": self.log_density["sample"]}, name=name)

    def _thinned(self, draws: int) -> xr.Dataset:
        size = self.draws.sizes["draw"]
        if draws < 1:
            raise QueryError(explain("draws", f"got {draws}", expected="a positive number", fix="draws=100"))
        return self.draws.isel(draw=np.linspace(0, size - 1, min(draws, size)).round().astype(int))


def posterior(fit: Fit, spectra: Spectra, draws: int = 1000, seed: int = 0) -> Posterior:
    """Draw the latent sites of each spectrum from the fitted guide.

    Parameters
    ----------
    fit : Fit
    spectra : Spectra
        Labels are not looked at; modalities may be missing.
    draws : int
        Independent draws per spectrum.
    seed : int
        Same seed, same draws. The global random generators are left as they are.

    Returns
    -------
    Posterior

    Raises
    ------
    QueryError
        If a modality was not fitted.
    """
    for name in spectra.modalities:
        if name not in fit.model.spec.modalities:
            raise QueryError(explain("spectra", f"no {name!r} was fitted; {known(name, fit.model.spec.modalities)}"))
    return Posterior(*gather(fit.model, spectra, draws, seed), fit, spectra)


def _by_row(draws: xr.DataArray, truth: ArrayLike) -> tuple[xr.DataArray, NDArray]:
    """Pixels of a map as samples, (chain, draw, sample, ...) and (sample, ...)."""
    values = np.asarray(truth)
    if "y" not in draws.dims:
        return draws, values
    pixels = [draws.sizes[dim] for dim in MAP]
    flat = draws.transpose("chain", "draw", *MAP, ...).stack(sample=MAP).drop_vars(("sample", *MAP))
    fits = list(values.shape[:2]) == pixels
    return flat.transpose("chain", "draw", "sample", ...), values.reshape(-1, *values.shape[2:]) if fits else values


def _ask(f: Question, draws: xr.Dataset) -> xr.DataArray:
    answer = f(draws)
    if not isinstance(answer, xr.DataArray) or "draw" not in answer.dims:
        got = f"dims {answer.dims}" if isinstance(answer, xr.DataArray) else type(answer).__name__
        fix = "return one value per draw; the mean over draws is taken afterwards"
        raise QueryError(explain("function", f"it returned {got}", expected="a DataArray with dim 'draw'", fix=fix))
    return answer if "chain" in answer.dims else answer.expand_dims("chain")
