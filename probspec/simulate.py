"""Spectra with known answers: draw compositions and nuisances, run the physics, add the detector's noise.

What a data spec's ``simulator`` table names is looked up in `SIMULATORS`; the table's other keys are the simulator's
options. ``raman_libs`` makes Raman and LIBS spectra of mineral mixtures. Neither of them suffices: Raman tells minerals
apart but not how much of each there is (fluorescence hides, scattering varies with grain and orientation), LIBS
measures elements but not which minerals they sit in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from probspec.data.spectra import Spectra
from probspec.errors import SpecError, explain, known
from probspec.laws import decode_law
from probspec.seeding import seeded
from probspec.simulators.atoms import load_atoms
from probspec.simulators.instrument import response, voigt_shares
from probspec.simulators.libs import continuum, libs_spectrum
from probspec.simulators.raman import fluorescence, raman_end_members, raman_spectrum, scattering_strength
from probspec.simulators.stoichiometry import elements_of, stoichiometry
from probspec.spec import DataSpec, Table, load_spec

Channels = Annotated[int, Field(ge=2)]
Range = tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]]

AIR = {"N": 0.767, "O": 0.233}  # mass fractions; the little argon is left out


@dataclass(frozen=True)
class Expected:
    """Expected spectra of some samples, and the truth behind them.

    Parameters
    ----------
    spectra : dict of modality -> (sample, channel) Tensor, counts
    axes : dict of modality -> (channel,) Tensor, `units`
    units : dict of modality -> unit of the axis
    read_noise : dict of modality -> float, counts
        Standard deviation of the detector's own noise.
    targets : dict of target -> dict of component -> (sample,) Tensor
    """

    spectra: Mapping[str, Tensor]
    axes: Mapping[str, Tensor]
    units: Mapping[str, str]
    read_noise: Mapping[str, float]
    targets: Mapping[str, Mapping[str, Tensor]]


class Simulator(Protocol):
    """Options of a simulator, which draws samples and expects their spectra."""

    def expect(self, spec: DataSpec, n: int, rng: np.random.Generator) -> Expected:
        """Draw the truth and the nuisances of `n` samples, and run the physics."""
        ...


def simulate(spec: DataSpec | str, n: int, seed: int = 0) -> Spectra:
    """Simulate spectra of the kind that a data spec describes, with their true targets.

    Parameters
    ----------
    spec : DataSpec or str
        With a ``simulator`` table, or the name of such a spec.
    n : int
        Number of samples.
    seed : int
        Same seed, same spectra; the global generators stay as they are.

    Returns
    -------
    Spectra
        The modalities and targets of the spec, in counts: with shot noise, and with read noise where the modality's
        noise is not "poisson".

    Raises
    ------
    SpecError
        If the spec names no simulator or an unknown one, an option is wrong, or the simulator does not make what the
        spec wants.

    Examples
    --------
    >>> spec = DataSpec.from_config({
    ...     "name": "marble",
    ...     "modalities": {"libs": {"axis": {"name": "wavelength", "unit": "nm"}}},
    ...     "targets": {"abundance": {"components": ["calcite", "dolomite"], "support": "simplex"}},
    ...     "simulator": {"name": "raman_libs", "minerals": ["calcite", "dolomite"], "design": "binary"},
    ... })
    >>> simulate(spec, 4).spectra("libs").shape
    (4, 5485)
    """
    spec = load_spec(spec) if isinstance(spec, str) else spec
    if n < 1:
        raise SpecError(explain("n", f"{n} samples", expected="one or more"))
    drawing, detecting = np.random.default_rng(seed).spawn(2)
    expected = _simulator(spec).expect(spec, n, drawing)
    _check_modalities(spec, expected)
    streams = dict(zip(spec.modalities, detecting.spawn(len(spec.modalities)), strict=True))
    return Spectra.from_arrays(
        {name: _detect(expected, name, spec.modalities[name].noise, rng) for name, rng in streams.items()},
        spec,
        axes={name: expected.axes[name].double().numpy() for name in spec.modalities},
        targets={name: _columns(spec, name, expected) for name in spec.targets},
    )


def _simulator(spec: DataSpec) -> Simulator:
    where = f"{spec.name}: simulator"
    if spec.simulator is None:
        raise SpecError(explain(where, "missing", expected=f"a table with a name; {known('', SIMULATORS)}"))
    options = dict(spec.simulator)
    name = options.pop("name")
    if name not in SIMULATORS:
        raise SpecError(explain(f"{where}.name", f"{name!r} is unknown", expected=known(name, SIMULATORS)))
    return SIMULATORS[name](**options)


def _check_modalities(spec: DataSpec, expected: Expected) -> None:
    for name, modality in spec.modalities.items():
        where = f"{spec.name}: modalities.{name}"
        if name not in expected.spectra:
            raise SpecError(explain(where, "not simulated", expected=known(name, expected.spectra)))
        if modality.axis.unit != expected.units[name]:
            raise SpecError(explain(f"{where}.axis.unit", modality.axis.unit, expected=expected.units[name]))


def _columns(spec: DataSpec, target: str, expected: Expected) -> NDArray[np.float32]:
    """Values of a target, in the order of the spec's components."""
    where = f"{spec.name}: targets.{target}"
    if target not in expected.targets:
        raise SpecError(explain(where, "not simulated", expected=known(target, expected.targets)))
    values = expected.targets[target]
    for component in spec.targets[target].components:
        if component not in values:
            raise SpecError(explain(where, f"{component!r} is not simulated", expected=known(component, values)))
    return torch.stack([values[component] for component in spec.targets[target].components], -1).numpy()


def _detect(expected: Expected, modality: str, noise: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """Count photons; read them out with Gaussian noise, unless counts must stay whole."""
    detected = rng.poisson(expected.spectra[modality].numpy()).astype(np.float32)
    if noise != "poisson":
        detected += expected.read_noise[modality] * rng.standard_normal(detected.shape, dtype=np.float32)
    return detected


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
            read_noise={"raman": 10.0, "libs": 15.0},
            targets={
                "abundance": dict(zip(self.minerals, abundance.T, strict=True)),
                "elements": dict(zip(elements, mass_fraction.T, strict=True)),
            },
        )

    def _abundance(self, spec: DataSpec, n: int, rng: np.random.Generator) -> Tensor:
        if self.design == "binary":
            return _binary_mixtures(n, len(self.minerals), rng)
        return _from_prior(spec, self.minerals, n, rng)


SIMULATORS: Mapping[str, Callable[..., Simulator]] = {"raman_libs": RamanLibs}
"""Simulators that a data spec can name."""


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
