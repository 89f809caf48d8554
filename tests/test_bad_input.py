"""Whatever is wrong with the input ends in a ProbspecError that names the argument or the HDF5 path, and the index."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from probspec.data.spectra import Batches, Spectra, open_spectra
from probspec.errors import DataError, ProbspecError, SpecError
from probspec.spec import Axis, DataSpec, Layout, Modality, Target, anonymous_spec, load_spec

N, NAN = 6, np.nan
SPEC = DataSpec(
    name="pair",
    modalities={
        "nir": Modality(axis=Axis(name="wavelength", unit="nm")),
        "gamma": Modality(axis=Axis(name="energy", unit="keV"), noise="poisson", channels=3),
        "oxides": Modality(axis=Axis(name="oxide", unit="channel", labels=("a", "b")), channels=2, gaps=True),
        "dose": Modality(axis=Axis(name="detector", unit="channel"), noise="poisson", gaps=True),
    },
    targets={
        "abundance": Target(components=("a", "b"), support="simplex"),
        "mass": Target(components=("mass",), support="positive"),
        "share": Target(components=("share",), support="unit_interval"),
        "kind": Target(components=("x", "y", "z"), support="category"),
    },
    covariates={"temperature": "K"},
)
THEIRS = SPEC.model_copy(
    update={
        "layout": Layout(
            spectra={"nir": "x", "gamma": "g/x"},
            axis={"nir": "axis", "gamma": "g/axis"},
            targets={"abundance": "y", "mass": "m"},
            covariates={"temperature": "t"},
            groups="group",
            split="split",
        )
    }
)


def good() -> dict[str, Any]:
    """Arguments of `from_arrays` with nothing wrong in them."""
    return {
        "spectra": {
            "nir": np.ones((N, 4)),
            "gamma": np.arange(3.0 * N).reshape(N, 3),
            "oxides": np.array([[1.0, NAN]] * N),
            "dose": np.array([[NAN, 2.0, 3.0]] * N),
        },
        "spec": SPEC,
        "axes": {"nir": np.array([700.0, 800.0, 900.0, 1000.0]), "gamma": np.array([-1.0, 0.0, 1.0])},
        "targets": {
            "abundance": np.full((N, 2), 0.5),
            "mass": np.zeros(N),
            "share": np.linspace(0, 1, N),
            "kind": np.arange(N) % 3,
        },
        "groups": np.arange(N) // 2,
        "split": ["train"] * 4 + ["test"] * 2,
        "covariates": {"temperature": np.full(N, 300.0)},
    }


Change = Callable[[dict[str, Any]], Any]


def put(part: str, name: str, index: Any, value: Any) -> Change:
    """Spoil single values of an array."""

    def change(args: dict[str, Any]) -> None:
        args[part][name] = args[part][name].astype(float)
        args[part][name][index] = value

    return change


def give(part: str, name: str | None, value: Any) -> Change:
    """Give something else for an array, or for a whole argument."""

    def change(args: dict[str, Any]) -> None:
        if name is None:
            args[part] = value
        else:
            args[part][name] = value

    return change


ARRAYS: dict[str, tuple[Change, str]] = {
    "NaN channel": (put("spectra", "nir", (2, 3), NAN), "spectra['nir'][2, 3]: NaN"),
    "infinite channel": (put("spectra", "nir", (0, 1), np.inf), "spectra['nir'][0, 1]: inf"),
    "minus infinity": (put("spectra", "gamma", (5, 0), -np.inf), "spectra['gamma'][5, 0]: -inf"),
    "channel beyond float32": (put("spectra", "nir", (1, 1), 1e300), "spectra['nir'][1, 1]: 1e+300"),
    "all NaN but one": (put("spectra", "nir", (3, slice(1, None)), NAN), "spectra['nir'][3, 1]: NaN"),
    "infinite beside a gap": (put("spectra", "oxides", (2, 0), np.inf), "spectra['oxides'][2, 0]: inf"),
    "counts beside a gap": (put("spectra", "dose", (1, 2), 2.5), "spectra['dose'][1, 2]: 2.5; expected whole counts"),
    "infinite counts beside a gap": (put("spectra", "dose", (1, 1), -np.inf), "spectra['dose'][1, 1]: -inf"),
    "channels beside labels": (give("spectra", "oxides", np.ones((N, 3))), "spectra['oxides']: 3 channels; expected 2"),
    "negative counts": (put("spectra", "gamma", (1, 2), -4), "spectra['gamma'][1, 2]: -4"),
    "fractional counts": (put("spectra", "gamma", (1, 2), 2.5), "spectra['gamma'][1, 2]: 2.5; expected whole counts"),
    "other channels than the spec": (give("spectra", "gamma", np.ones((N, 4))), "spectra['gamma']: 4 channels"),
    "other rows": (give("spectra", "gamma", np.ones((N + 1, 3))), "spectra['gamma']: 7 rows; expected 6"),
    "one sample without its dim": (give("spectra", "nir", np.ones(4)), "x[None, :]"),
    "a cube": (give("spectra", "nir", np.ones((2, 3, 4))), "spectra['nir']: shape (2, 3, 4)"),
    "no rows": (give("spectra", "nir", np.ones((0, 4))), "spectra['nir']: empty"),
    "no channels": (give("spectra", "nir", np.ones((N, 0))), "spectra['nir']: empty"),
    "object dtype": (give("spectra", "nir", np.ones((N, 4), object)), "spectra['nir']: dtype object"),
    "ragged rows": (give("spectra", "nir", [[1.0, 2.0], [1.0]]), "spectra['nir']: no array"),
    "text": (give("spectra", "nir", [["1,5"] * 4] * N), "spectra['nir']: dtype <U3"),
    "complex": (give("spectra", "nir", np.ones((N, 4), complex)), "spectra['nir']: dtype complex128"),
    "None": (give("spectra", "nir", None), "spectra['nir']: dtype object"),
    "dates": (give("spectra", "nir", np.zeros((N, 4), "datetime64[s]")), "spectra['nir']: dtype datetime64"),
    "a tensor with a gradient": (give("spectra", "nir", torch.ones(N, 4, requires_grad=True)), "spectra['nir']: no"),
    "unknown modality": (
        give("spectra", "nri", np.ones((N, 4))),
        "spectra['nri']: not declared by the spec, did you m",
    ),
    "no name": (give("spectra", None, np.ones((N, 4))), "spectra: one array without a name; expected a dict by name"),
    "nothing at all": (lambda a: a.update(spectra={}, targets=None), "spectra: neither spectra nor targets"),
    "no axis": (lambda a: a["axes"].pop("nir"), "axes['nir']: missing; expected the position of each channel in nm"),
    "unsorted axis": (put("axes", "nir", 2, 750.0), "axes['nir'][2]: 750"),
    "descending axis": (give("axes", "nir", [4.0, 3.0, 2.0, 1.0]), "axes['nir'][1]: 3; expected a position above"),
    "duplicate channel": (put("axes", "nir", 2, 800.0), "axes['nir'][2]: 800; expected positions that do not repeat"),
    "NaN in the axis": (put("axes", "nir", 3, NAN), "axes['nir'][3]: nan"),
    "infinite axis": (put("axes", "gamma", 2, np.inf), "axes['gamma'][2]: inf"),
    "negative wavelength": (put("axes", "nir", 0, -5.0), "axes['nir'][0]: -5; expected wavelengths above 0"),
    "axis too short": (give("axes", "nir", [1.0, 2.0, 3.0]), "axes['nir']: 3 channels; expected 4"),
    "axis of two dims": (give("axes", "nir", np.ones((1, 4))), "axes['nir']: shape (1, 4)"),
    "off the simplex": (put("targets", "abundance", (4, 0), 0.6), "targets['abundance'][4]: sums to 1.1"),
    "negative fraction": (put("targets", "abundance", 3, [-0.1, 1.1]), "targets['abundance'][3, 0]: -0.1"),
    "percent": (put("targets", "abundance", 0, [40, 60]), "targets['abundance'][0, 0]: 40; expected fractions"),
    "half a label": (put("targets", "abundance", (1, 1), NAN), "targets['abundance'][1, 1]: NaN"),
    "infinite label": (put("targets", "mass", 2, np.inf), "targets['mass'][2, 0]: inf"),
    "negative mass": (put("targets", "mass", 2, -1.0), "targets['mass'][2, 0]: -1; expected finite numbers >= 0"),
    "share above one": (put("targets", "share", 5, 1.2), "targets['share'][5, 0]: 1.2; expected numbers from 0 to 1"),
    "no such class": (put("targets", "kind", 1, 3), "targets['kind'][1, 0]: 3; expected class codes"),
    "half a class": (put("targets", "kind", 1, 0.5), "targets['kind'][1, 0]: 0.5"),
    "class names": (give("targets", "kind", list("xyzxyz")), "targets['kind']: dtype <U1"),
    "too few components": (give("targets", "abundance", np.ones((N, 1))), "targets['abundance']: 1 columns (a, b)"),
    "labels of other rows": (give("targets", "mass", np.zeros(3)), "targets['mass']: 3 rows; expected 6"),
    "unknown target": (give("targets", "abundence", np.ones(N)), "targets['abundence']: not declared by the spec, did"),
    "groups too short": (give("groups", None, [1, 2]), "groups: 2 rows; expected 6"),
    "groups that are no names": (give("groups", None, np.full(N, NAN)), "groups: shape (6,) of dtype float64"),
    "groups with None": (give("groups", None, ["a", None] * 3), "groups: shape (6,) of dtype object"),
    "split of two dims": (give("split", None, [["test"]] * N), "split: shape (6, 1)"),
    "unknown covariate": (give("covariates", "humidity", np.ones(N)), "covariates['humidity']: not declared"),
    "infinite covariate": (put("covariates", "temperature", 4, np.inf), "covariates['temperature'][4]: inf"),
    "covariate too long": (give("covariates", "temperature", np.ones(9)), "covariates['temperature']: 9 rows"),
}


def test_the_unspoilt_arrays_are_taken():
    assert len(Spectra.from_arrays(**good())) == N


@pytest.mark.parametrize("case", ARRAYS)
def test_wrong_arrays(case):
    change, message = ARRAYS[case]
    args = good()
    change(args)
    with pytest.raises(DataError) as caught:
        Spectra.from_arrays(**args)
    assert message in str(caught.value)


def theirs(folder: Path) -> Path:
    """Somebody else's file with nothing wrong in it."""
    args = good()
    with h5py.File(folder / "theirs.h5", "w") as file:
        file["x"], file["g/x"] = args["spectra"]["nir"], args["spectra"]["gamma"]
        file["axis"], file["g/axis"] = args["axes"]["nir"], args["axes"]["gamma"]
        file["axis"].attrs["unit"] = "nm (vacuum)"
        file["y"], file["m"] = args["targets"]["abundance"], args["targets"]["mass"][:, None]
        file["y"].attrs["names"] = ["a", "b"]
        file["t"], file["group"], file["split"] = args["covariates"]["temperature"], args["groups"], args["split"]
    return folder / "theirs.h5"


