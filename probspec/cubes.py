"""Cubes of counts: every pixel of an image has a spectrum. Reading them (FITS, HDF5, netCDF), and writing maps.

A pixel without any number (NaN in all of its channels) was not observed and stays so; any other NaN, a negative number
or a broken one is an error, since a Poisson likelihood knows whole counts only. Exposure-corrected or
background-subtracted cubes are therefore refused: exposure and background belong into the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from probspec.atomic import write_file
from probspec.data.axes import AXIS_NAMES, check_axis
from probspec.data.hdf5 import Reader
from probspec.data.intake import first
from probspec.errors import DataError, FileError, SpecError, explain
from probspec.spec import Axis
from probspec.units import UNITS, axis_unit

DIMS = ("y", "x", "channel")
FITS = (".fits", ".fit", ".fts", ".fits.gz")
AXES = ("energy", "wavelength", "wavenumber", "axis")
LARGEST = 2**24
"""Counts from which float32 no longer holds every whole number."""


class _Read(NamedTuple):
    """What a file holds, unchecked: counts with their dims, the axis where there is one, and how to name them."""

    counts: NDArray[Any]
    dims: tuple[str, ...]
    axis: NDArray[Any] | None
    unit: str
    where: str


def read_cube(
    path: str | Path,
    data: str | None = None,
    axis: Any = None,
    unit: str | None = None,
    dims: Sequence[str] | None = None,
) -> xr.DataArray:
    """Read a cube of counts.

    Parameters
    ----------
    path : str or Path
        FITS (.fits, .fit, .fts, .fits.gz; needs astropy), else HDF5 or netCDF 4.
    data : str, optional
        Path of the dataset inside the file, "counts" by default; in FITS the name of the extension, by default the
        first image of three dims.
    axis : str or (channel,) array, optional
        Path of the channels' positions inside the file ("energy", "wavelength", "wavenumber" or "axis" by default), or
        the positions themselves. In FITS they follow from the header (CRVAL, CRPIX, CDELT or CD of the spectral axis)
        unless given, or are an image of the extension that is named.
    unit : str, optional
        Unit of the axis, such as "keV"; where it is left out the file must say it.
    dims : sequence of str, optional
        Names of the cube's dims in the file's order: "y", "x" and one other. Where it is left out the file's own names
        count, else the order (y, x, channel); in FITS the order of the header.

    Returns
    -------
    DataArray (y, x, channel) of float32, counts
        With the axis as a coordinate along `channel` (``energy``, ``wavelength`` or ``wavenumber``) and units in attrs.
        A pixel of NaN was not observed.

    Raises
    ------
    DataError
        If the file cannot be read, a part is missing, the dims are not these three, the axis does not fit, or a count
        is NaN (but for whole pixels), negative, broken or infinite; naming the first pixel and channel.
    ImportError
        If a FITS file is to be read without astropy.

    Examples
    --------
    >>> import tempfile
    >>> from probspec.simulate import simulate_cube
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_maps(simulate_cube((4, 5)), f"{folder}/cube.nc")
    ...     cube = read_cube(f"{folder}/cube.nc")
    >>> dict(cube.sizes), cube.energy.attrs["units"]
    ({'y': 4, 'x': 5, 'channel': 300}, 'keV')
    """
    file = Path(path)
    given = None if axis is None or isinstance(axis, str) else np.asarray(axis)
    named = axis if isinstance(axis, str) else None
    read = _read_fits if file.name.lower().endswith(FITS) else _read_hdf5
    found = read(file, data, named, given is not None)
    dims = found.dims if dims is None else tuple(dims)
    counts = _checked_counts(_ordered(found.counts, dims, found.where), found.where)
    positions = found.axis if given is None else given
    name, values, spelled = _checked_axis(positions, unit or found.unit, counts.shape[-1], found.where)
    coords = {name: ("channel", values, {"units": spelled})}
    return xr.DataArray(counts, dims=DIMS, coords=coords, name="counts", attrs={"units": "counts"})


def write_maps(dataset: xr.Dataset, path: str | Path) -> None:
    """Write maps (or cubes) as netCDF 4, which is HDF5; the file appears whole or not at all, with checksums.

    Parameters
    ----------
    dataset : Dataset
        With named dims and units in attrs; `xarray.open_dataset(path, engine="h5netcdf")` reads it back.
    path : str or Path
        A file of that name is replaced.

    Raises
    ------
    DataError
        If it is no Dataset, or holds what a file cannot.
    FileError
        If the file cannot be written.
    """
    if not isinstance(dataset, xr.Dataset):
        fix = 'array.to_dataset(name="...")' if isinstance(dataset, xr.DataArray) else ""
        raise DataError(explain("dataset", f"{type(dataset).__name__}", expected="an xarray.Dataset", fix=fix))
    checksums = {name: {"fletcher32": True} for name, values in dataset.data_vars.items() if values.ndim}
    try:
        content = dataset.to_netcdf(engine="h5netcdf", encoding=checksums)
    except (ValueError, TypeError) as error:
        raise DataError(explain("dataset", f"cannot be stored ({error})")) from None

    def write(file: BinaryIO) -> None:
        file.write(content)

    try:
        write_file(Path(path), write)
    except OSError as error:
        raise FileError(explain(str(path), f"cannot be written ({error})")) from None


def _read_hdf5(file: Path, data: str | None, axis: str | None, axis_given: bool) -> _Read:
    data = data or "counts"
    with Reader(file) as reader:
        named = axis or next(filter(reader.has, AXES), AXES[0])
        where = reader.where(data)
        if not reader.has(data):
            raise DataError(explain(where, "missing", fix='give the path of the cube as data="..."'))
        if axis is not None and not reader.has(named):
            raise DataError(explain(reader.where(named), "missing", fix='give the path of the axis as axis="..."'))
        there = not axis_given and reader.has(named)
        unit = (reader.attribute(named, "units") or reader.attribute(named, "unit") or "") if there else ""
        dims = reader.dims(data)
        return _Read(
            counts=reader.numbers(data),
            dims=dims if any(dims) else DIMS,
            axis=reader.numbers(named) if there else None,
            unit=str(unit),
            where=where,
        )


def _read_fits(file: Path, data: str | None, axis: str | None, axis_given: bool) -> _Read:
    fits = _astropy_fits()
    if not file.is_file():
        raise DataError(explain(str(file), "no such file"))
    try:
        with fits.open(file, memmap=False) as images:
            image = _image(images, data, file)
            spectral = _spectral_axis(image.header)
            where = f"{file.name}[{image.name or 0}]"
            unit = str(image.header.get(f"CUNIT{spectral}", ""))
            positions = None if axis_given else _linear_axis(image.header, spectral)
            if axis is not None:
                other = _extension(images, axis, file)
                positions, unit = np.asarray(other.data), str(other.header.get("BUNIT", unit))
            return _Read(np.asarray(image.data), _fits_dims(spectral), positions, unit, where)
    except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(explain(str(file), f"cannot be read ({error})", expected="a FITS file")) from None


def _astropy_fits() -> ModuleType:
    try:
        from astropy.io import fits
    except ImportError:
        problem = "astropy is not installed, which reads FITS files"
        raise ImportError(explain("read_cube", problem, fix="pip install 'probspec[fits]'")) from None
    return fits


def _image(images: Any, data: str | None, file: Path) -> Any:
    if data is not None:
        return _extension(images, data, file)
    for image in images:
        if image.is_image and image.header.get("NAXIS") == 3:
            return image
    shapes = [f"{image.name or 'without a name'}: {image.header.get('NAXIS')}" for image in images]
    problem = f"no image of three dims ({', '.join(shapes)})"
    raise DataError(explain(file.name, problem, expected="a cube (channel, y, x)"))


def _extension(images: Any, name: str, file: Path) -> Any:
    names = [image.name for image in images]
    if name.upper() not in names:
        raise DataError(explain(f"{file.name}[{name}]", "missing", expected=f"one of {', '.join(filter(None, names))}"))
    image = images[names.index(name.upper())]
    if not image.is_image or image.data is None:
        raise DataError(explain(f"{file.name}[{name}]", "is no image", expected="an image"))
    return image


def _spectral_axis(header: Any) -> int:
    """Number of the header's axis that is no direction in the sky: by its type, else the last."""
    for number in (1, 2, 3):
        kind = str(header.get(f"CTYPE{number}", "")).upper()
        if kind.startswith(("ENER", "WAVE", "WAVN", "AWAV", "FREQ", "CHAN")):
            return number
    return 3


