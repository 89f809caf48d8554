"""Minerals of a section: the right ones, the same in blocks, coordinates kept, and blank where nothing was measured."""

import warnings
from dataclasses import dataclass, field

import numpy as np
import pytest
import xarray as xr
from scipy.stats import entropy

from probspec.element_maps import MAPS, classify_map
from probspec.errors import DataError, ProbspecWarning, QueryError, SpecError
from probspec.oxides import OXIDES
from probspec.plots import element_map, new_figure
from probspec.simulate.section import simulate_section
from probspec.simulators.minerals import SOLID_SOLUTIONS

MINERALS = ["Olivine", "Plagioclase", "Ilmenite"]
PLAIN = ("mineral", "probability", "doubt")


@dataclass
class BySilica:
    """Three classes by silica, a strangeness, and a note of how many rows came at once."""

    classes_: np.ndarray = field(default_factory=lambda: np.array(["Ilmenite", "Olivine", "Plagioclase"]))
    seen: list[int] = field(default_factory=list)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        self.seen.append(len(X))
        near = np.exp(-np.abs(np.nan_to_num(X[:, :1]) - [0, 36, 52]) / 5)  # 44 is above olivine, below plagioclase
        return near / near.sum(1, keepdims=True)

    def ood_score(self, X: np.ndarray) -> np.ndarray:
        return np.nansum(X, 1)


class OnlyProbabilities:
    classes_ = np.array(["Olivine", "not olivine"])

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return np.tile([0.25, 0.75], (len(X), 1))


@pytest.fixture
def section() -> xr.Dataset:
    return simulate_section((13, 17), MINERALS, seed=1, grains=12, blur=0.0)


def test_each_pixel_gets_its_mineral_probability_doubt_and_strangeness(section):
    answer = classify_map(BySilica(), section["oxides"])
    names = np.array(answer["mineral"].attrs["names"])
    truth = np.array(MINERALS)[section["mineral"]]
    assert (names[answer["mineral"]] == truth).mean() > 0.95
    X = section["oxides"].values.reshape(-1, 10)
    proba = BySilica().predict_proba(X)
    np.testing.assert_allclose(answer["probability"].values.ravel(), proba.max(1))
    np.testing.assert_allclose(answer["doubt"].values.ravel(), entropy(proba, axis=1))
    np.testing.assert_allclose(answer["strangeness"].values.ravel(), X.sum(1))


@pytest.mark.parametrize("block", [1, 5, 17, 40, 10**6])
def test_in_blocks_the_map_is_the_same_as_at_once(section, block):
    classifier = BySilica()
    xr.testing.assert_identical(classify_map(classifier, section["oxides"], block=block),
                                classify_map(BySilica(), section["oxides"]))  # fmt: skip
    assert max(classifier.seen) <= block and sum(classifier.seen) == 13 * 17


