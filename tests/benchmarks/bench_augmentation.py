"""Does augmentation help a regression network? SpectralAugmenter with its defaults, beside the baselines.

    python -m tests.benchmarks.bench_augmentation [--set NAME ...] [--arms NAME ...] [--repeats 4] [--folds 3]

Real sets: a random part of the file trains, the rest tests, seeds 0, 1, ...; of a set with replicates whole mixtures
are held out. Two networks with hidden layers of 64 and 16: "sklearn" is scikit-learn's perceptron, one for all ions;
"torch" the published one, Adam at 1e-3 for 100 epochs, one for each ion, which is taught the first 600 of the pairs
generated, to save time. Both standardise channels and concentrations. "mixup" adds convex combinations of two training
pairs, as many as the augmenter generates; "auto" lets the augmenter choose its strategy by cross-validation. Printed
are mean absolute errors of each ion, in the unit of the set, over the repeats, the ratio of their mean to that of the
plain network with its standard deviation over repeats, that of the ion with the worst ratio, and that to ridge
regression; below, the share of test concentrations that 90 % intervals of `ps.CVAE` hold, of ions that are there and of
absent ones. The simulated set of the published size runs the published experiment instead, one network an ion: plain,
with a VAE's and a cVAE's pairs as published, with as many of the default, and with the default, on `--folds` of its 8
folds; a fold takes some minutes, and the set must be named.
The sets are read from the folder that `PROBSPEC_SHARED_DATA` names, else from `../shared/data` beside the checkout.
"""

import argparse
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import pyro.distributions as dist
import torch
from sklearn.linear_model import RidgeCV
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

import probspec as ps
from probspec.augmentation import Networks
from probspec.estimators import compare_augmentation
from tests.shared_data import shared_file

Pairs = tuple[np.ndarray, np.ndarray]
Training = tuple[np.ndarray, np.ndarray, np.ndarray | None]
SETS = {
    "ions_cu_co_cr_ni_visible": (20, 40, 48),
    "ions_co_cr_ni_uvvis": (30, 75),
    "ions_nitrate_nitrite_uv": (140,),
    "simulated_ions": (3744,),
}
REAL = ["ions_cu_co_cr_ni_visible", "ions_co_cr_ni_uvvis"]
TAUGHT = 600  # generated pairs that the slow network is taught
REPLICATED = {"ions_co_cr_ni_uvvis": {30: 5, 75: 3}, "ions_nitrate_nitrite_uv": {140: 13}}  # mixtures held out


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    for name in arguments.set:
        if name == "simulated_ions":
            published(arguments.folds, arguments.seed, arguments.only)
            continue
        data = ps.open_spectra(shared_file(name), name).load()
        print("\n| set | n | network | pairs | MAE by ion | mean | to plain | worst ion | to ridge |\n|" + "---|" * 9)
        for n in SETS[name]:
            for line in table(name, n, data, ["plain", *arguments.arms], arguments.repeats):
                print(line, flush=True)
        print()
        for n in SETS[name]:
            print(held(name, n, data, arguments.repeats), flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", nargs="+", choices=SETS, default=REAL)
    parser.add_argument(
        "--arms", nargs="+", choices=[arm for arm in ARMS if arm != "plain"], default=["mixup", "probspec"]
    )
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the simulated set")
    parser.add_argument("--only", nargs="+", help="arms of the simulated set besides the plain one; all where left out")
    return parser.parse_args()


def split(name: str, n: int, data: ps.Spectra, seed: int) -> tuple[Training, Pairs]:
    """Training pairs and their groups, and test pairs."""
    rng = np.random.default_rng(seed)
    X, C = data.spectra("absorbance").astype(float), data.targets["concentration"].astype(float)
    if name in REPLICATED:
        mixtures = rng.permutation(np.unique(data.groups))[: REPLICATED[name][n]]
        test = np.isin(data.groups, mixtures)
        train = rng.permutation(np.flatnonzero(~test))[:n]
        return (X[train], C[train], data.groups[train]), (X[test], C[test])
    rows = rng.permutation(len(X))
    return (X[rows[:n]], C[rows[:n]], None), (X[rows[n:]][:20], C[rows[n:]][:20])


def network(train: Pairs | Training, X: np.ndarray) -> np.ndarray:
    x, c = (StandardScaler().fit(part) for part in train[:2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = MLPRegressor(hidden_layer_sizes=(64, 16), random_state=0).fit(
            x.transform(train[0]), c.transform(train[1])
        )
    return c.inverse_transform(made.predict(x.transform(X)))


def ridge(train: Pairs | Training, X: np.ndarray) -> np.ndarray:
    c = StandardScaler().fit(train[1])
    made = RidgeCV(np.logspace(-6, 3, 19)).fit(train[0], c.transform(train[1]))
    return c.inverse_transform(made.predict(X))


def mixup(X: np.ndarray, C: np.ndarray, groups: np.ndarray | None) -> Pairs:
    rng = np.random.default_rng(0)
    share, (one, other) = rng.random((6000, 1)), rng.integers(len(X), size=(2, 6000))
    mixed = [np.vstack([part, share * part[one] + (1 - share) * part[other]]) for part in (X, C)]
    return mixed[0], mixed[1]


def published_network(train: Pairs, X: np.ndarray) -> np.ndarray:
    return Networks().fit(*train[:2]).predict(X)


NETWORKS: dict[str, Callable[[Pairs, np.ndarray], np.ndarray]] = {"sklearn": network, "torch": published_network}
MOST = {"sklearn": None, "torch": TAUGHT}
ARMS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray | None], Pairs]] = {
    "plain": lambda X, C, groups: (X, C),
    "mixup": mixup,
    "probspec": lambda X, C, groups: ps.SpectralAugmenter().fit_resample(X, C, groups),
    "auto": lambda X, C, groups: ps.SpectralAugmenter(strategy="auto").fit_resample(X, C, groups),
}


