"""Cubes from FITS, HDF5 and netCDF come in one order with their units; what is no cube of counts is refused by name."""

import builtins
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from probspec.cubes import read_cube, write_maps
from probspec.errors import DataError, FileError
from probspec.simulate import simulate_cube

COUNTS = np.random.default_rng(0).poisson(3.0, size=(4, 5, 6))
ENERGY = np.linspace(3.0, 8.0, 6)


def hdf5(folder: Path, counts=COUNTS, energy=ENERGY, unit="keV", dims=None, name="counts") -> Path:
    file = folder / "cube.h5"
    with h5py.File(file, "w") as root:
        root[name] = counts
        if dims is not None:
            root[name].attrs["dims"] = list(dims)
        if energy is not None:
            root["energy"] = energy
            if unit:
                root["energy"].attrs["unit"] = unit
    return file


def fits(folder: Path, counts=COUNTS, header=None, name="cube.fits") -> Path:
    from astropy.io import fits

    keys = {"CTYPE3": "ENERGY", "CRVAL3": 3.0, "CRPIX3": 1.0, "CDELT3": 1.0, "CUNIT3": "keV"}
    image = fits.ImageHDU(np.moveaxis(counts, -1, 0).astype(np.float32))
    image.header.update(keys if header is None else header)
    fits.HDUList([fits.PrimaryHDU(), image]).writeto(folder / name)
    return folder / name


def test_hdf5_cube_has_named_dims_units_and_float32_counts(tmp_path):
    cube = read_cube(hdf5(tmp_path))
    assert cube.dims == ("y", "x", "channel") and cube.name == "counts" and cube.dtype == np.float32
    assert cube.attrs["units"] == "counts" and cube.energy.attrs["units"] == "keV"
    np.testing.assert_array_equal(cube, COUNTS)
    np.testing.assert_array_equal(cube.energy, ENERGY)


@pytest.mark.parametrize("order", [("channel", "y", "x"), ("x", "y", "energy"), ("x", "channel", "y")])
def test_any_order_of_dims_becomes_the_same(tmp_path, order):
    turned = COUNTS.transpose([("y", "x", "channel").index("channel" if d == "energy" else d) for d in order])
    said_by_the_file = hdf5(tmp_path, turned, dims=order)
    np.testing.assert_array_equal(read_cube(said_by_the_file), COUNTS)
    np.testing.assert_array_equal(read_cube(hdf5(tmp_path, turned), dims=order), COUNTS)


def test_simulated_cube_survives_a_netcdf_file(tmp_path):
    made = simulate_cube((4, 5), 100.0)
    write_maps(made.transpose("channel", "component", "x", "y"), tmp_path / "maps.nc")
    with xr.open_dataset(tmp_path / "maps.nc", engine="h5netcdf") as back:
        xr.testing.assert_identical(back.load().transpose(*made.dims), made)
    cube = read_cube(tmp_path / "maps.nc")
    np.testing.assert_array_equal(cube, made.counts)
    np.testing.assert_array_equal(cube.energy, made.energy)


def test_fits_cube_takes_its_axis_from_the_header(tmp_path):
    cube = read_cube(fits(tmp_path))
    np.testing.assert_array_equal(cube, COUNTS)
    np.testing.assert_allclose(cube.energy, [3, 4, 5, 6, 7, 8])
    assert cube.energy.attrs["units"] == "keV"


def test_fits_cube_may_have_its_spectral_axis_first_and_be_compressed(tmp_path):
    header = {"CTYPE1": "WAVE", "CRVAL1": 500.0, "CRPIX1": 3.0, "CD1_1": 2.0, "CUNIT1": "nm"}
    stored_as_it_is = np.moveaxis(COUNTS, 0, -1)  # `fits` turns the last dim to the front
    cube = read_cube(fits(tmp_path, stored_as_it_is, header, "cube.fits.gz"))
    np.testing.assert_array_equal(cube, COUNTS)
    np.testing.assert_allclose(cube.wavelength, [496, 498, 500, 502, 504, 506])


def test_axis_may_be_an_extension_of_a_fits_file(tmp_path):
    from astropy.io import fits as astropy_fits

    file = fits(tmp_path, header={})
    with astropy_fits.open(file, mode="append") as images:
        positions = astropy_fits.ImageHDU(ENERGY, name="ENERGIES")
        positions.header["BUNIT"] = "keV"
        images.append(positions)
    cube = read_cube(file, axis="energies")
    np.testing.assert_array_equal(cube.energy, ENERGY)
    assert cube.energy.attrs["units"] == "keV"


def test_a_cube_of_wavelengths_is_written_and_read(tmp_path):
    file = hdf5(tmp_path, unit="nm")
    cube = read_cube(file)
    assert cube.wavelength.attrs["units"] == "nm"
    write_maps(cube.to_dataset(), tmp_path / "cube.nc")
    xr.testing.assert_identical(read_cube(tmp_path / "cube.nc"), cube)


def test_axis_may_be_given_by_hand(tmp_path):
    cube = read_cube(hdf5(tmp_path, energy=None), axis=[1, 2, 3, 4, 5, 6], unit="eV")
    assert cube.energy.values.tolist() == [1, 2, 3, 4, 5, 6] and cube.energy.attrs["units"] == "eV"
    fitted = read_cube(fits(tmp_path, header={}), axis=ENERGY, unit="keV")
    np.testing.assert_array_equal(fitted.energy, ENERGY)


