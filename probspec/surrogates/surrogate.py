"""`Surrogate`: from parameters to the spectrum of a component, with its range and its error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from probspec.errors import FileError, QueryError, explain
from probspec.folders import Folder
from probspec.surrogates.autoencoder import Autoencoder
from probspec.surrogates.family import read_family
from probspec.surrogates.held_out import HeldOutError
from probspec.surrogates.iae import fit_iae
from probspec.surrogates.maps import Map, build_map
from probspec.surrogates.options import IAEOptions, PCAOptions, settings_of
from probspec.surrogates.pca import PrincipalComponents, fit_pca
from probspec.surrogates.questions import as_rows, check_range

SAVED = Folder(
    kind="surrogate",
    version=1,
    packages=("torch", "numpy", "scipy", "safetensors"),
    tensors="tensors.safetensors",
    tables=(),
    saving="surrogate.save(folder)",
)
QUANTILES = 33
Chart = PrincipalComponents | Autoencoder
CHARTS: dict[str, type[Chart]] = {PrincipalComponents.kind: PrincipalComponents, Autoencoder.kind: Autoencoder}


class Surrogate(nn.Module):
    r"""Spectra of one component as a smooth function of few parameters, taught by examples; made by `Surrogate.fit`.

    .. math:: \theta \;\mapsto\; c(\theta) \;\mapsto\; \psi(\theta) > 0, \qquad \sum_\mathrm{channel} \psi = 1

    A map of splines leads from the parameters to a few coordinates, a chart from there to the spectrum: principal
    components (`kind="pca"`) or the decoder of an interpolatory autoencoder (`kind="iae"`; Bobin 2023). Amplitudes
    that multiply a spectrum of unit sum are in expected counts.

    Parameters
    ----------
    chart : PrincipalComponents or Autoencoder
    path : TensorSpline or RadialSpline, optional
        From parameters to the coordinates; without it, the coordinates are the parameters.
    names, units : tuple of str
        Of the parameters.
    taught : (quantile, parameter) Tensor
        Quantiles of each parameter among the examples, from the least to the largest, in these units.
    error : HeldOutError
        dB.

    Examples
    --------
    >>> import numpy as np
    >>> energy, width = np.linspace(0, 1, 50), np.linspace(0.1, 0.3, 12)
    >>> peaks = np.exp(-0.5 * ((energy - 0.5) / width[:, None]) ** 2)
    >>> surrogate = Surrogate.fit(peaks, width, names=["width"], units=["keV"])
    >>> surrogate.predict({"width": [0.15, 0.2]}).shape
    (2, 50)
    >>> surrogate.error.worst < -50
    True
    """

    taught: Tensor

    def __init__(
        self,
        chart: Chart,
        path: Map | None,
        names: tuple[str, ...],
        units: tuple[str, ...],
        taught: Tensor,
        error: HeldOutError,
    ):
        super().__init__()
        self.chart, self.path = chart, path
        self.names, self.units, self.error = names, units, error
        self.register_buffer("taught", taught)

    @property
    def lower(self) -> Tensor:
        """Least value of each parameter that was taught, (parameter,)."""
        return self.taught[0]

    @property
    def upper(self) -> Tensor:
        """Largest value of each parameter that was taught, (parameter,)."""
        return self.taught[-1]

    @classmethod
    def fit(
        cls,
        spectra: ArrayLike,
        parameters: ArrayLike | None = None,
        names: Sequence[str] | None = None,
        units: Sequence[str] | None = None,
        anchors: Sequence[int] | None = None,
        kind: str = "auto",
        options: PCAOptions | IAEOptions | None = None,
        seed: int = 0,
    ) -> Surrogate:
        """Learn a family of spectra.

        Parameters
        ----------
        spectra : (sample, channel) array
            Not negative; of whatever sum, they are scaled to unit sum. Where all rows are counts, also scaled ones,
            those of more counts weigh more.
        parameters : (sample, parameter) array, or (sample,) array of one parameter; optional
            On a grid or scattered. Without them the parameters are barycentric weights of the anchors.
        names, units : sequence of str, optional
            One for each parameter.
        anchors : sequence of int, optional
            Rows between which `kind="iae"` interpolates; by default the corners of the parameters' range, or, where
            there are none, spectra that are far apart.
        kind : {"auto", "pca", "iae"}
            "auto" takes principal components where there are parameters.
        options : PCAOptions or IAEOptions, optional
        seed : int
            Same seed, same surrogate; the global generators are left as they are.

        Returns
        -------
        Surrogate
            In double precision, and on the CPU; `error` is measured on rows that were left out, those at an end of a
            parameter's range excepted, as the remaining rows do not reach so far.

        Raises
        ------
        DataError
            If spectra or parameters are not what is described here; it names the row and column.
        FitError
            If an option is out of its range, or the loss ceases to be finite.
        """
        options = settings_of(kind, options, parameters is not None, anchors is not None)
        family = read_family(spectra, parameters, names, units, anchors)
        if isinstance(options, PCAOptions):
            chart, path, error = fit_pca(family, options, seed)
            return cls(chart, path, family.names, family.units, _quantiles(family.parameters), error)
        chart, path, weights, error = fit_iae(family, options, seed)
        if family.parameters is not None:
            return cls(chart, path, family.names, family.units, _quantiles(family.parameters), error)
        labels = tuple(f"weight_{n}" for n in range(weights.shape[1]))
        return cls(chart, None, labels, ("",) * len(labels), _quantiles(weights), error)

    @property
    def kind(self) -> str:
        """Name of the chart: "pca" or "iae"."""
        return self.chart.kind

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.chart.channels

    def forward(self, parameters: Tensor) -> Tensor:
        """Same as `decode`."""
        return self.decode(parameters)

    def decode(self, parameters: Tensor) -> Tensor:
        """Spectra of given parameters, differentiable in them, in their precision.

        Parameters
        ----------
        parameters : (..., parameter) Tensor
            Beyond its range a parameter counts as the nearest bound; nothing is refused here.

        Returns
        -------
        (..., channel) Tensor
            Positive, of unit sum.

        Raises
        ------
        QueryError
            If the last dim is not that of the parameters.
        """
        self._check_shape(parameters)
        return self.chart(self._coordinates(parameters))

    def decode_with_jacobian(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Spectra, and their derivatives in closed form.

        Parameters
        ----------
        parameters : (..., parameter) Tensor

        Returns
        -------
        spectra : (..., channel) Tensor
        jacobian : (..., channel, parameter) Tensor
            Per unit of the parameter.

        Raises
        ------
        QueryError
            If the last dim is not that of the parameters.
        """
        self._check_shape(parameters)
        if self.path is None:
            change = torch.diag_embed(self._inside(parameters))
            spectra, jacobian = self.chart.push(self._coordinates(parameters), change)
        else:
            spectra, jacobian = self.chart.push(*self.path.with_jacobian(parameters))
        return spectra, jacobian.transpose(-1, -2)

    def predict(self, parameters: ArrayLike | Mapping[str, ArrayLike]) -> NDArray[np.float64]:
        """Spectra of given parameters.

        Parameters
        ----------
        parameters : (..., parameter) array, (sample,) array of one parameter, or mapping of name -> array
            Arrays of a mapping are broadcast against each other.

        Returns
        -------
        (..., channel) array
            Positive, of unit sum.

        Raises
        ------
        QueryError
            If a parameter is misnamed, missing, not a number or outside the taught range; it names index and range.
        """
        theta = as_rows(parameters, self.names)
        lower, upper = (bound.double().cpu().numpy() for bound in (self.lower, self.upper))
        check_range(theta, self.names, self.units, lower, upper)
        with torch.no_grad():
            return self.decode(torch.from_numpy(theta)).numpy()

    def save(self, folder: str | Path) -> None:
        """Save as a folder of JSON and safetensors; a saved surrogate that has the name already is replaced.

        Raises
        ------
        FileError
            If the name belongs to something else, or the disk refuses.
        """
        SAVED.write(Path(folder), {"architecture": self.architecture()}, {}, self.state_dict())

    @classmethod
    def load(cls, folder: str | Path) -> Surrogate:
        """Load what `save` wrote; its spectra are the same to the last bit.

        Raises
        ------
        FileError
            If the folder or a file in it is missing, damaged, or written by a newer probspec.
        """
        meta, _, tensors = SAVED.read(Path(folder))
        try:
            made = cls.build(meta["architecture"])
            made.load_state_dict(tensors)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            problem = f"does not make a surrogate ({type(error).__name__}: {error})"
            raise FileError(explain(str(folder), problem, fix="load it with the versions in its meta.json")) from error
        return made

    def architecture(self) -> dict[str, Any]:
        """Plain values from which `build` makes a surrogate of the same shape, to be filled by `load_state_dict`."""
        return {
            "chart": self.chart.architecture(),
            "path": None if self.path is None else self.path.architecture(),
            "names": list(self.names),
            "units": list(self.units),
            "error": asdict(self.error),
        }

    @classmethod
    def build(cls, architecture: Mapping[str, Any]) -> Surrogate:
        """Make a surrogate of the given shape, without values."""
        names, units = tuple(architecture["names"]), tuple(architecture["units"])
        taught = torch.zeros(QUANTILES, len(names), dtype=torch.float64)
        path = architecture["path"]
        error = HeldOutError(**architecture["error"])
        chart = CHARTS[architecture["chart"]["kind"]].build(architecture["chart"])
        return cls(chart, path and build_map(path), names, units, taught, error).requires_grad_(False).eval()

    def __repr__(self) -> str:
        ranges = ", ".join(
            f"{name} {lower:.4g} to {upper:.4g}" + (f" {unit}" if unit not in ("", "1") else "")
            for name, unit, lower, upper in zip(self.names, self.units, self.lower, self.upper, strict=True)
        )
        return f"Surrogate({self.chart.describe()}; {ranges}; {self.channels} channels; {self.error})"

    def _coordinates(self, parameters: Tensor) -> Tensor:
        if self.path is not None:
            return self.path(parameters)
        return torch.minimum(torch.maximum(parameters, self.lower.to(parameters)), self.upper.to(parameters))

    def _inside(self, parameters: Tensor) -> Tensor:
        inside = (parameters >= self.lower.to(parameters)) & (parameters <= self.upper.to(parameters))
        return inside.to(parameters)

    def _check_shape(self, parameters: Tensor) -> None:
        if parameters.shape[-1:] != self.lower.shape or not parameters.is_floating_point():
            found = f"{parameters.dtype} of shape {tuple(parameters.shape)}"
            expected = f"floating numbers of shape (..., {len(self.names)}): {', '.join(self.names)}"
            raise QueryError(explain("parameters", found, expected=expected))


def _quantiles(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(np.quantile(values, np.linspace(0, 1, QUANTILES), axis=0))
