"""Unmixing a cube of counts: posterior draws of the maps of amplitudes and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from probspec.counts import Counts
from probspec.errors import DataError, QueryError, explain, known
from probspec.fields.grid import Grid
from probspec.fields.laws import GaussianField, Law
from probspec.fields.likelihood import PoissonMaps
from probspec.fields.mgvi import Inference, State
from probspec.fields.options import FieldOptions
from probspec.fields.prior import FieldPrior
from probspec.fields.start import start_fields
from probspec.mixtures import Mixture

AMPLITUDE = GaussianField(std=2.0, slope=-2.5)
"""Law of the logarithm of an amplitude by default: what is learnt starts rather rough, so that edges can form."""
PARAMETER = GaussianField(std=0.5, slope=-2.0, mean_std=1.0)
"""Law of the normal quantile of a parameter's place in its range by default."""


@dataclass(frozen=True, eq=False)
class MapPosterior:
    """Draws of the maps behind a cube, and the laws under which they were drawn.

    Parameters
    ----------
    names : tuple of str
        Of the maps: components, then parameters.
    amplitude : (draw, y, x, component) Tensor, counts
    parameters : (draw, y, x, parameter) Tensor
        In the order and the units of the mixture.
    fields : (draw, map, grid y, grid x) Tensor
        What was inferred, less the levels: logarithms of amplitudes, normal quantiles of parameters.
    levels : (map,) Tensor
    priors : mapping of name -> FieldPrior
        Laws of the fields, with what was learnt; they have `log_prob`.
    """

    names: tuple[str, ...]
    amplitude: Tensor
    parameters: Tensor
    fields: Tensor
    levels: Tensor
    priors: Mapping[str, FieldPrior]

    def contributions(self, mixture: Mixture) -> Tensor:
        """Posterior mean of each component's expected counts, (y, x, component, channel), per unit of exposure."""
        made = self.amplitude.new_zeros(*self.amplitude.shape[1:], mixture.channels)
        for amplitude, parameters in zip(self.amplitude, self.parameters, strict=True):
            made += mixture.contributions(amplitude, parameters) / len(self.amplitude)
        return made


class MapUnmixer:
    """What the maps of a cube are inferred with: its likelihood, the grid, where to start, and the laws.

    Parameters
    ----------
    mixture : Mixture
    counts : Counts
        Of a map, made by `check_counts`; masked pixels follow from the priors and their neighbours.
    laws : mapping of name -> Law, optional
        Of some maps, by the names of components and parameters; `AMPLITUDE` and `PARAMETER` where left out.

    Raises
    ------
    DataError
        If the counts are not of a map, or of other channels than the mixture.
    QueryError
        If a law is given for a map that does not exist, or is none.
    """

    def __init__(self, mixture: Mixture, counts: Counts, laws: Mapping[str, Law] | None = None):
        self.shape = _map_shape(mixture, counts)
        self.likelihood = PoissonMaps(mixture, counts)
        self.grid = Grid(self.shape, device=counts.values.device)
        links = self.likelihood.links
        self.names = links.names
        self.priors = tuple(law.on(self.grid) for law in _laws(laws, links.names, links.components))
        self.levels, self.start = start_fields(self.likelihood, self.grid)

    def maps(self, fields: Tensor) -> tuple[Tensor, Tensor]:
        """Amplitudes (..., pixel, component) and parameters (..., pixel, parameter) of (..., map, grid y, grid x)."""
        rows, columns = self.shape
        return self.likelihood.links(fields[..., :rows, :columns].flatten(-2) + self.levels)

    def __call__(self, options: FieldOptions | None = None, seed: int = 0) -> MapPosterior:
        """Infer; same seed, same draws, and the global generators stay as they are."""
        inference = Inference(self.likelihood, self.grid, self.levels, options or FieldOptions(), seed)
        with torch.no_grad():
            state, draws = inference(State(self.start, self.priors))
            fields = self.grid.field(draws)
            amplitude, parameters = self.maps(fields)
        return MapPosterior(
            names=self.names,
            amplitude=amplitude.unflatten(1, self.shape),
            parameters=parameters.unflatten(1, self.shape),
            fields=fields,
            levels=self.levels[:, 0],
            priors=dict(zip(self.names, state.priors, strict=True)),
        )


def infer_maps(
    mixture: Mixture,
    counts: Counts,
    laws: Mapping[str, Law] | None = None,
    options: FieldOptions | None = None,
    seed: int = 0,
) -> MapPosterior:
    """Infer the maps behind a cube of counts: a `MapUnmixer`, called once.

    Examples
    --------
    >>> import numpy as np
    >>> from probspec.counts import check_counts
    >>> mixture = Mixture({"line": np.exp(-np.linspace(-2, 2, 20) ** 2)})
    >>> cube = np.random.default_rng(0).poisson(50 * mixture.spectra(torch.zeros(6, 6, 0))[..., 0, :].numpy())
    >>> found = infer_maps(mixture, check_counts(cube, 20), options=FieldOptions(draws=10))
    >>> tuple(found.amplitude.shape), bool(abs(found.amplitude.mean() - 50) < 5)
    ((10, 6, 6, 1), True)
    """
    return MapUnmixer(mixture, counts, laws)(options, seed)


def _map_shape(mixture: Mixture, counts: Counts) -> tuple[int, int]:
    if len(counts.shape) != 2:
        fix = "give counts (y, x, channel), or shape=(y, x) to check_counts"
        raise DataError(explain("counts", f"pixels of shape {counts.shape}", expected="a map (y, x)", fix=fix))
    if counts.values.shape[1] != mixture.channels:
        raise DataError(explain("counts", f"{counts.values.shape[1]} channels", expected=f"{mixture.channels}"))
    return counts.shape[0], counts.shape[1]


def _laws(given: Mapping[str, Law] | None, names: tuple[str, ...], components: int) -> list[Law]:
    for name, law in (given or {}).items():
        if name not in names:
            raise QueryError(explain(f"laws[{name!r}]", "no such map", fix=known(name, names)))
        if not isinstance(law, Law):
            fix = f"laws={{{name!r}: GaussianField()}}"
            raise QueryError(explain(f"laws[{name!r}]", f"{law!r} is no law", fix=fix))
    default = [AMPLITUDE] * components + [PARAMETER] * (len(names) - components)
    return [(given or {}).get(name, law) for name, law in zip(names, default, strict=True)]
