"""Does augmentation help a regression network? SpectralAugmenter with its defaults, beside the baselines.

    python -m tests.benchmarks.bench_augmentation [--set NAME ...] [--repeats 5] [--folds 3]

Real sets: a random part of the file trains, the rest tests; of a set with replicates whole mixtures are held out. The
network is scikit-learn's 64-16 perceptron on standardised channels and concentrations. "mixup" adds convex
combinations of two training pairs, as many as the augmenter generates. Printed are mean absolute errors of each ion,
mol/L, over the repeats, the ratio of their mean to that of the plain network with its standard deviation over repeats,
and that to ridge regression. The simulated set of the published size runs the published experiment instead, one
network an ion, plain, VAE and cVAE, `--folds` of its 8 folds.
The sets are read from the folder that `PROBSPEC_SHARED_DATA` names, else from `../shared/data` beside the checkout.
"""

import argparse
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

import probspec as ps
from tests.shared_data import shared_file

Pairs = tuple[np.ndarray, np.ndarray]
SETS = {"ions_cu_co_cr_ni_visible": (20, 40, 48), "ions_co_cr_ni_uvvis": (30, 75), "simulated_ions": (3744,)}
REPLICATED = {"ions_co_cr_ni_uvvis": {30: 5, 75: 3}}  # mixtures that are held out


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    for name in arguments.set:
        if name == "simulated_ions":
            published(arguments.folds)
            continue
        data = ps.open_spectra(shared_file(name), name).load()
        print("\n| set | n | method | MAE by ion | mean | to plain | to ridge |\n|---|---|---|---|---|---|---|")
        for n in SETS[name]:
            for line in table(name, n, data, arguments.repeats):
                print(line, flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folds", type=int, default=3)
    return parser.parse_args()


def split(name: str, n: int, data: ps.Spectra, seed: int) -> tuple[Pairs, Pairs]:
    """Training and test pairs."""
    rng = np.random.default_rng(seed)
    X, C = data.spectra("absorbance").astype(float), data.targets["concentration"].astype(float)
    if name in REPLICATED:
        mixtures = rng.permutation(np.unique(data.groups))[: REPLICATED[name][n]]
        test = np.isin(data.groups, mixtures)
        train = rng.permutation(np.flatnonzero(~test))[:n]
        return (X[train], C[train]), (X[test], C[test])
    rows = rng.permutation(len(X))
    return (X[rows[:n]], C[rows[:n]]), (X[rows[n:]][:20], C[rows[n:]][:20])


def network(train: Pairs, X: np.ndarray) -> np.ndarray:
    x, c = (StandardScaler().fit(part) for part in train)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = MLPRegressor(hidden_layer_sizes=(64, 16), random_state=0).fit(
            x.transform(train[0]), c.transform(train[1])
        )
    return c.inverse_transform(made.predict(x.transform(X)))


def ridge(train: Pairs, X: np.ndarray) -> np.ndarray:
    c = StandardScaler().fit(train[1])
    made = RidgeCV(np.logspace(-6, 3, 19)).fit(train[0], c.transform(train[1]))
    return c.inverse_transform(made.predict(X))


def mixup(X: np.ndarray, C: np.ndarray) -> Pairs:
    rng = np.random.default_rng(0)
    share, (one, other) = rng.random((6000, 1)), rng.integers(len(X), size=(2, 6000))
    mixed = [np.vstack([part, share * part[one] + (1 - share) * part[other]]) for part in (X, C)]
    return mixed[0], mixed[1]


METHODS: dict[str, Callable[[Pairs, np.ndarray], np.ndarray]] = {
    "network": network,
    "ridge": ridge,
    "network + mixup": lambda train, X: network(mixup(*train), X),
    "network + probspec": lambda train, X: network(ps.SpectralAugmenter().fit_resample(*train), X),
}


def table(name: str, n: int, data: ps.Spectra, repeats: int) -> Iterator[str]:
    errors: dict[str, list[np.ndarray]] = {method: [] for method in METHODS}
    for seed in range(repeats):
        train, (X, C) = split(name, n, data, seed)
        for method, answer in METHODS.items():
            errors[method].append(np.abs(answer(train, X) - C).mean(0))
    means = {method: np.array(found).mean(1) for method, found in errors.items()}
    for method, found in errors.items():
        ions = " ".join(f"{value:.5f}" for value in np.mean(found, 0))
        spread = (means[method] / means["network"]).std()
        plain, best = (means[method].mean() / means[other].mean() for other in ("network", "ridge"))
        mean = f"{means[method].mean():.5f}"
        yield f"| {name} | {n} | {method} | {ions} | {mean} | {plain:.2f} ± {spread:.2f} | {best:.2f} |"


def published(folds: int) -> None:
    data = ps.simulate("simulated_ions", SETS["simulated_ions"][0])
    X, C = data.spectra("absorbance"), data.targets["concentration"]
    found = ps.compare_augmentation(X, C, only=folds, ions=data.spec.targets["concentration"].components)
    print(f"\nsimulated_ions, 3744 spectra, {folds} of 8 folds\n{found.summary.round(5).to_string()}", flush=True)


if __name__ == "__main__":
    main()