def _fits_dims(spectral: int) -> tuple[str, ...]:
    """Dims in the order of the array, which is that of the header turned round."""
    sky = iter(("x", "y"))
    return tuple("channel" if number == spectral else next(sky) for number in (1, 2, 3))[::-1]


def _linear_axis(header: Any, number: int) -> NDArray[np.float64] | None:
    start, step = header.get(f"CRVAL{number}"), header.get(f"CDELT{number}", header.get(f"CD{number}_{number}"))
    if start is None or step is None:
        return None
    pixel = np.arange(1, header[f"NAXIS{number}"] + 1)
    return start + (pixel - header.get(f"CRPIX{number}", 1.0)) * step


def _ordered(counts: NDArray[Any], dims: tuple[str, ...], where: str) -> NDArray[Any]:
    """Turn the cube to (y, x, channel); what is neither y nor x is the channel."""
    if counts.ndim != 3 or 0 in counts.shape:
        raise DataError(explain(where, f"shape {counts.shape}", expected="dims (y, x, channel), not empty"))
    spectral = [dim for dim in dims if dim not in ("y", "x")]
    if len(dims) != 3 or len(set(dims)) != 3 or len(spectral) != 1:
        fix = 'name them in the order of the file, such as dims=("channel", "y", "x")'
        raise DataError(explain(where, f"dims {dims}", expected="y, x and one other", fix=fix))
    return counts.transpose([dims.index(dim) for dim in ("y", "x", *spectral)])


