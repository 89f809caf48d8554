"""Which strategy? The one whose pairs make the better regression network, by cross-validation on real spectra.

The networks learn from principal scores of the spectra, which takes a small part of the time; those of all strategies
are trained side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from probspec.augmentation.networks import NetworkOptions, train_side_by_side
from probspec.augmentation.strategies import Strategy
from probspec.seeding import child_seed

Array = NDArray[np.float64]
Generator = Callable[[Strategy, int, int], tuple[Array, Array]]
"""From a strategy, a number of pairs and a seed to spectra and concentrations."""

SCORES = 24
MOST = 1000  # real pairs that the choice is made from
QUICK = NetworkOptions(epochs=30, batch_size=64)


@dataclass(frozen=True)
class Choice:
    """Outcome of a choice by cross-validation.

    Parameters
    ----------
    name : str
        Of the strategy chosen.
    table : DataFrame, indexed by strategy
        Error of the network on pairs left out: mean over ions, each in units of its standard deviation, over folds;
        its standard error; and that of the paired difference from the best.
    """

    name: str
    table: pd.DataFrame


def choose_strategy(
    X: Array,
    C: Array,
    generator: Callable[[Array, Array], Generator],
    candidates: Mapping[str, Strategy],
    folds: int = 4,
    pairs: int = 1000,
    seed: int = 0,
    groups: NDArray[np.int64] | None = None,
) -> Choice:
    """Choose a strategy: the first candidate that is within one standard error of the best.

    Parameters
    ----------
    X : (sample, channel) array
    C : (sample, ion) array
    generator : callable
        Of training spectra and concentrations; gives what makes pairs.
    candidates : mapping of name -> Strategy
        In the order in which they are preferred.
    folds : int
    pairs : int
        Generated for each fold and candidate.
    seed : int
    groups : (sample,) int array, optional
        Pairs that are left out together; those of equal concentrations, such as replicates, where left out.
    """
    some = np.random.default_rng(seed).permutation(len(X))[:MOST]
    X, C = X[some], C[some]
    fold = _folds(C if groups is None else groups[some, None], folds)
    errors = []
    for k in range(fold.max() + 1):
        train, test = fold != k, fold == k
        generate = generator(X[train], C[train])
        sets = [
            _joined(X[train], C[train], *generate(strategy, pairs, child_seed(seed, k, j)))
            for j, strategy in enumerate(candidates.values())
        ]
        errors.append(_errors(sets, X[test], C[test], C.std(0), child_seed(seed, k)))
    return _judge(list(candidates), np.array(errors))


def _folds(alike: NDArray, folds: int) -> NDArray[np.int64]:
    """Fold of each row of a table, equal rows together, in the order in which they first occur."""
    _, first, code = np.unique(alike, axis=0, return_index=True, return_inverse=True)
    return first.argsort().argsort()[code.reshape(-1)] % min(folds, len(first))


def _joined(X: Array, C: Array, more_X: Array, more_C: Array) -> tuple[Array, Array]:
    return np.vstack([X, more_X]), np.vstack([C, more_C])


def _errors(sets: list[tuple[Array, Array]], X: Array, C: Array, unit: Array, seed: int) -> Array:
    """Mean error, in units of `unit`, of the networks of each training set, (set,)."""
    scored = [_scores(x, X) for x, _ in sets]
    y_scale = [(c.mean(0), np.maximum(c.std(0), 1e-300)) for _, c in sets]
    targets = [(c - mean) / deviation for (_, c), (mean, deviation) in zip(sets, y_scale, strict=True)]
    x = torch.from_numpy(np.stack([train for train, _ in scored])).float()
    made = train_side_by_side(x, torch.from_numpy(np.stack(targets)).float(), QUICK, seed)
    with torch.no_grad():
        out = made(torch.from_numpy(np.stack([test for _, test in scored])).float()).numpy()
    answers = [mean + deviation * answer for answer, (mean, deviation) in zip(out, y_scale, strict=True)]
    return np.array([(np.abs(answer - C) / unit).mean() for answer in answers])


def _scores(train: Array, test: Array) -> tuple[Array, Array]:
    """Principal scores of standardised channels, in units of the mean channel."""
    centre, deviation = train.mean(0), np.maximum(train.std(0), 1e-300)
    standard = (train - centre) / deviation
    eigenvalues, basis = np.linalg.eigh(standard.T @ standard)
    basis = basis[:, ::-1][:, :SCORES]
    scale = np.sqrt(max(eigenvalues.sum(), 1e-300) / len(train) / basis.shape[1])
    return standard @ basis / scale, (test - centre) / deviation @ basis / scale


def _judge(names: list[str], errors: Array) -> Choice:
    """Read errors (fold, candidate)."""
    mean, best = errors.mean(0), int(errors.mean(0).argmin())
    gap = errors - errors[:, [best]]
    count = np.sqrt(len(errors))
    table = pd.DataFrame(
        {"error": mean, "standard_error": errors.std(0, ddof=1) / count, "gap_error": gap.std(0, ddof=1) / count},
        pd.Index(names, name="strategy"),
    )
    near = gap.mean(0) <= table["gap_error"].to_numpy()
    return Choice(names[int(np.argmax(near))], table)