def test_a_map_in_a_file_is_not_read_as_a_whole(section, tmp_path):
    section[["oxides"]].to_netcdf(tmp_path / "section.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "section.nc", engine="h5netcdf") as file:
        answer = classify_map(BySilica(), file["oxides"], block=40)
        assert not file["oxides"].variable._in_memory
    np.testing.assert_array_equal(answer["mineral"], classify_map(BySilica(), section["oxides"])["mineral"])


def test_coordinates_and_units_are_kept(section):
    answer = classify_map(BySilica(), section["oxides"].rename(y="row", x="column").assign_coords(spot="A3"))
    assert answer["mineral"].dims == ("row", "column")
    assert answer["row"].attrs["unit"] == "µm" and answer["column"].values.tolist() == section["x"].values.tolist()
    assert answer["spot"] == "A3" and "oxide" not in answer.coords
    assert answer["doubt"].attrs["unit"] == "nat" and answer["probability"].attrs["unit"] == "1"


def test_oxides_may_come_first_and_in_any_order_and_spelling(section):
    expected = classify_map(BySilica(), section["oxides"])
    first = section["oxides"].transpose("oxide", "y", "x").isel(oxide=slice(None, None, -1))
    xr.testing.assert_identical(classify_map(BySilica(), first), expected)
    names = [f"{name} (wt%)" for name in OXIDES[::-1]]
    again = classify_map(BySilica(), section["oxides"].values[..., ::-1], names)
    np.testing.assert_array_equal(again["mineral"], expected["mineral"])


def test_other_channels_are_passed_over_only_when_told(section):
    counts = np.full((13, 17, 1), 4000.0)
    cube = np.concatenate([section["oxides"].values, counts], axis=2)
    answer = classify_map(BySilica(), cube, [*OXIDES, "S counts"], ignore=["S counts"])
    np.testing.assert_array_equal(answer["mineral"], classify_map(BySilica(), section["oxides"])["mineral"])
    with pytest.raises(DataError, match=r"oxides\[0, 0, S counts\]: 4000; are these counts\?"):
        classify_map(BySilica(), cube, [*OXIDES, "S counts"])


def test_pixels_without_oxides_are_not_asked_about(section):
    holes, classifier = section["oxides"].copy(), BySilica()
    holes[2:5, 3:9] = np.nan
    holes[0, 0, 3:] = np.nan  # some oxides: still measured
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProbspecWarning)
        answer = classify_map(classifier, holes, block=20)
    blank = np.zeros((13, 17), bool)
    blank[2:5, 3:9] = True
    np.testing.assert_array_equal(answer["mineral"].values == answer["mineral"].attrs["not_measured"], blank)
    for name in ("probability", "doubt", "strangeness"):
        np.testing.assert_array_equal(np.isnan(answer[name]), blank)
    assert sum(classifier.seen) == 13 * 17 - 18
    assert (classify_map(classifier, holes * np.nan)["mineral"] == -1).all()


