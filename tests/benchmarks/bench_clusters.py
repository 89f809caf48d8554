"""Minerals without labels: clusters of analyses of papers that were not fitted, held against the mineral names.

    python -m tests.benchmarks.bench_clusters [--folds 0 1 2 3 4] [--seeds 0] [--cap 300]

The folds are those of the file, whole papers each. Clusters are found in all rows of the other folds, labels unseen;
rows of the fold that is left out are projected and given to a cluster, at most 300 of each paper and mineral. ARI and
NMI are scikit-learn's. "Noise counts" takes -1 for one more cluster; "without noise" leaves such rows out. Rows between
clusters go to the nearest one, so that -1 is what is unlike anything fitted (a mineral that the other papers lack).
"One blanked" hides one reported oxide of each row. Several seeds are averaged, and the worst of them is told.
The set is read from the folder that `PROBSPEC_SHARED_DATA` names, else from `../shared/data` beside the checkout.
"""

import argparse
import time
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from probspec.estimators.clusters import MineralClusters
from probspec.oxides import OXIDES
from tests.benchmarks.bench_minerals import capped, one_blanked
from tests.shared_data import FOLDER


class Score(NamedTuple):
    """Figures of one fold and seed."""

    ari: float
    nmi: float
    ari_sure: float
    nmi_sure: float
    noise: float
    ari_blanked: float
    clusters: float
    seconds: float


def main() -> None:
    arguments = parse()
    torch.set_num_threads(1)
    rows = pd.read_csv(FOLDER / "epma" / "epma_minerals.csv.gz", low_memory=False)
    print(f"seeds {arguments.seeds}, at most {arguments.cap} scored rows of a paper and mineral\n")
    print("| fold | rows fitted | rows scored | minerals | ARI, noise counts | NMI | ARI, without noise | NMI | noise |"
          " ARI, one blanked | clusters | fit, s | worst ARI |\n" + "|---" * 13 + "|")  # fmt: skip
    found = []
    for fold in arguments.folds:
        out = rows["fold"] == fold
        test = capped(rows[out], arguments.cap, 0)
        scores = [score(rows[~out], test, seed) for seed in arguments.seeds]
        found += scores
        print(line(f"{fold} | {(~out).sum()} | {len(test)} | {test['mineral'].nunique()}", scores), flush=True)
    print(line("mean | | |", found))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--cap", type=int, default=300)
    return parser.parse_args()


def score(train: pd.DataFrame, test: pd.DataFrame, seed: int) -> Score:
    began = time.perf_counter()
    clusters = MineralClusters(random_state=seed).fit(train[list(OXIDES)])
    seconds = time.perf_counter() - began
    X, truth = test[list(OXIDES)].to_numpy(float), test["mineral"].to_numpy(str)
    labels = clusters.predict(X)
    sure = labels >= 0
    return Score(
        adjusted_rand_score(truth, labels),
        normalized_mutual_info_score(truth, labels),
        adjusted_rand_score(truth[sure], labels[sure]),
        normalized_mutual_info_score(truth[sure], labels[sure]),
        float(np.mean(~sure)),
        adjusted_rand_score(truth, clusters.predict(one_blanked(X, seed))),
        clusters.n_clusters_,
        seconds,
    )


def line(start: str, scores: list[Score]) -> str:
    mean = Score(*np.mean(scores, axis=0))
    worst = min(one.ari for one in scores)
    cells = [*(f"{value:.3f}" for value in mean[:6]), *(f"{value:.1f}" for value in mean[6:]), f"{worst:.3f}"]
    return f"| {start} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
