"""From formulas to oxide tables: what an electron probe reports of a mineral, by stoichiometry.

A mineral is a solid solution: its formula is a mixture of end-member formulas, by mole fractions. The ten oxides of
`probspec.oxides.OXIDES` follow from it in wt%, all iron as FeO. What is not among the ten (water, P2O5, ZrO2, B2O3,
BaO, Li2O, Nb2O5, F, Cl, SO3, and the oxygen that Fe2O3 has above FeO) lowers their total, as in real tables.

Formulas are those of the textbooks (Deer, Howie and Zussman, An Introduction to the Rock-Forming Minerals, 3rd ed.,
2013), except for bookkeeping end-members, which carry a trace oxide in the valence and on the site that are usual for
it (``ferri-anorthite``) and are no minerals. End-members of one solid solution have the same number of sites.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import torch
from periodictable.formulas import formula
from torch import Tensor

from probspec.oxides import OXIDES
from probspec.simulators.stoichiometry import check_minerals, element_fractions, stoichiometry

SOLID_SOLUTIONS: Mapping[str, Mapping[str, str]] = {
    "Olivine": {
        "forsterite": "Mg2SiO4",
        "fayalite": "Fe2SiO4",
        "tephroite": "Mn2SiO4",
        "larnite": "Ca2SiO4",
    },
    "Orthopyroxene": {
        "enstatite": "Mg2Si2O6",
        "ferrosilite": "Fe2Si2O6",
        "wollastonite": "Ca2Si2O6",
        "Mg-Tschermak": "MgAlAlSiO6",
        "Mn-silite": "Mn2Si2O6",
        "Ti-Tschermak": "MgTiAl2O6",
        "Cr-Tschermak": "MgCrAlSiO6",
    },
    "Clinopyroxene": {
        "diopside": "CaMgSi2O6",
        "hedenbergite": "CaFeSi2O6",
        "enstatite": "Mg2Si2O6",
        "ferrosilite": "Fe2Si2O6",
        "jadeite": "NaAlSi2O6",
        "aegirine": "NaFeSi2O6",
        "Ca-Tschermak": "CaAlAlSiO6",
        "Ti-Tschermak": "CaTiAl2O6",
        "kosmochlor": "NaCrSi2O6",
        "johannsenite": "CaMnSi2O6",
    },
    "Amphibole": {
        "tremolite": "Ca2Mg5Si8O22(OH)2",
        "ferro-actinolite": "Ca2Fe5Si8O22(OH)2",
        "tschermakite": "Ca2Mg3Al2Al2Si6O22(OH)2",
        "ferro-ferri-tschermakite": "Ca2Fe3Fe2Al2Si6O22(OH)2",
        "pargasite": "NaCa2Mg4AlAl2Si6O22(OH)2",
        "hastingsite": "NaCa2Fe5Al2Si6O22(OH)2",
        "kaersutite": "NaCa2Mg3TiAlAl2Si6O22O2",
        "potassic-pargasite": "KCa2Mg4AlAl2Si6O22(OH)2",
        "richterite": "NaCaNaMg5Si8O22(OH)2",
        "riebeckite": "Na2Fe5Si8O22(OH)2",
        "glaucophane": "Na2Mg3Al2Si8O22(OH)2",
        "cummingtonite": "Mg7Si8O22(OH)2",
        "grunerite": "Fe7Si8O22(OH)2",
        "Mn-cummingtonite": "Mn2Mg5Si8O22(OH)2",
        "chromio-pargasite": "NaCa2Mg4CrAl2Si6O22(OH)2",
    },
    "Plagioclase": {
        "anorthite": "CaAl2Si2O8",
        "albite": "NaAlSi3O8",
        "orthoclase": "KAlSi3O8",
        "ferri-anorthite": "CaFeAlSi2O8",
    },
    "KFeldspar": {
        "orthoclase": "KAlSi3O8",
        "albite": "NaAlSi3O8",
        "anorthite": "CaAl2Si2O8",
        "celsian": "BaAl2Si2O8",
        "ferri-orthoclase": "KFeSi3O8",
    },
    "Biotite": {
        "phlogopite": "KMg3AlSi3O10(OH)2",
        "annite": "KFe3AlSi3O10(OH)2",
        "eastonite": "KMg2AlAl2Si2O10(OH)2",
        "siderophyllite": "KFe2AlAl2Si2O10(OH)2",
        "oxy-phlogopite": "KMg2TiAlSi3O10O2",
        "oxy-annite": "KFe2TiAlSi3O10O2",
        "aspidolite": "NaMg3AlSi3O10(OH)2",
        "Mn-phlogopite": "KMn3AlSi3O10(OH)2",
    },
    "Muscovite": {
        "muscovite": "KAl2AlSi3O10(OH)2",
        "paragonite": "NaAl2AlSi3O10(OH)2",
        "celadonite": "KMgAlSi4O10(OH)2",
        "ferro-celadonite": "KFeAlSi4O10(OH)2",
        "ferri-muscovite": "KFe2AlSi3O10(OH)2",
        "Ti-muscovite": "KMgTiAlSi3O10(OH)2",
    },
    "Garnet": {
        "pyrope": "Mg3Al2Si3O12",
        "almandine": "Fe3Al2Si3O12",
        "grossular": "Ca3Al2Si3O12",
        "spessartine": "Mn3Al2Si3O12",
        "andradite": "Ca3Fe2Si3O12",
        "uvarovite": "Ca3Cr2Si3O12",
        "knorringite": "Mg3Cr2Si3O12",
        "morimotoite": "Ca3TiFeSi3O12",
    },
    "Spinel": {
        "spinel": "MgAl2O4",
        "hercynite": "FeAl2O4",
        "chromite": "FeCr2O4",
        "magnesiochromite": "MgCr2O4",
        "magnetite": "FeFe2O4",
        "ulvospinel": "Fe2TiO4",
        "galaxite": "MnAl2O4",
    },
    "Magnetite": {
        "magnetite": "FeFe2O4",
        "ulvospinel": "Fe2TiO4",
        "magnesioferrite": "MgFe2O4",
        "jacobsite": "MnFe2O4",
        "hercynite": "FeAl2O4",
        "chromite": "FeCr2O4",
    },
    "Ilmenite": {
        "ilmenite": "FeTiO3",
        "hematite": "FeFeO3",
        "geikielite": "MgTiO3",
        "pyrophanite": "MnTiO3",
        "corundum": "AlAlO3",
        "eskolaite": "CrCrO3",
    },
    "Rutile": {
        "rutile": "TiO2",
        "Fe-Nb rutile": "Fe0.5Nb0.5O2",
        "Al-Nb rutile": "Al0.5Nb0.5O2",
        "Cr-Nb rutile": "Cr0.5Nb0.5O2",
    },
    "Apatite": {
        "fluorapatite": "Ca5(PO4)3F",
        "hydroxylapatite": "Ca5(PO4)3(OH)",
        "chlorapatite": "Ca5(PO4)3Cl",
        "ellestadite": "Ca5(SiO4)1.5(SO4)1.5F",
        "Na-Ce apatite": "Ca3NaCe(PO4)3F",
        "Fe-apatite": "Ca3Fe2(PO4)3F",
        "Mn-apatite": "Ca3Mn2(PO4)3F",
        "Mg-apatite": "Ca3Mg2(PO4)3F",
    },
    "Zircon": {
        "zircon": "ZrSiO4",
        "hafnon": "HfSiO4",
        "Fe-P zircon": "FePO4",
    },
    "Quartz": {
        "quartz": "SiO2",
        "Al-Na quartz": "NaAlO2",
        "Al-K quartz": "KAlO2",
        "Ti-quartz": "TiO2",
    },
    "Tourmaline": {
        "dravite": "NaMg3Al6Si6O18(BO3)3(OH)4",
        "schorl": "NaFe3Al6Si6O18(BO3)3(OH)4",
        "elbaite": "NaLi1.5Al1.5Al6Si6O18(BO3)3(OH)4",
        "uvite": "CaMg3MgAl5Si6O18(BO3)3(OH)4",
        "feruvite": "CaFe3MgAl5Si6O18(BO3)3(OH)4",
        "foitite": "Fe2AlAl6Si6O18(BO3)3(OH)4",
        "magnesio-foitite": "Mg2AlAl6Si6O18(BO3)3(OH)4",
        "Ti-dravite": "NaMg4TiAl4Si6O18(BO3)3(OH)4",
        "tsilaisite": "NaMn3Al6Si6O18(BO3)3(OH)4",
        "chromo-dravite": "NaMg3Cr6Si6O18(BO3)3(OH)4",
    },
}
"""End-members of each mineral, name -> formula; the 17 minerals of the data spec ``epma_minerals``."""

_ELEMENTS = {oxide: ("Fe", "FeO") if oxide == "FeOt" else (oxide[:2].rstrip("O2"), oxide) for oxide in OXIDES}


def end_member_oxides(formulas: Mapping[str, str] | Sequence[str], dtype: torch.dtype = torch.float64) -> Tensor:
    """Oxides of end-members, whatever they hold beside the ten left out.

    Parameters
    ----------
    formulas : mapping of name -> chemical formula, or sequence of minerals of `probspec.simulators.stoichiometry`
    dtype : torch.dtype

    Returns
    -------
    (end_member, oxide) Tensor, wt%
        In the order of `OXIDES`; all iron as FeO.

    Raises
    ------
    SpecError
        If a formula cannot be parsed.

    Examples
    --------
    >>> end_member_oxides({"forsterite": "Mg2SiO4"})[0, [0, 5]].round(decimals=1)  # SiO2, MgO
    tensor([42.7000, 57.3000], dtype=torch.float64)
    """
    elements = [element for element, _ in _ELEMENTS.values()]
    per_element = [100 / element_fractions(oxide)[element] for element, oxide in _ELEMENTS.values()]
    return stoichiometry(formulas, elements, dtype) * torch.tensor(per_element, dtype=dtype)


def molar_masses(formulas: Mapping[str, str], dtype: torch.dtype = torch.float64) -> Tensor:
    """Mass of a mole of each formula.

    Parameters
    ----------
    formulas : mapping of name -> chemical formula

    Returns
    -------
    (end_member,) Tensor, g/mol

    Examples
    --------
    >>> molar_masses({"quartz": "SiO2"}).round(decimals=2)
    tensor([60.0800], dtype=torch.float64)
    """
    return torch.tensor([formula(compound).mass for compound in formulas.values()], dtype=dtype)


def mineral_oxides(mineral: str, mole_fraction: Tensor) -> Tensor:
    """Oxides of a solid solution.

    Parameters
    ----------
    mineral : str
        One of `SOLID_SOLUTIONS`, whose end-members are mixed in their order.
    mole_fraction : (..., end_member) Tensor
        Need not sum to one: only ratios count.

    Returns
    -------
    (..., oxide) Tensor, wt%
        In the order of `OXIDES`; all iron as FeO. Differentiable in the mole fractions.

    Raises
    ------
    SpecError
        If the mineral is not known.

    Examples
    --------
    Olivine of 90 mole percent forsterite:

    >>> [round(wt, 1) for wt in mineral_oxides("Olivine", torch.tensor([0.9, 0.1, 0, 0]))[[0, 3, 5]].tolist()]
    [40.9, 9.8, 49.4]
    """
    check_minerals([mineral], SOLID_SOLUTIONS)
    mass_per_mole, oxides = _end_members(mineral)
    mass = mole_fraction * mass_per_mole.to(mole_fraction)
    return mass @ oxides.to(mole_fraction) / mass.sum(-1, keepdim=True)


@cache
def _end_members(mineral: str) -> tuple[Tensor, Tensor]:
    """Parse formulas once: that takes a hundred times as long as to mix them."""
    return molar_masses(SOLID_SOLUTIONS[mineral]), end_member_oxides(SOLID_SOLUTIONS[mineral])