def replaced(path: str, value: Any) -> Callable[[h5py.File], None]:
    """Put something else at a path of the file."""

    def change(file: h5py.File) -> None:
        attributes = dict(file[path].attrs)
        del file[path]
        file[path] = value
        if isinstance(file.get(path, getlink=True), h5py.HardLink):
            file[path].attrs.update(attributes)

    return change


def spoilt(path: str, index: Any, value: float) -> Callable[[h5py.File], None]:
    """Put a wrong value into a dataset."""

    def change(file: h5py.File) -> None:
        file[path][index] = value

    return change


def attribute(path: str, name: str, value: Any) -> Callable[[h5py.File], None]:
    """Put a wrong attribute beside a dataset."""

    def change(file: h5py.File) -> None:
        file[path].attrs[name] = value

    return change


def deleted(path: str) -> Callable[[h5py.File], None]:
    """Leave something out of the file."""

    def change(file: h5py.File) -> None:
        del file[path]

    return change


FILES: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "NaN channel": (spoilt("x", (4, 1), NAN), ":/x[4, 1]: NaN"),
    "negative counts": (spoilt("g/x", (2, 0), -1), ":/g/x[2, 0]: -1"),
    "spectra missing": (deleted("x"), ":/x: missing"),
    "axis missing": (deleted("g/axis"), ":/g/axis: missing"),
    "targets missing": (deleted("m"), ":/m: missing"),
    "groups missing": (deleted("group"), ":/group: missing"),
    "unsorted axis": (spoilt("axis", 1, 600.0), ":/axis[1]: 600"),
    "axis too long": (replaced("axis", np.arange(1.0, 9.0)), ":/axis: 8 channels; expected 4"),
    "axis in another unit": (attribute("axis", "unit", "um"), ":/axis@unit: 'um'; expected nm"),
    "axis in an unknown unit": (attribute("axis", "unit", "inch"), ":/axis@unit: 'inch' is not a known axis unit"),
    "other channels than the spec": (replaced("g/x", np.ones((N, 5))), ":/g/x: 5 channels; expected 3"),
    "other rows": (replaced("g/x", np.ones((N + 2, 3))), ":/g/x: 8 rows; expected 6"),
    "labels of other rows": (replaced("m", np.ones((2, 1))), ":/m: 2 rows; expected 6"),
    "spectra of one dim": (replaced("x", np.ones(N)), ":/x: shape (6,)"),
    "no rows": (replaced("x", np.ones((0, 4))), ":/x: "),
    "off the simplex": (spoilt("y", (5, 1), 0.7), ":/y[5]: sums to 1.2"),
    "components in another order": (attribute("y", "names", ["b", "a"]), ":/y@names: ['b', 'a']; expected ['a', 'b']"),
    "infinite covariate": (spoilt("t", 3, np.inf), ":/t[3]: inf"),
    "groups of floats": (replaced("group", np.ones(N)), ":/group: dtype float64"),
    "text for numbers": (replaced("x", ["a"] * N), ":/x: dtype string"),
    "group for a dataset": (lambda file: (deleted("y")(file), file.create_group("y")), ":/y: is not a dataset"),
    "external link": (replaced("x", h5py.ExternalLink("/etc/hosts", "/x")), ":/x: 'x' is an external link"),
    "soft link": (replaced("x", h5py.SoftLink("/g/x")), ":/x: 'x' is a soft link"),
    "link on the way": (replaced("g", h5py.SoftLink("/elsewhere")), ":/g/x: 'g' is a soft link"),
    "claims to be ours": (attribute("/", "format", "probspec"), ":/@format_version: None"),
}


