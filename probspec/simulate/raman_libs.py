"""Raman and LIBS spectra of mineral mixtures.

Neither of them suffices: Raman tells minerals apart but not how much of each there is (fluorescence hides, scattering
varies with grain and orientation), LIBS measures elements but not which minerals they sit in.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from probspec.errors import SpecError, explain
from probspec.laws import decode_law
from probspec.seeding import seeded
from probspec.simulate.expected import Expected
from probspec.simulators.atoms import load_atoms
from probspec.simulators.instrument import response, voigt_shares
from probspec.simulators.libs import continuum, libs_spectrum
from probspec.simulators.raman import fluorescence, raman_end_members, raman_spectrum, scattering_strength
from probspec.simulators.stoichiometry import elements_of, stoichiometry
from probspec.spec import DataSpec
from probspec.tables import Table

Channels = Annotated[int, Field(ge=2)]
Range = tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]

AIR = {"N": 0.767, "O": 0.233}  # mass fractions; the little argon is left out
READ_NOISE = {"raman": 10.0, "libs": 15.0}
"""Standard deviation of each detector's own noise, counts."""


class RamanLibs(Table):
    """Raman and LIBS spectra of the same mineral mixtures.

    Parameters
    ----------
    minerals : tuple of str
        Names of `probspec.simulators.stoichiometry.FORMULAS`; the components of the target "abundance".
    design : {"dirichlet", "binary"}
        Compositions are drawn from the prior of the abundance, or mix two of the minerals in uniform proportion.
    raman_channels, libs_channels : int
    raman_range_cm1, libs_range_nm : tuple of two floats
        First and last channel.

    Notes
    -----
    The default channels, and 567 binary mixtures of 23 minerals, are the size of the published set (Parente and Gemp;
    Gemp et al. 2016, arXiv 1608.05983). The nuisances of a sample, all log-normal:

    - Raman: focus (gain), the scattering of each mineral's grains, strength and shape of the fluorescence;
    - LIBS: focus, temperature, electron density and column of the plasma, how well each element is ablated, continuum
      radiation, and the share of air in the plasma, which hides how much oxygen the sample itself has.
    """

    minerals: tuple[str, ...] = Field(min_length=2)
    design: Literal["dirichlet", "binary"] = "dirichlet"
    raman_channels: Channels = 1715
    raman_range_cm1: Range = (100.0, 1700.0)
    libs_channels: Channels = 5485
    libs_range_nm: Range = (240.0, 860.0)

    def expect(self, spec: DataSpec, n: int, rng: np.random.Generator) -> Expected:
        """Draw compositions, and expect both spectra of each."""
        elements = elements_of(self.minerals)
        composing, scattering, ablating = rng.spawn(3)
        abundance = self._abundance(spec, n, composing)
        mass_fraction = abundance @ stoichiometry(self.minerals, elements)
        wavenumber_cm1 = torch.linspace(*self.raman_range_cm1, self.raman_channels)
        wavelength_nm = torch.linspace(*self.libs_range_nm, self.libs_channels)
        return Expected(
            spectra={
                "raman": _raman_counts(self.minerals, abundance, wavenumber_cm1, scattering),
                "libs": _libs_counts(elements, mass_fraction, wavelength_nm, ablating),
            },
            axes={"raman": wavenumber_cm1, "libs": wavelength_nm},
            units={"raman": "cm^-1", "libs": "nm"},
            targets={
                "abundance": dict(zip(self.minerals, abundance.T, strict=True)),
                "elements": dict(zip(elements, mass_fraction.T, strict=True)),
            },
        )

    def detect(self, expected: Expected, modality: str, noise: str, rng: np.random.Generator) -> NDArray[np.float32]:
        """Count photons; read them out with Gaussian noise, unless counts must stay whole."""
        detected = rng.poisson(expected.spectra[modality].numpy()).astype(np.float32)
        if noise != "poisson":
            detected += READ_NOISE[modality] * rng.standard_normal(detected.shape, dtype=np.float32)
        return detected

    def _abundance(self, spec: DataSpec, n: int, rng: np.random.Generator) -> Tensor:
        if self.design == "binary":
            return _binary_mixtures(n, len(self.minerals), rng)
        return _from_prior(spec, self.minerals, n, rng)


