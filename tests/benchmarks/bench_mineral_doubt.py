"""What a mineral classifier doubts: wrong labels, glasses, minerals that it never met, and amphiboles of other papers.

    python -m tests.benchmarks.bench_mineral_doubt [--folds 0 1 2 3 4] [--seed 0]

For each fold the classifier learns from the other papers, with its defaults. AUROC of `review` tells the rows of the
fold whose composition contradicts their label (`composition_ok` = 0) from the others; AUROC of `ood_score` tells
glasses, none of which were learnt from, and then the minerals that were left out of training, from the sound rows of
the fold. The amphiboles of PetDB come from papers of their own; NLL is in nats.
The sets are read from the folder that `PROBSPEC_SHARED_DATA` names, else from `../shared/data` beside the checkout.
"""

import argparse
import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

import probspec as ps
from probspec.errors import ProbspecWarning
from probspec.metrics import accuracy, negative_log_likelihood
from probspec.oxides import OXIDES
from tests.shared_data import FOLDER

STRANGERS = (("Apatite", "Garnet"), ("Tourmaline", "Spinel"), ("Muscovite", "Orthopyroxene"), ("Rutile", "Amphibole"))
X = list(OXIDES)


class Doubt(NamedTuple):
    """Figures of one fold."""

    contradicted: int
    review: float
    glass: float
    strangers: float
    amphiboles: tuple[float, float]
    sound_amphiboles: tuple[float, float]


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    rows, glass, amphiboles = (read(name) for name in ("epma_minerals", "epma_glass", "epma_petdb_amphibole"))
    print(f"seed {arguments.seed}; {len(glass)} glasses, {len(amphiboles)} analyses of PetDB\n")
    print(
        "| fold | contradicted labels | AUROC of review | AUROC, glasses | left out | AUROC, left-out minerals |"
        " PetDB accuracy | NLL | sound labels: accuracy | NLL |\n" + "|---" * 10 + "|"
    )
    warnings.simplefilter("ignore", ProbspecWarning)  # glasses and strangers have strange totals: that is what they are
    for fold in arguments.folds:
        left_out = STRANGERS[fold % len(STRANGERS)]
        found = score(rows, glass, amphiboles, fold, left_out, arguments.seed)
        cells = f"{found.review:.4f} | {found.glass:.4f} | {', '.join(left_out)} | {found.strangers:.4f}"
        amphibole = " | ".join(f"{a:.4f} | {nll:.3f}" for a, nll in (found.amphiboles, found.sound_amphiboles))
        print(f"| {fold} | {found.contradicted} | {cells} | {amphibole} |", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / "epma" / f"{name}.csv.gz", low_memory=False)


def score(
    rows: pd.DataFrame, glass: pd.DataFrame, amphiboles: pd.DataFrame, fold: int, left_out: tuple[str, ...], seed: int
) -> Doubt:
    train, test = rows[rows["fold"] != fold], rows[rows["fold"] == fold]
    whole = taught(train, seed)
    met = test[test["mineral"].isin(whole.classes_)]
    sound = met["composition_ok"].to_numpy() == 1
    doubt = whole.review(met[X], met["mineral"].to_numpy(str))
    fewer = taught(train[~train["mineral"].isin(left_out)], seed)
    usual = test[~test["mineral"].isin(left_out) & (test["composition_ok"] == 1)]
    strangers = rows[rows["mineral"].isin(left_out) & (rows["composition_ok"] == 1)]
    return Doubt(
        int((~sound).sum()),
        apart(doubt[sound], doubt[~sound]),
        apart(whole.ood_score(met[sound][X]), whole.ood_score(glass[X])),
        apart(fewer.ood_score(usual[X]), fewer.ood_score(strangers[X])),
        named(whole, amphiboles),
        named(whole, amphiboles[amphiboles["composition_ok"] == 1]),
    )


def taught(rows: pd.DataFrame, seed: int) -> ps.MineralClassifier:
    names, groups = (rows[column].to_numpy(str) for column in ("mineral", "source_group"))
    return ps.MineralClassifier(random_state=seed).fit(rows[X], names, groups)


def named(classifier: ps.MineralClassifier, rows: pd.DataFrame) -> tuple[float, float]:
    """Accuracy and NLL."""
    truth, probability = rows["mineral"].to_numpy(str), classifier.predict_proba(rows[X])
    return tuple(f(probability, truth, classifier.classes_) for f in (accuracy, negative_log_likelihood))


def apart(usual: np.ndarray, strange: np.ndarray) -> float:
    if not len(strange):
        return float("nan")
    return float(roc_auc_score(np.r_[np.zeros(len(usual)), np.ones(len(strange))], np.r_[usual, strange]))


if __name__ == "__main__":
    main()