def table(name: str, n: int, data: ps.Spectra, arms: list[str], repeats: int) -> Iterator[str]:
    errors: dict[tuple[str, str], list[np.ndarray]] = {}
    for seed in range(repeats):
        train, (X, C) = split(name, n, data, seed)
        errors.setdefault(("ridge", "plain"), []).append(np.abs(ridge(train, X) - C).mean(0))
        for arm in arms:
            x, c = ARMS[arm](*train)
            for kind, answer in NETWORKS.items():
                rows = None if MOST[kind] is None else n + MOST[kind]
                errors.setdefault((kind, arm), []).append(np.abs(answer((x[:rows], c[:rows]), X) - C).mean(0))
    for (kind, arm), found in errors.items():
        against = (found, errors[kind, "plain"], errors["ridge", "plain"])
        yield f"| {name} | {n} | {kind} | {arm} | {judged(*map(np.array, against))} |"


def held(name: str, n: int, data: ps.Spectra, repeats: int) -> str:
    inside: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for seed in range(repeats):
        (x, c, groups), (X, C) = split(name, n, data, seed)
        prior = dist.Uniform(torch.zeros(c.shape[1]), torch.tensor(1.5 * c.max(0)).float())
        model = ps.CVAE(data.spec).with_priors(concentration=prior.to_event(1))
        fit = ps.fit(model, ps.Spectra.from_arrays(x, data.spec, targets=c, axes=data.axes, groups=groups), seed=seed)
        post = ps.posterior(fit, ps.Spectra.from_arrays(X, data.spec, axes=data.axes), draws=500, seed=seed)
        lower, upper = (end.values for end in post.interval("concentration", prob=0.9))
        for there in inside:
            inside[there].append(((lower <= C) & (upper >= C))[(C > 0) == there])
    told = [(np.concatenate(found), what) for found, what in zip(inside.values(), ("present", "absent"), strict=True)]
    shares = [f"{held.mean():.2f} of {held.size} concentrations of {what} ions" for held, what in told if held.size]
    return f"{name}, n = {n}: 90 % intervals hold {', '.join(shares)}"


def judged(found: np.ndarray, plain: np.ndarray, linear: np.ndarray) -> str:
    """Cells of errors (repeat, ion) held against those of the plain network and of ridge regression."""
    ions = " ".join(f"{value:.5f}" for value in found.mean(0))
    spread = (found.mean(1) / plain.mean(1)).std()
    worst = (found.mean(0) / plain.mean(0)).max()
    ratios = f"{found.mean() / plain.mean():.2f} ± {spread:.2f} | {worst:.2f} | {found.mean() / linear.mean():.2f}"
    return f"{ions} | {found.mean():.5f} | {ratios}"


def published(folds: int, seed: int, only: list[str] | None) -> None:
    data = ps.simulate("simulated_ions", SETS["simulated_ions"][0], seed=seed)
    X, C = data.spectra("absorbance"), data.targets["concentration"]
    as_many = len(X) - len(X) // 8
    as_published = {"n_generated": as_many, "tolerance": np.inf}
    arms = {
        "VAE, published": ps.SpectralAugmenter("vae", **as_published),
        "cVAE, published": ps.SpectralAugmenter(preset="paper", strategy="uniform", **as_published),
        "cVAE, as many": ps.SpectralAugmenter(n_generated=as_many),
        "cVAE": ps.SpectralAugmenter(),
    }
    arms = {name: arm for name, arm in arms.items() if only is None or name in only}
    ions = data.spec.targets["concentration"].components
    found = compare_augmentation(X, C, only=folds, ions=ions, augmenters=arms)
    print(
        f"\nsimulated_ions of seed {seed}, 3744 spectra, {folds} of 8 folds\n{found.summary.round(5).to_string()}",
        flush=True,
    )


if __name__ == "__main__":
    main()
