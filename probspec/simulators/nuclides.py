"""Photons of gamma-ray sources: energies, and how many of each a decay gives.

Evaluated values of the Decay Data Evaluation Project (Bé et al., Table of Radionuclides, Monographie BIPM-5) and of
ENSDF, rounded; daughters in equilibrium are included (Ba137m with Cs137). X-rays of one K shell stand together where
a scintillator cannot part them; what lies below 10 keV, or comes less than once in 2000 decays, is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from probspec.errors import SpecError, explain, known

LINES: Mapping[str, tuple[tuple[float, float], ...]] = {
    "Co60": ((1173.23, 0.9985), (1332.49, 0.9998)),
    "Ba133": (
        (30.63, 0.340),
        (30.97, 0.628),
        (35.1, 0.228),
        (53.16, 0.0214),
        (79.61, 0.0263),
        (81.00, 0.333),
        (160.61, 0.0064),
        (223.24, 0.0045),
        (276.40, 0.0713),
        (302.85, 0.1831),
        (356.01, 0.6205),
        (383.85, 0.0894),
    ),
    "Co57": ((14.41, 0.0915), (122.06, 0.8551), (136.47, 0.1071), (692.41, 0.0016)),
    "Cs137": ((31.82, 0.0195), (32.19, 0.0359), (36.6, 0.0132), (661.66, 0.8499)),
    "Am241": (
        (13.9, 0.130),
        (17.8, 0.189),
        (20.8, 0.049),
        (26.34, 0.0231),
        (33.20, 0.0012),
        (43.42, 0.0007),
        (59.54, 0.3592),
    ),
    "Bi207": (
        (10.8, 0.33),
        (72.80, 0.217),
        (74.97, 0.365),
        (84.8, 0.125),
        (87.3, 0.038),
        (569.70, 0.9776),
        (897.8, 0.0013),
        (1063.66, 0.7458),
        (1442.2, 0.0013),
        (1770.23, 0.0687),
    ),
}
"""Energy in keV and photons per decay of each line."""

BACKGROUND_LINES: tuple[tuple[float, float], ...] = (
    (238.6, 0.43),
    (295.2, 0.18),
    (351.9, 0.36),
    (511.0, 0.20),
    (583.2, 0.30),
    (609.3, 0.45),
    (911.2, 0.26),
    (969.0, 0.16),
    (1120.3, 0.15),
    (1460.8, 1.30),
    (1764.5, 0.15),
    (2614.5, 0.36),
)
"""Natural radioactivity of a room (K40, daughters of U238 and Th232): keV, representative relative intensity."""


def check_nuclides(nuclides: Sequence[str]) -> None:
    """Refuse a nuclide whose lines are not known, and an empty list.

    Raises
    ------
    SpecError
    """
    if not nuclides:
        raise SpecError(explain("nuclides", "none given", expected=f"some of {', '.join(LINES)}"))
    for at, nuclide in enumerate(nuclides):
        if nuclide not in LINES:
            raise SpecError(explain(f"nuclides[{at}]", f"{nuclide!r} is unknown, {known(nuclide, LINES)}"))