def test_pixel_of_nan_was_not_observed(tmp_path):
    counts = COUNTS.astype(float)
    counts[1, 2] = np.nan
    cube = read_cube(hdf5(tmp_path, counts))
    assert bool(cube[1, 2].isnull().all()) and int(cube.isnull().sum()) == 6


def with_value(value: float) -> np.ndarray:
    counts = COUNTS.astype(float)
    counts[2, 3, 4] = value
    return counts


BAD_COUNTS = [
    (np.nan, "NaN; expected a count.*set all channels of a pixel to NaN"),
    (-1.0, "-1; expected a count >= 0.*background"),
    (1.5, "1.5; expected whole counts.*exposure"),
    (np.inf, "inf; expected a count below"),
]


@pytest.mark.parametrize(("value", "message"), BAD_COUNTS)
def test_a_bad_count_is_named_with_its_pixel(tmp_path, value, message):
    with pytest.raises(DataError, match=r"cube.h5:/counts\[y=2, x=3, channel=4\]: " + message):
        read_cube(hdf5(tmp_path, with_value(value)))
    with pytest.raises(DataError, match=r"cube.fits.*\[y=2, x=3, channel=4\]: " + message):
        read_cube(fits(tmp_path, with_value(value)))


BAD_FILES = [
    ({"name": "other"}, {}, "counts: missing.*data="),
    ({"counts": COUNTS[0]}, {}, r"shape \(5, 6\).*dims \(y, x, channel\)"),
    ({"counts": COUNTS[:0]}, {}, "not empty"),
    ({"dims": ("a", "b", "c")}, {}, "expected y, x and one other"),
    ({}, {"dims": ("y", "x")}, "expected y, x and one other"),
    ({"energy": None}, {}, "positions of the channels are missing.*axis="),
    ({}, {"axis": "nowhere"}, "nowhere: missing"),
    ({"unit": ""}, {}, "unit of the axis is missing"),
    ({"unit": "furlong"}, {}, "'furlong' is not a known axis unit"),
    ({"energy": ENERGY[:5]}, {}, "5 channels; expected 6"),
    ({"energy": ENERGY[::-1].copy()}, {}, "above that of the channel before"),
]


@pytest.mark.parametrize(("file", "call", "message"), BAD_FILES)
def test_what_is_no_cube_is_named(tmp_path, file, call, message):
    with pytest.raises(DataError, match=message):
        read_cube(hdf5(tmp_path, **file), **call)


def test_files_that_are_no_files(tmp_path):
    for name in ("cube.h5", "cube.fits"):
        with pytest.raises(DataError, match="no such file"):
            read_cube(tmp_path / name)
        (tmp_path / name).write_bytes(b"nonsense")
        with pytest.raises(DataError, match="cannot be read"):
            read_cube(tmp_path / name)


def test_fits_without_a_cube_or_axis_or_extension(tmp_path):
    from astropy.io import fits as astropy_fits

    astropy_fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "flat.fits")
    with pytest.raises(DataError, match="no image of three dims"):
        read_cube(tmp_path / "flat.fits")
    file = fits(tmp_path, header={})
    with pytest.raises(DataError, match="positions of the channels are missing"):
        read_cube(file)
    with pytest.raises(DataError, match=r"\[SCI\]: missing; expected one of PRIMARY"):
        read_cube(file, data="SCI")


def test_links_out_of_the_file_are_refused(tmp_path):
    hdf5(tmp_path)
    with h5py.File(tmp_path / "link.h5", "w") as root:
        root["counts"] = h5py.ExternalLink("cube.h5", "counts")
    with pytest.raises(DataError, match="external link"):
        read_cube(tmp_path / "link.h5")


def test_without_astropy_fits_says_what_to_install_and_hdf5_is_read(tmp_path, monkeypatch):
    file, other, imported = fits(tmp_path), hdf5(tmp_path), builtins.__import__

    def without(name, *rest):
        if name.startswith("astropy"):
            raise ModuleNotFoundError(name)
        return imported(name, *rest)

    for name in [name for name in sys.modules if name.startswith("astropy")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'probspec\[fits\]'"):
        read_cube(file)
    assert read_cube(other).shape == (4, 5, 6)


def test_maps_appear_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "maps.nc"
    write_maps(xr.Dataset({"kT": (("y", "x"), np.ones((3, 4)))}), file)
    before = file.read_bytes()
    with h5py.File(file) as root:
        assert root["kT"].fletcher32

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FileError, match="maps.nc: cannot be written.*No space left"):
        write_maps(xr.Dataset({"kT": (("y", "x"), np.zeros((3, 4)))}), file)
    assert file.read_bytes() == before


def test_only_datasets_of_numbers_are_written(tmp_path):
    with pytest.raises(DataError, match=r"DataArray; expected an xarray.Dataset.*to_dataset"):
        write_maps(xr.DataArray(np.ones((2, 2)), name="kT"), tmp_path / "maps.nc")
    with pytest.raises(DataError, match="cannot be stored"):
        write_maps(xr.Dataset({"kT": ("y", [{}, object()])}), tmp_path / "maps.nc")
    assert not (tmp_path / "maps.nc").exists()
