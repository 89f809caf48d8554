"""`PoissonUnmixer`: from counted spectra to the counts and parameters of their components, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from probspec.counts import Counts, check_counts
from probspec.errors import QueryError, explain
from probspec.mixtures import BACKGROUND, Mixture
from probspec.posterior import Posterior
from probspec.seeding import child_seed
from probspec.surrogates import Surrogate
from probspec.unmixing import SpectrumDraws, SpectrumUnmixer, UnmixingPriors
from probspec.unmixing.learning import FEW, learnt_share

Array = NDArray[np.float64]
SHOWN = 32  # draws that expected counts are averaged over
MOST_ASKED, FIRST_DRAWS = 50, 200  # spectra, and draws of each, that the background's share is learnt from


class PoissonUnmixer(BaseEstimator):
    """Amplitudes and parameters of the components of counted spectra, with intervals.

    Parameters
    ----------
    surrogates : dict of name -> Surrogate or (channel,) array
        Components; an array is a fixed spectrum, scaled to unit sum.
    background : (channel,) array, optional
        One more fixed spectrum, named "background"; its amplitude is inferred.
    shared : sequence of str, optional
        Parameters that have one value for all components of a spectrum, such as a thickness.
    shape : (int, int), optional
        Pixels along y and x, where the rows of a map are given as (sample, channel).
    exposure : (sample,), (y, x) or array of the shape of the counts, optional
        By which expected counts are multiplied.
    mask : bool array, of a shape as for the exposure, optional
        True where counts are to be heeded.
    priors : UnmixingPriors or mapping, optional
        What `UnmixingPriors` takes: presence, concentration, share, and laws of parameters by name, such as
        ``{"presence": 0.1, "thickness": dist.LogNormal(0, 1)}``.
    learn : bool
        Learn the usual share of the background from the spectra themselves, where there are 20 or more.
    draws : int
        Posterior draws of each spectrum.
    random_state : int

    Attributes
    ----------
    amplitudes_ : (sample, component) array, counts
        Posterior means per unit of exposure, in the order of `names_`; NaN where nothing was heeded.
    parameters_ : dict of component -> (sample, parameter) array
        Posterior means, in the order and units of the surrogates.
    detection_ : (sample, component) array
        Probability that a component is present.
    efficiency_ : (sample,) array
        Effective share of the importance weights behind the draws; below 0.05 they are not to be trusted.
    posterior_ : Posterior
        Sites "amplitude" and "<component>.<parameter>".
    priors_ : UnmixingPriors
        With what was learnt.
    names_ : tuple of str
        Components, the background last.

    Examples
    --------
    >>> width = np.linspace(0.1, 0.3, 9)
    >>> peak = np.exp(-0.5 * ((np.linspace(0, 1, 40) - 0.5) / width[:, None]) ** 2)
    >>> line = Surrogate.fit(peak, width, names=["width"], units=["keV"])
    >>> counts = np.random.default_rng(0).poisson(500 * line.predict([0.2]) + 5.0)
    >>> unmixer = PoissonUnmixer({"line": line}, background=np.ones(40)).fit(counts)
    >>> lower, upper = unmixer.posterior_.interval("amplitude", 0.9)
    >>> bool(lower.sel(component="line") < 500 < upper.sel(component="line"))
    True
    """

    amplitudes_: Array
    parameters_: dict[str, Array]
    detection_: Array
    efficiency_: Array
    posterior_: Posterior
    names_: tuple[str, ...]
    mixture_: Mixture
    priors_: UnmixingPriors

    def __init__(
        self,
        surrogates: Mapping[str, Surrogate | ArrayLike],
        background: ArrayLike | None = None,
        shared: Sequence[str] | None = None,
        shape: tuple[int, int] | None = None,
        exposure: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        priors: UnmixingPriors | Mapping[str, Any] | None = None,
        learn: bool = True,
        draws: int = 500,
        random_state: int = 0,
    ):
        self.surrogates = surrogates
        self.background = background
        self.shared = shared
        self.shape = shape
        self.exposure = exposure
        self.mask = mask
        self.priors = priors
        self.learn = learn
        self.draws = draws
        self.random_state = random_state

    def fit(self, counts: ArrayLike, y: None = None) -> Self:
        """Unmix spectra.

        Parameters
        ----------
        counts : (sample, channel) array, counts
            Not negative; fractions count as what they are.
        y : None
            Not looked at.

        Raises
        ------
        DataError
            If counts, exposure, mask or components are not what is described here; it names the index.
        PriorError
            If a prior names no site, or is no law of it.
        QueryError
            If a name is unknown, or maps are given.
        """
        self.mixture_ = Mixture(self.surrogates, self.background, self.shared)
        checked = check_counts(counts, self.mixture_.channels, self.exposure, self.mask, self.shape)
        if len(checked.shape) != 1:
            raise QueryError(explain("counts", f"a map of {checked.shape} pixels", fix="counts.reshape(-1, channels)"))
        self.names_ = self.mixture_.names
        with torch.no_grad():
            found = self._drawn(checked)
        self._draws = found
        self._summarise(checked, found)
        return self

    @property
    def components_(self) -> Array:
        """Expected counts of each component, (sample, component, channel), per unit of exposure; made when asked for.

        Posterior means, over some of the draws.
        """
        check_is_fitted(self, "amplitudes_")
        with torch.no_grad():
            return torch.stack([self._expected(of) for of in self._draws]).numpy()

    def _priors(self) -> UnmixingPriors:
        if isinstance(self.priors, UnmixingPriors):
            return self.priors
        laws = dict(self.priors or {})
        own = {name: laws.pop(name) for name in ("presence", "concentration", "share") if name in laws}
        return UnmixingPriors(**own, parameters=laws)

    def _drawn(self, counts: Counts) -> list[SpectrumDraws]:
        priors = self._priors()
        if self.learn and BACKGROUND in self.names_ and BACKGROUND not in priors.share and len(counts) >= FEW:
            some = np.unique(np.linspace(0, len(counts) - 1, MOST_ASKED).astype(int)).tolist()
            found = self._each(counts, some, SpectrumUnmixer(self.mixture_, priors, FIRST_DRAWS))
            share = learnt_share(found, self.names_.index(BACKGROUND))
            priors = priors if share is None else replace(priors, share={**priors.share, BACKGROUND: share})
        self.priors_ = priors
        return self._each(counts, range(len(counts)), SpectrumUnmixer(self.mixture_, priors, self.draws))

    def _each(self, counts: Counts, rows: Sequence[int], solve: SpectrumUnmixer) -> list[SpectrumDraws]:
        exposure = counts.exposure.expand(-1, counts.values.shape[1])
        return [solve(counts.values[row], exposure[row], child_seed(self.random_state, row)) for row in rows]

    def _summarise(self, counts: Counts, found: list[SpectrumDraws]) -> None:
        amplitude, parameters = (
            torch.stack(of) for of in zip(*((f.amplitude, f.parameters) for f in found), strict=True)
        )
        unseen = (counts.exposure == 0).all(-1, keepdim=True)
        amplitude = amplitude.masked_fill(unseen[:, None], torch.nan)
        self.amplitudes_ = amplitude.mean(1).numpy()
        self.parameters_ = {name: of.mean(1).numpy() for name, of in self.mixture_.by_component(parameters).items()}
        self.detection_ = torch.stack([of.presence for of in found]).masked_fill(unseen, torch.nan).numpy()
        self.efficiency_ = np.array([of.efficiency for of in found])
        self.posterior_ = Posterior(self._dataset(amplitude, parameters), self._density(found))

    def _dataset(self, amplitude: Tensor, parameters: Tensor) -> xr.Dataset:
        dims = ("chain", "draw", "sample")
        made = {"amplitude": ((*dims, "component"), _by_draw(amplitude), {"unit": "counts"})}
        for component, of in self.mixture_.by_component(parameters).items():
            for place, name in enumerate(self.mixture_.own_names(component)):
                unit = self.mixture_.parameter_units[self.mixture_.places[self.names_.index(component)][place]]
                made[f"{component}.{name}"] = (dims, _by_draw(of[..., place]), {"unit": unit})
        index = {"chain": [0], "draw": np.arange(self.draws), "sample": np.arange(len(amplitude))}
        return xr.Dataset(made, index | {"component": list(self.names_)})

    def _density(self, found: list[SpectrumDraws]) -> xr.Dataset:
        """Log densities, up to a constant, of the draws that were kept."""
        dims = ("chain", "draw", "sample")
        kept = {
            "log_p": torch.stack([of.log_p for of in found], 1)[None].numpy(),
            "log_q": torch.stack([of.log_q for of in found], 1)[None].numpy(),
        }
        return xr.Dataset({name: (dims, values) for name, values in kept.items()})

    def _expected(self, found: SpectrumDraws) -> Tensor:
        some = slice(None, None, max(1, self.draws // SHOWN))
        return self.mixture_.contributions(found.amplitude[some], found.parameters[some]).mean(0)


def _by_draw(values: Tensor) -> Array:
    """From (sample, draw, ...) to (chain, draw, sample, ...)."""
    return values.transpose(0, 1)[None].numpy()
