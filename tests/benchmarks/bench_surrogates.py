"""Surrogates of three families of spectra: their error, what a fit costs, and what a map of spectra costs.

    python -m tests.benchmarks.bench_surrogates [--data FOLDER] [--kinds pca iae] [--pixels 8836] [--seed 0]

The families are thermal and synchrotron X-ray spectra (a 20 x 20 grid, and 100 indices), lead signatures of four
nuclides (90 thicknesses, scored on 60 others) and the steel signatures of the same nuclides, which carry Monte Carlo
noise (of 71 thicknesses 17 are left out here and scored). Errors are median and worst, dB; "noise" is the mean squared
error of scored spectra over that of their counts. Times are those of one thread, single precision for the maps. The
autoencoder is trained on lead alone.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import torch

from probspec.surrogates import Surrogate
from probspec.surrogates.held_out import decibels

NUCLIDES = ("Co60", "Ba133", "Co57", "Cs137")


class Case(NamedTuple):
    """A family: rows to teach, and rows to score by, which may be none."""

    name: str
    spectra: np.ndarray
    parameters: np.ndarray
    scored: np.ndarray
    at: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    parser.add_argument("--kinds", nargs="+", choices=("pca", "iae"), default=("pca",))
    parser.add_argument("--pixels", type=int, default=8836)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| family | kind | fit, s | held out, dB | scored, dB | noise | least | decode, ms | with Jacobian, ms |")
    print("|---|---|---|---|---|---|---|---|---|")
    for case in cases(arguments.data):
        for kind in arguments.kinds:
            if kind == "pca" or "lead" in case.name:
                print(row(case, kind, arguments.pixels, arguments.seed), flush=True)


def cases(folder: Path) -> Iterator[Case]:
    with h5py.File(folder / "xray_remnant_simulated" / "xray_remnant_simulated.h5") as file:
        for name in ("thermal", "synchrotron"):
            spectra, parameters = file[name]["spectra"][:], file[name]["parameters"][:]
            yield Case(name, spectra, parameters, spectra[:0], parameters[:0])
    with h5py.File(folder / "gamma_lead_simulated" / "gamma_lead_simulated.h5") as file:
        for number, name in enumerate(NUCLIDES):
            taught, scored = file["X_train"][number], file["X_valid"][number]
            yield Case(f"{name} in lead", taught, file["t_train"][:], scored, file["t_valid"][:])
    with h5py.File(folder / "gamma_semsun_steel" / "gamma_semsun_steel_train.h5") as file:
        nuclide, counts, targets = file["nuclide"].asstr()[:], file["spectra"][:], file["targets"][:]
    for name in NUCLIDES:
        x, t = counts[nuclide == name].astype(float), targets[nuclide == name]
        order = np.argsort(t[:, 0])
        out, kept = order[2:-2:4], np.delete(order, np.arange(2, len(order) - 2, 4))
        yield Case(f"{name} in steel", x[kept], t[kept], x[out], t[out])


def row(case: Case, kind: str, pixels: int, seed: int) -> str:
    began = time.perf_counter()
    surrogate = Surrogate.fit(case.spectra, case.parameters, kind=kind, seed=seed)
    seconds = time.perf_counter() - began
    held_out = f"{surrogate.error.median:.1f} / {surrogate.error.worst:.1f}"
    scored, noise, least = score(surrogate, case)
    plain, jacobian = (1e3 * cost(call, surrogate, pixels) for call in ("decode", "decode_with_jacobian"))
    what = surrogate.chart.describe()
    return (
        f"| {case.name} | {what} | {seconds:.1f} | {held_out} | {scored} | {noise} | {least:.1e} "
        f"| {plain:.0f} | {jacobian:.0f} |"
    )


def score(surrogate: Surrogate, case: Case) -> tuple[str, str, float]:
    """Errors of the scored rows, their share of counting noise, and the least value predicted."""
    if not len(case.scored):
        return "-", "-", surrogate.predict(case.parameters).min()
    totals = case.scored.sum(1, dtype=float)
    true, predicted = case.scored / totals[:, None], surrogate.predict(case.at)
    errors = decibels(predicted, true)
    ratio = ((predicted - true) ** 2).sum(1) * totals / (1 - (true**2).sum(1))
    noise = f"{np.median(ratio):.2f} / {ratio.max():.2f}" if totals.min() > 100 else "-"
    return f"{np.median(errors):.1f} / {errors.max():.1f}", noise, predicted.min()


def cost(call: str, surrogate: Surrogate, pixels: int, repeats: int = 3) -> float:
    """Seconds of a call for a map of so many pixels."""
    share = torch.rand(pixels, len(surrogate.names), generator=torch.Generator().manual_seed(0))
    points = (surrogate.lower + (surrogate.upper - surrogate.lower) * share).float()
    times = []
    with torch.no_grad():
        for _ in range(repeats):
            began = time.perf_counter()
            getattr(surrogate, call)(points)
            times.append(time.perf_counter() - began)
    return min(times)


if __name__ == "__main__":
    main()