def test_the_legend_follows_the_conventions_and_survives_a_file(section, tmp_path):
    answer = classify_map(OnlyProbabilities(), section["oxides"], maps=PLAIN)
    assert set(answer) == set(PLAIN)
    answer.to_netcdf(tmp_path / "map.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "map.nc", engine="h5netcdf") as again:
        legend = again["mineral"].attrs
        assert legend["flag_meanings"] == "Olivine not_olivine" and legend["flag_values"].tolist() == [0, 1]
        assert list(legend["names"]) == ["Olivine", "not olivine"] and (again["mineral"] == 1).all()


def test_the_maps_can_be_drawn(section):
    answer = classify_map(BySilica(), section["oxides"])
    figure, axes = new_figure(1, 2)
    element_map(axes[0, 0], answer["mineral"], names=answer["mineral"].attrs["names"])
    element_map(axes[0, 1], answer["doubt"], pixel=5.0)
    assert len(axes[0, 0].get_legend().get_texts()) == 3


def test_strange_totals_are_told_once_for_the_whole_map(section):
    bright = section["oxides"].copy()
    bright[0, :3] = 1.0
    with pytest.warns(ProbspecWarning, match="totals outside 20-130 wt% in 3 of 221 pixels") as caught:
        classify_map(BySilica(), bright, block=2)
    assert len(caught) == 1


BAD = {
    "no map": (np.ones((3, 10)), {}, DataError, "oxides: dims dim_0: 3, dim_1: 10; expected"),
    "empty": (np.ones((0, 3, 10)), {}, DataError, "oxides: dims y: 0"),
    "no names": (np.ones((2, 2, 4)), {}, DataError, "4 channels without names"),
    "few names": (np.ones((2, 2, 4)), {"names": ["SiO2"]}, DataError, "names: .*each of the 4 channels"),
    "one word": (np.ones((2, 2, 4)), {"names": "SiO2"}, DataError, "names: 'SiO2'"),
    "unknown": (np.ones((2, 2, 2)), {"names": ["SiO2", "MgO2"]}, DataError, "no oxides: MgO2; did you mean"),
    "text": (np.full((2, 2, 10), "a"), {}, DataError, "oxides: dtype <U1"),
    "counts": (np.full((2, 2, 10), 900.0), {}, DataError, r"oxides\[0, 0, SiO2\]: 900; are these counts"),
    "no oxide dim": (xr.DataArray(np.ones((2, 2, 10))), {}, DataError, "dims dim_0: 2, dim_1: 2, dim_2: 10"),
    "block": (np.ones((2, 2, 10)), {"block": 0}, QueryError, "block: 0 pixels"),
    "no maps": (np.ones((2, 2, 10)), {"maps": ()}, QueryError, "maps"),
    "word": (np.ones((2, 2, 10)), {"maps": "doubt"}, QueryError, "maps: 'doubt'; expected a list"),
    "other map": (np.ones((2, 2, 10)), {"maps": ["doubts"]}, QueryError, "did you mean 'doubt'"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_named(case):
    oxides, options, kind, message = BAD[case]
    with pytest.raises(kind, match=message):
        classify_map(BySilica(), oxides, **options)


def test_the_pixel_and_oxide_of_a_wrong_value_are_named(section):
    section["oxides"][7, 4, 5] = -9.0
    with pytest.raises(DataError, match=r"oxides\[7, 4, MgO\]: -9"):
        classify_map(BySilica(), section["oxides"], block=6)


def test_strangeness_is_refused_where_the_classifier_has_none(section):
    with pytest.raises(QueryError, match="no ood_score.*'mineral', 'probability', 'doubt'"):
        classify_map(OnlyProbabilities(), section["oxides"], maps=MAPS)


def test_the_section_holds_grains_of_one_composition_each(untouched_generators):
    exact = simulate_section((30, 40), MINERALS, 2, grains=9, blur=0.0, error_relative=0.0, error_floor_wt=0.0)
    for grain in np.unique(exact["grain"]):
        inside = exact["oxides"].values[exact["grain"].values == grain]
        assert np.ptp(inside, 0).max() == 0 and len(np.unique(exact["mineral"].values[exact["grain"] == grain])) == 1
    xr.testing.assert_identical(exact["grain"], simulate_section((30, 40), MINERALS, 2, grains=9)["grain"])
    assert not exact["grain"].equals(simulate_section((30, 40), MINERALS, 3, grains=9)["grain"])
    assert exact["x"].values[:2].tolist() == [0, 5] and exact["oxides"].attrs["unit"] == "wt%"


def test_the_error_of_the_section_is_what_was_asked_for():
    settings = {"seed": 4, "grains": 5, "blur": 0.0}
    exact = simulate_section((80, 80), ["Quartz"], error_relative=0.0, error_floor_wt=0.0, **settings)["oxides"]
    noise = (simulate_section((80, 80), ["Quartz"], **settings)["oxides"] - exact).std(("y", "x"))
    np.testing.assert_allclose(noise.sel(oxide=["SiO2", "MgO"]), [np.hypot(0.03 * 98.6, 0.15), 0.15], rtol=0.05)


def test_every_mineral_can_be_part_of_a_section():
    section = simulate_section((30, 30), tuple(SOLID_SOLUTIONS), grains=200)
    assert classify_map(OnlyProbabilities(), section["oxides"], maps=["mineral"])["mineral"].shape == (30, 30)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shape": (0, 4)}, r"shape: \(0, 4\)"),
        ({"minerals": ["Olivin"]}, "Olivin"),
        ({"minerals": []}, "minerals"),
        ({"minerals": "Olivine"}, "minerals: 'Olivine'"),
        ({"grains": 0}, "grains: 0"),
        ({"pixel": -1.0}, "pixel: -1"),
        ({"error_floor_wt": 1.0}, "error_floor_wt: 1.0; expected 0 to 0.3"),
    ],
)
def test_a_section_that_cannot_be_made_is_refused(settings, message):
    with pytest.raises(SpecError, match=message):
        simulate_section(**settings)
