"""Atomic data of the elements that rock-forming minerals are made of: emission lines, energy levels, ionisation.

Wavelengths (air), transition probabilities, weights and energies are facts of the NIST Atomic Spectra Database
(A. Kramida, Yu. Ralchenko, J. Reader and NIST ASD Team, https://physics.nist.gov/asd): the strongest lines of each
element between 200 and 900 nm in a plasma of 7500-14000 K. Levels of one term are often kept as one level with the
weight of all; what lies above the terms that are listed is lumped into one level per species, whose weight and energy
make the partition function agree with Barklem and Collet (A&A 588 (2016) A96) within 2 % from 4000 to 10000 K.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from importlib.resources import files

import torch
from periodictable import elements as periodic_table
from torch import Tensor

from probspec.errors import SpecError, explain, known

# First and second ionisation energies in eV (NIST ASD). Hydrogen has no second electron; a finite energy that no plasma
# reaches keeps gradients finite.
IONISATION_EV: dict[str, tuple[float, float]] = {
    "H": (13.5984, 1e4),
    "C": (11.2603, 24.3832),
    "N": (14.5341, 29.6013),
    "O": (13.6181, 35.1211),
    "F": (17.4228, 34.9708),
    "Na": (5.1391, 47.2864),
    "Mg": (7.6462, 15.0353),
    "Al": (5.9858, 18.8286),
    "Si": (8.1517, 16.3459),
    "P": (10.4867, 19.7695),
    "S": (10.3600, 23.3379),
    "K": (4.3407, 31.6250),
    "Ca": (6.1132, 11.8717),
    "Ti": (6.8281, 13.5755),
    "Fe": (7.9025, 16.1992),
    "Zr": (6.6341, 13.1300),
    "Ba": (5.2117, 10.0038),
}


@dataclass(frozen=True)
class Atoms:
    """Lines and levels of some elements, as tensors.

    Parameters
    ----------
    elements : tuple of str
    mass_u : (element,) Tensor
        Atomic masses.
    ionisation_eV : (element, 2) Tensor
        Energies that take off the first and the second electron.
    level_energy_eV, level_weight : (element, stage, level) Tensor
        Energy levels of the neutral atom, the ion and the doubly charged ion; padded with levels of weight zero.
    element, stage : (line,) int64 Tensor
        Which of `elements` emits the line, and from which charge: 0 neutral (I), 1 singly ionised (II).
    wavelength_nm, rate_per_s, upper_weight, upper_energy_eV : (line,) Tensor
        Wavelength in air, transition probability A, and the upper level's statistical weight and energy.
    """

    elements: tuple[str, ...]
    mass_u: Tensor
    ionisation_eV: Tensor
    level_energy_eV: Tensor
    level_weight: Tensor
    element: Tensor
    stage: Tensor
    wavelength_nm: Tensor
    rate_per_s: Tensor
    upper_weight: Tensor
    upper_energy_eV: Tensor

    def to(self, like: Tensor) -> Atoms:
        """Move to the device and the floating type of another tensor."""
        return self._map(lambda t: t.to(like) if t.is_floating_point() else t.to(like.device))

    def _map(self, change: Callable[[Tensor], Tensor]) -> Atoms:
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "elements"}
        return replace(self, **{name: change(tensor) for name, tensor in tensors.items()})


def load_atoms(elements: Sequence[str] = tuple(IONISATION_EV)) -> Atoms:
    """Lines and levels of some elements, in float64.

    Parameters
    ----------
    elements : sequence of str
        Element symbols, in the order that compositions will have.

    Raises
    ------
    SpecError
        If there are no lines of an element.

    Examples
    --------
    >>> atoms = load_atoms(["Ca"])
    >>> atoms.wavelength_nm[atoms.rate_per_s.argmax()].item()
    317.933
    """
    for element in elements:
        if element not in IONISATION_EV:
            expected = known(element, IONISATION_EV)
            raise SpecError(explain("elements", f"no emission lines of {element!r}", expected=expected))
    rows = [row for row in _table("lines.csv") if row["element"] in elements]
    energy, weight = _levels(elements)
    return Atoms(
        tuple(elements),
        _tensor(periodic_table.symbol(element).mass for element in elements),
        torch.tensor([IONISATION_EV[element] for element in elements], dtype=torch.float64),
        energy,
        weight,
        torch.tensor([list(elements).index(row["element"]) for row in rows]),
        torch.tensor([int(row["stage"]) - 1 for row in rows]),
        _tensor(row["wavelength_nm"] for row in rows),
        _tensor(row["rate_1e8_per_s"] for row in rows) * 1e8,
        _tensor(row["upper_weight"] for row in rows),
        _tensor(row["upper_energy_eV"] for row in rows),
    )


def _levels(elements: Sequence[str]) -> tuple[Tensor, Tensor]:
    ladders = [_ladder(element, stage) for element in elements for stage in ("1", "2", "3")]
    depth = max(len(ladder) for ladder in ladders)
    padded = torch.tensor([ladder + [(0.0, 0.0)] * (depth - len(ladder)) for ladder in ladders], dtype=torch.float64)
    energy, weight = padded.unflatten(0, (len(elements), 3)).unbind(-1)
    return energy, weight


def _ladder(element: str, stage: str) -> list[tuple[float, float]]:
    levels = [row for row in _table("levels.csv") if (row["element"], row["stage"]) == (element, stage)]
    return [(float(row["energy_eV"]), float(row["weight"])) for row in levels] or [(0.0, 1.0)]


@lru_cache
def _table(name: str) -> list[dict[str, str]]:
    with files("probspec.simulators").joinpath(name).open() as lines:
        return list(csv.DictReader(lines))


def _tensor(values) -> Tensor:
    return torch.tensor([float(value) for value in values], dtype=torch.float64)
