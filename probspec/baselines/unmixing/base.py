"""The one face of all methods of unmixing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from probspec.counts import Counts, check_counts
from probspec.errors import QueryError, explain
from probspec.mixtures import Mixture
from probspec.surrogates import Surrogate
from probspec.surrogates.questions import as_rows

Array = NDArray[np.float64]


class Unmixing(ABC):
    """Amplitudes and parameters of the components of counted spectra.

    Parameters
    ----------
    surrogates : mapping of name -> Surrogate or (channel,) array
        Components; an array is a fixed spectrum, scaled to unit sum.
    background : (channel,) array, optional
        One more fixed spectrum, named "background".
    shared : sequence of str, optional
        Parameters that have one value for all components of a spectrum, such as a thickness.
    shape : (int, int), optional
        Pixels along y and x, where the rows of a map are given as (sample, channel).
    exposure : (sample,), (y, x) or array of the shape of the counts, optional
        By which expected counts are multiplied.
    mask : bool array, of a shape as for the exposure, optional
        True where counts are to be heeded.

    Attributes
    ----------
    amplitudes_ : (..., component) array, counts
        Per unit of exposure, in the order of `mixture_.names`; NaN where nothing was heeded.
    parameters_ : dict of component -> (..., parameter) array
        Of the components that have any, in the order and units of their surrogates.
    mixture_ : Mixture
    """

    amplitudes_: Array
    parameters_: dict[str, Array]
    mixture_: Mixture

    def __init__(
        self,
        surrogates: Mapping[str, Surrogate | ArrayLike],
        background: ArrayLike | None = None,
        shared: Sequence[str] | None = None,
        shape: tuple[int, int] | None = None,
        exposure: ArrayLike | None = None,
        mask: ArrayLike | None = None,
    ):
        self.surrogates, self.background, self.shared = surrogates, background, shared
        self.shape, self.exposure, self.mask = shape, exposure, mask

    @abstractmethod
    def _solve(self, mixture: Mixture, counts: Counts) -> tuple[Tensor, Tensor]:
        """Amplitudes (pixel, component) and parameters (pixel, parameter) of counts that were checked."""

    def fit(self, counts: ArrayLike) -> Self:
        """Unmix spectra.

        Parameters
        ----------
        counts : (sample, channel) or (y, x, channel) array, counts

        Returns
        -------
        Unmixing
            This object, fitted.

        Raises
        ------
        DataError
            If counts, exposure, mask or components are not what is described here.
        QueryError
            If a name is unknown.
        """
        self.mixture_ = Mixture(self.surrogates, self.background, self.shared)
        checked = check_counts(counts, self.mixture_.channels, self.exposure, self.mask, self.shape)
        with torch.no_grad():
            amplitudes, parameters = self._solve(self.mixture_, checked)
        unseen = (checked.exposure == 0).all(-1, keepdim=True)
        self.amplitudes_ = checked.mapped(amplitudes.masked_fill(unseen, torch.nan))
        parts = self.mixture_.by_component(parameters)
        self.parameters_ = {name: checked.mapped(of) for name, of in parts.items()}
        return self

    @property
    def components_(self) -> Array:
        """Expected counts of each component, (..., component, channel), per unit of exposure; made when asked for."""
        if "amplitudes_" not in vars(self):
            raise QueryError(explain(f"{type(self).__name__}.components_", "not fitted yet", fix="call fit(counts)"))
        amplitude = torch.from_numpy(self.amplitudes_)
        parts = {name: torch.from_numpy(of) for name, of in self.parameters_.items()}
        parameters = self.mixture_.joined(parts) if parts else amplitude[..., :0]
        with torch.no_grad():
            return self.mixture_.contributions(amplitude, parameters).numpy()


def fixed_parameters(mixture: Mixture, at: Mapping[str, ArrayLike] | None) -> Tensor:
    """Parameters (parameter,) at which spectra are held, the middle of the range where none are given.

    Raises
    ------
    QueryError
        If a component or a number of parameters is wrong, or a value outside the taught range.
    """
    if at is None:
        return mixture.middle
    given = {name: _one_row(values, name, mixture.own_names(name)) for name, values in at.items()}
    parts = mixture.by_component(mixture.middle) | given
    parameters = mixture.joined(parts)
    outside = (parameters < mixture.lower) | (parameters > mixture.upper) | parameters.isnan()
    for place in outside.nonzero().flatten().tolist():
        found = f"{mixture.parameter_names[place]} = {float(parameters[place]):.6g}"
        expected = f"{float(mixture.lower[place]):.6g} to {float(mixture.upper[place]):.6g}"
        raise QueryError(explain("at", found, expected=expected))
    return parameters


def _one_row(values: ArrayLike, component: str, names: tuple[str, ...]) -> Tensor:
    rows = as_rows(values, names)
    if rows.size != len(names):
        raise QueryError(
            explain(f"at[{component!r}]", f"shape {rows.shape}", expected=f"one value of {', '.join(names)}")
        )
    return torch.from_numpy(rows.reshape(len(names)))
