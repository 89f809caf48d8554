"""The one door to ArviZ, of either generation.

ArviZ 0.23 takes an `InferenceData`, ArviZ 1.x an `xarray.DataTree`; their groups are the same labelled datasets. The
dim "sample" is called "spectrum" there: ArviZ stacks chains and draws under the name "sample", and would stumble.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import xarray as xr


def to_arviz(groups: Mapping[str, xr.Dataset]) -> Any:
    """Give what the installed ArviZ's own functions accept.

    Parameters
    ----------
    groups : mapping of group -> Dataset (chain, draw, sample, ...)
        Such as posterior, log_likelihood, posterior_predictive, observed_data; empty ones are left out.

    Returns
    -------
    arviz.InferenceData (ArviZ 0.x) or xarray.DataTree (ArviZ 1.x)
    """
    renamed: dict[str, Any] = {name: _rename(group) for name, group in groups.items() if group}
    if int(version("arviz").split(".")[0]) >= 1:
        return xr.DataTree.from_dict({f"/{name}": group for name, group in renamed.items()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # ArviZ 0.23 announces 1.x whenever it is imported
        import arviz
    return arviz.InferenceData(**renamed)


def _rename(group: xr.Dataset) -> xr.Dataset:
    return group.rename({"sample": "spectrum"}) if "sample" in group.dims else group
