"""Layouts of other people's files: classes by name, cubes whose pixels are samples, and the real sets where present."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from shared_data import shared_file

from probspec.cubes import read_cube
from probspec.data.spectra import Spectra, open_spectra
from probspec.errors import DataError
from probspec.spec import DataSpec, load_spec

CUBE = np.random.default_rng(0).poisson(2.0, (40, 7, 5))
TEMPERATURE = np.arange(280.0).reshape(40, 7)


def spec_of(**layout) -> DataSpec:
    return DataSpec.from_config(
        {
            "name": "mine",
            "modalities": {"xray": {"axis": {"name": "energy", "unit": "keV"}, "noise": "poisson"}},
            "targets": {
                "temperature": {"components": ["kT"], "support": "positive"},
                "amplitude": {"components": ["a", "b"], "support": "positive"},
                "nuclide": {"components": ["Co60", "Cs137"], "support": "category"},
            },
            "covariates": {"exposure": "s"},
            "layout": {"spectra": {"xray": "cube"}, "axis": {"xray": "energy"}, **layout},
        }
    )


MAPS = {"cube": True, "targets": {"temperature": "kT", "amplitude": "A", "nuclide": "names"},
        "covariates": {"exposure": "seconds"}, "groups": "tile", "mask": {"xray": "seen"}}  # fmt: skip


def stored(folder: Path, chunks: tuple[int, ...] | bool | None = None, **changed) -> Path:
    parts = {
        "cube": CUBE,
        "energy": np.arange(1.0, 6.0),
        "kT": TEMPERATURE,
        "A": np.stack([TEMPERATURE, 2 * TEMPERATURE], -1),
        "names": np.where(TEMPERATURE % 2, b"Cs137", b"Co60"),
        "seconds": 10 * TEMPERATURE,
        "tile": (TEMPERATURE // 70).astype(int),
        "seen": TEMPERATURE != 9,
    }
    with h5py.File(folder / "maps.h5", "w") as file:
        for name, values in {**parts, **changed}.items():
            file.create_dataset(name, data=values, chunks=chunks if name == "cube" else None)
    return folder / "maps.h5"


@pytest.mark.parametrize("chunks", [None, True, (3, 7, 5), (9, 2, 3)])
def test_pixels_of_a_cube_are_samples_line_by_line(tmp_path, chunks):
    data = open_spectra(stored(tmp_path, chunks), spec_of(**MAPS))
    rows = np.random.default_rng(1).permutation(280)[:99]
    rows = rows[rows != 9]
    np.testing.assert_array_equal(data.spectra("xray", rows), CUBE.reshape(280, 5)[rows])
    np.testing.assert_array_equal(data.targets["temperature"][:, 0], TEMPERATURE.ravel())
    np.testing.assert_array_equal(data.targets["amplitude"][:, 1], 2 * TEMPERATURE.ravel())
    np.testing.assert_array_equal(data.targets["nuclide"][:, 0], TEMPERATURE.ravel() % 2)
    np.testing.assert_array_equal(data.covariates["exposure"], 10 * TEMPERATURE.ravel())
    assert data.groups is not None and data.groups.tolist() == (TEMPERATURE.ravel() // 70).astype(int).tolist()
    assert np.flatnonzero(~data.present("xray")).tolist() == [9]


def test_a_cube_is_saved_as_samples_and_opened_again(tmp_path):
    data = open_spectra(stored(tmp_path), spec_of(**MAPS))
    data.write(tmp_path / "own.h5")
    again = open_spectra(tmp_path / "own.h5", data.spec)
    np.testing.assert_array_equal(again.spectra("xray", [0, 250]), data.spectra("xray", [0, 250]))
    np.testing.assert_array_equal(again.targets["nuclide"], data.targets["nuclide"])


BAD = [
    ({}, {**MAPS, "cube": False}, r"cube: shape \(40, 7, 5\); expected \[sample, channel"),
    ({"cube": CUBE[0]}, MAPS, r"cube: shape \(7, 5\); expected \[y, x, channel"),
    ({"kT": TEMPERATURE[:39]}, MAPS, "kT: 273 rows; expected 280"),
    ({"seconds": TEMPERATURE[:, :6]}, MAPS, "seconds: 240 rows; expected 280"),
    ({"names": np.full((40, 7), b"Cs136")}, MAPS, r"names\[0, 0\]: class 'Cs136'; expected did you mean 'Cs137'"),
    ({"cube": CUBE - 5}, MAPS, r"cube\[0, 0\]: -.*whole counts"),
]


@pytest.mark.parametrize(("changed", "layout", "message"), BAD)
def test_what_does_not_fit_the_layout_is_named(tmp_path, changed, layout, message):
    with pytest.raises(DataError, match=message):
        open_spectra(stored(tmp_path, **changed), spec_of(**layout)).spectra("xray", [0, 1])


def test_an_empty_class_name_is_an_unlabelled_row(tmp_path):
    names = np.where(TEMPERATURE == 3, b"", b"Co60")
    data = open_spectra(stored(tmp_path, names=names), spec_of(**MAPS))
    assert np.flatnonzero(~data.labelled("nuclide")).tolist() == [3]


SETS = {
    "gamma_lead_simulated": ("gamma", 100, 1024, "keV"),
    "gamma_semsun_steel": ("gamma", 284, 1024, "keV"),
    "gamma_nai_baldr": ("gamma", 14, 1024, "keV"),
    "xray_remnant_simulated": ("xray", 8836, 300, "keV"),
    "hsi_jasper_ridge": ("reflectance", 7000, 198, "channel"),
}


def opened(name: str) -> Spectra:
    return open_spectra(shared_file(name), name)


@pytest.mark.parametrize("name", SETS)
def test_the_shared_file_opens_through_its_spec(name: str):
    modality, rows, channels, unit = SETS[name]
    data, spec = opened(name), load_spec(name)
    assert (len(data), len(data.axes[modality]), spec.modalities[modality].axis.unit) == (rows, channels, unit)
    assert all(data.labelled(target).all() for target in spec.targets)
    assert np.isfinite(data.spectra(modality, [0, rows - 1])).all()
    train, test = data.split()
    assert len(train) + len(test) == rows


def test_shared_classes_and_covariates_are_those_of_the_source():
    lines = opened("gamma_nai_baldr")
    assert lines.targets["nuclide"][:4, 0].tolist() == [4, 5, 3, 1]  # Cs137, U232, Co60, Ba133
    assert lines.covariates["live_time_s"][0] == pytest.approx(59.98)
    steel = opened("gamma_semsun_steel")
    assert np.bincount(steel.targets["nuclide"][:, 0].astype(int)).tolist() == [71, 71, 71, 71]


def test_shared_cube_is_the_same_as_samples_and_as_maps():
    data = opened("xray_remnant_simulated")
    cube = read_cube(shared_file("xray_remnant_simulated"), data="cube_1000")
    assert cube.shape == (94, 94, 300)
    np.testing.assert_array_equal(data.spectra("xray").reshape(94, 94, 300), cube)
    np.testing.assert_array_equal(data.axes["xray"], cube.energy)
