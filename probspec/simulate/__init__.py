"""Spectra with known answers: draw the truth and the nuisances, run the physics, measure as an instrument would.

What a data spec's ``simulator`` table names is looked up in `SIMULATORS`; the table's other keys are the simulator's
options. ``raman_libs`` makes Raman and LIBS spectra of mineral mixtures, ``minerals`` electron-probe analyses of single
minerals, ``shielded_gamma`` spectra of gamma-ray sources behind a shield, ``remnant_xray`` those of single pixels of a
supernova remnant, of which `simulate_cube` makes whole maps, ``aqueous_ions`` absorption spectra of salts in water.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from probspec.data.spectra import Spectra
from probspec.errors import SpecError, explain, known
from probspec.simulate.absorption import AqueousIons
from probspec.simulate.expected import Expected, Simulator
from probspec.simulate.gamma import ShieldedGamma
from probspec.simulate.minerals import Minerals
from probspec.simulate.raman_libs import RamanLibs
from probspec.simulate.xray import RemnantXray, simulate_cube
from probspec.spec import DataSpec, load_spec

__all__ = [
    "SIMULATORS",
    "AqueousIons",
    "Expected",
    "Minerals",
    "RamanLibs",
    "RemnantXray",
    "ShieldedGamma",
    "Simulator",
    "simulate",
    "simulate_cube",
]

SIMULATORS: Mapping[str, Callable[..., Simulator]] = {
    "raman_libs": RamanLibs,
    "minerals": Minerals,
    "shielded_gamma": ShieldedGamma,
    "remnant_xray": RemnantXray,
    "aqueous_ions": AqueousIons,
}
"""Simulators that a data spec can name."""


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
        The modalities and targets of the spec, as an instrument would measure them. ``raman_libs``: counts with shot
        noise, and with read noise where the modality's noise is not "poisson". ``minerals``: wt% with analytical error.
        ``shielded_gamma`` and ``remnant_xray``: Poisson counts.

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
    simulator = _simulator(spec)
    expected = simulator.expect(spec, n, drawing)
    _check_modalities(spec, expected)
    streams = dict(zip(spec.modalities, detecting.spawn(len(spec.modalities)), strict=True))
    return Spectra.from_arrays(
        {name: simulator.detect(expected, name, spec.modalities[name].noise, rng) for name, rng in streams.items()},
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


def _columns(spec: DataSpec, name: str, expected: Expected) -> NDArray[Any]:
    """Values of a target in the order of the spec's components, or class codes in that order."""
    target, where = spec.targets[name], f"{spec.name}: targets.{name}"
    simulated = expected.classes if target.support == "category" else expected.targets
    if name not in simulated:
        kind = "class" if target.support == "category" else "quantity"
        raise SpecError(explain(where, f"not simulated as a {kind}", expected=known(name, simulated)))
    if target.support == "category":
        return _codes(expected.classes[name], target.components, where)
    values = expected.targets[name]
    for component in target.components:
        if component not in values:
            raise SpecError(explain(where, f"{component!r} is not simulated", expected=known(component, values)))
    return torch.stack([values[component] for component in target.components], -1).numpy()


def _codes(names: Sequence[str], components: tuple[str, ...], where: str) -> NDArray[np.int64]:
    codes = {component: code for code, component in enumerate(components)}
    for name in names:
        if name not in codes:
            fix = f"add it to {where}.components, or leave it out of simulator.minerals"
            raise SpecError(explain(where, f"class {name!r} is simulated but no component", fix=fix))
    return np.array([codes[name] for name in names])
