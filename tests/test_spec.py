import json
import pickle
import tomllib
from pathlib import Path

import pytest

from probspec.errors import SpecError
from probspec.spec import Axis, DataSpec, Modality, Target, anonymous_spec, list_specs, load_spec
from probspec.units import axis_unit

MINIMAL = """
name = "mine"
modalities.nir.axis.name = "wavelength"
modalities.nir.axis.unit = "nm"
targets.abundance = { components = ["a", "b"], support = "simplex" }
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "mine.toml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("name", list_specs())
def test_every_shipped_spec_is_complete_and_survives_json(name):
    spec = load_spec(name)
    assert spec.name == name
    assert spec.title and spec.source and spec.licence
    assert all(m.channels and m.quantity for m in spec.modalities.values())
    assert DataSpec.from_config(json.loads(json.dumps(spec.to_config()))) == spec


def test_the_sets_of_the_two_way_method_are_shipped():
    wanted = {"simulated_fusion", "nir_ternary_temperature", "raman_mineral_slurry", "fusion_raman_libs_semisynthetic"}
    assert wanted <= set(list_specs())


def test_simulated_fusion_asks_for_the_minerals_that_it_simulates():
    spec = load_spec("simulated_fusion")
    assert spec.simulator is not None
    assert tuple(spec.simulator["minerals"]) == spec.targets["abundance"].components
    assert spec.simulator["raman_channels"] == spec.modalities["raman"].channels
    assert spec.simulator["libs_channels"] == spec.modalities["libs"].channels


def test_a_spec_is_loaded_from_a_path_given_either_way(tmp_path):
    file = written(tmp_path, MINIMAL)
    assert load_spec(file) == load_spec(str(file))
    assert load_spec(file).split.test == 0.25


def test_a_later_kind_of_data_needs_no_new_kind_of_spec():
    spec = DataSpec(
        name="gamma",
        modalities={"gamma": Modality(axis=Axis(name="energy", unit="keV"), quantity="counts", noise="poisson")},
        targets={
            "nuclide": Target(components=("Co60", "Cs137"), support="category", dim="nuclide"),
            "thickness": Target(components=("steel",), unit="mm", support="positive"),
        },
        covariates={"live_time": "s"},
        priors={"thickness": {"law": "LogNormal", "loc": 1.0, "scale": 1.0}},
    )
    assert (spec.targets["nuclide"].width, spec.targets["thickness"].width) == (1, 1)


def test_channels_may_have_names_and_gaps():
    spec = load_spec("epma_minerals")
    oxides = spec.modalities["oxides"]
    assert oxides.gaps and len(oxides.axis.labels) == oxides.channels == 10
    assert repr(spec) == "DataSpec('epma_minerals': oxides of 10 channels; mineral of 17 components on category)"
    assert not any(m.gaps or m.axis.labels for m in load_spec("simulated_fusion").modalities.values())


def test_units_have_one_spelling():
    for text, unit in [("1/cm", "cm^-1"), ("cm-1", "cm^-1"), ("cm^-1 (Raman shift)", "cm^-1"), ("µm", "um"),
                       ("KEV", "keV"), ("eV", "eV"), (" nm ", "nm")]:  # fmt: skip
        assert axis_unit(text) == unit
    assert Axis(name="wavenumber", unit="1/cm") == Axis(name="wavenumber", unit="cm^-1")


def test_only_a_shift_is_a_shift():
    assert Axis(name="Raman shift", unit="cm^-1").is_shift
    assert not Axis(name="wavenumber", unit="cm^-1").is_shift


def test_anonymous_spec_names_its_target_by_the_support():
    assert set(anonymous_spec({"x": 3}, ["a", "b"]).targets) == {"abundance"}
    assert set(anonymous_spec({"x": 3}, ["a"], "positive").targets) == {"target"}
    assert anonymous_spec({"x": 3}, []).targets == {}


def test_a_spec_is_frozen_and_its_repr_short():
    spec = load_spec("fusion_raman_libs_semisynthetic")
    with pytest.raises(ValueError, match="frozen"):
        spec.name = "other"
    assert len(repr(spec)) < 150


@pytest.mark.parametrize(
    ("change", "key", "allowed"),
    [
        ('title = 3', "title", "a valid string"),
        ('tilte = "x"', "tilte", "did you mean 'title'"),
        ('modalities.nir.noise = "gausian"', "modalities.nir.noise", "'gaussian' or 'poisson'"),
        ('modalities.nir.channels = 0', "modalities.nir.channels", "greater than 0"),
        ('modalities.nir.chanels = 4', "modalities.nir.chanels", "did you mean 'channels'"),
        ('modalities.raman = {}', "modalities.raman.axis", "missing"),
        ('modalities.raman.axis = { name = "x", unit = "furlong" }', "modalities.raman.axis.unit", "cm^-1, eV, keV"),
        ('modalities.nir.gaps = "some"', "modalities.nir.gaps", "boolean"),
        ('modalities.nir.axis.labels = ["a"]', "modalities.nir.axis.labels", "unit = \"channel\", or no labels"),
        ('modalities.o = { channels = 3, axis = { name = "o", unit = "channel", labels = ["a", "b"] } }',
         "modalities.o.channels", "2, as axis.labels has"),
        ('modalities.o = { axis = { name = "o", unit = "channel", labels = ["a", "b"] } }',
         "modalities.o.channels", "2, as axis.labels has"),
        ('modalities.o = { channels = 2, axis = { name = "o", unit = "channel", labels = ["a", "a"] } }',
         "modalities.o.axis.labels", "distinct names"),
        ('modalities."a/b".axis = { name = "x", unit = "nm" }', "modalities.a/b", "pattern"),
        ('targets.x = { components = ["a", "b"], support = "simplx" }', "targets.x.support", "'simplex', 'positive'"),
        ('targets.x = { components = ["a", "a"], support = "real" }', "targets.x.components", "distinct"),
        ('targets.x = { components = ["a"], support = "simplex" }', "targets.x.components", "two or more"),
        ('targets.x = { components = [], support = "real" }', "targets.x.components", "at least 1"),
        ('priors.abundance = { concentration = 1.0 }', "priors.abundance.law", "Dirichlet"),
        ('simulator = { minerals = ["quartz"] }', "simulator.name", "name of a simulator"),
        ('split.test = 1.5', "split.test", "less than 1"),
        ('split.by = "sample"', "split.by", "'group' or 'row'"),
        ('layout = { spectra = { raman = "x" } }', "layout.spectra.raman", "Known: nir"),
        ('layout = { spectra = { nir = "x" } }', "layout.axis.nir", "path of the axis"),
        ('layout = { axis = { nir = "x" } }', "layout.spectra", "missing"),
        ('layout = { spectra.nir = "x", axis.nir = "y", targets.t = "z" }', "layout.targets.t", "Known"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_named_with_its_file_and_what_is_allowed(tmp_path, change, key, allowed):
    file = written(tmp_path, MINIMAL + change)
    with pytest.raises(SpecError) as caught:
        load_spec(file)
    assert str(file) in str(caught.value) and f" {key}" in str(caught.value) and allowed in str(caught.value)


def test_all_wrong_keys_are_reported_at_once(tmp_path):
    with pytest.raises(SpecError) as caught:
        load_spec(written(tmp_path, MINIMAL + 'titel = "x"\nmodalities.nir.noise = "none"\nsplit.seed = -1'))
    assert len(str(caught.value).splitlines()) == 3


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(SpecError, match="absent.toml.*cannot be read"):
        load_spec(tmp_path / "absent.toml")
    with pytest.raises(SpecError, match="mine.toml.*no valid TOML.*line 1"):
        load_spec(written(tmp_path, "name = \ntitle = 3"))
    with pytest.raises(SpecError, match="mine.toml: name: missing"):
        load_spec(written(tmp_path, "modalities.nir.axis = { name = 'wavelength', unit = 'nm' }"))
    (tmp_path / "mine.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(SpecError, match="no valid TOML"):
        load_spec(tmp_path / "mine.toml")


def test_an_unknown_name_suggests_a_known_one():
    with pytest.raises(SpecError, match="did you mean 'simulated_fusion'"):
        load_spec("simulated_fusoin")


def test_constructors_raise_the_same_error_which_can_be_pickled():
    with pytest.raises(SpecError, match="Axis: unit: 'mile'") as caught:
        Axis(name="x", unit="mile")
    # An error raised in a worker process reaches the parent this way; nothing is unpickled from a file.
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    with pytest.raises(SpecError, match="is not a table"):
        DataSpec.from_config(["name"])


def test_the_minimal_spec_is_what_the_cases_above_break():
    assert DataSpec.from_config(tomllib.loads(MINIMAL)).modalities["nir"].noise == "gaussian"
