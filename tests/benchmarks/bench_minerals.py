"""Minerals from oxides: classifiers scored on papers that they have not seen, whole and with one oxide blanked.

    python -m tests.benchmarks.bench_minerals [--methods NAME ...] [--folds 0 1 2 3 4] [--seed 0] [--cap 300]

The folds are those of the file, whole papers each. Training rows are capped at 300 for each paper and mineral; all rows
of the fold that is left out are scored. "One blanked" hides one reported oxide of each row, drawn with the seed. NLL is
in nats, with probabilities clipped at 1e-6; ECE is that of the top label in 15 bins. All left-out rows count together;
in the second line of a method, those whose composition does not contradict their label (`composition_ok`).
The set is read from the folder that `PROBSPEC_SHARED_DATA` names, else from `../shared/data` beside the checkout.
"""

import argparse
import inspect
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

import probspec as ps
from probspec.folds import aligned
from probspec.metrics import accuracy, expected_calibration_error, negative_log_likelihood
from probspec.oxides import OXIDES
from tests.shared_data import FOLDER

# Each makes a classifier of one seed; where `fit` takes groups it is given those of the training rows.
METHODS: dict[str, Callable] = {
    "**probspec**": lambda seed: ps.MineralClassifier(random_state=seed),
    "GDA": lambda seed: ps.baselines.GaussianDiscriminant(random_state=seed),
    "network, published": lambda seed: ps.baselines.NeuralClassifier(random_state=seed),
    "network, masked": lambda seed: ps.baselines.NeuralClassifier(published=False, random_state=seed),
    "random forest": lambda seed: RandomForestClassifier(n_jobs=1, random_state=seed),
    "gradient boosting": lambda seed: HistGradientBoostingClassifier(
        l2_regularization=10.0, early_stopping=False, random_state=seed
    ),  # its defaults stop at a class of one row, and diverge without early stopping
}
COLUMNS = ((list(OXIDES), float), ("mineral", str), ("source_group", str))


class Answers(NamedTuple):
    """Probabilities of left-out rows, whole and with one oxide blanked."""

    truth: np.ndarray
    sound: np.ndarray
    whole: np.ndarray
    blanked: np.ndarray
    fit_seconds: float
    predict_seconds: float


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    rows = pd.read_csv(FOLDER / "epma" / "epma_minerals.csv.gz", low_memory=False)
    classes = np.unique(rows["mineral"].to_numpy(str))
    print(f"folds {arguments.folds}, seed {arguments.seed}, at most {arguments.cap} rows of a paper and mineral\n")
    print(
        "| method | rows | accuracy | NLL | ECE15 | blanked: accuracy | NLL | ECE15 | fit, s | 10k rows, s |\n"
        "|---|---|---|---|---|---|---|---|---|---|"
    )
    for name in arguments.methods:
        parts = [answer(name, rows, classes, fold, arguments) for fold in arguments.folds]
        for sound in (False, True):
            print(line(name + ", sound labels" * sound, parts, classes, sound), flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="NAME")
    parser.add_argument("--folds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cap", type=int, default=300)
    return parser.parse_args()


def answer(name: str, rows: pd.DataFrame, classes: np.ndarray, fold: int, arguments: argparse.Namespace) -> Answers:
    """Train without one fold and answer for it."""
    out = (rows["fold"] == fold).to_numpy()
    train, test = capped(rows[~out], arguments.cap, arguments.seed), rows[out]
    X, names, groups = (train[columns].to_numpy(kind) for columns, kind in COLUMNS)
    began = time.perf_counter()
    fitted = METHODS[name](arguments.seed)
    takes_groups = "groups" in inspect.signature(fitted.fit).parameters
    fitted.fit(X, names, **({"groups": groups} if takes_groups else {}))
    trained = time.perf_counter()
    whole = test[list(OXIDES)].to_numpy(float)
    proba = aligned(fitted.predict_proba(whole), fitted.classes_, classes)
    seconds = (time.perf_counter() - trained) * 1e4 / len(whole)
    blanked = aligned(fitted.predict_proba(one_blanked(whole, arguments.seed)), fitted.classes_, classes)
    sound = test["composition_ok"].to_numpy() == 1
    return Answers(test["mineral"].to_numpy(str), sound, proba, blanked, trained - began, seconds)


def capped(rows: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    shuffled = rows.sample(frac=1, random_state=seed)
    return shuffled[shuffled.groupby(["source_group", "mineral"]).cumcount() < most].sort_index()


def one_blanked(X: np.ndarray, seed: int) -> np.ndarray:
    """Hide one reported value of each row that reports more than one."""
    draws = np.where(np.isnan(X), -1, np.random.default_rng(seed).random(X.shape))
    some = np.flatnonzero((~np.isnan(X)).sum(1) > 1)
    hidden = X.copy()
    hidden[some, draws[some].argmax(1)] = np.nan
    return hidden


def line(name: str, parts: list[Answers], classes: np.ndarray, sound: bool) -> str:
    counted = np.concatenate([part.sound | (not sound) for part in parts])
    truth = np.concatenate([part.truth for part in parts])[counted]
    figures = [np.concatenate(each)[counted] for each in ([p.whole for p in parts], [p.blanked for p in parts])]
    cells = [f"{score:.4f}" for proba in figures for score in scores(proba, truth, classes)]
    seconds = [np.mean([p.fit_seconds for p in parts]), np.mean([p.predict_seconds for p in parts])]
    return f"| {name} | {len(truth)} | " + " | ".join([*cells, *(f"{s:.1f}" for s in seconds)]) + " |"


def scores(proba: np.ndarray, truth: np.ndarray, classes: np.ndarray) -> Iterator[float]:
    for measure in (accuracy, negative_log_likelihood, expected_calibration_error):
        yield measure(proba, truth, classes)


if __name__ == "__main__":
    main()
