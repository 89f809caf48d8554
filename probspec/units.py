"""Units of axes, and the spellings that files and people use for them."""

from __future__ import annotations

from collections.abc import Mapping

from probspec.tables import Fault, FaultySpec

UNITS: Mapping[str, tuple[str, ...]] = {
    "nm": ("nm", "nanometre", "nanometer"),
    "um": ("um", "μm", "micrometre", "micrometer", "micron"),
    "cm^-1": ("cm^-1", "cm-1", "1/cm", "cm⁻¹", "cm**-1"),
    "eV": ("ev",),
    "keV": ("kev",),
    "channel": ("channel", "channels"),
}
"""Axis units and their accepted spellings."""


def axis_unit(text: str, where: str = "unit") -> str:
    """Give the one spelling of an axis unit; a remark in brackets is dropped.

    Raises
    ------
    SpecError
        Where the unit is not known; the message begins with `where`.

    Examples
    --------
    >>> axis_unit("1/cm"), axis_unit("keV (bin centres)")
    ('cm^-1', 'keV')
    """
    word = text.split("(")[0].strip().casefold()
    for unit, spellings in UNITS.items():
        if word in spellings:
            return unit
    raise FaultySpec(where, Fault((), f"{text!r} is not a known axis unit", "one of " + ", ".join(UNITS)))