def _from_prior(spec: DataSpec, minerals: tuple[str, ...], n: int, rng: np.random.Generator) -> Tensor:
    where = f"{spec.name}: priors.abundance"
    if "abundance" not in spec.priors:
        fix = 'add abundance = { law = "Dirichlet", concentration = 1.0 }, or take design = "binary"'
        raise SpecError(explain(where, "missing, though the design draws from it", fix=fix))
    target = spec.targets.get("abundance")
    if target is not None and target.components != minerals:
        raise SpecError(explain(f"{spec.name}: simulator.minerals", "not those of targets.abundance, in their order"))
    law = decode_law(spec.priors["abundance"], len(minerals), where)
    with seeded(int(rng.integers(2**32))):
        abundance = law.sample((n,))
    if not torch.allclose(abundance.sum(-1), torch.ones(n), atol=1e-4):
        raise SpecError(explain(where, "draws do not sum to one", expected="a law on the simplex, such as Dirichlet"))
    return abundance


def _binary_mixtures(n: int, minerals: int, rng: np.random.Generator) -> Tensor:
    first = rng.integers(minerals, size=n)
    second = (first + rng.integers(1, minerals, size=n)) % minerals
    share, row = rng.uniform(size=n), np.arange(n)
    abundance = np.zeros((n, minerals), dtype=np.float32)
    abundance[row, first], abundance[row, second] = share, 1 - share
    return torch.from_numpy(abundance)


def _raman_counts(
    minerals: tuple[str, ...], abundance: Tensor, wavenumber_cm1: Tensor, rng: np.random.Generator
) -> Tensor:
    n = len(abundance)
    strength = scattering_strength(minerals) * _log_normal(rng, 1.0, 0.4, n, len(minerals))
    bands = raman_spectrum(raman_end_members(minerals, wavenumber_cm1), abundance, strength)
    slope, curvature = -_log_normal(rng, 0.5, 0.6, n), -_log_normal(rng, 0.2, 0.6, n)
    background = fluorescence(wavenumber_cm1, slope, curvature) / len(wavenumber_cm1)
    focus = _log_normal(rng, 3e5, 0.4, n, 1)  # counts of pure calcite over all channels
    return focus * (bands + _log_normal(rng, 8.0, 0.9, n, 1) * background)


def _libs_counts(
    elements: tuple[str, ...], mass_fraction: Tensor, wavelength_nm: Tensor, rng: np.random.Generator
) -> Tensor:
    n = len(mass_fraction)
    atoms = load_atoms(elements + tuple(e for e in AIR if e not in elements)).to(mass_fraction)
    ablated = mass_fraction * _log_normal(rng, 1.0, 0.1, *mass_fraction.shape)
    air = _log_normal(rng, 0.3, 0.4, n, 1)  # mass of air per mass of sample in the plasma
    plasma = torch.nn.functional.pad(ablated, (0, len(atoms.elements) - len(elements)))
    plasma = plasma + air * torch.tensor([AIR.get(element, 0.0) for element in atoms.elements])
    sensitivity = response(wavelength_nm, peak=420.0, width=350.0)
    lines = libs_spectrum(
        atoms,
        voigt_shares(wavelength_nm, atoms.wavelength_nm, gauss_fwhm=0.15, lorentz_fwhm=0.05) * sensitivity,
        plasma,
        temperature_K=_log_normal(rng, 10000.0, 0.1, n),
        electron_density_cm3=_log_normal(rng, 1e17, 0.3, n),
        column_cm2=_log_normal(rng, 5e15, 0.5, n),
    )
    radiation = _log_normal(rng, 2e5, 0.5, n, 1) * continuum(wavelength_nm) * sensitivity / len(wavelength_nm)
    return _log_normal(rng, 3.0, 0.4, n, 1) * (lines + radiation)


def _log_normal(rng: np.random.Generator, median: float, spread: float, *shape: int) -> Tensor:
    return torch.from_numpy(median * np.exp(spread * rng.standard_normal(shape))).float()
