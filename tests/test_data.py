import copy
import pickle
from dataclasses import FrozenInstanceError, replace

import h5py
import numpy as np
import pytest
import torch
from shared_data import shared_file

from probspec.data import rows as rows_module
from probspec.data.spectra import Batches, Spectra, open_spectra
from probspec.errors import DataError
from probspec.spec import Axis, DataSpec, Layout, Modality, Split, Target, load_spec

N, NAN = 12, np.nan
SPEC = DataSpec(
    name="fusion",
    modalities={
        "raman": Modality(axis=Axis(name="Raman shift", unit="cm^-1")),
        "libs": Modality(axis=Axis(name="wavelength", unit="nm")),
    },
    targets={
        "abundance": Target(components=("a", "b", "c"), support="simplex", unit="fraction"),
        "hardness": Target(components=("hardness",), support="positive", unit="N"),
    },
    covariates={"temperature": "K"},
)
AXES = {"raman": np.linspace(100.0, 1700.0, 5), "libs": np.array([200.0, 300.0, 400.0])}


def arrays(seed: int = 0) -> dict:
    """Arguments of `from_arrays` in which every kind of part is missing somewhere."""
    rng = np.random.default_rng(seed)
    raman, libs = rng.normal(size=(N, 5)), rng.normal(size=(N, 3))
    abundance, hardness = rng.dirichlet(np.ones(3), size=N), rng.uniform(size=N)
    raman[[1, 3]] = NAN  # LIBS only, composition only
    libs[[2, 3]] = NAN
    abundance[[4, 5]] = NAN
    hardness[6:] = NAN
    return {
        "spectra": {"raman": raman, "libs": libs},
        "spec": SPEC,
        "axes": AXES,
        "targets": {"abundance": abundance, "hardness": hardness},
        "groups": np.arange(N) // 3,
        "covariates": {"temperature": rng.uniform(280, 300, size=N)},
    }


@pytest.fixture
def spectra() -> Spectra:
    return Spectra.from_arrays(**arrays())


@pytest.fixture
def lazy(spectra, tmp_path) -> Spectra:
    spectra.write(tmp_path / "x.h5")
    return open_spectra(tmp_path / "x.h5", SPEC)


def assert_same(one: Spectra, other: Spectra) -> None:
    assert one.modalities == other.modalities and len(one) == len(other)
    for name in one.modalities:
        np.testing.assert_array_equal(one.axes[name], other.axes[name])
        np.testing.assert_array_equal(one.present(name), other.present(name))
        np.testing.assert_array_equal(one.spectra(name), other.spectra(name))
    for name in one.targets:
        np.testing.assert_allclose(one.targets[name], other.targets[name], rtol=1e-15)
    for name in one.covariates:
        np.testing.assert_array_equal(one.covariates[name], other.covariates[name])
    np.testing.assert_array_equal(one.groups, other.groups)
    np.testing.assert_array_equal(one.split_labels, other.split_labels)


def test_missing_parts_are_told_from_what_is_there(spectra):
    assert np.flatnonzero(~spectra.present("raman")).tolist() == [1, 3]
    assert np.flatnonzero(~spectra.present("libs")).tolist() == [2, 3]
    assert np.flatnonzero(~spectra.labelled("abundance")).tolist() == [4, 5]
    assert spectra.labelled("hardness").sum() == 6
    assert np.isnan(spectra.spectra("raman")).all(axis=1).tolist() == (~spectra.present("raman")).tolist()
    assert spectra.spectra("raman").dtype == np.float32
    np.testing.assert_allclose(spectra.targets["abundance"][0].sum(), 1, rtol=1e-15)


def test_a_file_gives_back_what_was_written(spectra, lazy):
    assert lazy.is_lazy and not spectra.is_lazy
    assert_same(spectra, lazy)
    assert_same(spectra, lazy.load())
    assert not lazy.load().is_lazy


