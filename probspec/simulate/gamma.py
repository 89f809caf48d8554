"""Gamma-ray spectra of nuclides behind one shield of unknown thickness, over a known background.

All nuclides of a measurement sit in the same shield: one thickness, which makes their spectra tell about each other.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from probspec.errors import known
from probspec.simulate.expected import Expected
from probspec.simulators.gamma import background_spectrum, gamma_signatures, shielded_sources
from probspec.simulators.nuclides import LINES
from probspec.simulators.scintillator import Scintillator
from probspec.spec import DataSpec
from probspec.tables import Fault, FaultySpec, Table

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]

ROWS_AT_ONCE = 64
"""Thicknesses whose signatures are computed together, which bounds the memory."""


class ShieldedGamma(Table):
    """Poisson counts of gamma-ray sources inside a hollow sphere of metal.

    Parameters
    ----------
    nuclides : tuple of str
        Names of `probspec.simulators.nuclides.LINES`.
    shield : {"lead", "iron", "steel"}
    thickness_cm : tuple of two floats
        Range of the thickness, whose logarithm is uniform.
    mean_counts : float
        Expected counts of a measurement, over all channels.
    background : float
        Share of the background in these; the nuclides divide the rest, uniformly on the simplex.
    absent : float
        Probability that a nuclide is not there; one at least always is.
    channels : int
    range_keV : tuple of two floats
        Centres of the first and the last channel.
    resolution_662 : float
        Full width at half maximum over energy, at 662 keV.

    Notes
    -----
    Targets: "counts" (expected counts of each nuclide, and of the "background") and "thickness" (of the shield, cm).
    """

    nuclides: tuple[str, ...] = Field(default=("Co60", "Ba133", "Co57", "Cs137"), min_length=1)
    shield: Literal["lead", "iron", "steel"] = "lead"
    thickness_cm: tuple[Positive, Positive] = (0.005, 0.3)
    mean_counts: Positive = 2000.0
    background: Share = 0.4
    absent: Share = 0.25
    channels: int = Field(default=1024, ge=2)
    range_keV: tuple[Positive, Positive] = (0.75, 1535.25)
    resolution_662: float = Field(default=0.07, gt=0, lt=1)

    @field_validator("nuclides")
    @classmethod
    def _are_known(cls, nuclides: tuple[str, ...]) -> tuple[str, ...]:
        for nuclide in nuclides:
            if nuclide not in LINES:
                raise FaultySpec("", Fault((nuclide,), "unknown", known(nuclide, LINES)))
        return nuclides

    @model_validator(mode="after")
    def _ranges_ascend(self) -> Self:
        for name in ("thickness_cm", "range_keV"):
            low, high = getattr(self, name)
            if low >= high:
                raise FaultySpec("", Fault((name,), f"from {low} to {high}", "a lower and an upper end"))
        return self

    def expect(self, spec: DataSpec, n: int, rng: np.random.Generator) -> Expected:
        """Draw thicknesses and counts, and expect the spectra."""
        thickness_cm = torch.from_numpy(np.exp(rng.uniform(*np.log(self.thickness_cm), size=n)))
        counts = torch.from_numpy(self._counts(n, rng))
        channel_keV = torch.linspace(*self.range_keV, self.channels, dtype=torch.float64)
        return Expected(
            spectra={"gamma": self._expected(counts, thickness_cm, channel_keV)},
            axes={"gamma": channel_keV},
            units={"gamma": "keV"},
            targets={
                "counts": dict(zip((*self.nuclides, "background"), counts.T, strict=True)),
                "thickness": {self.shield: thickness_cm},
            },
        )

    def detect(self, expected: Expected, modality: str, noise: str, rng: np.random.Generator) -> NDArray[np.float32]:
        """Count pulses."""
        return rng.poisson(expected.spectra[modality].numpy()).astype(np.float32)

    def _counts(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        present = rng.uniform(size=(n, len(self.nuclides))) >= self.absent
        present[np.arange(n), rng.integers(len(self.nuclides), size=n)] |= ~present.any(1)
        strength = rng.exponential(size=present.shape) * present
        counts = strength / strength.sum(1, keepdims=True) * self.mean_counts * (1 - self.background)
        return np.column_stack([counts, np.full(n, self.mean_counts * self.background)])

    def _expected(self, counts: Tensor, thickness_cm: Tensor, channel_keV: Tensor) -> Tensor:
        detector = Scintillator(resolution_662=self.resolution_662)
        sources = shielded_sources(self.nuclides, self.shield, channel_keV, detector)
        parts = zip(counts.split(ROWS_AT_ONCE), thickness_cm.split(ROWS_AT_ONCE), strict=True)
        nuclides = [(of[:, None, :-1] @ gamma_signatures(sources, at)).squeeze(1) for of, at in parts]
        return torch.cat(nuclides) + counts[:, -1:] * background_spectrum(channel_keV, detector)
