"""Composition from measured spectra: CompositionRegressor with its defaults, beside the baselines.

    python -m tests.benchmarks.bench_composition [--set NAME ...] [--repeats 3] [--folds 5]

Whole groups of the file are left out, each repeat with other folds. Every method is given the training rows alone,
without groups or settings; the baselines choose theirs by grouped cross-validation inside. Printed are means and
standard deviations over the repeats; "mixtures" leaves out rows of a pure component, which no other row can teach.
The sets are read from the folder that `PROBSPEC_SHARED_DATA` names, else from `../shared/data` beside the checkout.
"""

import argparse
import time
from collections.abc import Iterator

import numpy as np
import torch

import probspec as ps
from probspec.metrics import coverage, mean_absolute_error, mean_kl
from tests.shared_data import shared_file

SETS = {
    "nir_ternary_temperature": ("nir",),
    "raman_mineral_slurry": ("raman",),
    "fusion_raman_libs_semisynthetic": ("raman", "libs"),
}
BASELINES = {"ridge": ps.baselines.Ridge, "PLS": ps.baselines.PLS, "kNN": ps.baselines.KNN}
Scores = dict[str, dict[str, float]]


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    print(
        "| set | method | seen | MAE | MAE of mixtures | mean KL | 90 % cover | anomaly | fit, s |\n"
        "|---|---|---|---|---|---|---|---|---|"
    )
    for name in arguments.set:
        data = ps.open_spectra(shared_file(name), name).load()
        runs = [cross_validate(data, SETS[name], arguments.folds, seed) for seed in range(arguments.repeats)]
        for line in table(name, runs):
            print(line, flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folds", type=int, default=5)
    return parser.parse_args()


def cross_validate(data: ps.Spectra, modalities: tuple[str, ...], folds: int, seed: int) -> Scores:
    """Scores of every method and subset of modalities, all folds together."""
    truth = data.targets["abundance"]
    rows: dict[tuple[str, str], list[tuple[np.ndarray, dict[str, np.ndarray]]]] = {}
    for test in composition_folds(data.alike("abundance"), folds, seed):
        for method, seen, answer in answers(data, modalities, test):
            rows.setdefault((method, seen), []).append((test, answer))
    return {key: score(truth, parts) for key, parts in rows.items()}


def composition_folds(codes: np.ndarray, folds: int, seed: int) -> Iterator[np.ndarray]:
    """Row masks of folds of whole compositions, in an order of their own for each seed."""
    order = np.random.default_rng(seed).permutation(codes.max() + 1)
    for fold in range(folds):
        yield np.isin(codes, order[fold::folds])


def answers(data: ps.Spectra, modalities: tuple[str, ...], test: np.ndarray) -> Iterator[tuple[str, str, dict]]:
    """What each method says of the test rows."""
    x = {m: data.spectra(m).astype(float) for m in modalities}
    y = data.targets["abundance"]
    subsets = [modalities] if len(modalities) == 1 else [*((m,) for m in modalities), modalities]
    began = time.perf_counter()
    regressor = ps.CompositionRegressor().fit({m: x[m][~test] for m in modalities}, y[~test])
    seconds = time.perf_counter() - began
    for seen in subsets:
        yield "probspec", " + ".join(seen), ask(regressor, {m: x[m][test] for m in seen}) | {"seconds": seconds}
    for seen in subsets:
        for name, baseline in BASELINES.items():
            fitted = baseline().fit({m: x[m][~test] for m in seen}, y[~test])
            yield name, " + ".join(seen), {"mean": fitted.predict({m: x[m][test] for m in seen})}


def ask(regressor: ps.CompositionRegressor, x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    answer = regressor.posterior(x)
    lower, upper = answer.interval("abundance", prob=0.9)
    mean = answer.mean("abundance")
    return {"mean": mean.values, "lower": lower.values, "upper": upper.values, "anomaly": np.asarray(answer.anomaly())}


def score(truth: np.ndarray, parts: list[tuple[np.ndarray, dict]]) -> dict[str, float]:
    y = np.concatenate([truth[test] for test, _ in parts])

    def joined(name: str) -> np.ndarray:
        return np.concatenate([answer[name] for _, answer in parts])

    mixed = (y > 0).sum(1) > 1
    found = {
        "MAE": mean_absolute_error(y, joined("mean")),
        "mixtures": mean_absolute_error(y[mixed], joined("mean")[mixed]),
        "KL": mean_kl(y, joined("mean")),
    }
    if "lower" in parts[0][1]:
        found["cover"] = coverage(y, joined("lower"), joined("upper"))
        found["anomaly"] = float(np.median(joined("anomaly")))
        found["seconds"] = float(np.mean([answer["seconds"] for _, answer in parts]))
    return found


def table(name: str, runs: list[Scores]) -> Iterator[str]:
    digits = {**dict.fromkeys(("MAE", "mixtures", "KL"), "{:.4f}".format), "cover": "{:.2f}".format}
    for method, seen in runs[0]:
        cells = []
        for kind in ("MAE", "mixtures", "KL", "cover", "anomaly", "seconds"):
            values = [run[method, seen].get(kind, np.nan) for run in runs]
            write = digits.get(kind, "{:.1f}".format)
            cells.append("" if np.isnan(values[0]) else f"{write(np.mean(values))} ± {write(np.std(values))}")
        yield f"| {name} | {method} | {seen} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