def test_the_unspoilt_file_is_taken(tmp_path):
    assert len(open_spectra(theirs(tmp_path), THEIRS)) == N


@pytest.mark.parametrize("case", FILES)
def test_wrong_files(case, tmp_path):
    change, message = FILES[case]
    with h5py.File(theirs(tmp_path), "r+") as file:
        change(file)
    with pytest.raises(ProbspecError) as caught:
        open_spectra(tmp_path / "theirs.h5", THEIRS)
    assert "theirs.h5" + message in str(caught.value)


def ours(folder: Path) -> Path:
    """A file of our own."""
    Spectra.from_arrays(**good()).write(folder / "ours.h5")
    return folder / "ours.h5"


OURS: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "from the future": (attribute("/", "format_version", 99), ":/@format_version: 99; expected a number up to 1"),
    "no version": (attribute("/", "format_version", "one"), ":/@format_version: 'one'"),
    "channels in another order": (
        attribute("axis/oxides", "labels", ["b", "a"]),
        ":/axis/oxides@labels: ['b', 'a']; expected ['a', 'b'], as in the spec",
    ),
    "infinite beside a gap": (spoilt("spectra/oxides", (2, 0), np.inf), ":/spectra/oxides[2, 0]: inf"),
    "gaps lost after the mask was made": (
        spoilt("spectra/oxides", 2, NAN),
        ":/spectra/oxides[2]: NaN in every channel",
    ),
    "axis lost": (deleted("axis/nir"), ":/axis/nir: missing"),
    "mask of other rows": (replaced("mask/nir", np.ones(2, bool)), ":/mask/nir: 2 rows; expected 6"),
    "channel lost after the mask was made": (spoilt("spectra/nir", (2, 2), NAN), ":/spectra/nir[2, 2]: NaN"),
    "row lost after the mask was made": (spoilt("spectra/nir", 2, NAN), ":/spectra/nir[2]: NaN in every channel"),
    "nothing of the spec": (
        lambda file: [deleted(part)(file) for part in ("spectra", "axis", "mask", "targets")],
        ": holds no modality and no target",
    ),
}


