"""Minerals without labels: analyses to a map of two dimensions, and its dense regions as clusters (after Shi et al.).

The published route is an autoencoder of the oxides to a two-dimensional latent, and density clustering (HDBSCAN:
Campello, Moulavi & Sander 2013) of that. Ours differs in what makes the density mean something:

- cations instead of wt%: square roots of their shares, Fe, Mg and Mn together, and the total. What a structure fixes is
  told apart; how Mg and Fe, which solid solutions exchange, divide counts for little;
- the autoencoder keeps neighbours (`probspec.nets.neighbours`);
- analyses are thinned where they are dense, so that a paper of ten thousand olivines is no more than a region;
- gaps are filled from similar analyses (`probspec.donors`); the network is not told which they are, so that the habits
  of laboratories do not make clusters.

New analyses join the cluster of the nearest fitted ones, by cations rather than by the latent: between the clusters a
map of two dimensions is torn, and where a new analysis falls across a tear is chance.

Labels are never looked at.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree
from sklearn.base import BaseEstimator, ClusterMixin, TransformerMixin
from sklearn.cluster import HDBSCAN
from sklearn.neighbors import KNeighborsClassifier

from probspec.donors import Donors
from probspec.errors import DataError, QueryError, explain
from probspec.nets.neighbours import EmbeddingOptions, embed
from probspec.oxides import OTHERS, OXIDES, oxide_table
from probspec.seeding import child_seed

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

COARSE, FEW = 0.4, 5  # cells of square roots of wt%, and the most donors in one
GRAMS_PER_CATION = (60.084, 79.866, 50.981, 71.844, 70.937, 40.304, 56.077, 30.990, 47.098, 75.995)  # as OXIDES
FE, MN, MG = 3, 4, 5
NEAR = 0.08  # square root of a share of cations: the distance that counts as one
EXCHANGE, TOTAL = 0.15, 0.7  # what Mg against Fe, and the square root of the total, count for
VOTERS = 5  # nearest analyses that name the cluster of another
CLOSE = 3  # an analysis is as strange as its distance from the third nearest that has a cluster ...
REACH = 3.0  # ... and belongs nowhere beyond so many times the distance that one in a hundred exceeds


class MineralClusters(ClusterMixin, TransformerMixin, BaseEstimator):
    """Clusters of analyses in a two-dimensional latent.

    Parameters
    ----------
    min_cluster_size, min_samples : int
        Of HDBSCAN, counted in thinned analyses.
    cell : float
        Side of the cells in which analyses are thinned, in units of `NEAR`.
    most : int
        Analyses that are kept of a cell. A mineral of one composition fills few cells: where it is missed, raise this.
    assign_noise : bool
        Give analyses between the clusters to the nearest one; only those that are unlike any analysis with a cluster
        stay noise.
    options : EmbeddingOptions
        How the autoencoder is trained.
    ignore : sequence of str
        Columns of a data frame that are passed over; any other column that is no oxide is an error.
    random_state : int
        Same seed, same clusters; the global generators stay as they are.

    Attributes
    ----------
    labels_ : (sample,) int array
        Cluster of each analysis of `fit`; -1 = noise.
    latent_ : (sample, 2) array
        NaN for an analysis without any oxide.
    n_clusters_ : int

    Examples
    --------
    >>> from probspec import simulate
    >>> X = simulate("epma_minerals", 600, seed=0).spectra("oxides")
    >>> clusters = MineralClusters(options=EmbeddingOptions(steps=100)).fit(X)
    >>> clusters.latent_.shape, clusters.predict(X[:3]).shape
    ((600, 2), (3,))
    """

    labels_: Labels
    latent_: Array

    def __init__(
        self,
        min_cluster_size: int = 25,
        min_samples: int = 25,
        cell: float = 1.0,
        most: int = 5,
        assign_noise: bool = True,
        options: EmbeddingOptions | None = None,
        ignore: tuple[str, ...] = OTHERS,
        random_state: int = 0,
    ):
        self.min_cluster_size = min_cluster_size
        self.min_samples = min_samples
        self.cell = cell
        self.most = most
        self.assign_noise = assign_noise
        self.options = options
        self.ignore = ignore
        self.random_state = random_state

    def fit(self, X: Any, y: None = None) -> Self:
        """Find the clusters.

        Parameters
        ----------
        X : DataFrame, mapping of oxide -> (sample,) array, or (sample, oxide) array in the order of `OXIDES`; wt%
            NaN = not reported.
        y : None
            Not looked at; there so that pipelines can pass it.

        Raises
        ------
        DataError
            Naming what is wrong with the table or the settings, or if there are too few different analyses.
        """
        self._check_settings()
        table = oxide_table(X, "X", self.ignore)
        roots = np.sqrt(np.maximum(table[~np.isnan(table).all(1)], 0))
        if not len(roots):
            raise DataError(explain("X", "no analysis has an oxide", expected="oxides in wt%"))
        rng = np.random.default_rng(child_seed(self.random_state, 0))
        roots = roots[_thinned(np.nan_to_num(roots, nan=-1.0), COARSE, FEW, rng)]
        self.donors_, self.centre_ = Donors(roots), np.zeros(len(OXIDES))
        self.centre_ = self._scaled(roots).mean(0)
        scaled = self._scaled(roots)
        kept = _thinned(scaled, self.cell, self.most, rng)
        self._check_count(len(kept))
        options = self.options or EmbeddingOptions()
        self.network_ = embed(scaled[kept], options, child_seed(self.random_state, 1))
        self._cluster(scaled[kept])
        self.latent_, self.labels_ = self.transform(X), self.predict(X)
        return self

    def fit_predict(self, X: Any, y: None = None) -> Labels:
        """Find the clusters and give those of the same analyses, (sample,); as `fit`."""
        return self.fit(X).labels_

    def transform(self, X: Any) -> Array:
        """Project analyses, with the scales and donors of `fit`, to the latent : (sample, 2); NaN if nothing is known.

        Raises
        ------
        QueryError
            Before `fit`.
        DataError
            Naming what is wrong with the table.
        """
        return self._latent(self._told(X))

    def predict(self, X: Any) -> Labels:
        """Cluster of each analysis, (sample,), by the nearest ones of `fit`, in its scales and with its donors.

        -1 = noise: what has no oxide, is unlike any analysis that has a cluster, or, unless `assign_noise`, lies
        between clusters. Errors as in `transform`.
        """
        scaled = self._told(X)
        found = np.full(len(scaled), -1)
        near = np.flatnonzero(self._strangeness(scaled) <= self.reach_)
        if near.size:
            found[near] = self.voters_.predict(scaled[near])
        return found

    def _check_settings(self) -> None:
        for name, least in {"min_cluster_size": 2, "min_samples": 1, "most": 1}.items():
            if not vars(self)[name] >= least:
                raise DataError(explain(name, f"{vars(self)[name]}", expected=f"{least} or more"))
        if not self.cell > 0:
            raise DataError(explain("cell", f"{self.cell}", expected="a positive length"))

    def _check_count(self, count: int) -> None:
        least = max(self.min_cluster_size, self.min_samples) + 1
        if count < least:
            problem = f"{count} analyses that differ enough to be kept"
            raise DataError(explain("X", problem, expected=f"{least} or more", fix="lower min_cluster_size or cell"))

    def _scaled(self, roots: Array) -> Array:
        """Features of square roots of wt%, gaps filled; a row without any oxide stays NaN."""
        scaled = np.full((len(roots), len(OXIDES)), np.nan)
        some = ~np.isnan(roots).all(1)
        if some.any():
            scaled[some] = _features(self.donors_.complete(roots[some]) ** 2) / NEAR - self.centre_
        return scaled

    def _told(self, X: Any) -> Array:
        if "network_" not in vars(self):
            raise QueryError(explain("MineralClusters", "not fitted yet", fix="call fit(X) first"))
        return self._scaled(np.sqrt(np.maximum(oxide_table(X, "X", self.ignore), 0)))

    def _latent(self, scaled: Array) -> Array:
        with torch.no_grad():
            return self.network_.encoder(torch.from_numpy(scaled).float()).double().numpy()

    def _cluster(self, scaled: Array) -> None:
        density = HDBSCAN(self.min_cluster_size, min_samples=self.min_samples, copy=True)
        found = density.fit(self._latent(scaled)).labels_
        self.n_clusters_ = int(found.max()) + 1
        clustered = found >= 0 if self.n_clusters_ else np.ones(len(found), bool)
        self.core_ = KDTree(scaled[clustered])
        usual = self.core_.query(scaled[clustered], k=[CLOSE + 1])[0]
        self.reach_ = REACH * float(np.quantile(usual, 0.99))
        voting = clustered if self.assign_noise else slice(None)
        self.voters_ = KNeighborsClassifier(VOTERS).fit(scaled[voting], found[voting])

    def _strangeness(self, scaled: Array) -> Array:
        """Distance from the analyses that have a cluster, (sample,); infinite if nothing is known."""
        found = np.full(len(scaled), np.inf)
        some = ~np.isnan(scaled).any(1)
        if some.any():
            found[some] = self.core_.query(scaled[some], k=[CLOSE])[0][:, 0]
        return found


def _features(wt: Array) -> Array:
    """Shares of cations, their exchange and the total : (sample, 10), of complete analyses : (sample, oxide)."""
    moles = wt / GRAMS_PER_CATION
    share = moles / np.maximum(moles.sum(1, keepdims=True), 1e-9)
    exchanging = share[:, [FE, MN, MG]].sum(1)
    fixed = np.delete(share, [FE, MN, MG], 1)
    exchange, total = share[:, MG] - share[:, FE], wt.sum(1) / 100
    return np.column_stack([np.sqrt(fixed), np.sqrt(exchanging), EXCHANGE * exchange, TOTAL * np.sqrt(total)])


def _thinned(x: Array, cell: float, most: int, rng: np.random.Generator) -> Labels:
    """Rows that are kept where at most `most` of them, drawn at random, may share a cell of a grid; in their order."""
    places = np.floor(x / cell + rng.random(x.shape[1])).astype(np.int64)
    cells = np.unique(places, axis=0, return_inverse=True)[1].ravel()
    order = rng.permutation(len(x))
    order = order[np.argsort(cells[order], kind="stable")]
    starts = np.flatnonzero(np.r_[True, np.diff(cells[order]) > 0])
    rank = np.arange(len(x)) - np.repeat(starts, np.diff(np.r_[starts, len(x)]))
    return np.sort(order[rank < most])
