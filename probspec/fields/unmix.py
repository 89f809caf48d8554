"""Unmixing a cube of counts: posterior draws of the maps of amplitudes and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from probspec.counts import Counts, check_all, numbers
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


def infer_maps(
    mixture: Mixture,
    counts: Counts,
    laws: Mapping[str, Law] | None = None,
    options: FieldOptions | None = None,
    known_counts: ArrayLike | None = None,
    seed: int = 0,
) -> MapPosterior:
    """Infer the maps behind a cube of counts.

    Parameters
    ----------
    mixture : Mixture
    counts : Counts
        Of a map, made by `check_counts`; masked pixels follow from the priors and their neighbours.
    laws : mapping of name -> Law, optional
        Of some maps, by the names of components and parameters; `AMPLITUDE` and `PARAMETER` where left out.
    options : FieldOptions, optional
    known_counts : (channel,), (y, x, channel) or (pixel, channel) array, counts, optional
        Expected counts of a background that is known, exposure included; in addition to the mixture.
    seed : int
        Same seed, same draws; the global generators stay as they are.

    Returns
    -------
    MapPosterior

    Raises
    ------
    DataError
        If the counts are not of a map, or of other channels than the mixture, or the known counts do not fit them.
    QueryError
        If a law is given for a map that does not exist, or is none.

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
    options = options or FieldOptions()
    shape = _map_shape(mixture, counts)
    likelihood = PoissonMaps(mixture, counts, _known(known_counts, counts))
    grid = Grid(shape, device=counts.values.device)
    levels, fields = start_fields(likelihood, grid)
    names = likelihood.links.names
    priors = tuple(law.on(grid) for law in _laws(laws, names, likelihood.links.components))
    with torch.no_grad():
        state, draws = _infer(Inference(likelihood, grid, levels, options, seed), State(fields, priors))
        amplitude, parameters = likelihood.links(grid.cut(draws).flatten(-2) + levels)
    return MapPosterior(
        names=names,
        amplitude=amplitude.unflatten(1, shape),
        parameters=parameters.unflatten(1, shape),
        fields=grid.field(draws),
        levels=levels[:, 0],
        priors=dict(zip(names, state.priors, strict=True)),
    )


def _infer(inference: Inference, state: State) -> tuple[State, Tensor]:
    state = inference.first(state)
    for pairs in inference.options.pairs:
        state = inference.round(state, pairs)
    return state, state.fields + inference.samples(state, inference.options.draws // 2)


def _map_shape(mixture: Mixture, counts: Counts) -> tuple[int, int]:
    if len(counts.shape) != 2:
        fix = "give counts (y, x, channel), or shape=(y, x) to check_counts"
        raise DataError(explain("counts", f"pixels of shape {counts.shape}", expected="a map (y, x)", fix=fix))
    if counts.values.shape[1] != mixture.channels:
        raise DataError(explain("counts", f"{counts.values.shape[1]} channels", expected=f"{mixture.channels}"))
    return counts.shape[0], counts.shape[1]


def _known(given: ArrayLike | None, counts: Counts) -> Tensor | None:
    if given is None:
        return None
    values, channels = numbers(given, "known_counts"), counts.values.shape[1]
    if values.shape not in ((channels,), (*counts.shape, channels), tuple(counts.values.shape)):
        expected = f"({channels},) or {(*counts.shape, channels)}"
        raise DataError(explain("known_counts", f"shape {values.shape}", expected=expected))
    check_all("known_counts", values, "counts, not negative")
    return torch.from_numpy(values.reshape(-1, channels)).to(counts.values.device)


def _laws(given: Mapping[str, Law] | None, names: tuple[str, ...], components: int) -> list[Law]:
    for name, law in (given or {}).items():
        if name not in names:
            raise QueryError(explain(f"laws[{name!r}]", "no such map", fix=known(name, names)))
        if not isinstance(law, Law):
            fix = f"laws={{{name!r}: GaussianField()}}"
            raise QueryError(explain(f"laws[{name!r}]", f"{law!r} is no law", fix=fix))
    default = [AMPLITUDE] * components + [PARAMETER] * (len(names) - components)
    return [(given or {}).get(name, law) for name, law in zip(names, default, strict=True)]
