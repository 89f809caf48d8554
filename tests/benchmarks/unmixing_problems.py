"""Problems of Poisson unmixing with known answers: gamma rays behind lead and steel, measured sums, X-ray cubes."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import NamedTuple

import h5py
import numpy as np

from probspec.mixtures import BACKGROUND
from probspec.surrogates import Surrogate
from tests.shared_data import shared_file

NUCLIDES = ("Co60", "Ba133", "Co57", "Cs137")
BACKGROUND_SHARE = 0.4


class Problem(NamedTuple):
    """Counts to be unmixed, what they are mixtures of, and the truth.

    `amplitude` (..., component) has the background last, where there is one; `parameters` are by component and name;
    `spectra` (..., component, channel) are the true ones of unit sum.
    """

    counts: np.ndarray
    components: Mapping[str, Surrogate | np.ndarray]
    background: np.ndarray | None
    shared: list[str]
    amplitude: np.ndarray
    parameters: Mapping[tuple[str, str], np.ndarray]
    spectra: np.ndarray | None = None


def lead(total: int) -> Problem:
    """100 simulated spectra of nuclides in lead; those of the surrogates were simulated apart."""
    with h5py.File(shared_file("gamma_lead_simulated")) as file:
        counts, amplitude, t = (file[f"{name}_{total}"][:] for name in ("counts", "A", "t"))
        taught, at, background = file["X_train"][:], file["t_train"][:], file["background"][:]
    components = {name: _by_thickness(x, at, "cm") for name, x in zip(NUCLIDES, taught, strict=True)}
    nuclides = np.stack([one.predict(np.clip(t, at.min(), at.max())[:, None]) for one in components.values()], 1)
    spectra = np.concatenate([nuclides, np.broadcast_to(background / background.sum(), (len(t), 1, 1024))], 1)
    return Problem(counts, components, background, ["thickness"], amplitude, {("Co60", "thickness"): t}, spectra)


def steel(total: int, rows: int, seed: int) -> Problem:
    """Mixtures of the signatures of every second thickness; surrogates are taught the others.

    The background has 40 % of the counts, the nuclides share the rest evenly on the simplex; in every second row two of
    the four are absent.
    """
    with h5py.File(shared_file("gamma_semsun_steel")) as file:
        nuclide, spectra = file["nuclide"].asstr()[:], file["spectra"][:].astype(float)
        thickness, background = file["targets"][:, 0], file["background"][:].astype(float)
    at = np.unique(thickness)
    families = [spectra[nuclide == name][np.argsort(thickness[nuclide == name])] for name in NUCLIDES]
    drawn = np.arange(1, len(at) - 1, 2)
    taught = np.setdiff1d(np.arange(len(at)), drawn)
    components = {n: _by_thickness(x[taught], at[taught], "mm") for n, x in zip(NUCLIDES, families, strict=True)}
    rng = np.random.default_rng(seed)
    chosen = rng.choice(drawn, rows)
    true = np.stack([x[chosen] for x in families] + [np.broadcast_to(background, (rows, 1024))], 1)
    true = true / true.sum(-1, keepdims=True)
    amplitude = _amplitudes(total, rows, rng)
    counts = rng.poisson((amplitude[..., None] * true).sum(1)).astype(float)
    parameters = {("Co60", "thickness"): at[chosen]}
    return Problem(counts, components, background, ["thickness"], amplitude, parameters, true)


def baldr(triples: int, seed: int) -> Iterator[Problem]:
    """Sums of measured spectra of two and of three nuclides; each nuclide's spectrum is that of its other measurements.

    The true counts of a source are those above the background's; they carry its counting noise.
    """
    with h5py.File(shared_file("gamma_nai_baldr")) as file:
        nuclide, gross = file["measured/nuclide"].asstr()[:], file["measured/spectra"][:].astype(float)
        seconds = file["measured/live_time_s"][:]
        background = file["background/spectra"][0].astype(float)
        rate = background / file["background/live_time_s"][0]
    names = list(np.unique(nuclide))
    net = gross - rate * seconds[:, None]
    rows = [list(pair) for pair in combinations(range(len(gross)), 2)]
    threes = [list(three) for three in combinations(range(len(gross)), 3)]
    rows += [threes[n] for n in np.random.default_rng(seed).choice(len(threes), triples, replace=False)]
    for chosen in rows:
        if len(set(nuclide[chosen])) < len(chosen):
            continue
        others = np.setdiff1d(np.arange(len(gross)), chosen)
        templates = {name: net[others[nuclide[others] == name]].sum(0).clip(0) for name in names}
        sources = [net[[n for n in chosen if nuclide[n] == name]].sum() for name in names]
        amplitude = np.array([*sources, rate.sum() * seconds[chosen].sum()])
        yield Problem(gross[chosen].sum(0)[None], templates, background, [], amplitude[None], {})


def remnant(mean: int, crop: int | None) -> Problem:
    """A simulated cube, or the middle of it."""
    with h5py.File(shared_file("xray_remnant_simulated")) as file:
        size = len(file["truth/kT"])
        first = 0 if crop is None else (size - crop) // 2
        part = np.s_[first : size - first, first : size - first] if crop is None else np.s_[first : first + crop]
        part = (part, part) if crop is not None else part
        counts, amplitude = (file[name][part].astype(float) for name in (f"cube_{mean}", f"truth/amplitude_{mean}"))
        kT, z, index = (file[f"truth/{name}"][part].astype(float) for name in ("kT", "z", "index"))
        thermal, synchrotron = file["thermal"], file["synchrotron"]
        components = {
            "thermal": Surrogate.fit(thermal["spectra"][:], thermal["parameters"][:], ["kT", "z"], ["keV", "1"]),
            "synchrotron": Surrogate.fit(synchrotron["spectra"][:], synchrotron["parameters"][:], ["index"], ["1"]),
        }
    parameters = {("thermal", "kT"): kT, ("thermal", "z"): z, ("synchrotron", "index"): index}
    spectra = np.stack(
        [
            components["thermal"].predict(np.stack([kT, z], -1)),
            components["synchrotron"].predict(index[..., None]),
        ],
        -2,
    )
    return Problem(counts, components, None, [], amplitude, parameters, spectra)


def names_of(problem: Problem) -> list[str]:
    """Components in the order of the amplitudes."""
    return [*problem.components, *([] if problem.background is None else [BACKGROUND])]


def _by_thickness(spectra: np.ndarray, thickness: np.ndarray, unit: str) -> Surrogate:
    return Surrogate.fit(spectra, thickness, names=["thickness"], units=[unit])


def _amplitudes(total: int, rows: int, rng: np.random.Generator) -> np.ndarray:
    shares = rng.exponential(size=(rows, len(NUCLIDES)))
    shares[1::2] *= rng.random(shares[1::2].shape).argsort(1) < len(NUCLIDES) // 2
    shares *= (1 - BACKGROUND_SHARE) / shares.sum(1, keepdims=True)
    return total * np.column_stack([shares, 1 - shares.sum(1)])
