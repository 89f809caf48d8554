r"""What counted spectra are mixtures of: components by name, with their parameters and ranges.

.. math:: X[\mathrm{pixel}, \mathrm{channel}] \sim \mathrm{Poisson}\Big(e \sum_c A_c\, \psi_c(\theta_c)\Big)

A component is a surrogate, or a spectrum that is fixed; all have unit sum, so that an amplitude A is in expected counts
(per unit of the exposure e, where one is given). `Mixture` is the right-hand side; `check_counts` of `probspec.counts`
makes the left-hand side fit for use. Every method of unmixing, with and without posterior, stands on these two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from probspec.counts import Counts, check_all, check_counts, numbers
from probspec.errors import DataError, QueryError, explain, known
from probspec.surrogates import QUANTILES, Surrogate

__all__ = ["BACKGROUND", "Counts", "Mixture", "check_counts"]

BACKGROUND = "background"
"""Name of the component that `background` adds."""


class Mixture(nn.Module):
    """Components of a mixture, their free parameters, and what they are expected to be counted as.

    The parameters of all components stand side by side in one vector: "thermal.kT", "thermal.z", "synchrotron.index".
    A shared parameter stands there once, by its own name: "thickness".

    Parameters
    ----------
    components : mapping of name -> Surrogate or (channel,) array
        An array is a component without parameters; it is scaled to unit sum.
    background : Surrogate or (channel,) array, optional
        One more component, named "background", the last.
    shared : sequence of str, optional
        Names of parameters that have one value for all components of a spectrum that have them.

    Attributes
    ----------
    names : tuple of str
        Components, in the order of the amplitudes.
    channels : int
    parameter_names, parameter_units : tuple of str
        In the order of the vector.
    taught : (quantile, parameter) Tensor
        Quantiles of the values at which the components were taught; of a shared parameter, where all of them were.
    places : tuple of tuple of int
        For each component, where its own parameters stand in the vector.

    Raises
    ------
    DataError
        If there is no component, numbers of channels differ, a spectrum is no spectrum, or ranges or units of a shared
        parameter do not go together.
    QueryError
        If no component has a shared parameter.

    Examples
    --------
    >>> import numpy as np
    >>> width = np.linspace(0.1, 0.3, 9)
    >>> peak = np.exp(-0.5 * ((np.linspace(0, 1, 40) - 0.5) / width[:, None]) ** 2)
    >>> line = Surrogate.fit(peak, width, names=["width"], units=["keV"])
    >>> mixture = Mixture({"line": line}, background=np.ones(40))
    >>> mixture
    Mixture(line, background; line.width 0.1 to 0.3 keV; 40 channels)
    >>> mixture.expected(torch.tensor([70.0, 30.0]), torch.tensor([0.2])).sum().round()
    tensor(100.)
    """

    taught: Tensor
    fixed: Tensor

    def __init__(
        self,
        components: Mapping[str, Surrogate | ArrayLike],
        background: Surrogate | ArrayLike | None = None,
        shared: Sequence[str] | None = None,
    ):
        super().__init__()
        made = _components(components, background)
        self.names = tuple(made)
        self.channels = _channels(made)
        self.surrogates = nn.ModuleList([one for one in made.values() if isinstance(one, Surrogate)])
        spectra = [one for one in made.values() if not isinstance(one, Surrogate)]
        self.register_buffer("fixed", torch.stack(spectra) if spectra else torch.zeros(0, self.channels).double())
        # component -> number among the surrogates, or among the fixed spectra counted from -1 downwards
        self._sources = _sources(list(made.values()))
        free = _free(made, _shared(made, shared))
        self.shared = tuple(shared or ())
        self.parameter_names, self.parameter_units = tuple(free), tuple(of.unit for of in free.values())
        self.places = tuple(_places(name, one, free, self.shared) for name, one in made.items())
        columns = [of.taught.clamp(of.lower, of.upper) for of in free.values()]
        self.register_buffer("taught", torch.stack(columns, -1) if columns else torch.zeros(QUANTILES, 0).double())

    @property
    def lower(self) -> Tensor:
        """Least value of each parameter, (parameter,)."""
        return self.taught[0]

    @property
    def upper(self) -> Tensor:
        """Largest value of each parameter, (parameter,)."""
        return self.taught[-1]

    @property
    def middle(self) -> Tensor:
        """Middle of each parameter's range, (parameter,)."""
        return (self.lower + self.upper) / 2

    def own_names(self, component: str) -> tuple[str, ...]:
        """Names of the parameters of a component, as its surrogate has them."""
        source = self._sources[self._number(component)]
        return () if source < 0 else tuple(self.surrogates[source].names)

    def spectra(self, parameters: Tensor) -> Tensor:
        """Spectra of the components.

        Parameters
        ----------
        parameters : (..., parameter) Tensor
            Beyond its range a parameter counts as the nearest bound.

        Returns
        -------
        (..., component, channel) Tensor
            Positive, of unit sum, in the precision of the parameters.
        """
        return torch.stack([self._spectrum(n, parameters) for n in range(len(self.names))], -2)

    def spectrum(self, component: str, parameters: Tensor) -> Tensor:
        """Spectrum of one component, (..., channel), from the parameters (..., parameter) of all."""
        return self._spectrum(self._number(component), parameters)

    def spectrum_with_jacobian(self, component: str, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Spectrum of one component, and its derivatives by its own parameters.

        Parameters
        ----------
        component : str
        parameters : (..., parameter) Tensor
            Of all components.

        Returns
        -------
        spectrum : (..., channel) Tensor
        jacobian : (..., own parameter, channel) Tensor
        """
        number = self._number(component)
        source, places = self._sources[number], list(self.places[number])
        if source < 0:
            spectrum = self._spectrum(number, parameters)
            return spectrum, spectrum.unsqueeze(-2)[..., :0, :]
        spectrum, jacobian = self.surrogates[source].decode_with_jacobian(parameters[..., places])
        return spectrum, jacobian.mT

    def contributions(self, amplitude: Tensor, parameters: Tensor) -> Tensor:
        """Expected counts of each component.

        Parameters
        ----------
        amplitude : (..., component) Tensor, counts
        parameters : (..., parameter) Tensor

        Returns
        -------
        (..., component, channel) Tensor, counts
        """
        return amplitude.unsqueeze(-1) * self.spectra(parameters)

    def expected(self, amplitude: Tensor, parameters: Tensor) -> Tensor:
        """Expected counts of all components together.

        Parameters
        ----------
        amplitude : (..., component) Tensor, counts
        parameters : (..., parameter) Tensor

        Returns
        -------
        (..., channel) Tensor, counts
        """
        parts = (amplitude[..., n, None] * self._spectrum(n, parameters) for n in range(len(self.names)))
        return sum(parts, start=amplitude.new_zeros(()))

    def expected_with_jacobian(self, amplitude: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Expected counts, and their derivatives in closed form.

        Parameters
        ----------
        amplitude : (..., component) Tensor, counts
        parameters : (..., parameter) Tensor

        Returns
        -------
        expected : (..., channel) Tensor, counts
        jacobian : (..., component + parameter, channel) Tensor
            By the amplitudes, which are the spectra, then by the parameters.
        """
        batch, count = torch.broadcast_shapes(amplitude.shape[:-1], parameters.shape[:-1]), len(self.names)
        jacobian = amplitude.new_zeros((*batch, count + len(self.parameter_names), self.channels))
        for n, (name, places) in enumerate(zip(self.names, self.places, strict=True)):
            jacobian[..., n, :], slopes = self.spectrum_with_jacobian(name, parameters)
            for place, slope in zip(places, slopes.unbind(-2), strict=True):
                jacobian[..., count + place, :] += amplitude[..., n, None] * slope
        return (amplitude.unsqueeze(-2) @ jacobian[..., :count, :]).squeeze(-2), jacobian

    def by_component(self, parameters: Tensor) -> dict[str, Tensor]:
        """Give each component that has parameters its own, (..., own parameter); a shared one goes to several."""
        return {name: parameters[..., list(at)] for name, at in zip(self.names, self.places, strict=True) if at}

    def joined(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Bring parameters (..., own parameter) of all components into one vector, (..., parameter).

        Of a shared parameter the first component's value is taken.

        Raises
        ------
        QueryError
            If a component is unknown, missing, or has another number of parameters.
        """
        columns: dict[int, Tensor] = {}
        for name in parameters:
            self._number(name)
        for name, places in zip(self.names, self.places, strict=True):
            if places and (name not in parameters or parameters[name].shape[-1] != len(places)):
                found = f"shape {tuple(parameters[name].shape)}" if name in parameters else "missing"
                expected = f"(..., {len(places)}): {', '.join(self.own_names(name))}"
                raise QueryError(explain(f"parameters[{name!r}]", found, expected=expected))
            for own, place in enumerate(places):
                columns.setdefault(place, parameters[name][..., own])
        return torch.stack(torch.broadcast_tensors(*(columns[place] for place in sorted(columns))), -1)

    def __repr__(self) -> str:
        units = [f" {unit}" if unit not in ("", "1") else "" for unit in self.parameter_units]
        of = zip(self.parameter_names, self.lower, self.upper, units, strict=True)
        ranges = "".join(f"{name} {lower:.4g} to {upper:.4g}{unit}; " for name, lower, upper, unit in of)
        return f"Mixture({', '.join(self.names)}; {ranges}{self.channels} channels)"

    def _spectrum(self, number: int, parameters: Tensor) -> Tensor:
        source = self._sources[number]
        if source < 0:
            return self.fixed[-1 - source].to(parameters).expand(*parameters.shape[:-1], -1)
        return self.surrogates[source].decode(parameters[..., list(self.places[number])])

    def _number(self, component: str) -> int:
        if component not in self.names:
            raise QueryError(explain("component", f"no {component!r}", fix=known(component, self.names)))
        return self.names.index(component)


@dataclass(frozen=True)
class _Range:
    """A free parameter."""

    lower: float
    upper: float
    unit: str
    taught: Tensor


def _components(
    components: Mapping[str, Surrogate | ArrayLike], background: Surrogate | ArrayLike | None
) -> dict[str, Surrogate | Tensor]:
    if not isinstance(components, Mapping) or not components:
        expected = "a mapping of name -> Surrogate or (channel,) array"
        raise DataError(explain("components", f"{type(components).__name__} of no use", expected=expected))
    if background is not None and BACKGROUND in components:
        raise DataError(explain("background", "a component has this name too", fix="rename it, or leave one out"))
    made = {str(name): _component(one, f"components[{name!r}]") for name, one in components.items()}
    return made if background is None else {**made, BACKGROUND: _component(background, BACKGROUND)}


def _component(component: Surrogate | ArrayLike, where: str) -> Surrogate | Tensor:
    return component if isinstance(component, Surrogate) else _unit_sum(component, where)


def _unit_sum(spectrum: ArrayLike, where: str) -> Tensor:
    values = numbers(spectrum, where)
    if values.ndim != 1:
        expected = "a Surrogate, or one fixed spectrum of shape (channel,)"
        raise DataError(explain(where, f"shape {values.shape}", expected=expected))
    check_all(where, values, "a spectrum, not negative")
    if not values.sum() > 0:
        raise DataError(explain(where, "zero in all channels", expected="a spectrum"))
    return torch.from_numpy(values / values.sum())


def _channels(components: Mapping[str, Surrogate | Tensor]) -> int:
    counts = {name: c.channels if isinstance(c, Surrogate) else len(c) for name, c in components.items()}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise DataError(explain("components", f"channels: {found}", expected="one number of channels"))
    return next(iter(counts.values()))


def _sources(components: Iterable[Surrogate | Tensor]) -> tuple[int, ...]:
    taught, fixed, sources = 0, 0, []
    for one in components:
        sources.append(taught if isinstance(one, Surrogate) else -1 - fixed)
        taught, fixed = taught + isinstance(one, Surrogate), fixed + (not isinstance(one, Surrogate))
    return tuple(sources)


def _shared(components: Mapping[str, Surrogate | Tensor], shared: Sequence[str] | None) -> tuple[str, ...]:
    if isinstance(shared, str):
        raise QueryError(explain("shared", f"{shared!r} is no list", fix=f"shared=[{shared!r}]"))
    names = {name for one in components.values() if isinstance(one, Surrogate) for name in one.names}
    for name in shared or ():
        if name not in names:
            raise QueryError(explain("shared", f"no component has {name!r}", fix=known(name, names)))
    return tuple(shared or ())


def _free(components: Mapping[str, Surrogate | Tensor], shared: tuple[str, ...]) -> dict[str, _Range]:
    free: dict[str, _Range] = {}
    for component, one in components.items():
        if not isinstance(one, Surrogate):
            continue
        for name, unit, taught in zip(one.names, one.units, one.taught.T, strict=True):
            key = _key(component, name, shared)
            found = _Range(float(taught[0]), float(taught[-1]), unit, taught)
            free[key] = _common(key, free[key], found) if key in free else found
    return free


def _common(name: str, one: _Range, other: _Range) -> _Range:
    lower, upper = max(one.lower, other.lower), min(one.upper, other.upper)
    if lower >= upper or one.unit != other.unit:
        problem = ", ".join(f"{of.lower:.4g} to {of.upper:.4g} {of.unit}" for of in (one, other))
        raise DataError(explain(f"shared {name!r}", problem, expected="one unit, and ranges that overlap"))
    return _Range(lower, upper, one.unit, one.taught)


def _places(
    component: str, one: Surrogate | Tensor, free: Mapping[str, _Range], shared: tuple[str, ...]
) -> tuple[int, ...]:
    names = list(free)
    return tuple(names.index(_key(component, n, shared)) for n in one.names) if isinstance(one, Surrogate) else ()


def _key(component: str, name: str, shared: tuple[str, ...]) -> str:
    return name if name in shared else f"{component}.{name}"
