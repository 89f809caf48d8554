"""X-ray spectra of a supernova remnant: single pixels, and cubes whose maps look like one.

The maps are a shell of hot plasma and a rim with filaments where electrons shine, both clumpy; temperature and redshift
vary smoothly, or stepwise where edges are sharp.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from probspec.errors import SpecError, explain, known
from probspec.simulate.expected import Expected
from probspec.simulate.maps import EDGES, RemnantMaps, draw_maps
from probspec.simulators.xray import synchrotron_spectrum, thermal_spectrum
from probspec.spec import DataSpec
from probspec.tables import Fault, FaultySpec, Table

Positive = Annotated[float, Field(gt=0)]
COMPONENTS = ("thermal", "synchrotron")
PIXELS_AT_ONCE = 512
"""Pixels whose spectra are computed together, which bounds the memory."""


class RemnantXray(Table):
    """Poisson counts of single pixels of a remnant, all independent.

    Parameters
    ----------
    kT_keV, redshift, photon_index : tuple of two floats
        Ranges; the logarithm of the temperature is uniform, redshift and index are uniform.
    mean_counts : float
        Mean over the pixels of the expected counts; those of a pixel are gamma distributed with shape 2, and divided
        uniformly between the two components.
    channels : int
    range_keV : tuple of two floats
        Centres of the first and the last channel.

    Notes
    -----
    Targets: "amplitude" (expected counts of "thermal" and "synchrotron"), "temperature" (kT), "redshift" (z), "index".
    """

    kT_keV: tuple[Positive, Positive] = (0.8, 6.0)
    redshift: tuple[float, float] = (-0.033, 0.033)
    photon_index: tuple[float, float] = (1.0, 4.0)
    mean_counts: Positive = 1000.0
    channels: int = Field(default=300, ge=2)
    range_keV: tuple[Positive, Positive] = (3.009125, 8.465875)

    @model_validator(mode="after")
    def _ranges_ascend(self) -> Self:
        for name in ("kT_keV", "redshift", "photon_index", "range_keV"):
            low, high = getattr(self, name)
            if low >= high:
                raise FaultySpec("", Fault((name,), f"from {low} to {high}", "a lower and an upper end"))
        return self

    def expect(self, spec: DataSpec, n: int, rng: np.random.Generator) -> Expected:
        """Draw amplitudes and parameters, and expect the spectra."""
        total, share = rng.gamma(2.0, self.mean_counts / 2, size=n), rng.uniform(size=n)
        amplitude = _tensor(np.stack([total * share, total * (1 - share)], -1))
        kT = _tensor(np.exp(rng.uniform(*np.log(self.kT_keV), size=n)))
        z, index = _tensor(rng.uniform(*self.redshift, size=n)), _tensor(rng.uniform(*self.photon_index, size=n))
        energy_keV = torch.linspace(*self.range_keV, self.channels, dtype=torch.float64)
        return Expected(
            spectra={"xray": expected_counts(amplitude, kT, z, index, energy_keV)},
            axes={"xray": energy_keV},
            units={"xray": "keV"},
            targets={
                "amplitude": dict(zip(COMPONENTS, amplitude.T, strict=True)),
                "temperature": {"kT": kT},
                "redshift": {"z": z},
                "index": {"index": index},
            },
        )

    def detect(self, expected: Expected, modality: str, noise: str, rng: np.random.Generator) -> NDArray[np.float32]:
        """Count photons."""
        return rng.poisson(expected.spectra[modality].numpy()).astype(np.float32)


def simulate_cube(
    shape: tuple[int, int] = (94, 94),
    mean_counts: float = 1000.0,
    seed: int = 0,
    edges: Literal["smooth", "sharp"] = "smooth",
    energy_keV: Tensor | None = None,
) -> xr.Dataset:
    """Simulate a cube of counts of a supernova remnant, with the maps behind it.

    Parameters
    ----------
    shape : (int, int)
        Pixels along y and x, at least 4 each.
    mean_counts : float
        Expected counts of a pixel over all channels, in the mean over the cube: 60 % thermal.
    seed : int
        Same seed, same cube; the global generators stay as they are.
    edges : {"smooth", "sharp"}
        Smooth maps with a photon index of 2.5 everywhere, or maps with sharp edges and two zones of the index.
    energy_keV : (channel,) Tensor, optional
        Centres of the channels; 300 from 3 to 8.475 keV by default.

    Returns
    -------
    Dataset
        `counts` (y, x, channel), the true `amplitude` (y, x, component) in expected counts, `kT` in keV, `z` and
        `index` (y, x); coordinates `energy` (channel) in keV, and `component`.

    Raises
    ------
    SpecError
        If the shape, the counts or the kind of edges is not allowed, or the energies do not ascend from above zero.

    Examples
    --------
    >>> cube = simulate_cube((6, 8), mean_counts=100.0, seed=1)
    >>> dict(cube.sizes)
    {'y': 6, 'x': 8, 'channel': 300, 'component': 2}
    >>> cube.counts.attrs["units"], float(cube.amplitude.sum("component").mean().round(3))
    ('counts', 100.0)
    """
    _check(shape, mean_counts, edges)
    energy = torch.linspace(3.009125, 8.465875, 300) if energy_keV is None else energy_keV
    drawing, detecting = np.random.default_rng(seed).spawn(2)
    maps = draw_maps(shape, mean_counts, edges, drawing)
    flat = [_tensor(m.reshape(-1, *m.shape[2:])) for m in (maps.amplitude, maps.kT_keV, maps.redshift, maps.index)]
    counts = detecting.poisson(expected_counts(*flat, energy.double()).numpy())
    return _dataset(counts.reshape(*shape, -1), maps, energy)


def expected_counts(amplitude: Tensor, kT_keV: Tensor, redshift: Tensor, index: Tensor, energy_keV: Tensor) -> Tensor:
    """Expected spectra of some pixels, both components together.

    Parameters
    ----------
    amplitude : (pixel, component) Tensor, counts
        Thermal and synchrotron.
    kT_keV, redshift, index : (pixel,) Tensor
    energy_keV : (channel,) Tensor

    Returns
    -------
    (pixel, channel) Tensor, counts
    """
    parts = zip(*(of.split(PIXELS_AT_ONCE) for of in (amplitude, kT_keV, redshift, index)), strict=True)
    return torch.cat(
        [
            of[:, :1] * thermal_spectrum(kT, z, energy_keV) + of[:, 1:] * synchrotron_spectrum(power, energy_keV)
            for of, kT, z, power in parts
        ]
    )


def _dataset(counts: NDArray[np.int64], maps: RemnantMaps, energy: Tensor) -> xr.Dataset:
    return xr.Dataset(
        {
            "counts": (("y", "x", "channel"), counts.astype(np.int32), {"units": "counts"}),
            "amplitude": (("y", "x", "component"), maps.amplitude, {"units": "counts", "long_name": "expected counts"}),
            "kT": (("y", "x"), maps.kT_keV, {"units": "keV", "long_name": "temperature of the plasma"}),
            "z": (("y", "x"), maps.redshift, {"units": "1", "long_name": "redshift of the plasma"}),
            "index": (("y", "x"), maps.index, {"units": "1", "long_name": "photon index"}),
        },
        coords={"energy": ("channel", energy.double().numpy(), {"units": "keV"}), "component": list(COMPONENTS)},
    )


def _tensor(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values))


def _check(shape: tuple[int, int], mean_counts: float, edges: str) -> None:
    if len(shape) != 2 or min(shape) < 4:
        raise SpecError(explain("shape", f"{tuple(shape)}", expected="pixels along y and x, at least 4 each"))
    if not 0 < mean_counts < np.inf:
        raise SpecError(explain("mean_counts", f"{mean_counts}", expected="a number above 0"))
    if edges not in EDGES:
        raise SpecError(explain("edges", f"{edges!r}", expected=known(edges, EDGES)))
