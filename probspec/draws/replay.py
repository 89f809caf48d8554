"""From values back through the model: the spectra that it makes at them, and how strange the measured ones look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyro
import torch
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from pyro import poutine
from torch import Tensor

from probspec.batch import Batch
from probspec.draws.draw import draw
from probspec.draws.gather import array, batches, join, label, tensors
from probspec.errors import QueryError, explain, known
from probspec.models.base import Model
from probspec.seeding import child_seed, seeded
from probspec.sites import latent_sites

if TYPE_CHECKING:
    from probspec.data.spectra import Spectra


def predict(model: Model, spectra: Spectra, draws: xr.Dataset, modalities: Sequence[str], seed: int) -> xr.Dataset:
    """Make spectra at the draws, noise included.

    Parameters
    ----------
    draws : Dataset (chain, draw, sample, ...)
    modalities : sequence of str
        Measured or not.

    Returns
    -------
    Dataset (chain, draw, sample, channel), units of the spectra

    Raises
    ------
    QueryError
        If the model does not make such spectra.
    """
    parts = []
    for number, (batch, values) in enumerate(_blocks(model, spectra, draws)):
        with torch.no_grad(), seeded(child_seed(seed, number), batch.index.device):
            made = model.predict_spectra(batch, values)
        for name in modalities:
            if name not in made:
                raise QueryError(explain("modality", f"no {name!r}; {known(name, made)}"))
        outer = {"chain": [0], "draw": draws["draw"], "sample": draws["sample"][array(batch.index)]}
        parts.append(
            xr.Dataset({name: label_spectra(spectra, name, array(made[name])[None], outer) for name in modalities})
        )
    return join(parts)


def strangeness(model: Model, spectra: Spectra, draws: xr.Dataset, seed: int) -> xr.DataArray:
    """Score each spectrum by the model's own measure of anomaly : (sample), higher is stranger."""
    scores = []
    for number, (batch, values) in enumerate(_blocks(model, spectra, draws)):
        with torch.no_grad(), seeded(child_seed(seed, number), batch.index.device):
            scores.append(array(model.anomaly(batch, values)))
    return xr.DataArray(np.concatenate(scores), {"sample": draws["sample"]}, name="anomaly")


def imagine(model: Model, spectra: Spectra, seed: int) -> tuple[xr.Dataset, dict[str, NDArray]]:
    """Draw sites from their priors, and a spectrum of each modality at them, in place of each given spectrum.

    Sites of the whole set are not what an amortised guide is asked for: they come from the guide, one draw for a block.

    Returns
    -------
    truth : Dataset (chain, draw, sample, ...), one draw
        Sites that each spectrum has for itself.
    spectra : dict of modality -> (sample, channel) array
    """
    truth, made = [], []
    for number, batch in enumerate(batches(model, spectra, draws=1)):
        sites = latent_sites(model, batch)
        fitted = draw(model, batch, 1, child_seed(seed, number, 0)).values
        shared = {site.name: fitted[site.name] for site in sites if not site.per_sample}
        story = poutine.condition(poutine.uncondition(model.model), data=shared)
        with torch.no_grad(), seeded(child_seed(seed, number, 1), batch.index.device):
            with pyro.plate("draw", 1, dim=-2):
                nodes = poutine.trace(story).get_trace(batch).nodes
            values: dict[str, Any] = {site.name: nodes[site.name].get("value") for site in sites}
            made.append({name: array(x[0]) for name, x in model.predict_spectra(batch, values).items()})
        truth.append(label({name: v for name, v in values.items() if name not in shared}, batch, model.sites))
    return join(truth), {name: np.concatenate([block[name] for block in made]) for name in made[0]}


def _blocks(model: Model, spectra: Spectra, draws: xr.Dataset) -> Iterator[tuple[Batch, dict[str, Tensor]]]:
    for batch in batches(model, spectra, draws.sizes["draw"]):
        yield batch, tensors(draws.isel(sample=batch.index.cpu().numpy(), missing_dims="ignore"), batch.index.device)


def label_spectra(
    spectra: Spectra, modality: str, values: NDArray, outer: Mapping[str, ArrayLike | xr.DataArray]
) -> xr.DataArray:
    """Name the dims of spectra, whose last dim is called ``<modality>_<axis>`` and holds the axis.

    Parameters
    ----------
    spectra : Spectra
        Whose axes they share.
    modality : str
    values : (..., channel) array, unit of the spectra
    outer : mapping of dim -> labels
        Of the dims before the last.
    """
    kind = spectra.spec.modalities[modality]
    dim = f"{modality}_{kind.axis.name}"
    axis = spectra.axes[modality] if modality in spectra.axes else np.arange(values.shape[-1])
    coords = {**outer, dim: (dim, axis, {"unit": kind.axis.unit, "long_name": kind.axis.name})}
    return xr.DataArray(values, coords, (*outer, dim), attrs={"unit": kind.unit})
