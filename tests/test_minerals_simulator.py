"""Simulated electron-probe analyses: textbook compositions, balanced formulas, and classes where the real ones are."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from periodictable.formulas import formula
from shared_data import shared_table

from probspec.data.analyses import read_analyses
from probspec.data.spectra import Spectra
from probspec.errors import SpecError
from probspec.oxides import OXIDES, strange_totals
from probspec.simulate import simulate
from probspec.simulate.minerals import CONCENTRATIONS, draw_oxides
from probspec.simulators.minerals import SOLID_SOLUTIONS, end_member_oxides, mineral_oxides, molar_masses
from probspec.spec import DataSpec, load_spec

END_MEMBERS = [(mineral, name) for mineral, members in SOLID_SOLUTIONS.items() for name in members]
VALENCES = {
    "O": -2, "F": -1, "Cl": -1, "H": 1, "Li": 1, "Na": 1, "K": 1, "Mg": 2, "Ca": 2, "Mn": 2, "Ba": 2, "Al": 3, "Cr": 3,
    "B": 3, "Ce": 3, "Si": 4, "Ti": 4, "Zr": 4, "Hf": 4, "P": 5, "Nb": 5, "S": 6,
}  # fmt: skip

# wt% of the pure end-members: Deer, Howie and Zussman (2013), and by hand from atomic masses
TEXTBOOK = {
    ("Olivine", "forsterite"): {"SiO2": 42.7, "MgO": 57.3},
    ("Olivine", "fayalite"): {"SiO2": 29.5, "FeOt": 70.5},
    ("Plagioclase", "anorthite"): {"SiO2": 43.2, "Al2O3": 36.6, "CaO": 20.2},
    ("Plagioclase", "albite"): {"SiO2": 68.7, "Al2O3": 19.4, "Na2O": 11.8},
    ("KFeldspar", "orthoclase"): {"SiO2": 64.8, "Al2O3": 18.3, "K2O": 16.9},
    ("Clinopyroxene", "diopside"): {"SiO2": 55.5, "MgO": 18.6, "CaO": 25.9},
    ("Clinopyroxene", "jadeite"): {"SiO2": 59.4, "Al2O3": 25.2, "Na2O": 15.3},
    ("Garnet", "grossular"): {"SiO2": 40.0, "Al2O3": 22.6, "CaO": 37.3},
    ("Garnet", "almandine"): {"SiO2": 36.2, "Al2O3": 20.5, "FeOt": 43.3},
    ("Spinel", "chromite"): {"FeOt": 32.1, "Cr2O3": 67.9},
    ("Magnetite", "magnetite"): {"FeOt": 93.1},
    ("Ilmenite", "ilmenite"): {"TiO2": 52.7, "FeOt": 47.3},
    ("Zircon", "zircon"): {"SiO2": 32.8},
    ("Apatite", "fluorapatite"): {"CaO": 55.6},
    ("Muscovite", "muscovite"): {"SiO2": 45.2, "Al2O3": 38.4, "K2O": 11.8},
    ("Biotite", "phlogopite"): {"SiO2": 43.2, "Al2O3": 12.2, "MgO": 29.0, "K2O": 11.3},
    ("Amphibole", "tremolite"): {"SiO2": 59.2, "MgO": 24.8, "CaO": 13.8},
    ("Quartz", "quartz"): {"SiO2": 100.0},
}


def pure(mineral: str, end_member: str) -> NDArray[np.float64]:
    share = [float(name == end_member) for name in SOLID_SOLUTIONS[mineral]]
    return mineral_oxides(mineral, torch.tensor(share, dtype=torch.float64)).numpy()


@pytest.mark.parametrize(("mineral", "end_member"), TEXTBOOK)
def test_pure_end_members_hold_what_the_textbook_says(mineral, end_member):
    expected = [TEXTBOOK[mineral, end_member].get(oxide, 0.0) for oxide in OXIDES]
    np.testing.assert_allclose(pure(mineral, end_member), expected, atol=0.1)


@pytest.mark.parametrize(("mineral", "end_member"), END_MEMBERS)
def test_formulas_are_balanced_with_iron_between_two_and_three(mineral, end_member):
    atoms = {element.symbol: count for element, count in formula(SOLID_SOLUTIONS[mineral][end_member]).atoms.items()}
    iron = atoms.pop("Fe", 0)
    others = sum(VALENCES[element] * count for element, count in atoms.items())
    assert others + 2 * iron <= 1e-9 and others + 3 * iron >= -1e-9


@pytest.mark.parametrize(("mineral", "end_member"), END_MEMBERS)
def test_no_end_member_holds_more_than_all(mineral, end_member):
    oxides = pure(mineral, end_member)
    assert (oxides >= 0).all() and 20 < oxides.sum() <= 100 + 1e-6


def test_water_phosphorus_zirconium_and_boron_lower_the_total():
    totals = {m: pure(m, e).sum() for m, e in [("Muscovite", "muscovite"), ("Zircon", "zircon"), ("Garnet", "pyrope")]}
    assert totals == pytest.approx({"Muscovite": 95.5, "Zircon": 32.8, "Garnet": 100.0}, abs=0.1)
    assert pure("Apatite", "fluorapatite").sum() == pytest.approx(55.6, abs=0.1)
    assert pure("Tourmaline", "dravite").sum() == pytest.approx(85.4, abs=0.1)


def test_mixing_is_by_moles_not_by_mass():
    """Fo50 by hand: 40.304 of MgO, 71.844 of FeO, 60.083 of SiO2 per formula unit."""
    oxides = mineral_oxides("Olivine", torch.tensor([0.5, 0.5, 0.0, 0.0], dtype=torch.float64))
    mass = 40.304 + 71.844 + 60.083
    expected = {"SiO2": 60.083 / mass, "FeOt": 71.844 / mass, "MgO": 40.304 / mass}
    np.testing.assert_allclose(oxides, [100 * expected.get(oxide, 0.0) for oxide in OXIDES], atol=0.02)


def test_only_ratios_of_moles_count_and_gradients_flow():
    moles = torch.tensor([[2.0, 1.0, 0.5, 0.1], [1.0, 1.0, 1.0, 1.0]], dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(mineral_oxides("Plagioclase", moles), mineral_oxides("Plagioclase", 3 * moles))
    assert torch.autograd.gradcheck(lambda m: mineral_oxides("Plagioclase", m), (moles,))


def test_end_members_of_ones_own():
    own = {"monticellite": "CaMgSiO4"}
    oxides = dict(zip(OXIDES, end_member_oxides(own)[0].tolist(), strict=True))
    assert (oxides["CaO"], oxides["MgO"]) == pytest.approx((35.8, 25.8), abs=0.1)
    assert molar_masses(own).item() == pytest.approx(156.46, abs=0.02)


def test_the_minerals_are_the_classes_of_the_spec():
    assert set(SOLID_SOLUTIONS) == set(load_spec("epma_minerals").targets["mineral"].components)
    assert {m: len(members) for m, members in SOLID_SOLUTIONS.items()} == {m: len(c) for m, c in CONCENTRATIONS.items()}


def test_an_unknown_mineral_is_named():
    with pytest.raises(SpecError, match="did you mean 'Olivine'"):
        mineral_oxides("Olvine", torch.ones(4))
    with pytest.raises(SpecError, match="did you mean 'Olivine'"):
        draw_oxides("Olvine", 3, np.random.default_rng(0))
    with pytest.raises(SpecError, match="formula 'Mg2Sj'"):
        end_member_oxides({"x": "Mg2Sj"})


def spec_of(components: list[str] | None = None, **options) -> DataSpec:
    """The shipped spec with other options of the simulator, and perhaps other classes."""
    config = load_spec("epma_minerals").to_config()
    config["simulator"] = {"name": "minerals", **options}
    config["targets"]["mineral"]["components"] = components or config["targets"]["mineral"]["components"]
    return DataSpec.from_config(config)


def with_truth(**options) -> DataSpec:
    """Ask for the oxides without error as well."""
    config = spec_of(**options).to_config()
    config["targets"]["oxides"] = {"components": list(OXIDES), "support": "positive", "unit": "wt%"}
    return DataSpec.from_config(config)


def names(data: Spectra) -> NDArray[np.str_]:
    return np.array(data.spec.targets["mineral"].components)[data.targets["mineral"][:, 0].astype(int)]


def test_same_seed_same_analyses(untouched_generators):
    first, again, other = (simulate("epma_minerals", 50, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.spectra("oxides"), again.spectra("oxides"))
    np.testing.assert_array_equal(first.targets["mineral"], again.targets["mineral"])
    assert not np.array_equal(first.targets["mineral"], other.targets["mineral"])


def test_codes_follow_the_order_of_the_spec():
    given = spec_of(["Zircon", "Olivine", "Quartz"], minerals=["Olivine", "Zircon"])
    data = simulate(given, 200)
    silica = data.spectra("oxides")[:, 0]
    assert set(data.targets["mineral"][:, 0]) == {0.0, 1.0}
    np.testing.assert_array_equal(data.targets["mineral"][:, 0] == 0, silica < 33.5)


def test_every_mineral_is_about_as_frequent():
    _, counts = np.unique(names(simulate("epma_minerals", 1700)), return_counts=True)
    assert len(counts) == 17 and (np.abs(counts - 100) < 5 * np.sqrt(100)).all()


def test_without_error_and_gaps_the_analysis_is_the_truth():
    data = simulate(with_truth(error_relative=0.0, error_floor_wt=0.0), 100)
    np.testing.assert_allclose(data.spectra("oxides"), data.targets["oxides"], rtol=1e-6, atol=1e-6)
    assert not strange_totals(data.spectra("oxides")).any()


def test_the_analytical_error_is_as_large_as_said():
    """Rutile is nearly all TiO2: a share of it is the error there, and the floor is the error of what it lacks."""
    data = simulate(with_truth(minerals=["Rutile", "Quartz"], error_relative=0.02, error_floor_wt=0.05), 4000)
    error = data.spectra("oxides") - data.targets["oxides"]
    rutile = names(data) == "Rutile"
    titanium, magnesium = error[rutile, OXIDES.index("TiO2")], error[:, OXIDES.index("MgO")]
    assert titanium.std() == pytest.approx(0.02 * data.targets["oxides"][rutile, 1].mean(), rel=0.1)
    assert magnesium.std() == pytest.approx(0.05, rel=0.05)
    assert (magnesium < 0).mean() == pytest.approx(0.5, abs=0.05)


def test_gaps_are_as_frequent_as_said_and_tell_nothing_about_the_mineral():
    missing = {"Na2O": 0.5, "TiO2": 0.1}
    data = simulate(spec_of(missing=missing), 6000)
    gaps = np.isnan(data.spectra("oxides"))
    expected = np.array([missing.get(oxide, 0.0) for oxide in OXIDES])
    np.testing.assert_allclose(gaps.mean(0), expected, atol=0.025)
    for mineral in SOLID_SOLUTIONS:
        share = gaps[names(data) == mineral].mean(0)
        np.testing.assert_allclose(share, expected, atol=5 * np.sqrt(0.25 / 300))


def test_all_oxides_missing_is_not_measured():
    data = simulate(spec_of(missing=1.0), 3)
    assert not data.present("oxides").any() and data.labelled("mineral").all()


WRONG = [
    ({"minerals": ["Olvine"]}, "minerals.Olvine: unknown; expected did you mean 'Olivine'"),
    ({"minerals": []}, "minerals"),
    ({"missing": 1.5}, "missing"),
    ({"missing": {"Na20": 0.5}}, "did you mean 'Na2O'"),
    ({"missing": {"Na2O": -0.5}}, "missing"),
    ({"error_relative": -1.0}, "error_relative"),
    ({"error_floor": 0.1}, "did you mean 'error_floor_wt'"),
    ({"components": ["Zircon", "Quartz"], "minerals": ["Zircon", "Olivine"]}, "class 'Olivine' is simulated but no"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_wrong_options_are_named(change, message):
    with pytest.raises(SpecError) as caught:
        simulate(spec_of(**change), 40)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("targets", {"rock": {"components": ["a", "b"], "support": "category"}}, "not simulated as a class"),
        ("targets", {"mineral": {"components": ["a", "b"], "support": "simplex"}}, "not simulated as a quantity"),
        (
            "modalities",
            {"oxides": {"axis": {"name": "o", "unit": "channel", "labels": ["MgO", "SiO2"]}, "channels": 2}},
            "oxides.axis.labels: ['MgO', 'SiO2']",
        ),
        ("modalities", {"libs": {"axis": {"name": "x", "unit": "channel"}}}, "libs: not simulated; expected Known: ox"),
    ],
)
def test_a_spec_that_asks_for_something_else_is_refused(part, value, message):
    with pytest.raises(SpecError) as caught:
        simulate(DataSpec.from_config(load_spec("epma_minerals").to_config() | {part: value}), 3)
    assert message in str(caught.value)


def class_means(data: Spectra) -> dict[str, NDArray[np.float64]]:
    """Mean of the reported values of each class; every source group counts the same. What nobody reports is zero."""
    oxides, kind = data.spectra("oxides").astype(float), names(data)
    groups = np.zeros(len(data)) if data.groups is None else data.groups
    means = {}
    for mineral in SOLID_SOLUTIONS:
        here = kind == mineral
        papers = [mean_of(oxides[here & (groups == group)]) for group in np.unique(groups[here])]
        means[mineral] = np.nan_to_num(mean_of(np.array(papers)))
    return means


def mean_of(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    counts = (~np.isnan(rows)).sum(0)
    return np.where(counts > 0, np.nansum(rows, 0) / np.maximum(counts, 1), np.nan)


@pytest.fixture(scope="module")
def real_means() -> dict[str, NDArray[np.float64]]:
    return class_means(read_analyses(shared_table("epma", "epma_minerals")))


@pytest.fixture(scope="module")
def simulated_means() -> dict[str, NDArray[np.float64]]:
    return class_means(simulate("epma_minerals", 8500))


def test_each_simulated_class_lies_nearest_to_its_real_namesake(real_means, simulated_means):
    for mineral, mean in simulated_means.items():
        distance = {name: np.abs(mean - other).sum() for name, other in real_means.items()}
        assert min(distance, key=distance.__getitem__) == mineral


@pytest.mark.parametrize("mineral", SOLID_SOLUTIONS)
def test_simulated_class_means_are_within_some_wt_of_the_real_ones(mineral, real_means, simulated_means):
    """The rocks that happen to be in the table move a class along its solid solution, pyroxenes and garnets most."""
    wide = {"Orthopyroxene", "Clinopyroxene", "Amphibole", "Biotite", "Garnet", "Spinel", "Magnetite"}
    np.testing.assert_allclose(simulated_means[mineral], real_means[mineral], atol=8 if mineral in wide else 3)
