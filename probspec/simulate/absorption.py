"""Absorption spectra of aqueous salts, as a spectrometer measures them."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from probspec.errors import SpecError, explain
from probspec.laws import decode_law
from probspec.seeding import seeded
from probspec.simulate.expected import Expected
from probspec.simulators.absorption import IONS, absorbance, measured
from probspec.spec import DataSpec
from probspec.tables import Table

Positive = Annotated[float, Field(gt=0)]


class AqueousIons(Table):
    """Absorption spectra of solutions of several salts.

    Parameters
    ----------
    ions : tuple of str
        Names of `probspec.simulators.absorption.BANDS`; the components of the target "concentration".
    channels : int
    range_nm : tuple of two floats
        First and last channel.
    path_cm : float
    stray : float
        Stray light, as a share of the lamp's.
    noise_transmittance : float
        Standard deviation of a channel's transmittance.
    baseline : float, absorbance
        Standard deviation of the offset and of the tilt, end to end, of a spectrum.

    Notes
    -----
    Concentrations are drawn from the prior of the target. The defaults, and 3744 spectra, are the size of the published
    set (Mushchina et al. 2024).
    """

    ions: tuple[str, ...] = IONS
    channels: Annotated[int, Field(ge=2)] = 911
    range_nm: tuple[Positive, Positive] = (300.0, 1210.0)
    path_cm: Positive = 1.0
    stray: Positive = 1e-3
    noise_transmittance: Positive = 2e-4
    baseline: Annotated[float, Field(ge=0)] = 5e-4

    def expect(self, spec: DataSpec, n: int, rng: np.random.Generator) -> Expected:
        """Draw concentrations and baselines, and expect the absorbance of each solution."""
        composing, drifting = rng.spawn(2)
        concentration_M = self._concentrations(spec, n, composing)
        wavelength_nm = torch.linspace(*self.range_nm, self.channels)
        true = absorbance(self.ions, concentration_M, wavelength_nm, self.path_cm)
        offset, tilt = torch.from_numpy(self.baseline * drifting.standard_normal((2, n, 1))).float()
        drift = offset + tilt * torch.linspace(-0.5, 0.5, self.channels)
        return Expected(
            spectra={"absorbance": measured(true, self.stray) + drift},
            axes={"absorbance": wavelength_nm},
            units={"absorbance": "nm"},
            targets={"concentration": dict(zip(self.ions, concentration_M.T, strict=True))},
        )

    def detect(self, expected: Expected, modality: str, noise: str, rng: np.random.Generator) -> NDArray[np.float32]:
        """Add the noise of the transmittance, which is largest where little light is left."""
        mean = expected.spectra[modality].numpy()
        spread = self.noise_transmittance / (np.log(10) * 10.0 ** -np.clip(mean, 0, None))
        return (mean + spread * rng.standard_normal(mean.shape)).astype(np.float32)

    def _concentrations(self, spec: DataSpec, n: int, rng: np.random.Generator) -> torch.Tensor:
        where = f"{spec.name}: priors.concentration"
        if "concentration" not in spec.priors:
            fix = 'add concentration = { law = "Uniform", low = 0.0, high = 0.1 }'
            raise SpecError(explain(where, "missing, though solutions are drawn from it", fix=fix))
        law = decode_law(spec.priors["concentration"], len(self.ions), where)
        with seeded(int(rng.integers(2**32))):
            drawn = law.sample((n,))
        if bool((drawn < 0).any()):
            raise SpecError(explain(where, "draws below zero", expected="a law of positive values, such as Uniform"))
        return drawn
