"""An autoencoder to two dimensions that keeps neighbours together.

An autoencoder alone lays groups over each other in two dimensions wherever its decoder can live with that. Density
clustering needs more: that neighbours stay neighbours and strangers part. The loss adds the cross entropy between the
fuzzy graph of nearest neighbours and the closeness in the latent (UMAP: McInnes, Healy & Melville 2018; with a network
as the map: Sainburg, McInnes & Gentner 2021), so that new rows can be projected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.spatial import KDTree
from torch import Tensor, nn

from probspec.errors import DataError, explain
from probspec.nets.layers import mlp
from probspec.seeding import seeded

SPREAD, FALL = 1.577, 0.895  # closeness 1 / (1 + SPREAD d^(2 FALL)): UMAP's for a least distance of 0.1
TINY = 1e-3  # keeps the logarithm of a distance finite


@dataclass(frozen=True)
class EmbeddingOptions:
    """How the autoencoder is trained.

    Parameters
    ----------
    neighbours : int
        Nearest neighbours of a row in the graph.
    steps : int
    batch : int
        Pairs of neighbours in a step.
    strangers : int
        Random rows that each pair is held against.
    width : int
        Of the two hidden layers.
    learning_rate : float
        Highest, on a one-cycle schedule.

    Raises
    ------
    DataError
        If one of them is not positive.
    """

    neighbours: int = 20
    steps: int = 2500
    batch: int = 512
    strangers: int = 3
    width: int = 64
    learning_rate: float = 4e-3

    def __post_init__(self) -> None:
        for name in ("neighbours", "steps", "batch", "strangers", "width"):
            if not vars(self)[name] >= 1:
                raise DataError(explain(name, f"{vars(self)[name]}", expected="1 or more"))
        if not self.learning_rate > 0:
            raise DataError(explain("learning_rate", f"{self.learning_rate}", expected="more than 0"))


class Graph(NamedTuple):
    """Pairs of neighbours.

    Parameters
    ----------
    first, second : (pair,) int array
    strength : (pair,) array, 0 to 1
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    strength: NDArray[np.float64]


class NeighbourAutoencoder(nn.Module):
    """Encoder to two dimensions and decoder back.

    Parameters
    ----------
    features, width : int
    """

    def __init__(self, features: int, width: int = 64):
        super().__init__()
        self.encoder = mlp([features, width, width, 2])
        self.decoder = mlp([2, width, width, features])

    def loss(self, x: Tensor, pairs: Tensor, strangers: Tensor) -> Tensor:
        """Misfit of what was reported, plus cross entropy of the neighbours.

        Parameters
        ----------
        x : (sample, feature) Tensor
        pairs : (2, pair) int Tensor
        strangers : (pair, stranger) int Tensor
        """
        one, other = pairs
        latent = self.encoder(x[torch.cat([one, other, strangers.flatten()])])
        here, there, away = latent.split([len(one), len(other), strangers.numel()])
        misfit = (self.decoder(here) - x[one]).square().mean()
        apart = here[:, None] - away.view(*strangers.shape, 2)
        near = torch.log1p(SPREAD * _power(here - there))
        far = -torch.log(1 - 1 / (1 + SPREAD * _power(apart)) + TINY)
        return misfit + near.mean() + far.sum(-1).mean()


def _power(apart: Tensor) -> Tensor:
    return (apart.square().sum(-1) + 1e-8) ** FALL


def neighbour_graph(x: NDArray[np.float64], neighbours: int) -> Graph:
    """Fuzzy graph of nearest neighbours, symmetric; widths by bisection so that a row has log2(neighbours) in all.

    Parameters
    ----------
    x : (sample, feature) array
        Without gaps.
    neighbours : int
        Fewer than there are rows.

    Examples
    --------
    >>> graph = neighbour_graph(np.array([[0.0], [1.0], [5.0]]), 1)
    >>> graph.first.tolist(), graph.second.tolist()
    ([0, 1, 1, 2], [1, 0, 2, 1])
    """
    distance, index = KDTree(x).query(x, k=np.arange(2, neighbours + 2))
    beyond = distance - distance[:, :1]
    strength = np.exp(-beyond / _widths(beyond, np.log2(neighbours), distance.mean()))
    rows = np.repeat(np.arange(len(x)), neighbours)
    one_way = csr_array((strength.ravel(), (rows, index.ravel())), shape=(len(x), len(x)))
    both = (one_way + one_way.T - one_way * one_way.T).tocoo()
    return Graph(both.row.astype(np.int64), both.col.astype(np.int64), both.data)


def _widths(beyond: NDArray[np.float64], total: float, scale: float) -> NDArray[np.float64]:
    low, high = np.zeros((len(beyond), 1)), np.full((len(beyond), 1), 100 * scale)
    for _ in range(50):
        middle = (low + high) / 2
        too_wide = np.exp(-beyond / np.maximum(middle, 1e-300)).sum(1, keepdims=True) > total
        low, high = np.where(too_wide, low, middle), np.where(too_wide, middle, high)
    return np.maximum(low, 1e-3 * scale) + 1e-300


def embed(x: NDArray[np.float64], options: EmbeddingOptions, seed: int) -> NeighbourAutoencoder:
    """Train the autoencoder.

    Parameters
    ----------
    x : (sample, feature) array
        Of order one, without gaps.
    options : EmbeddingOptions
    seed : int
        Same seed, same network; the global generators stay as they are.
    """
    graph = neighbour_graph(x, min(options.neighbours, len(x) - 1))
    values = torch.from_numpy(x).float()
    chances = torch.from_numpy(graph.strength).cumsum(0)
    ends = torch.from_numpy(np.stack([graph.first, graph.second]))
    with seeded(seed):
        net = NeighbourAutoencoder(x.shape[1], options.width)
        optimiser = torch.optim.Adam(net.parameters(), fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, options.learning_rate, options.steps)
        for _ in range(options.steps):
            drawn = torch.searchsorted(chances, torch.rand(options.batch, dtype=torch.float64) * chances[-1])
            pairs = ends[:, drawn.clamp_max(len(chances) - 1)]
            strangers = torch.randint(len(x), (options.batch, options.strangers))
            optimiser.zero_grad()
            net.loss(values, pairs, strangers).backward()
            optimiser.step()
            schedule.step()
    return net.eval()