def test_string_groups_and_stored_splits_survive(spectra, tmp_path):
    marked = replace(
        spectra, groups=np.array(list("aabbccddéé--")), split_labels=np.array(["train"] * 9 + ["test"] * 3)
    )
    marked.write(tmp_path / "x.h5")
    opened = open_spectra(tmp_path / "x.h5", SPEC)
    assert_same(marked, opened)
    train, test = opened.split()
    assert (len(train), len(test)) == (9, 3)
    assert len(opened.split(test=0.5)[1]) == 6  # asked for another one


def test_a_lazy_set_can_be_written_over_its_own_file(lazy, spectra, tmp_path):
    lazy.select([0, 2, 4]).write(tmp_path / "x.h5")
    assert_same(open_spectra(tmp_path / "x.h5", SPEC), spectra.select([0, 2, 4]))
    with pytest.raises(DataError, match="changed since it was opened"):
        lazy.spectra("raman")


def test_the_written_file_is_as_documented(lazy, tmp_path):
    with h5py.File(tmp_path / "x.h5", "r") as file:
        assert file.attrs["format"] == "probspec" and file.attrs["format_version"] == 1
        assert file["axis/libs"].attrs["unit"] == "nm"
        assert file["targets/abundance"].attrs["names"].tolist() == ["a", "b", "c"]
        assert set(file) == {"spectra", "axis", "mask", "targets", "covariates", "groups"}


@pytest.mark.parametrize(
    "index", [[3, 0, 0, -1], slice(2, 8, 2), np.arange(N) % 3 == 0, np.array([5], dtype=np.uint8), 7]
)
@pytest.mark.parametrize("kind", ["spectra", "lazy"])
def test_select_takes_every_part_along(kind, index, request):
    spectra = request.getfixturevalue(kind)
    rows = np.atleast_1d(np.arange(N)[index])
    part = spectra.select(index)
    np.testing.assert_array_equal(part.spectra("raman"), spectra.spectra("raman")[rows])
    np.testing.assert_array_equal(part.spectra("libs", [0]), spectra.spectra("libs", rows[:1]))
    np.testing.assert_array_equal(part.targets["abundance"], spectra.targets["abundance"][rows])
    np.testing.assert_array_equal(part.groups, spectra.groups[rows])
    np.testing.assert_array_equal(part.select([0]).present("libs"), spectra.present("libs")[rows[:1]])


def test_split_parts_no_group_unless_the_spec_says_rows(spectra):
    train, test = spectra.split()
    assert (len(train), len(test)) == (9, 3)
    assert not set(train.groups) & set(test.groups)
    by_row = replace(spectra, spec=SPEC.model_copy(update={"split": Split(by="row", test=0.5)}))
    train, test = by_row.split(seed=1)
    assert len(test) == 6 and set(train.groups) & set(test.groups)


def test_folds_follow_the_groups(spectra):
    for train, test in spectra.folds(4, seed=0):
        assert not set(spectra.groups[train]) & set(spectra.groups[test])


@pytest.mark.parametrize("kind", ["spectra", "lazy"])
def test_a_batch_masks_what_is_missing_and_holds_no_nan(kind, request):
    spectra = request.getfixturevalue(kind)
    batch = spectra.to_batch([3, 0, 4], extras={"h": torch.arange(N)}, total=99)
    assert batch.index.tolist() == [3, 0, 4] and batch.extras["h"].tolist() == [3, 0, 4] and batch.total == 99
    assert batch.present["raman"].tolist() == [False, True, True]
    assert batch.labelled["abundance"].tolist() == [True, True, False]
    assert batch.x["raman"][0].tolist() == [0.0] * 5
    for tensor in (*batch.x.values(), *batch.y.values()):
        assert tensor.dtype == torch.float32 and tensor.isfinite().all()
    assert torch.distributions.constraints.simplex.check(batch.y["abundance"]).all()
    assert torch.distributions.constraints.positive.check(batch.y["hardness"]).all()