def _checked_counts(counts: NDArray[Any], where: str) -> NDArray[np.float32]:
    if counts.dtype.kind not in "iuf":
        raise DataError(explain(where, f"dtype {counts.dtype}", expected="real numbers"))
    missing = np.isnan(counts)
    observed = ~missing.all(-1, keepdims=True)
    _refuse(missing & observed, counts, where, "a count", "set all channels of a pixel to NaN if it was not observed")
    _refuse(np.isinf(counts) | (counts >= LARGEST), counts, where, "a count below 2^24")
    _refuse(counts < 0, counts, where, "a count >= 0", "give the cube before the background was subtracted")
    whole = "give the cube before it was divided by exposure or effective area"
    _refuse((counts != np.floor(counts)) & ~missing, counts, where, "whole counts", whole)
    return np.ascontiguousarray(counts, dtype=np.float32)


def _refuse(wrong: NDArray[np.bool_], counts: NDArray[Any], where: str, expected: str, fix: str = "") -> None:
    if wrong.any():
        y, x, channel = first(wrong)
        value = float(counts[y, x, channel])
        shown = "NaN" if math.isnan(value) else f"{value:.6g}"
        raise DataError(explain(f"{where}[y={y}, x={x}, channel={channel}]", shown, expected=expected, fix=fix))


def _checked_axis(
    positions: NDArray[Any] | None, unit: str, channels: int, where: str
) -> tuple[str, NDArray[np.float64], str]:
    """Name, positions and unit of the channels."""
    if positions is None:
        fix = 'axis="path/of/the/axis", or axis=energies, unit="keV"'
        raise DataError(explain(where, "the positions of the channels are missing", fix=fix))
    if not unit:
        raise DataError(explain(where, "the unit of the axis is missing", expected=", ".join(UNITS), fix='unit="keV"'))
    try:
        spelled = axis_unit(unit, where)
    except SpecError as error:
        raise DataError(str(error)) from None
    name = AXIS_NAMES.get(spelled, "position")
    return name, check_axis(positions, Axis(name=name, unit=spelled), f"{where}, its axis", channels), spelled
