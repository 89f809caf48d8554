"""`PoissonUnmixer`: from counts to the amplitudes and parameters of their components, and how sure that is."""

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
from probspec.cubes import write_maps
from probspec.errors import PriorError, QueryError, explain
from probspec.fields import FieldOptions, Law
from probspec.mixtures import BACKGROUND, Mixture
from probspec.models.unmixing import CountedMaps, CountedSpectra
from probspec.posterior import Posterior
from probspec.surrogates import Surrogate
from probspec.unmixing import UnmixingPriors
from probspec.unmixing.learning import FEW, learnt_share

Array = NDArray[np.float64]
SPECTRUM_DRAWS, MAP_DRAWS = 500, 50
SHOWN = 32  # draws that expected counts are averaged over
MOST_ASKED, FIRST_DRAWS = 50, 200  # spectra, and draws of each, that the background's share is learnt from
TOLD = 1.0  # expected counts of a pixel from which on a component of a map counts as present
MODEL_PRIORS = ("presence", "concentration", "share")


class PoissonUnmixer(BaseEstimator):
    """Amplitudes and parameters of the components of counted spectra, with intervals.

    Rows (sample, channel) are independent spectra, in which components are present or absent. In a cube
    (y, x, channel) neighbouring pixels go together.

    Parameters
    ----------
    surrogates : dict of name -> Surrogate or (channel,) array
        Components; an array is a fixed spectrum, scaled to unit sum.
    background : Surrogate or (channel,) array, optional
        One more component, named "background", which is always there; its amplitude is inferred.
    shared : sequence of str, optional
        Parameters that have one value for all components of a spectrum, such as a thickness.
    shape : (int, int), optional
        Pixels along y and x, where a map is given as rows (pixel, channel).
    exposure : (sample,), (y, x) or array of the shape of the counts, optional
        By which expected counts are multiplied.
    mask : bool array, of a shape as for the exposure, optional
        True where counts are to be heeded.
    priors : UnmixingPriors or mapping, optional
        Of spectra, what `UnmixingPriors` takes: presence, concentration, share, and laws of parameters by name, such
        as ``{"presence": 0.1, "thickness": dist.LogNormal(0, 1)}``. Of a cube, spatial laws by component and
        parameter, such as ``{"thermal": fields.StarletSparse(), "thermal.kT": fields.Independent()}``.
    known_counts : (channel,) array, or of the shape of the counts, optional
        Expected counts of what is known and not inferred, exposure included.
    learn : bool
        Learn the usual share of the background from the spectra themselves, where there are 20 or more.
    draws : int, optional
        Posterior draws: 500 of each spectrum, 50 of a cube, where left out. Of a cube, an even number.
    random_state : int

    Attributes
    ----------
    amplitudes_ : (sample, component) or (y, x, component) array, counts
        Posterior means per unit of exposure, in the order of `names_`; NaN where nothing was heeded.
    parameters_ : dict of component -> (sample, parameter) or (y, x, parameter) array
        Posterior means, in the order and units of the surrogates.
    detection_ : (sample, component) or (y, x, component) array
        Probability that a component is present; in a cube, that more than one count of it is expected in a pixel.
    efficiency_ : (sample,) array
        Of spectra: effective share of the guide's draws; below 0.05 they are not to be trusted.
    posterior_ : Posterior
        Sites "amplitude" and "<component>.<parameter>".
    priors_ : UnmixingPriors or mapping of map -> FieldPrior
        With what was learnt.
    names_ : tuple of str
        Components, the background last.
    mixture_ : Mixture
    pair_ : CountedSpectra or CountedMaps
        The Pyro pair behind the draws.

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
    priors_: UnmixingPriors | Mapping[str, Any]
    pair_: CountedSpectra | CountedMaps

    def __init__(
        self,
        surrogates: Mapping[str, Surrogate | ArrayLike],
        background: Surrogate | ArrayLike | None = None,
        shared: Sequence[str] | None = None,
        shape: tuple[int, int] | None = None,
        exposure: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        priors: UnmixingPriors | Mapping[str, Any] | None = None,
        known_counts: ArrayLike | None = None,
        learn: bool = True,
        draws: int | None = None,
        random_state: int = 0,
    ):
        self.surrogates = surrogates
        self.background = background
        self.shared = shared
        self.shape = shape
        self.exposure = exposure
        self.mask = mask
        self.priors = priors
        self.known_counts = known_counts
        self.learn = learn
        self.draws = draws
        self.random_state = random_state

    def fit(self, counts: ArrayLike, y: None = None) -> Self:
        """Unmix spectra, or a cube.

        Parameters
        ----------
        counts : (sample, channel) or (y, x, channel) array, counts
            Not negative; fractions count as what they are.
        y : None
            Not looked at.

        Raises
        ------
        DataError
            If counts, exposure, mask or components are not what is described here; it names the index.
        FitError
            If the number of draws is not allowed.
        PriorError
            If a prior names no site, or is no law of it.
        QueryError
            If a name is unknown.
        """
        self.mixture_ = Mixture(self.surrogates, self.background, self.shared)
        checked = check_counts(
            counts, self.mixture_.channels, self.exposure, self.mask, self.shape, known=self.known_counts
        )
        self.names_, self.n_features_in_ = self.mixture_.names, self.mixture_.channels
        with torch.no_grad():
            (self._fit_map if len(checked.shape) == 2 else self._fit_spectra)(checked)
        return self

    @property
    def components_(self) -> Array:
        """Expected counts of each component, (..., component, channel), per unit of exposure; made when asked for.

        Posterior means, over some of the draws.
        """
        check_is_fitted(self, "amplitudes_")
        step = max(1, len(self._amplitude) // SHOWN)
        amplitude, parameters = self._amplitude[::step], self._parameters[::step]
        made = amplitude.new_zeros(*amplitude.shape[1:], self.mixture_.channels)
        with torch.no_grad():
            for pair in zip(amplitude, parameters, strict=True):
                made += self.mixture_.contributions(*pair) / len(amplitude)
        return made.numpy()

    def contributions(self, *pixel: int) -> Array:
        """Draws of the expected counts of each component in one spectrum, (draw, component, channel).

        Parameters
        ----------
        *pixel : int
            Row of a spectrum, or y and x.

        Raises
        ------
        QueryError
            If there is no such spectrum.
        """
        check_is_fitted(self, "amplitudes_")
        shape = self._amplitude.shape[1:-1]
        if len(pixel) != len(shape) or any(not -size <= at < size for at, size in zip(pixel, shape, strict=False)):
            problem = f"pixel {pixel} of {shape}"
            raise QueryError(explain("contributions", problem, expected="the row of a spectrum, or y and x of a pixel"))
        at = (slice(None), *pixel)
        with torch.no_grad():
            return self.mixture_.contributions(self._amplitude[at], self._parameters[at]).numpy()

    def to_dataset(self, prob: float = 0.9) -> xr.Dataset:
        """Posterior means, standard deviations and interval ends of all sites, in their units.

        Parameters
        ----------
        prob : float
            Of the equal-tailed intervals.

        Returns
        -------
        Dataset (sample or y and x, component)
            "<site>", "<site>_sd", "<site>_lower", "<site>_upper", and "detection".
        """
        check_is_fitted(self, "amplitudes_")
        made = xr.Dataset()
        for site in map(str, self.posterior_.draws.data_vars):
            lower, upper = self.posterior_.interval(site, prob)
            kept = {name: lower.attrs[name] for name in ("unit", "prob")}
            parts = {"": self.posterior_.mean(site), "_sd": self.posterior_.sd(site), "_lower": lower, "_upper": upper}
            made = made.assign({f"{site}{end}": of.drop_attrs().assign_attrs(kept) for end, of in parts.items()})
        return made.assign(detection=made["amplitude"].copy(data=self.detection_).assign_attrs({"unit": ""}))

    def write(self, path: str, prob: float = 0.9) -> None:
        """Write `to_dataset` as netCDF 4, which is HDF5; the file appears whole or not at all.

        Raises
        ------
        FileError
            If it cannot be written.
        """
        write_maps(self.to_dataset(prob), path)

    # Spectra.

    def _fit_spectra(self, counts: Counts) -> None:
        draws = SPECTRUM_DRAWS if self.draws is None else self.draws
        if draws < 1:
            raise QueryError(explain("draws", f"{draws}", expected="1 or more"))
        self.priors_ = self._learnt(counts, self._spectrum_priors())
        self.pair_ = CountedSpectra(self.mixture_, self.priors_).train(counts, self.random_state)
        found = [self.pair_.draws(row, draws) for row in range(len(counts))]
        unseen = (counts.exposure == 0).all(-1, keepdim=True)
        amplitude = torch.stack([one.drawn.amplitude for one in found], 1).masked_fill(unseen, torch.nan)
        parameters = torch.stack([one.drawn.parameters for one in found], 1)
        self.detection_ = torch.stack([one.presence for one in found]).masked_fill(unseen, torch.nan).numpy()
        self.efficiency_ = np.array([one.efficiency for one in found])
        density = {
            "log_p": torch.stack([one.drawn.log_p for one in found], 1),
            "log_q": torch.stack([one.drawn.log_q for one in found], 1),
        }
        dims = ("chain", "draw", "sample")
        log_density = xr.Dataset({name: (dims, of[None].numpy()) for name, of in density.items()})
        self._answer(amplitude, parameters, ("sample",), log_density, {})

    def _spectrum_priors(self) -> UnmixingPriors:
        if isinstance(self.priors, UnmixingPriors):
            return self.priors
        laws = dict(self.priors or {})
        own = {name: laws.pop(name) for name in MODEL_PRIORS if name in laws}
        for name, law in laws.items():
            if isinstance(law, Law):
                problem = f"{type(law).__name__} is a law of maps, but these are independent spectra"
                raise PriorError(explain(f"priors[{name!r}]", problem, fix="give a cube, or shape=(y, x)"))
        return UnmixingPriors(**own, parameters=laws)

    def _learnt(self, counts: Counts, priors: UnmixingPriors) -> UnmixingPriors:
        """Add the usual share of the background, if enough spectra tell of it."""
        if not self.learn or BACKGROUND not in self.names_ or BACKGROUND in priors.share or len(counts) < FEW:
            return priors
        some = np.unique(np.linspace(0, len(counts) - 1, MOST_ASKED).astype(int))
        pair = CountedSpectra(self.mixture_, priors).train(counts.take(some), self.random_state)
        found = [pair.draws(row, FIRST_DRAWS).drawn for row in range(len(some))]
        share = learnt_share(found, self.names_.index(BACKGROUND))
        return priors if share is None else replace(priors, share={**priors.share, BACKGROUND: share})

    # Maps.

    def _fit_map(self, counts: Counts) -> None:
        laws = self.priors or {}
        if isinstance(laws, UnmixingPriors) or any(name in laws for name in MODEL_PRIORS):
            problem = "presence, concentration and share are for independent spectra, but this is a cube"
            fix = 'priors={"thermal": fields.GaussianField()}, or counts.reshape(-1, channels)'
            raise PriorError(explain("priors", problem, fix=fix))
        options = FieldOptions(draws=MAP_DRAWS if self.draws is None else self.draws)
        self.pair_ = CountedMaps(self.mixture_, laws, options).train(counts, self.random_state)
        found = self.pair_.found
        self.priors_ = found.priors
        expected = found.amplitude * counts.exposure.mean(-1).reshape(counts.shape)[..., None]
        self.detection_ = (expected > TOLD).double().mean(0).numpy()
        # a law of logarithms never reaches zero: what makes less than a count cannot be told from nothing
        edge = {"edges": [0.0], "resolution": TOLD / float(counts.exposure.mean())}
        self._answer(found.amplitude.double(), found.parameters.double(), ("y", "x"), xr.Dataset(), edge)

    # Both.

    def _answer(
        self,
        amplitude: Tensor,
        parameters: Tensor,
        pixels: tuple[str, ...],
        density: xr.Dataset,
        attrs: Mapping[str, Any],
    ) -> None:
        """Keep draws (draw, *pixels, component) and (draw, *pixels, parameter)."""
        self._amplitude, self._parameters = amplitude, parameters
        self.amplitudes_ = amplitude.mean(0).numpy()
        self.parameters_ = {name: of.mean(0).numpy() for name, of in self.mixture_.by_component(parameters).items()}
        self.posterior_ = Posterior(self._dataset(pixels, {"unit": "counts"} | dict(attrs)), density)

    def _dataset(self, pixels: tuple[str, ...], attrs: Mapping[str, Any]) -> xr.Dataset:
        dims = ("chain", "draw", *pixels)
        made = {"amplitude": ((*dims, "component"), self._amplitude[None].numpy(), attrs)}
        for component, of in self.mixture_.by_component(self._parameters).items():
            for place, name in enumerate(self.mixture_.own_names(component)):
                unit = self.mixture_.parameter_units[self.mixture_.places[self.names_.index(component)][place]]
                made[f"{component}.{name}"] = (dims, of[None, ..., place].numpy(), {"unit": unit})
        index = {dim: np.arange(size) for dim, size in zip(dims, (1, *self._amplitude.shape), strict=False)}
        return xr.Dataset(made, index | {"component": list(self.names_)})
