"""Electron-probe analyses of minerals: mole fractions of end-members, stoichiometry, analytical error, gaps.

The laws of the mole fractions are broad, and centred near common igneous and metamorphic compositions, with the medians
of published compilations in view; that of amphiboles, from tremolite to kaersutite, reaches every end-member. Real
tables hold more than these: alteration, zoning, mixed grains, wrong labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator
from torch import Tensor

from probspec.errors import SpecError, explain, known
from probspec.oxides import OXIDES
from probspec.simulate.expected import Expected
from probspec.simulators.minerals import SOLID_SOLUTIONS, mineral_oxides
from probspec.simulators.stoichiometry import check_minerals
from probspec.spec import DataSpec
from probspec.tables import Fault, FaultySpec, Table

Share = Annotated[float, Field(ge=0, le=1)]

CONCENTRATIONS: Mapping[str, tuple[float, ...]] = {
    "Olivine": (6, 1.3, 0.03, 0.04),
    "Orthopyroxene": (6, 3, 0.3, 0.3, 0.15, 0.03, 0.03),
    "Clinopyroxene": (6, 2, 1.5, 1, 0.3, 0.3, 0.8, 0.3, 0.05, 0.1),
    "Amphibole": (0.45, 0.22, 0.15, 0.1, 0.3, 0.22, 0.22, 0.1, 0.06, 0.03, 0.03, 0.1, 0.05, 0.03, 0.01),
    "Plagioclase": (3, 2.2, 0.12, 0.08),
    "KFeldspar": (6, 3, 0.12, 0.1, 0.05),
    "Biotite": (3, 3, 0.6, 1, 1, 1, 0.4, 0.05),
    "Muscovite": (6, 0.5, 0.5, 0.6, 0.3, 0.08),
    "Garnet": (4, 3, 1, 0.3, 0.5, 0.15, 0.3, 0.1),
    "Spinel": (3, 1.2, 1.5, 2.5, 0.8, 0.2, 0.03),
    "Magnetite": (5, 2.5, 0.5, 0.15, 0.5, 0.1),
    "Ilmenite": (8, 1, 0.6, 0.2, 0.05, 0.03),
    "Rutile": (20, 0.1, 0.05, 0.1),
    "Apatite": (4, 3, 1.5, 0.15, 0.15, 0.1, 0.05, 0.08),
    "Zircon": (20, 0.3, 0.15),
    "Quartz": (50, 0.1, 0.1, 0.02),
    "Tourmaline": (4, 2.5, 0.8, 1, 0.4, 0.8, 0.8, 0.3, 0.05, 0.05),
}
"""Dirichlet law of each mineral's mole fractions, in the order of its end-members in `SOLID_SOLUTIONS`."""


class Minerals(Table):
    """Electron-probe analyses of single minerals, each mineral as frequent as any other.

    Parameters
    ----------
    minerals : tuple of str
        Names of `SOLID_SOLUTIONS`: the classes of the target "mineral".
    error_relative : float
        Standard deviation of the analytical error as a share of the value.
    error_floor_wt : float, wt%
        Standard deviation of the analytical error where there is nothing; it makes some values slightly negative.
    missing : float, or dict of oxide -> float
        Probability that an oxide is not reported, the same in every mineral, so that gaps tell nothing about the class.

    Notes
    -----
    The modality "oxides" holds wt% in the order of `OXIDES`; the target "oxides" would be the same without error.
    """

    minerals: tuple[str, ...] = Field(default=tuple(SOLID_SOLUTIONS), min_length=1)
    error_relative: float = Field(default=0.01, ge=0, le=1)
    error_floor_wt: float = Field(default=0.02, ge=0, le=0.2)
    missing: Share | dict[str, Share] = 0.0

    @field_validator("minerals")
    @classmethod
    def _are_known(cls, minerals: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_known(mineral, SOLID_SOLUTIONS) for mineral in minerals)

    @field_validator("missing")
    @classmethod
    def _name_oxides(cls, missing: Any) -> Any:
        for oxide in missing if isinstance(missing, dict) else ():
            _known(oxide, OXIDES)
        return missing

    def expect(self, spec: DataSpec, n: int, rng: np.random.Generator) -> Expected:
        """Draw minerals and their mole fractions, and compute their oxides."""
        _check_labels(spec)
        kind = rng.integers(len(self.minerals), size=n)
        oxides = torch.empty(n, len(OXIDES), dtype=torch.float64)
        for code, mineral in enumerate(self.minerals):
            here = np.flatnonzero(kind == code)
            oxides[here] = draw_oxides(mineral, len(here), rng)
        return Expected(
            spectra={"oxides": oxides},
            axes={"oxides": torch.arange(len(OXIDES))},
            units={"oxides": "channel"},
            targets={"oxides": dict(zip(OXIDES, oxides.T, strict=True))},
            classes={"mineral": [self.minerals[code] for code in kind]},
        )

    def detect(self, expected: Expected, modality: str, noise: str, rng: np.random.Generator) -> NDArray[np.float32]:
        """Add analytical error, and blank what is not reported."""
        truth = expected.spectra[modality].numpy()
        error = np.hypot(self.error_relative * truth, self.error_floor_wt)
        measured = truth + error * rng.standard_normal(truth.shape)
        shares = self.missing if isinstance(self.missing, dict) else dict.fromkeys(OXIDES, self.missing)
        blank = rng.uniform(size=truth.shape) < [shares.get(oxide, 0.0) for oxide in OXIDES]
        return np.where(blank, np.nan, measured).astype(np.float32)


def draw_oxides(mineral: str, n: int, rng: np.random.Generator) -> Tensor:
    """Draw compositions of a mineral from the Dirichlet law of its end-members.

    Parameters
    ----------
    mineral : str
        One of `SOLID_SOLUTIONS`.
    n : int
    rng : numpy Generator

    Returns
    -------
    (sample, oxide) float64 Tensor, wt%

    Raises
    ------
    SpecError
        If the mineral is not known.

    Examples
    --------
    >>> draw_oxides("Quartz", 1, np.random.default_rng(0)).shape
    torch.Size([1, 10])
    """
    check_minerals([mineral], SOLID_SOLUTIONS)
    return mineral_oxides(mineral, torch.from_numpy(rng.dirichlet(CONCENTRATIONS[mineral], size=n)))


def _known(name: str, names: Any) -> str:
    if name not in names:
        raise FaultySpec("", Fault((name,), "unknown", known(name, names)))
    return name


def _check_labels(spec: DataSpec) -> None:
    labels = spec.modalities["oxides"].axis.labels if "oxides" in spec.modalities else ()
    if labels and labels != OXIDES:
        where = f"{spec.name}: modalities.oxides.axis.labels"
        raise SpecError(explain(where, f"{list(labels)}", expected=f"{list(OXIDES)}, as the simulator gives"))
