"""Maps of a simulated remnant from its cube: errors, coverage and cost of variational inference.

    python -m tests.benchmarks.bench_fields [--cubes 1000 100 smooth-1-1000 sharp-1-1000] [--seed 0] [--draws 50]

"1000" and "100" are the shared cubes; "sharp-1-1000" is simulated with sharp edges, seed 1 and 1000 counts a pixel, and
has surrogates of its own simulator. Scored are pixels of more than 20 true counts, posterior means as estimates: the
amplitudes' errors relative to all counts, NMSE of the components' cubes, mean absolute errors of kT and z, the index's
bias (of each zone where there are two), and the share of pixels whose truth lies within the central 90 % of the draws.
Seconds are those of the processor, one thread, surrogates not included; memory is the largest of the process so far.
"""

import argparse
import resource
import time
from typing import NamedTuple

import h5py
import numpy as np
import torch

from probspec.counts import check_counts
from probspec.fields import FieldOptions, MapPosterior, infer_maps
from probspec.metrics import coverage
from probspec.metrics.unmixing import bright, component_nmse, parameter_error, relative_amplitude_error
from probspec.mixtures import Mixture
from probspec.simulate.xray import simulate_cube
from probspec.simulators.xray import synchrotron_spectrum, thermal_spectrum
from probspec.surrogates import Surrogate
from tests.shared_data import shared_file

PARAMETERS = ("kT", "z", "index")
MAPS = ("A_th", "A_sy", *PARAMETERS)


class Case(NamedTuple):
    """A cube, what it is a mixture of, and its true amplitudes (y, x, component) and parameters (y, x, parameter)."""

    counts: np.ndarray
    mixture: Mixture
    amplitude: np.ndarray
    parameters: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cubes", nargs="+", default=["1000", "100", "smooth-1-1000", "sharp-1-1000"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=50)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    covered = " | ".join(MAPS)
    print(f"| cube | A_th | A_sy | NMSE th, sy, dB | kT, keV | z | index bias | 90 %: {covered} | CPU s | GB |")
    print("|---" * (9 + len(MAPS)) + "|")
    for name in arguments.cubes:
        case = simulated(*name.split("-")) if "-" in name else shared(name)
        began = time.process_time()
        counts = check_counts(case.counts, case.mixture.channels)
        found = infer_maps(case.mixture, counts, options=FieldOptions(draws=arguments.draws), seed=arguments.seed)
        seconds = time.process_time() - began
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"| {name} | {' | '.join(scores(case, found))} | {seconds:.0f} | {memory:.2f} |", flush=True)


def shared(mean: str) -> Case:
    """A cube of the shared set."""
    with h5py.File(shared_file("xray_remnant_simulated")) as file:
        taught = [file[name]["spectra"][:] for name in ("thermal", "synchrotron")]
        at = [file[name]["parameters"][:] for name in ("thermal", "synchrotron")]
        parameters = np.stack([file[f"truth/{name}"][:] for name in PARAMETERS], -1)
        return Case(file[f"cube_{mean}"][:], mixture(taught, at), file[f"truth/amplitude_{mean}"][:], parameters)


def simulated(edges: str, seed: str, mean: str) -> Case:
    """A simulated cube."""
    kT, z = np.meshgrid(np.linspace(0.8, 6.0, 20), np.linspace(-0.033, 0.033, 20), indexing="ij")
    at = [np.stack([kT.ravel(), z.ravel()], -1), np.linspace(1.0, 4.0, 100)[:, None]]
    energy = torch.linspace(3.009125, 8.465875, 300, dtype=torch.float64)
    thermal = thermal_spectrum(*torch.from_numpy(at[0]).unbind(-1), energy)
    synchrotron = synchrotron_spectrum(torch.from_numpy(at[1][:, 0]), energy)
    cube = simulate_cube(mean_counts=float(mean), seed=int(seed), edges=edges)
    parameters = np.stack([cube[name].values for name in PARAMETERS], -1)
    made = mixture([thermal.numpy(), synchrotron.numpy()], at)
    return Case(cube.counts.values, made, cube.amplitude.values, parameters)


def mixture(taught: list[np.ndarray], at: list[np.ndarray]) -> Mixture:
    thermal = Surrogate.fit(taught[0], at[0], names=["kT", "z"], units=["keV", ""])
    return Mixture({"thermal": thermal, "synchrotron": Surrogate.fit(taught[1], at[1], names=["index"])})


def scores(case: Case, found: MapPosterior) -> list[str]:
    """Cells of the table."""
    scored = bright(case.amplitude)
    amplitude, parameters = found.amplitude.mean(0).numpy(), found.parameters.mean(0).numpy()
    errors = relative_amplitude_error(case.amplitude, amplitude)
    kT, z = (parameter_error(case.parameters[scored][:, n], parameters[scored][:, n]) for n in (0, 1))
    cells = [*(f"{error:.4f}" for error in errors), nmse(case, found), f"{kT:.3f}", f"{z:.4f}"]
    index, true = parameters[scored][:, 2], case.parameters[scored][:, 2]
    cells.append(" ".join(f"{(index - true)[true == zone].mean():+.3f}" for zone in np.unique(true)))
    draws = np.concatenate([found.amplitude.numpy(), found.parameters.numpy()], -1)[:, scored]
    truth = np.concatenate([case.amplitude, case.parameters], -1)[scored]
    lower, upper = np.quantile(draws, [0.05, 0.95], axis=0)
    return [*cells, *(f"{coverage(truth[:, n], lower[:, n], upper[:, n]):.2f}" for n in range(len(MAPS)))]


def nmse(case: Case, found: MapPosterior) -> str:
    """Of the posterior mean of the components' cubes."""
    scored = bright(case.amplitude)
    truth = (torch.from_numpy(np.asarray(part, np.float32)) for part in (case.amplitude, case.parameters))
    true = case.mixture.contributions(*truth)[scored]
    return " ".join(f"{e:.1f}" for e in component_nmse(true.numpy(), found.contributions(case.mixture)[scored].numpy()))


if __name__ == "__main__":
    main()
