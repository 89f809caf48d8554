"""Maps of a simulated remnant from its cube: errors, coverage and cost of variational inference.

    python -m tests.benchmarks.bench_cubes [--cubes 1000 100 smooth-1-1000 sharp-1-1000] [--seed 0] [--draws 50]

"1000" and "100" are the shared cubes; "sharp-1-1000" is simulated with sharp edges, seed 1 and 1000 counts a pixel, and
has surrogates of its own simulator. Scored are pixels of more than 20 true counts, posterior means as estimates: the
amplitudes' root mean square and mean absolute errors, relative to those of the truth, NMSE of the components' cubes,
mean absolute errors of kT and z, the index's bias (of each zone where there are two), and the share of pixels whose
truth lies within the 90 % intervals. Seconds are those of the processor, one thread, surrogates not included; memory is
the largest of the process so far.
"""

import argparse
import resource
import time
from typing import NamedTuple

import h5py
import numpy as np
import torch

from probspec.estimators import PoissonUnmixer
from probspec.metrics import coverage
from probspec.metrics.unmixing import (
    bright,
    component_nmse,
    parameter_error,
    relative_amplitude_error,
    relative_amplitude_rmse,
)
from probspec.mixtures import Mixture
from probspec.simulate.xray import simulate_cube
from probspec.simulators.xray import synchrotron_spectrum, thermal_spectrum
from probspec.surrogates import Surrogate
from tests.shared_data import shared_file

PARAMETERS = ("kT", "z", "index")
MAPS = ("A_th", "A_sy", *PARAMETERS)
ERRORS = ("rmse A_th, A_sy", "mean error A_th, A_sy", "NMSE th, sy, dB", "kT, keV", "z", "index bias")
HEADINGS = ("cube", *ERRORS, *(f"90 % cover of {name}" for name in MAPS), "CPU s", "GB")


class Case(NamedTuple):
    """A cube, what its components look like, and the truth: (y, x, component) and (y, x, parameter)."""

    counts: np.ndarray
    surrogates: dict[str, Surrogate]
    amplitude: np.ndarray
    parameters: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cubes", nargs="+", default=["1000", "100", "smooth-1-1000", "sharp-1-1000"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=50)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"| {' | '.join(HEADINGS)} |\n{'|---' * len(HEADINGS)}|")
    for name in arguments.cubes:
        case = simulated(*name.split("-")) if "-" in name else shared(name)
        began = time.process_time()
        unmixer = PoissonUnmixer(case.surrogates, draws=arguments.draws, random_state=arguments.seed)
        found = unmixer.fit(case.counts)
        seconds = time.process_time() - began
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"| {name} | {' | '.join(scores(case, found))} | {seconds:.0f} | {memory:.2f} |", flush=True)


def shared(mean: str) -> Case:
    """A cube of the shared set."""
    with h5py.File(shared_file("xray_remnant_simulated")) as file:
        taught = [file[name]["spectra"][:] for name in ("thermal", "synchrotron")]
        at = [file[name]["parameters"][:] for name in ("thermal", "synchrotron")]
        parameters = np.stack([file[f"truth/{name}"][:] for name in PARAMETERS], -1)
        return Case(file[f"cube_{mean}"][:], taught_by(taught, at), file[f"truth/amplitude_{mean}"][:], parameters)


def simulated(edges: str, seed: str, mean: str) -> Case:
    """A simulated cube."""
    kT, z = np.meshgrid(np.linspace(0.8, 6.0, 20), np.linspace(-0.033, 0.033, 20), indexing="ij")
    at = [np.stack([kT.ravel(), z.ravel()], -1), np.linspace(1.0, 4.0, 100)[:, None]]
    energy = torch.linspace(3.009125, 8.465875, 300, dtype=torch.float64)
    thermal = thermal_spectrum(*torch.from_numpy(at[0]).unbind(-1), energy)
    synchrotron = synchrotron_spectrum(torch.from_numpy(at[1][:, 0]), energy)
    cube = simulate_cube(mean_counts=float(mean), seed=int(seed), edges=edges)
    parameters = np.stack([cube[name].values for name in PARAMETERS], -1)
    made = taught_by([thermal.numpy(), synchrotron.numpy()], at)
    return Case(cube.counts.values, made, cube.amplitude.values, parameters)


def taught_by(taught: list[np.ndarray], at: list[np.ndarray]) -> dict[str, Surrogate]:
    """Surrogates of the two components."""
    thermal = Surrogate.fit(taught[0], at[0], names=["kT", "z"], units=["keV", ""])
    return {"thermal": thermal, "synchrotron": Surrogate.fit(taught[1], at[1], names=["index"])}


def scores(case: Case, found: PoissonUnmixer) -> list[str]:
    """Cells of the table."""
    scored = bright(case.amplitude)
    rmse = relative_amplitude_rmse(case.amplitude, found.amplitudes_)
    errors = relative_amplitude_error(case.amplitude, found.amplitudes_)
    parameters = np.concatenate(list(found.parameters_.values()), -1)
    kT, z = (parameter_error(case.parameters[scored][:, n], parameters[scored][:, n]) for n in (0, 1))
    cells = [
        " ".join(f"{value:.4f}" for value in rmse),
        " ".join(f"{value:.4f}" for value in errors),
        nmse(case, found),
        f"{kT:.3f}",
        f"{z:.4f}",
    ]
    index, true = parameters[scored][:, 2], case.parameters[scored][:, 2]
    cells.append(" ".join(f"{(index - true)[true == zone].mean():+.3f}" for zone in np.unique(true)))
    truth = np.concatenate([case.amplitude, case.parameters], -1)
    return [
        *cells,
        *(f"{coverage(truth[..., n][scored], *ends):.2f}" for n, ends in enumerate(intervals(found, scored))),
    ]


def intervals(found: PoissonUnmixer, scored: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Ends of the 90 % intervals of each map, in the order of `MAPS`."""
    ends = [found.posterior_.interval("amplitude", 0.9)]
    pairs = [tuple(end.sel(component=name).values[scored] for end in ends[0]) for name in found.names_]
    sites = ("thermal.kT", "thermal.z", "synchrotron.index")
    return pairs + [tuple(end.values[scored] for end in found.posterior_.interval(site, 0.9)) for site in sites]


def nmse(case: Case, found: PoissonUnmixer) -> str:
    """Of the posterior mean of the components' cubes."""
    scored = bright(case.amplitude)
    truth = (torch.from_numpy(np.asarray(part, np.float32)) for part in (case.amplitude, case.parameters))
    true = Mixture(case.surrogates).contributions(*truth)[scored].numpy()
    return " ".join(f"{error:.1f}" for error in component_nmse(true, found.components_[scored]))


if __name__ == "__main__":
    main()
