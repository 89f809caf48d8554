"""From batches of draws to labelled datasets, and back.

Spectra go through the model in blocks of rows, so that memory is bounded by one block and by what is kept: the latent
sites, and the densities of the model and of the guide. Sites of the whole set are drawn once, for all blocks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from probspec.batch import Batch
from probspec.draws.draw import Draws, draw
from probspec.errors import GuideError, explain
from probspec.models.base import Model, SiteInfo
from probspec.seeding import child_seed
from probspec.sites import latent_sites

if TYPE_CHECKING:
    from probspec.data.spectra import Spectra

BLOCK = 2**22
"""Numbers (draws x rows x channels) that one block of rows may take in memory."""

OUTER = ("chain", "draw", "sample")
"""Dims that every spectrum's own site begins with; a site of the whole set has the first two."""


class Gathered(NamedTuple):
    """What was drawn for some spectra: the datasets of a `Posterior`."""

    draws: xr.Dataset
    log_density: xr.Dataset
    log_likelihood: xr.Dataset


def gather(model: Model, spectra: Spectra, draws: int, seed: int) -> Gathered:
    """Draw the latent sites of all spectra.

    Parameters
    ----------
    model : Model
    spectra : Spectra
    draws : int
        Draws per spectrum.
    seed : int
        Seed of the whole, from which each block of rows gets its own.

    Raises
    ------
    GuideError
        If a site's named dims are not those of its values.
    QueryError
        If `draws` is not a positive number.
    """
    blocks: list[Gathered] = []
    own: dict[str, bool] = {}
    shared: dict[str, Tensor] = {}
    for number, batch in enumerate(batches(model, spectra, draws)):
        block = draw(model, batch, draws, child_seed(seed, number), shared)
        if number == 0:
            latent = {site.name: site.per_sample for site in latent_sites(model, batch)}
            # What is not latent is derived from it, and kept where the model declares it.
            derived = {name: block.values[name].shape[1] == len(batch) for name in model.sites if name in block.values}
            own = derived | latent
            shared = {name: block.values[name] for name, per_sample in latent.items() if not per_sample}
        blocks.append(_label_block(block, batch, own, model.sites))
    return Gathered(*(join(parts) for parts in zip(*blocks, strict=True)))


def batches(model: Model, spectra: Spectra, draws: int) -> Iterator[Batch]:
    """Cut spectra into blocks of rows, prepared for the model, without labels and on its device.

    Parameters
    ----------
    draws : int
        Draws per spectrum, which together with the number of channels set the rows of a block.
    """
    extras = model.encode(spectra)
    channels = sum(len(axis) for axis in spectra.axes.values())
    # In a block of one row, what is derived from a site of the whole set would look like the spectrum's own.
    rows = max(2, BLOCK // max(1, draws * channels))
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    for start in range(0, len(spectra), rows):
        index = np.arange(start, min(start + rows, len(spectra)))
        yield spectra.to_batch(index, extras).without_labels().to(device)


def tensors(draws: xr.Dataset, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Values of the sites as a model takes them: (draw, sample, ...), or (draw, 1, ...) for sites of the whole set."""
    first = draws.isel(chain=0)
    arrays = {str(name): a.values if "sample" in a.dims else a.values[:, None] for name, a in first.data_vars.items()}
    return {name: torch.as_tensor(np.ascontiguousarray(a), device=device) for name, a in arrays.items()}


def array(value: Tensor) -> NDArray:
    """Numbers of a tensor on the CPU; floating ones as float32."""
    value = value.detach().cpu()
    return (value.float() if value.is_floating_point() else value).numpy()


def label(
    values: Mapping[str, Tensor], batch: Batch, infos: Mapping[str, SiteInfo], shared: Collection[str] = ()
) -> xr.Dataset:
    """Name the dims of drawn values.

    Parameters
    ----------
    values : mapping of site -> (draw, sample, ...) Tensor
    batch : Batch
        Whose rows they belong to.
    infos : mapping of site -> SiteInfo
    shared : collection of str
        Sites of the whole set, (draw, 1, ...).

    Returns
    -------
    Dataset (chain, draw, sample, ...), float32

    Raises
    ------
    GuideError
        If a site's named dims are not those of its values.
    """
    infos = {name: infos.get(name, SiteInfo()) for name in values}
    words = {dim: list(names) for info in infos.values() for dim, names in (info.coords or {}).items()}
    sites = {name: _site(name, value, name in shared, infos[name]) for name, value in values.items()}
    outer = {"chain": [0], "draw": np.arange(len(next(iter(values.values())))), "sample": array(batch.index)}
    return xr.Dataset(sites, outer | words)


def _label_block(block: Draws, batch: Batch, own: Mapping[str, bool], infos: Mapping[str, SiteInfo]) -> Gathered:
    values = {name: value for name, value in block.values.items() if name in own}
    shared = [name for name, per_sample in own.items() if not per_sample]
    density = {"log_p": block.log_p, "log_q": block.log_q}
    nats = dict.fromkeys([*density, *block.log_likelihood], SiteInfo(unit="nat"))
    return Gathered(
        label(values, batch, infos, shared),
        label(density, batch, nats),
        label(block.log_likelihood, batch, nats) if block.log_likelihood else xr.Dataset(),
    )


def _site(name: str, value: Tensor, shared: bool, info: SiteInfo) -> xr.DataArray:
    dims = info.dims or tuple(f"{name}_dim_{i}" for i in range(value.dim() - 2))
    if len(dims) != value.dim() - 2:
        problem = f"a value has shape {tuple(value.shape[2:])}, its dims are {dims}"
        raise GuideError(explain(f"site {name!r}", problem, fix="name each dim in the model's `sites`"))
    lead = OUTER[:2] if shared else OUTER
    return xr.DataArray(array(value[:, 0] if shared else value)[None], dims=(*lead, *dims), attrs=info.attrs)


def join(blocks: Iterable[xr.Dataset]) -> xr.Dataset:
    """Put blocks of samples together; what has no dim "sample" is the same in all of them."""
    blocks = list(blocks)
    if not blocks[0]:
        return blocks[0]
    whole = xr.concat(blocks, "sample", data_vars="minimal", coords="minimal", compat="override", join="override")
    return cast(xr.Dataset, whole)
