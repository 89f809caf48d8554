"""What each map is worth, told by rows that it has not seen.

All rules combine (map, sample, latent) out-of-fold scores into weights for (map, new row, latent) scores. Below `FEW`
rows the errors are too uncertain for a choice between rules: spectra are then read by a prior over the families of
maps. Above, rules compete on rows left out once more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from probspec.transfer.folds import left_out

Array = NDArray[np.float64]

FEW = 100
FAVOURED, SHARE = ({"inversion"}, {"sparse", "channelwise"}, {"linear"}), 0.8
"""The first set of families of which one is there is believed in before the data speak, by so much."""

TRUSTED = 8.0  # rows' worth of trust in out-of-fold errors, of however few: those of all maps err together
RIDGE = 0.01


@dataclass(frozen=True)
class Evidence:
    """Out-of-fold scores, the truth, and scores of new rows.

    Parameters
    ----------
    held_out : (map, sample, latent) array
    truth : (sample, latent) array
    new : (map, new row, latent) array
    near : (new row, sample) array
        Squared distances, in units of the median one of training rows.
    """

    held_out: Array
    truth: Array
    new: Array
    near: Array

    def rows(self, taught: Array, asked: Array, near: Array) -> Evidence:
        """The same question among training rows."""
        return Evidence(self.held_out[:, taught], self.truth[taught], self.held_out[:, asked], near)


Rule = Callable[[Evidence], Array]


def believed(families: Sequence[str]) -> Rule:
    """Weights of a prior over families, times the likelihood that a few rows would have."""
    names = set(families)
    favoured = next((found for some in FAVOURED if (found := some & names)), names)
    others = max(len(names - favoured), 1)
    prior = np.log(
        [
            (SHARE / len(favoured) if name in favoured else (1 - SHARE) / others) / families.count(name)
            for name in families
        ]
    )

    def rule(seen: Evidence) -> Array:
        error = ((seen.held_out - seen.truth) ** 2).sum((1, 2)) + 1e-300
        return np.einsum("m,mnk->nk", _softmax(prior - 0.5 * TRUSTED * np.log(error / error.min())), seen.new)

    return rule


def stacked(seen: Evidence) -> Array:
    """Weights that are not negative and give the least squares, one set a latent (Breiman 1996)."""
    count, rows, latents = seen.held_out.shape
    answer = np.zeros(seen.new.shape[1:])
    for k in range(latents):
        slack = np.sqrt(RIDGE * max(float(seen.truth[:, k].var()), 1e-300) * rows)
        told = np.vstack([seen.held_out[:, :, k].T, slack * np.eye(count)])
        weights, _ = nnls(told, np.r_[seen.truth[:, k], np.full(count, slack / count)])
        answer[:, k] = weights @ seen.new[:, :, k]
    return answer


def local(width: float, trust: float = 2.0) -> Rule:
    """Weights by how the maps fare on the neighbours of each new row."""

    def rule(seen: Evidence) -> Array:
        near = neighbours(seen.near, width)
        counted = (near / near.max(1, keepdims=True)).sum(1)
        error = np.einsum("mnk,in->mik", (seen.held_out - seen.truth) ** 2, near / near.sum(1, keepdims=True)) + 1e-300
        weights = _softmax(-0.5 * trust * counted[None, :, None] * np.log(error / error.min(0)))
        return (weights * seen.new).sum(0)

    return rule


def neighbours(near: Array, width: float) -> Array:
    """Weights of training rows around each new row, (new row, sample); a stranger's nearest row counts fully."""
    return np.exp(-0.5 * (near - near.min(1, keepdims=True)) / width**2)


def both(seen: Evidence) -> Array:
    """Half stacked, half local."""
    return 0.5 * stacked(seen) + 0.5 * local(0.4)(seen)


def rules(families: Sequence[str], samples: int) -> dict[str, Rule]:
    """Rules that may be asked, given so many samples."""
    prior = {"believed": believed(families)}
    if samples < FEW:
        return prior
    return prior | {"stacked": stacked, "local .25": local(0.25), "local .4": local(0.4), "both": both}


def choose(seen: Evidence, rules: dict[str, Rule], near: Array, groups: Array, seed: int) -> tuple[str, Array]:
    """Best rule on rows left out once more, and its out-of-fold scores.

    Parameters
    ----------
    seen : Evidence
        Its new rows are not looked at.
    rules : dict of name -> Rule
    near : (sample, sample) array
        Squared distances among the training rows.
    groups : (sample,) array
        Rows of one group are left out together.
    seed : int

    Returns
    -------
    name : str
    scores : (sample, latent) array
    """
    answers = {name: np.zeros_like(seen.truth) for name in rules}
    for taught, asked in left_out(groups, seed):
        question = seen.rows(taught, asked, near[np.ix_(asked, taught)])
        for name, rule in rules.items():
            answers[name][asked] = rule(question)
    errors = {name: float(((answer - seen.truth) ** 2).sum()) for name, answer in answers.items()}
    best = min(errors, key=lambda name: errors[name])
    return best, answers[best]


def _softmax(logits: Array) -> Array:
    weights = np.exp(logits - logits.max(0))
    return weights / weights.sum(0)
