"""Raman spectra of mineral mixtures: sharp bands on a smooth fluorescence background.

Band positions, relative heights and widths are rounded values for polycrystalline samples that textbooks and spectral
libraries agree on (Nasdala, Smith, Kaindl and Ziemann, EMU Notes in Mineralogy 6 (2004) 281; McMillan and Hofmeister,
Rev. Mineral. 18 (1988) 99; RRUFF, Lafuente et al. 2015). Total scattering strengths differ by orders of magnitude
between transparent and opaque minerals and depend on the laser; they are representative orders of magnitude
relative to calcite, not measurements.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from probspec.simulators.instrument import voigt_shares
from probspec.simulators.stoichiometry import check_minerals

# mineral: "position/height/width ..." in cm^-1, relative to the strongest band, and cm^-1 (full width, half maximum)
_BANDS: dict[str, str] = {
    "quartz": "464/100/8 128/40/8 206/35/22 265/6/12 355/12/11 401/5/10 696/3/12 795/5/14 807/6/14 1082/6/12 1162/8/12",
    "olivine": "824/95/12 856/100/12 226/5/14 304/8/14 435/7/14 544/9/14 592/8/14 882/12/14 920/13/14 960/20/13",
    "diopside": "1013/100/10 667/75/11 325/55/14 392/55/12 140/22/8 230/15/10 360/22/12 509/8/12 558/10/12 855/7/16"
    " 1049/9/14",
    "enstatite": "1013/80/10 686/100/10 664/75/11 1034/38/11 343/80/9 136/20/7 207/15/9 236/30/9 302/12/10 402/26/10"
    " 421/18/11 539/20/11 580/10/12 925/8/14",
    "albite": "507/100/8 479/55/9 290/45/12 112/15/7 161/12/8 184/18/9 207/18/8 328/10/11 416/7/11 457/10/10 762/10/14"
    " 815/11/14 977/5/14 1098/12/16",
    "anorthite": "504/100/10 486/65/11 284/45/15 140/12/10 195/22/14 402/10/14 429/6/14 553/18/13 684/10/18 756/9/18"
    " 949/9/18 974/12/18",
    "orthoclase": "513/100/11 475/50/13 284/48/16 125/18/9 156/26/10 178/11/10 266/8/14 454/18/13 580/5/16 750/9/18"
    " 812/7/18 1124/13/20",
    "calcite": "1086/100/4 712/20/5 281/45/10 154/20/9 1436/6/10",
    "dolomite": "1097/100/5 724/12/6 299/42/10 176/18/9 1441/5/10",
    "magnesite": "1094/100/5 738/14/6 329/40/10 213/22/10 1444/5/10",
    "siderite": "1085/100/7 731/13/8 284/45/14 184/22/12",
    "gypsum": "1008/100/6 1135/18/8 414/28/10 493/22/10 618/14/9 670/9/9 180/9/14",
    "anhydrite": "1017/100/6 417/14/8 498/25/8 608/10/7 626/14/7 674/14/7 1110/8/7 1128/25/7 1160/14/7",
    "apatite": "964/100/5 430/16/10 446/8/10 580/8/9 591/13/9 607/9/9 1040/7/8 1052/15/8 1080/6/9",
    "hematite": "225/70/8 246/14/9 292/100/11 411/75/14 498/10/20 612/45/18 660/14/30 1316/95/70",
    "magnetite": "667/100/40 538/18/38 306/20/32 193/8/30",
    "ilmenite": "683/100/32 370/26/22 333/12/18 259/11/16 227/26/14 163/5/12 451/8/22 597/9/26",
    "zircon": "1008/100/6 974/32/7 439/34/8 393/5/8 356/60/7 225/24/7 214/24/7 202/30/8",
    "kyanite": "486/100/9 302/55/8 325/45/9 360/15/9 386/16/9 405/11/9 438/20/10 562/12/12 638/8/12 669/8/12 893/20/12"
    " 952/35/12 1001/6/12",
    "wollastonite": "970/100/8 637/70/9 302/8/9 321/9/10 340/13/9 413/17/10 581/6/11 883/6/12 1020/10/10 1044/18/10",
    "barite": "988/100/6 453/30/8 462/26/8 617/12/7 647/7/7 1084/4/7 1104/4/7 1140/8/7 1166/5/7",
    "pyrite": "379/100/8 343/75/8 430/12/9",
    "talc": "676/100/9 195/85/9 112/26/7 289/12/10 362/32/11 433/6/11 469/6/11 791/4/13 1019/4/12 1051/11/13",
}

BANDS: dict[str, tuple[tuple[float, ...], ...]] = {
    mineral: tuple(tuple(map(float, band.split("/"))) for band in bands.split()) for mineral, bands in _BANDS.items()
}

SCATTERING: dict[str, float] = {
    "quartz": 0.40,
    "olivine": 0.45,
    "diopside": 0.40,
    "enstatite": 0.30,
    "albite": 0.22,
    "anorthite": 0.15,
    "orthoclase": 0.20,
    "calcite": 1.00,
    "dolomite": 0.80,
    "magnesite": 0.70,
    "siderite": 0.25,
    "gypsum": 0.80,
    "anhydrite": 0.80,
    "apatite": 0.70,
    "hematite": 0.08,
    "magnetite": 0.03,
    "ilmenite": 0.05,
    "zircon": 0.80,
    "kyanite": 0.25,
    "wollastonite": 0.45,
    "barite": 0.90,
    "pyrite": 0.08,
    "talc": 0.25,
}


def raman_end_members(minerals: Sequence[str], wavenumber_cm1: Tensor, resolution_cm1: float = 5.0) -> Tensor:
    """Spectrum of each pure mineral, of unit area over all its bands.

    Parameters
    ----------
    minerals : sequence of str
    wavenumber_cm1 : (channel,) Tensor
        Raman shift of the channels, ascending.
    resolution_cm1 : float
        Full width at half maximum of the instrument function (Gaussian), by which the Lorentzian bands are broadened.

    Returns
    -------
    (mineral, channel) Tensor
        Share of a mineral's Raman light per channel.

    Raises
    ------
    SpecError
        If a mineral's bands are not known, or the axis does not ascend.

    Examples
    --------
    >>> axis = torch.linspace(100, 1700, 1601)
    >>> axis[raman_end_members(["quartz", "calcite"], axis).argmax(-1)]
    tensor([ 464., 1086.])
    """
    check_minerals(minerals, BANDS)
    return torch.stack([_end_member(mineral, wavenumber_cm1, resolution_cm1) for mineral in minerals])


def scattering_strength(minerals: Sequence[str]) -> Tensor:
    """Raman light per unit of mass, relative to calcite.

    Parameters
    ----------
    minerals : sequence of str

    Returns
    -------
    (mineral,) Tensor

    Examples
    --------
    >>> scattering_strength(["calcite", "magnetite"])
    tensor([1.0000, 0.0300])
    """
    check_minerals(minerals, SCATTERING)
    return torch.tensor([SCATTERING[mineral] for mineral in minerals])


def raman_spectrum(end_members: Tensor, abundance: Tensor, scattering: Tensor) -> Tensor:
    """Raman bands of a mixture.

    Parameters
    ----------
    end_members : (mineral, channel) Tensor
    abundance : (..., mineral) Tensor, mass fraction
    scattering : (..., mineral) Tensor
        Raman light per unit of mass; varies between samples with grain size, orientation and opacity.

    Returns
    -------
    (..., channel) Tensor
        Light per channel; pure calcite gives one in total.
    """
    return (abundance * scattering) @ end_members


def fluorescence(wavenumber_cm1: Tensor, slope: Tensor, curvature: Tensor) -> Tensor:
    """Smooth positive background: the exponential of a parabola, of mean one over the channels.

    Parameters
    ----------
    wavenumber_cm1 : (channel,) Tensor
    slope, curvature : (...) Tensor
        Of the logarithm, along an axis that runs from -1 to 1.

    Returns
    -------
    (..., channel) Tensor

    Examples
    --------
    >>> fluorescence(torch.linspace(100, 1700, 3), torch.tensor(0.0), torch.tensor(0.0))
    tensor([1., 1., 1.])
    """
    low, high = wavenumber_cm1[0], wavenumber_cm1[-1]
    position = (2 * wavenumber_cm1 - low - high) / (high - low)
    background = torch.exp(slope[..., None] * position + curvature[..., None] * position**2)
    return background / background.mean(-1, keepdim=True)


def _end_member(mineral: str, wavenumber_cm1: Tensor, resolution_cm1: float) -> Tensor:
    position, height, width = torch.tensor(BANDS[mineral]).to(wavenumber_cm1).T
    area = height * width / (height * width).sum()
    return area @ voigt_shares(wavenumber_cm1, position, resolution_cm1, width)
