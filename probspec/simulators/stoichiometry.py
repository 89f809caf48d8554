"""From minerals to elements: how much of each element a mineral holds, by mass.

Mineral abundances (mass fractions that sum to one) times the matrix of `stoichiometry` are element mass fractions,
which is all that LIBS sees of a rock. The formulas are end-members of the pure phases; olivine is San Carlos-like
(Fo90).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from periodictable.formulas import formula
from pyparsing import ParseException
from torch import Tensor

from probspec.errors import SpecError, explain, known

FORMULAS: dict[str, str] = {
    "quartz": "SiO2",
    "olivine": "Mg1.8Fe0.2SiO4",
    "diopside": "CaMgSi2O6",
    "enstatite": "MgSiO3",
    "albite": "NaAlSi3O8",
    "anorthite": "CaAl2Si2O8",
    "orthoclase": "KAlSi3O8",
    "calcite": "CaCO3",
    "dolomite": "CaMg(CO3)2",
    "magnesite": "MgCO3",
    "siderite": "FeCO3",
    "gypsum": "CaSO4(H2O)2",
    "anhydrite": "CaSO4",
    "apatite": "Ca5(PO4)3F",
    "hematite": "Fe2O3",
    "magnetite": "Fe3O4",
    "ilmenite": "FeTiO3",
    "zircon": "ZrSiO4",
    "kyanite": "Al2SiO5",
    "wollastonite": "CaSiO3",
    "barite": "BaSO4",
    "pyrite": "FeS2",
    "talc": "Mg3Si4O10(OH)2",
}


def element_fractions(compound: str) -> dict[str, float]:
    """Mass fraction of each element in a compound, lightest element first.

    Parameters
    ----------
    compound : str
        Chemical formula, such as ``"CaMg(CO3)2"``.

    Raises
    ------
    SpecError
        If the formula cannot be parsed.

    Examples
    --------
    >>> {element: round(fraction, 4) for element, fraction in element_fractions("SiO2").items()}
    {'O': 0.5326, 'Si': 0.4674}
    """
    try:
        fractions = formula(compound).mass_fraction
    except (ValueError, ParseException) as cause:
        expected = "a formula such as 'CaMg(CO3)2'"
        raise SpecError(explain(f"formula {compound!r}", str(cause), expected=expected)) from None
    return {e.symbol: float(fractions[e]) for e in sorted(fractions, key=lambda atom: atom.number)}


def elements_of(formulas: Sequence[str] | Mapping[str, str]) -> tuple[str, ...]:
    """Symbols of all elements in some minerals, lightest first.

    Parameters
    ----------
    formulas : sequence of mineral names, or mapping of name -> chemical formula

    Examples
    --------
    >>> elements_of(["calcite", "quartz"])
    ('C', 'O', 'Si', 'Ca')
    """
    compounds = "".join(f"({compound})" for compound in _formulas(formulas).values())
    return tuple(element_fractions(compounds))


def stoichiometry(
    formulas: Sequence[str] | Mapping[str, str],
    elements: Sequence[str] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Matrix that turns mineral abundances into element mass fractions.

    Parameters
    ----------
    formulas : sequence of mineral names, or mapping of name -> chemical formula
    elements : sequence of str, optional
        Element symbols of the columns; all that occur, lightest first, where left out. An element that is left out
        is not seen, so rows need not sum to one.
    dtype : torch.dtype

    Returns
    -------
    (mineral, element) Tensor, mass fraction

    Raises
    ------
    SpecError
        If a mineral is unknown or a formula cannot be parsed.

    Examples
    --------
    >>> abundance = torch.tensor([0.5, 0.5])
    >>> abundance @ stoichiometry(["quartz", "calcite"], ["Si", "Ca"])
    tensor([0.2337, 0.2002])
    """
    formulas = _formulas(formulas)
    elements = elements_of(formulas) if elements is None else elements
    rows = [element_fractions(compound) for compound in formulas.values()]
    return torch.tensor([[row.get(element, 0.0) for element in elements] for row in rows], dtype=dtype)


def check_minerals(minerals: Sequence[str], names: Mapping[str, object] = FORMULAS) -> None:
    """Raise `SpecError` for the first mineral that has no entry among `names`."""
    for mineral in minerals:
        if mineral not in names:
            raise SpecError(explain(f"mineral {mineral!r}", "unknown", expected=known(mineral, names)))


def _formulas(minerals: Sequence[str] | Mapping[str, str]) -> Mapping[str, str]:
    if isinstance(minerals, Mapping):
        return minerals
    check_minerals(minerals)
    return {mineral: FORMULAS[mineral] for mineral in minerals}
