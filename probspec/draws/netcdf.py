"""Groups of labelled arrays in one netCDF file, as ArviZ and xarray read them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import BinaryIO

import xarray as xr

from probspec.atomic import write_file
from probspec.errors import FileError, explain

FORMAT = "probspec posterior"
VERSION = 1
WANTED = "a file of Posterior.to_netcdf"


def write_groups(path: str | Path, groups: Mapping[str, xr.Dataset]) -> None:
    """Write datasets as the groups of one file, which appears whole or not at all.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    tree = xr.DataTree.from_dict({f"/{name}": group for name, group in groups.items() if group})
    tree.attrs = {"format": FORMAT, "format_version": VERSION}
    content = tree.to_netcdf(engine="h5netcdf")

    def write(file: BinaryIO) -> None:
        file.write(content)

    try:
        write_file(Path(path), write)
    except OSError as error:
        raise FileError(explain(str(path), f"cannot be written ({error})")) from None


def read_groups(path: str | Path, required: Collection[str] = ()) -> dict[str, xr.Dataset]:
    """Read what `write_groups` wrote.

    Parameters
    ----------
    path : str or Path
    required : collection of str
        Groups that must be there.

    Raises
    ------
    FileError
        If the file is missing, damaged, or something else.
    """
    try:
        with xr.open_datatree(path, engine="h5netcdf") as tree:
            tree.load()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise FileError(explain(str(path), f"cannot be read ({error})", expected=WANTED)) from None
    if tree.attrs.get("format") != FORMAT or not set(required) <= set(tree.children):
        raise FileError(explain(str(path), "is no saved posterior", expected=WANTED))
    if tree.attrs["format_version"] > VERSION:
        problem = f"has format version {tree.attrs['format_version']}, this probspec reads up to {VERSION}"
        raise FileError(explain(str(path), problem, fix="pip install --upgrade probspec"))
    return {name: group.to_dataset() for name, group in tree.children.items()}
