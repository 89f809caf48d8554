"""Axes of spectra: what they must be, and the same axis in another unit.

Wavelengths are those in vacuum. Conversion moves the channels' positions only; what the channels hold stays as it is,
so that counts per channel remain counts per channel. A Raman shift has no wavelength without its laser line and is
not converted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from probspec.data.intake import first, numbers, same_length
from probspec.errors import DataError, explain
from probspec.spec import Axis
from probspec.units import axis_unit

HC_EV_NM = 1239.8419843320026
"""Planck constant times speed of light, eV nm (exact in the SI of 2019)."""

# Wavelength in nm = factor * value, or factor / value where the unit is reciprocal.
_TO_NM = {
    "nm": (1.0, False),
    "um": (1e3, False),
    "cm^-1": (1e7, True),
    "eV": (HC_EV_NM, True),
    "keV": (HC_EV_NM * 1e-3, True),
}
AXIS_NAMES = {"nm": "wavelength", "um": "wavelength", "cm^-1": "wavenumber", "eV": "energy", "keV": "energy"}


def check_axis(values: Any, axis: Axis, where: str = "axis", channels: int | None = None) -> NDArray[np.float64]:
    """Check the positions of the channels.

    Parameters
    ----------
    values : (channel,), unit of `axis`
    channels : int, optional
        How many channels the spectra have.

    Raises
    ------
    DataError
        Naming the first channel that is not finite, repeats another, is out of order, or is a wavelength <= 0.
    """
    array = numbers(values, where, ("channel",)).astype(np.float64)
    if channels is not None:
        same_length(len(array), channels, where, "channels")
    _refuse(~np.isfinite(array), array, where, "finite numbers")
    step = np.diff(array, prepend=-np.inf)
    _refuse(step == 0, array, where, "positions that do not repeat", "average the channels that coincide")
    sort = "order = numpy.argsort(axis); use axis[order] and spectra[:, order]"
    _refuse(step < 0, array, where, "a position above that of the channel before", sort)
    if axis.unit in ("nm", "um"):
        _refuse(array <= 0, array, where, "wavelengths above 0")
    return array


def convert_axis(values: Any, axis: Axis, unit: str, where: str = "axis") -> tuple[NDArray[np.float64], Axis, bool]:
    """Express an axis in another unit, ascending again.

    Parameters
    ----------
    values : (channel,), unit of `axis`
    axis : Axis
    unit : str
        One of nm, um, cm^-1, eV, keV.

    Returns
    -------
    (channel,) float64 array
    Axis
        With the new unit, and a name that goes with it.
    bool
        Whether the channels were turned round; then spectra must be too.

    Raises
    ------
    DataError
        Where the axis is a Raman shift or a channel number, or holds positions <= 0.
    SpecError
        Where the unit is not known.

    Examples
    --------
    >>> convert_axis([500.0, 1000.0], Axis(name="wavelength", unit="nm"), "cm^-1")
    (array([10000., 20000.]), Axis(name='wavenumber', unit='cm^-1', labels=()), True)
    """
    array, unit = check_axis(values, axis, where), axis_unit(unit)
    if unit == axis.unit:
        return array, axis, False
    _refuse_conversion(axis, unit, where)
    _refuse(array <= 0, array, where, f"positions above 0 to convert from {axis.unit} to {unit}")
    (factor, reciprocal), (new_factor, new_reciprocal) = _TO_NM[axis.unit], _TO_NM[unit]
    nm = factor / array if reciprocal else factor * array
    new = new_factor / nm if new_reciprocal else nm / new_factor
    turned = reciprocal != new_reciprocal
    return new[::-1].copy() if turned else new, Axis(name=AXIS_NAMES[unit], unit=unit), turned


def _refuse_conversion(axis: Axis, unit: str, where: str) -> None:
    if axis.is_shift:
        fix = "compute 1e7 / laser_nm - shift, the wavenumber of the scattered light, and say so in the spec"
        raise DataError(explain(where, f"{axis.name} cannot be converted to {unit} without the laser line", fix=fix))
    for given in (axis.unit, unit):
        if given not in _TO_NM:
            expected = "one of " + ", ".join(_TO_NM)
            raise DataError(explain(where, f"unit {given} has no wavelength to convert by", expected=expected))


def _refuse(wrong: NDArray[np.bool_], values: NDArray[np.float64], where: str, expected: str, fix: str = "") -> None:
    if wrong.any():
        (at,) = first(wrong)
        raise DataError(explain(f"{where}[{at}]", f"{values[at]:.6g}", expected=expected, fix=fix))