@pytest.mark.parametrize("case", OURS)
def test_wrong_files_of_our_own(case, tmp_path):
    change, message = OURS[case]
    with h5py.File(ours(tmp_path), "r+") as file:
        change(file)
    with pytest.raises(DataError) as caught:
        open_spectra(tmp_path / "ours.h5", SPEC).to_batch()
    assert "ours.h5" + message in str(caught.value)


def six_samples() -> Spectra:
    return Spectra.from_arrays(**good())


def one_sample() -> Spectra:
    return six_samples().select([0])


CALLS: dict[str, tuple[Callable[[], Any], str]] = {
    "split of one sample": (lambda: one_sample().split(test=0.5), "split: 1 rows in one group cannot be parted"),
    "stored split that holds out nothing": (lambda: six_samples().select([0, 1]).split(), "split: 0 of 2 rows"),
    "split of everything": (lambda: six_samples().split(test=1.0), "test: 1.0 is no share"),
    "negative seed": (lambda: six_samples().split(test=0.5, seed=-1), "seed: -1"),
    "one fold": (lambda: six_samples().folds(1, 0), "k: 1 folds; expected from 2 to 3"),
    "more folds than groups": (lambda: six_samples().folds(4, 0), "k: 4 folds; expected from 2 to 3"),
    "row that does not exist": (lambda: six_samples().select([0, 6]), "index[1]: row 6 does not exist"),
    "row before the first": (lambda: six_samples().spectra("nir", [-7]), "rows[0]: row -7 does not exist"),
    "mask of another length": (lambda: six_samples().select([True]), "index: 1 rows; expected 6"),
    "no row": (lambda: six_samples().select([]), "index: no rows chosen"),
    "mask of no row": (lambda: six_samples().select(np.zeros(N, bool)), "index: no rows chosen"),
    "row by name": (lambda: six_samples().select("a"), "index: shape (1,) of dtype <U1"),
    "row by float": (lambda: six_samples().select([0.5]), "index: shape (1,) of dtype float64"),
    "unknown modality": (lambda: six_samples().spectra("nri"), "modality: 'nri' is not here, did you mean 'nir'"),
    "only an unknown modality": (lambda: six_samples().only("libs"), "modality: 'libs' is not here"),
    "unknown target": (lambda: six_samples().labelled("x"), "target: 'x' is not here"),
    "unknown unit": (lambda: six_samples().to_unit("nir", "mile"), "unit: 'mile' is not a known axis unit"),
    "energies below zero": (
        lambda: six_samples().to_unit("gamma", "nm"),
        "axes['gamma'][0]: -1; expected positions abo",
    ),
    "extras of other rows": (lambda: six_samples().to_batch(extras={"h": torch.ones(2)}), "extras['h']: 2 rows"),
    "batches of nothing": (lambda: Batches(six_samples(), 0, seed=0), "size: 0 rows in a batch"),
    "concat with another spec": (lambda: six_samples().concat(anonymous()), "other: spec 'anonymous' differs"),
    "concat with another axis": (lambda: six_samples().concat(moved()), "other.axes['nir']: other positions"),
    "concat without groups": (lambda: six_samples().concat(ungrouped()), "groups: only one of the two sets has them"),
    "concat of other names": (lambda: six_samples().concat(named()), "groups: int64 and <U1 cannot be joined"),
    "write into no folder": (lambda: six_samples().write("/absent/x.h5"), "/absent/x.h5: cannot be written"),
    "file that is not there": (lambda: open_spectra("absent.h5", SPEC), "absent.h5: no such file"),
    "folder for a file": (lambda: open_spectra("/", SPEC), "no such file"),
    "python for a file": (lambda: open_spectra(__file__, SPEC), "test_bad_input.py:/: cannot be read"),
    "spec that is not there": (lambda: open_spectra(__file__, "nir"), "spec 'nir': not found"),
    "spec of another file": (lambda: load_spec(Path(__file__)), "test_bad_input.py: no valid TOML"),
    "no channels in an anonymous spec": (lambda: anonymous_spec({"x": 0}, ["a", "b"]), "Modality: channels: 0"),
    "one component on the simplex": (lambda: anonymous_spec({"x": 2}, ["a"]), "Target: components: one component"),
}