def test_rounded_fractions_are_closed_so_that_torch_takes_them():
    rng = np.random.default_rng(0)
    rounded = rng.dirichlet(np.ones(3), size=200).round(3)
    kept = rounded[np.abs(rounded.sum(axis=1) - 1) < 1e-3]
    assert (kept.sum(axis=1) != 1).any()
    data = Spectra.from_arrays({}, SPEC, targets={"abundance": kept})
    assert torch.distributions.constraints.simplex.check(data.to_batch().y["abundance"]).all()


@pytest.mark.parametrize("kind", ["spectra", "lazy"])
def test_only_hides_the_other_modalities(kind, request):
    spectra = request.getfixturevalue(kind)
    part = spectra.only("libs")
    assert not part.present("raman").any() and np.isnan(part.spectra("raman")).all()
    np.testing.assert_array_equal(part.present("libs"), spectra.present("libs"))
    assert part.to_batch().x["raman"].shape == (N, 5)


@pytest.mark.parametrize("kind", ["spectra", "lazy"])
def test_another_unit_turns_the_channels_with_the_axis(kind, request):
    spectra = request.getfixturevalue(kind)
    energy = spectra.to_unit("libs", "eV")
    np.testing.assert_allclose(energy.axes["libs"], 1239.841984 / np.array([400.0, 300.0, 200.0]))
    np.testing.assert_array_equal(energy.spectra("libs"), spectra.spectra("libs")[:, ::-1])
    assert energy.spec.modalities["libs"].axis.unit == "eV" and spectra.spec == SPEC
    np.testing.assert_array_equal(energy.to_unit("libs", "um").spectra("libs"), spectra.spectra("libs"))
    energy.to_batch()
    with pytest.raises(DataError, match=r"axes\['raman'\].*laser"):
        spectra.to_unit("raman", "nm")


def test_concat_joins_every_part(spectra, lazy):
    both = spectra.concat(lazy.select([1, 0]))
    assert len(both) == N + 2
    np.testing.assert_array_equal(both.spectra("libs")[N:], spectra.spectra("libs")[[1, 0]])
    np.testing.assert_array_equal(both.groups[N:], spectra.groups[[1, 0]])


def test_concat_of_different_modalities_leaves_the_others_missing():
    given = arrays()
    raman = Spectra.from_arrays({"raman": given["spectra"]["raman"]}, SPEC, axes={"raman": AXES["raman"]})
    libs = Spectra.from_arrays({"libs": given["spectra"]["libs"]}, SPEC, axes={"libs": AXES["libs"]})
    both = raman.concat(libs)
    assert both.modalities == ("raman", "libs")
    assert not both.present("libs")[:N].any() and not both.present("raman")[N:].any()


def test_a_modality_known_by_its_axis_alone_is_missing_everywhere(tmp_path):
    data = Spectra.from_arrays({"raman": arrays()["spectra"]["raman"]}, SPEC, axes=AXES)
    data.write(tmp_path / "x.h5")
    for spectra in (data, open_spectra(tmp_path / "x.h5", SPEC)):
        assert spectra.modalities == ("raman", "libs") and not spectra.present("libs").any()
        assert spectra.to_batch().x["libs"].shape == (N, 3)


def test_compositions_alone_are_spectra_too(tmp_path):
    data = Spectra.from_arrays({}, SPEC, axes=AXES, targets={"abundance": np.full((4, 3), 1 / 3)})
    data.write(tmp_path / "x.h5")
    assert len(open_spectra(tmp_path / "x.h5", SPEC)) == 4


def test_masked_arrays_and_other_containers_are_taken(spectra):
    given = arrays()
    given["spectra"]["raman"] = np.ma.masked_invalid(given["spectra"]["raman"])
    given["spectra"]["libs"] = torch.from_numpy(given["spectra"]["libs"])
    given["groups"] = [f"series {g}" for g in given["groups"]]
    given["targets"]["hardness"] = list(given["targets"]["hardness"])
    data = Spectra.from_arrays(**given)
    np.testing.assert_array_equal(data.present("raman"), spectra.present("raman"))
    np.testing.assert_array_equal(data.spectra("libs"), spectra.spectra("libs"))


