"""The `probspec` command: what it writes, what it shows, and how it fails."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from probspec.cli import app
from probspec.data.spectra import open_spectra

SPEC = """
name = "small"
modalities.raman = { axis = { name = "Raman shift", unit = "cm^-1" }, unit = "counts", channels = 60 }
targets.abundance = { components = ["quartz", "calcite", "gypsum"], unit = "mass fraction", support = "simplex" }
priors.abundance = { law = "Dirichlet", concentration = 1.0 }
simulator = { name = "raman_libs", minerals = ["quartz", "calcite", "gypsum"], raman_channels = 60, libs_channels = 60 }
split = { by = "row", test = 0.25, seed = 0 }
"""


def run(*words: str | Path):
    return CliRunner().invoke(app, [str(word) for word in words])


def succeed(*words: str | Path) -> str:
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def fail(*words: str | Path) -> str:
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("spec") / "small.toml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="module")
def file(spec: Path) -> Path:
    path = spec.with_name("spectra.h5")
    succeed("simulate", spec, "-n", "24", "--out", path)
    return path


@pytest.fixture(scope="module")
def fitted(spec: Path, file: Path) -> Path:
    folder = file.with_name("fit")
    shown = succeed("fit", spec, file, "--out", folder, "--epochs", "2")
    assert "18 spectra" in shown
    assert str(folder) in shown
    return folder


def test_help_names_every_command_and_what_it_does():
    shown = succeed("--help")
    for word in ("demo", "check", "simulate", "fit", "ask", "posterior distributions"):
        assert word in shown


def test_simulate_writes_the_spectra_that_it_shows(spec: Path, file: Path, tmp_path: Path):
    shown = succeed("simulate", spec, "-n", "24", "--out", tmp_path / "again.h5")
    assert "24 of 24" in shown
    assert "Raman shift [cm^-1]" in shown
    assert "abundance [mass fraction]" in shown
    first, again = open_spectra(file, spec), open_spectra(tmp_path / "again.h5", spec)
    np.testing.assert_array_equal(first.spectra("raman"), again.spectra("raman"))
    np.testing.assert_array_equal(first.targets["abundance"], again.targets["abundance"])


def test_existing_output_is_kept_unless_forced(spec: Path, tmp_path: Path):
    out = tmp_path / "spectra.h5"
    out.write_text("mine")
    assert "exists already" in fail("simulate", spec, "-n", "3", "--out", out)
    assert out.read_text() == "mine"
    succeed("simulate", spec, "-n", "3", "--out", out, "--force")
    assert len(open_spectra(out, spec)) == 3


def test_check_says_what_a_file_holds(spec: Path, file: Path):
    shown = succeed("check", file, "--spec", spec)
    for text in ("raman", "24 of 24", "Raman shift [cm^-1]", "gypsum", "agrees with the data spec small"):
        assert text in shown


def test_check_names_the_row_and_channel_that_is_wrong(spec: Path, tmp_path: Path):
    out = tmp_path / "spectra.h5"
    succeed("simulate", spec, "-n", "8", "--out", out)
    with h5py.File(out, "r+") as content:
        content["spectra/raman"][5, 17] = np.nan
    assert "spectra/raman[5, 17]" in fail("check", out, "--spec", spec)


def test_errors_are_one_line_that_says_what_to_do(spec: Path, file: Path, tmp_path: Path):
    (tmp_path / "text.h5").write_text("no spectra")
    assert "did you mean 'simulated_fusion'" in fail("check", file, "--spec", "simulated_fusoin")
    assert "missing.h5" in fail("check", tmp_path / "missing.h5", "--spec", spec)
    assert "text.h5" in fail("check", tmp_path / "text.h5", "--spec", spec)
    assert "did you mean 'UVAE'" in fail("fit", spec, file, "--out", tmp_path / "fit", "--model", "UVEA")
    assert "water" in fail("fit", "nir_ternary_temperature", file, "--out", tmp_path / "fit")
    assert "nowhere" in fail("ask", tmp_path / "nowhere", file, "--out", tmp_path / "posterior.nc")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text.h5"]


def test_ask_shows_intervals_beside_the_truth_and_keeps_all_draws(file: Path, fitted: Path, tmp_path: Path):
    out = tmp_path / "posterior.nc"
    words = ("--draws", "50", "--prob", "0.8", "--rows", "2", "--part", "test")
    shown = succeed("ask", fitted, file, "--out", out, *words)
    for text in ("abundance [mass fraction]", "10 %", "90 %", "true", "Calibration: ", "80 % intervals", str(out)):
        assert text in shown
    assert shown.count("quartz") == 2
    with xr.open_datatree(out, engine="h5netcdf") as kept:
        assert dict(kept["posterior"].sizes)["draw"] == 50
        assert dict(kept["posterior"].sizes)["sample"] == 6


def test_ask_gives_the_same_answer_to_the_same_seed(file: Path, fitted: Path, tmp_path: Path):
    ask = ("ask", fitted, file, "--draws", "30", "--part", "test")
    one, same, other = (
        succeed(*ask, "--seed", str(seed), "--out", tmp_path / f"{n}.nc").replace(f"{n}.nc", "")
        for n, seed in enumerate((1, 1, 2))
    )
    assert one == same != other


def test_classes_are_fitted_and_asked_about(tmp_path: Path):
    file, folder, draws = (tmp_path / name for name in ("analyses.h5", "fit", "draws.nc"))
    succeed("simulate", "epma_minerals", "-o", file, "-n", "200")
    assert "Olivine" in succeed("check", file, "-s", "epma_minerals")
    succeed("fit", "epma_minerals", file, "-o", folder, "--epochs", "2")
    told = succeed("ask", folder, file, "-o", draws, "--draws", "20", "--rows", "3")
    assert "of the known classes of mineral are the most probable" in told
    assert told.count("│") == 3 * 6 and draws.exists()


def test_demo_writes_what_it_names(tmp_path: Path):
    folder = tmp_path / "demo"
    shown = succeed("demo", "--out", folder, "-n", "24", "--epochs", "2")
    assert "Calibration: " in shown
    named = {line.strip() for line in shown.splitlines() if line.startswith("  ")}
    assert named == {str(path) for path in folder.iterdir()}
    assert {path.name for path in folder.iterdir()} >= {"posterior.nc", "spectra.h5", "fit", "calibration.png"}