def anonymous() -> Spectra:
    return Spectra.from_arrays(np.ones((2, 3)), anonymous_spec({"x": 3}, ["a", "b"]))


def moved() -> Spectra:
    return Spectra.from_arrays(**good() | {"axes": {"nir": [1.0, 2.0, 3.0, 4.0], "gamma": [-1.0, 0.0, 1.0]}})


def ungrouped() -> Spectra:
    return Spectra.from_arrays(**good() | {"groups": None})


def named() -> Spectra:
    return Spectra.from_arrays(**good() | {"groups": list("aabbcc")})


@pytest.mark.parametrize("case", CALLS)
def test_wrong_calls(case):
    call, message = CALLS[case]
    with pytest.raises((DataError, SpecError)) as caught:
        call()
    assert message in str(caught.value)


def test_a_file_that_is_not_ours_needs_a_layout(tmp_path):
    with pytest.raises(DataError, match="the spec has no layout.*\\[layout\\]"):
        open_spectra(theirs(tmp_path), SPEC)


def test_every_error_is_a_value_error_too():
    with pytest.raises(ValueError, match="NaN"):
        Spectra.from_arrays([[1.0, NAN]], anonymous_spec({"x": 2}, ["a", "b"]))


def test_one_sample_is_enough_to_ask_about():
    assert len(one_sample().to_batch()) == 1