def test_nothing_that_the_caller_changes_later_changes_the_spectra(spectra):
    given = arrays()
    data = Spectra.from_arrays(**given)
    for array in (
        *given["spectra"].values(),
        *given["targets"].values(),
        given["groups"],
        given["covariates"]["temperature"],
    ):
        array[:] = 7
    assert_same(data, spectra)
    data.spectra("raman")[:] = 7
    data.present("raman")[:] = True
    assert_same(data, spectra)
    with pytest.raises(FrozenInstanceError):
        data.spec = SPEC


def test_class_codes_and_counts_are_ready_for_later_methods():
    spec = DataSpec(
        name="gamma",
        modalities={"gamma": Modality(axis=Axis(name="energy", unit="keV"), noise="poisson")},
        targets={"nuclide": Target(components=("Co60", "Cs137"), support="category")},
    )
    data = Spectra.from_arrays([[0, 3], [5, 1]], spec, axes=[-1.0, 2.0], targets=[1, NAN])
    assert data.targets["nuclide"].shape == (2, 1)
    assert data.labelled("nuclide").tolist() == [True, False]


GAPPED = DataSpec(
    name="gapped",
    modalities={
        "oxides": Modality(axis=Axis(name="oxide", unit="channel", labels=("a", "b", "c")), channels=3, gaps=True)
    },
    targets={"kind": Target(components=("x", "y"), support="category")},
)


@pytest.fixture
def gapped() -> Spectra:
    oxides = [[1.0, NAN, 3.0], [NAN, NAN, NAN], [4.0, 5.0, 6.0], [NAN, NAN, 0.0]]
    return Spectra.from_arrays(oxides, GAPPED, targets=[0, 1, NAN, 1])


def test_a_gap_is_not_a_missing_spectrum(gapped):
    assert gapped.present("oxides").tolist() == [True, False, True, True]
    assert np.isnan(gapped.spectra("oxides")).sum(axis=1).tolist() == [1, 3, 0, 2]
    assert repr(gapped) == "Spectra(gapped: 4 rows; oxides 3 channels, a to c, 3 measured; kind 3 labelled)"


def test_gaps_stay_in_the_batch_and_missing_spectra_are_zero(gapped):
    x = gapped.to_batch([3, 1, 0]).x["oxides"]
    np.testing.assert_array_equal(x, [[NAN, NAN, 0.0], [0.0, 0.0, 0.0], [1.0, NAN, 3.0]])
    np.testing.assert_array_equal(gapped.only().to_batch().x["oxides"], np.zeros((4, 3)))
    whole = Batches(gapped, 4, seed=0)
    assert all(batch.x["oxides"].isnan().sum() == 3 for batch in whole)


def test_gaps_survive_every_way_of_moving_rows(gapped, tmp_path):
    gapped.write(tmp_path / "x.h5")
    opened = open_spectra(tmp_path / "x.h5", GAPPED)
    assert opened.is_lazy
    for same in (opened, opened.load(), opened.select([0, 1, 2, 3])):
        assert_same(gapped, same)
        np.testing.assert_array_equal(gapped.to_batch().x["oxides"], same.to_batch().x["oxides"])
    both = gapped.concat(opened)
    np.testing.assert_array_equal(both.spectra("oxides")[4:], gapped.spectra("oxides"))
    np.testing.assert_array_equal(both.present("oxides")[4:], gapped.present("oxides"))


def test_a_file_with_gaps_and_no_mask_is_read_to_see_what_was_measured(gapped, tmp_path):
    spec = GAPPED.model_copy(update={"layout": Layout(spectra={"oxides": "x"})})
    with h5py.File(tmp_path / "theirs.h5", "w") as file:
        file["x"] = gapped.spectra("oxides")
    opened = open_spectra(tmp_path / "theirs.h5", spec)
    assert opened.present("oxides").tolist() == [True, False, True, True]
    np.testing.assert_array_equal(opened.spectra("oxides"), gapped.spectra("oxides"))


def test_a_spec_with_gaps_survives_json(gapped):
    assert DataSpec.from_config(GAPPED.to_config()) == GAPPED


