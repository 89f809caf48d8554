"""Element mass fractions against sums of atomic masses (IUPAC 2021) done by hand."""

import pytest
import torch

from probspec.errors import SpecError
from probspec.simulators.stoichiometry import FORMULAS, element_fractions, elements_of, stoichiometry

MASS = {"H": 1.008, "O": 15.999, "Mg": 24.305, "Si": 28.085, "S": 32.06, "Ca": 40.078, "Fe": 55.845}


def by_hand(**atoms: float) -> dict[str, float]:
    total = sum(MASS[element] * count for element, count in atoms.items())
    return {element: MASS[element] * count / total for element, count in atoms.items()}


def test_quartz_by_hand():
    assert element_fractions("SiO2") == pytest.approx(by_hand(O=2, Si=1), rel=1e-3)


def test_olivine_by_hand():
    assert element_fractions(FORMULAS["olivine"]) == pytest.approx(by_hand(O=4, Mg=1.8, Si=1, Fe=0.2), rel=1e-3)


def test_water_of_crystallisation_counts():
    assert element_fractions(FORMULAS["gypsum"]) == pytest.approx(by_hand(H=4, O=6, S=1, Ca=1), rel=1e-3)
    assert element_fractions(FORMULAS["anhydrite"]).keys() == {"O", "S", "Ca"}


@pytest.mark.parametrize("mineral", FORMULAS)
def test_fractions_of_a_mineral_sum_to_one(mineral: str):
    assert sum(element_fractions(FORMULAS[mineral]).values()) == pytest.approx(1)


def test_mixture_has_the_elements_of_its_parts():
    minerals = ["calcite", "magnesite"]
    matrix = stoichiometry(minerals, dtype=torch.float64)
    mixture = torch.tensor([[1.0, 0.0], [0.3, 0.7]], dtype=torch.float64) @ matrix
    assert elements_of(minerals) == ("C", "O", "Mg", "Ca")
    torch.testing.assert_close(mixture.sum(-1), torch.ones(2, dtype=torch.float64))
    assert mixture[0, 2] == 0
    assert mixture[1, 3].item() == pytest.approx(0.3 * element_fractions("CaCO3")["Ca"])


def test_columns_follow_the_elements_that_are_asked_for():
    matrix = stoichiometry(["quartz"], ["Fe", "Si"])
    assert matrix[0, 0] == 0 and matrix[0, 1].item() == pytest.approx(0.46744, abs=1e-4)


def test_own_formulas():
    assert stoichiometry({"my spinel": "MgAl2O4"}, ["Mg"]).item() == pytest.approx(0.17084, abs=1e-4)


def test_unknown_mineral_names_the_known_ones():
    with pytest.raises(SpecError, match="did you mean 'quartz'.*zircon"):
        stoichiometry(["quarz"])


@pytest.mark.parametrize("compound", ["Xx2O", "Ca(O", "?"])
def test_bad_formula_is_named(compound: str):
    with pytest.raises(SpecError, match="formula such as"):
        stoichiometry({"mine": compound})
