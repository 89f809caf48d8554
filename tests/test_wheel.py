"""The wheel is enough: installed outside the checkout, it brings the data specs, the types and the command."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, cwd: Path) -> str:
    # an environment without PYTHONPATH, and another folder, keep the checkout out of sys.path
    done = subprocess.run(command, cwd=cwd, env={"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder, cwd=ROOT)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs of a new environment that holds this wheel and borrows the dependencies of the running one."""
    home = tmp_path_factory.mktemp("clean") / "env"
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=home)
    (site,) = home.glob("lib/python*/site-packages")
    # The wheel's own folder comes first; .pth files inside a borrowed folder (an editable probspec) are not read.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n" + sysconfig.get_path("platlib") + "\n")
    return home / "bin"


def test_wheel_holds_the_package_and_nothing_else(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    specs = {f"probspec/data_specs/{file.name}" for file in (ROOT / "data_specs").glob("*.toml")}
    assert specs
    assert specs | {"probspec/py.typed", "probspec/__init__.py"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"probspec"}


def test_installed_package_finds_its_specs_and_data_files(wheel: Path, installed: Path, tmp_path: Path):
    code = (
        "import probspec as ps; print(ps.__file__); print(ps.__version__);"
        "print(*(ps.load_spec(name).name for name in ps.list_specs()))"
    )
    file, version, specs = run(installed / "python", "-I", "-c", code, cwd=tmp_path).splitlines()
    assert Path(file).is_relative_to(installed.parent)
    assert version in wheel.name
    assert specs.split() == sorted(path.stem for path in (ROOT / "data_specs").glob("*.toml"))


def test_installed_command_shows_help(installed: Path, tmp_path: Path):
    shown = run(installed / "probspec", "--help", cwd=tmp_path)
    assert all(name in shown for name in ("demo", "check", "simulate", "fit", "ask"))