def test_a_file_is_read_in_blocks_of_bounded_memory(spectra, lazy, tmp_path, monkeypatch):
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", 60)  # three rows of five channels
    spec = SPEC.model_copy(update={"layout": Layout(spectra={"raman": "x"}, axis={"raman": "a"})})
    with h5py.File(tmp_path / "theirs.h5", "w") as file:
        file["x"], file["a"] = spectra.spectra("raman"), AXES["raman"]
    read: list[int] = []
    monkeypatch.setattr(rows_module.intake, "spectra", _counted(rows_module.intake.spectra, read))
    opened = open_spectra(tmp_path / "theirs.h5", spec)
    assert read == [3, 3, 3, 3]
    np.testing.assert_array_equal(opened.present("raman"), spectra.present("raman"))
    lazy.write(tmp_path / "copy.h5")
    assert max(read) <= 5


def _counted(check, read):
    def counting(values, *rest):
        read.append(len(values))
        return check(values, *rest)

    return counting


def test_opening_our_own_file_reads_no_spectrum(lazy, tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("spectra were read")

    monkeypatch.setattr(rows_module.FileRows, "_checked", refuse)
    assert open_spectra(tmp_path / "x.h5", SPEC).present("raman").sum() == N - 2


def test_a_lazy_set_outlives_a_change_of_folder(spectra, lazy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    opened = open_spectra("x.h5", SPEC)
    monkeypatch.chdir("/")
    assert_same(opened, spectra)


def test_lazy_spectra_can_be_copied_and_sent_to_workers(lazy):
    assert_same(lazy, copy.deepcopy(lazy))
    # Worker processes receive their spectra this way; nothing is unpickled from a file.
    assert_same(lazy, pickle.loads(pickle.dumps(lazy)))


def test_repr_is_short_and_html_escaped(spectra):
    assert repr(spectra).startswith("Spectra(fusion: 12 rows; raman 5 channels, 100-1700 cm^-1, 10 measured; ")
    titled = replace(spectra, spec=SPEC.model_copy(update={"title": "<script>"}))
    assert "<script>" not in titled._repr_html_() and "&lt;script&gt;" in titled._repr_html_()


def test_nothing_draws_from_the_global_generators(spectra, untouched_generators):
    spectra.split()
    spectra.folds(3, seed=0)


@pytest.mark.parametrize(
    ("name", "rows", "channels", "groups"),
    [
        ("nir_ternary_temperature", 300, {"nir": 401}, 25),
        ("raman_mineral_slurry", 47, {"raman": 1601}, 24),
        ("fusion_raman_libs_semisynthetic", 47, {"raman": 1601, "libs": 2047}, 24),
    ],
)
def test_the_real_sets_open_as_their_specs_say(name, rows, channels, groups):
    data = open_spectra(shared_file(name), name)
    assert len(data) == rows and len(np.unique(data.groups)) == groups
    assert {m: len(axis) for m, axis in data.axes.items()} == channels
    assert data.labelled("abundance").all() and all(data.present(m).all() for m in data.modalities)
    np.testing.assert_allclose(data.targets["abundance"].sum(axis=1), 1, rtol=1e-12)
    train, test = data.split()
    assert not set(train.groups) & set(test.groups)
    assert data.targets["abundance"].shape[1] == len(load_spec(name).targets["abundance"].components)


def test_the_temperature_of_the_mixtures_is_a_covariate():
    data = open_spectra(shared_file("nir_ternary_temperature"), "nir_ternary_temperature")
    assert (data.covariates["temperature_C"].min(), data.covariates["temperature_C"].max()) == (30, 70)


def test_a_real_set_survives_our_own_format(tmp_path):
    data = open_spectra(shared_file("fusion_raman_libs_semisynthetic"), "fusion_raman_libs_semisynthetic")
    data.write(tmp_path / "x.h5")
    assert_same(data, open_spectra(tmp_path / "x.h5", "fusion_raman_libs_semisynthetic"))
