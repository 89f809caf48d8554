"""Transfer of spectra between instruments: SpectralTransfer with its defaults, beside the baselines.

    python -m tests.benchmarks.bench_transfer [--set NAME ...] [--repeats 1] [--folds 5] [--skip mlp pds]
    python -m tests.benchmarks.bench_transfer --pairs 12 20 30 40 [--set NAME ...] [--repeats 1] [--skip mlp pds]

Samples of the file are left out, each repeat with other folds. Baselines choose their strength by cross-validation
inside the training rows. Printed are RSE (all folds together), mean Euclidean distance, minus the mean cosine,
k-score, the share of channel values inside 90 % bands, and, where there are labels, by how much the error of a PLS
calibration of the primary grows when it is given transferred spectra; means and standard deviations over repeats.
With --pairs a third of the samples is left out, at most 110, and so many of the others are pairs, drawn anew for each
repeat; "+ unpaired" is given the primary's spectra of the rest besides. Printed are RSE and the share inside the bands.
The sets are read from the folder that `PROBSPEC_SHARED_DATA` names, else from `../shared/data` beside the checkout.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import h5py
import numpy as np
import torch

import probspec as ps
from probspec.metrics import coverage, k_score, mean_euclidean_distance, negative_cosine, relative_squared_error
from tests.shared_data import shared_file

BASELINES = {
    "ridge": ps.baselines.RidgeTransfer,
    "DS": ps.baselines.DirectStandardisation,
    "PDS": ps.baselines.PiecewiseDirectStandardisation,
    "PCR": ps.baselines.PCRTransfer,
    "PLS2": ps.baselines.PLSTransfer,
    "kNN": ps.baselines.KNNTransfer,
    "MLP": ps.baselines.MLPTransfer,
}
COLUMNS = ("RSE", "distance", "-cosine", "k-score", "cover", "calibration loss %", "fit, s")


@dataclass(frozen=True)
class Task:
    """Paired spectra, and labels of a calibration where there are any."""

    secondary: np.ndarray
    primary: np.ndarray
    labels: np.ndarray | None = None


def tablets(low: float = 600, high: float = 1640) -> Task:
    with h5py.File(shared_file("nir_tablets_2instruments")) as file:
        axis, spectra, which = file["axis"][:], file["spectra"][:].astype(float), file["instrument"][:]
        sample, assay = file["sample"][:], file["targets"][:, :1]
    one, two = (rows_of(which == k, sample) for k in (1, 2))
    near = (axis >= low) & (axis <= high)
    return Task(spectra[two][:, near], spectra[one][:, axis <= 1640], assay[one])


def corn() -> Task:
    with h5py.File(shared_file("nir_corn_3instruments")) as file:
        spectra, which = file["spectra"][:].astype(float), file["instrument"][:].astype(str)
        sample, labels = file["sample"][:], file["targets"][:]
    m5, mp5 = (rows_of(which == k, sample) for k in ("m5", "mp5"))
    return Task(spectra[mp5], spectra[m5], labels[m5])


def cranberry() -> Task:
    with h5py.File(shared_file("libs_unlabelled_cranberry")) as file:
        return Task(file["secondary_spectra"][:].astype(float), file["spectra"][:].astype(float))


def sugarcane() -> Task:
    with h5py.File(shared_file("nir_sugarcane_7spectrometers")) as file:
        return Task(file["Micronir1700rep1/spectra"][:].astype(float), file["Nirscan_nano/spectra"][:].astype(float))


SETS: dict[str, Callable[[], Task]] = {
    "tablets": tablets,
    "tablets_cut": lambda: tablets(1000, 1400),
    "corn": corn,
    "cranberry": cranberry,
    "sugarcane": sugarcane,
}


def rows_of(chosen: np.ndarray, sample: np.ndarray) -> np.ndarray:
    rows = np.flatnonzero(chosen)
    return rows[np.argsort(sample[rows])]


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    if arguments.pairs:
        return few_pairs(arguments)
    print(f"| set | method | {' | '.join(COLUMNS)} |\n|---|---|{'---|' * len(COLUMNS)}")
    for name in arguments.set:
        task = SETS[name]()
        runs = [cross_validate(task, arguments.folds, seed, arguments.skip) for seed in range(arguments.repeats)]
        for method in runs[0]:
            cells = [summary([run[method].get(column, np.nan) for run in runs]) for column in COLUMNS]
            print(f"| {name} | {method} | {' | '.join(cells)} |", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--pairs", nargs="+", type=int, default=[], help="numbers of shared samples, if few")
    parser.add_argument("--skip", nargs="*", default=[], help="baselines to leave out")
    return parser.parse_args()


def few_pairs(arguments: argparse.Namespace) -> None:
    print("| set | pairs | method | RSE | cover |\n|---|---|---|---|---|")
    for name in arguments.set:
        task = SETS[name]()
        for count in arguments.pairs:
            runs = [subset(task, count, seed, arguments.skip) for seed in range(arguments.repeats)]
            for method in runs[0]:
                cells = [summary([run[method].get(column, np.nan) for run in runs]) for column in ("RSE", "cover")]
                print(f"| {name} | {count} | {method} | {' | '.join(cells)} |", flush=True)


def subset(task: Task, count: int, seed: int, skip: list[str]) -> dict[str, dict[str, float]]:
    order = np.random.default_rng(seed).permutation(len(task.primary))
    test, rest = np.split(order, [min(110, len(order) // 3)])
    asked = Task(task.secondary[test], task.primary[test])
    said = dict(answers(task, rest[:count], test, skip))
    if len(rest) > count:
        known = task.secondary[rest[:count]], task.primary[rest[:count]]
        said["probspec + unpaired"] = ours(*known, asked.secondary, task.primary[rest[count:]])
    return {method: score(asked, answer, None) for method, answer in said.items()}


def cross_validate(task: Task, folds: int, seed: int, skip: list[str]) -> dict[str, dict[str, float]]:
    order = np.random.default_rng(seed).permutation(len(task.primary))
    parts: dict[str, dict[str, np.ndarray]] = {}
    calibrated = np.full(task.labels.shape, np.nan) if task.labels is not None else None
    for fold in range(folds):
        test = order[fold::folds]
        train = np.setdiff1d(order, test)
        calibration = None
        if task.labels is not None and calibrated is not None:
            calibration = ps.baselines.PLS(views={"raw": lambda x: x}).fit(task.primary[train], task.labels[train])
            calibrated[test] = calibration.predict(task.primary[test])
        for method, answer in answers(task, train, test, skip):
            if calibration is not None:
                answer["labels"] = calibration.predict(answer["spectra"])
            for part, values in answer.items():
                shape = (len(order), *values.shape[1:])
                parts.setdefault(method, {}).setdefault(part, np.full(shape, np.nan))[test] = values
    return {method: score(task, said, calibrated) for method, said in parts.items()}


def answers(task: Task, train: np.ndarray, test: np.ndarray, skip: list[str]) -> Iterator[tuple[str, dict]]:
    x, y, new = task.secondary[train], task.primary[train], task.secondary[test]
    yield "probspec", ours(x, y, new)
    if x.shape == y.shape:
        yield "no transfer", {"spectra": new}
    for name, baseline in BASELINES.items():
        if name.lower() not in {word.lower() for word in skip}:
            yield name, {"spectra": baseline().fit(x, y).transform(new)}


def ours(x: np.ndarray, y: np.ndarray, new: np.ndarray, unpaired: np.ndarray | None = None) -> dict[str, np.ndarray]:
    began = time.perf_counter()
    transfer = ps.SpectralTransfer().fit(x, y, unpaired=unpaired)
    seconds = np.full((len(new), 1), time.perf_counter() - began)
    lower, upper = transfer.predict_interval(new, prob=0.9)
    return {"spectra": transfer.transform(new), "lower": lower, "upper": upper, "seconds": seconds}


def score(task: Task, said: dict[str, np.ndarray], calibrated: np.ndarray | None) -> dict[str, float]:
    truth, spectra = task.primary, said["spectra"]
    found = {
        "RSE": relative_squared_error(truth, spectra),
        "distance": mean_euclidean_distance(truth, spectra),
        "-cosine": negative_cosine(truth, spectra),
        "k-score": k_score(truth, spectra),
    }
    if "lower" in said:
        found |= {"cover": coverage(truth, said["lower"], said["upper"]), "fit, s": float(said["seconds"].mean())}
    if calibrated is not None and task.labels is not None:
        new, best = (np.sqrt(((one - task.labels) ** 2).mean(0)) for one in (said["labels"], calibrated))
        found["calibration loss %"] = float(100 * (new / best - 1).mean())
    return found


def summary(values: list[float]) -> str:
    return "" if np.isnan(values[0]) else f"{np.mean(values):.4g} ± {np.std(values):.2g}"


if __name__ == "__main__":
    main()
