"""The plain network that was published for minerals, and the same with missing values in its training."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor, nn

from probspec.baselines.classification import Array, Classifier, Codes
from probspec.batch import Batch
from probspec.errors import DataError, explain
from probspec.nets.layers import mlp
from probspec.nets.networks import Shuffled
from probspec.seeding import child_seed, seeded
from probspec.training.history import History
from probspec.training.options import TrainOptions
from probspec.training.train import train


class NeuralClassifier(Classifier):
    """The plain published network, inputs-64-32-16-classes with rectified linear units, by Adam on the cross-entropy.

    Parameters
    ----------
    published : bool
        True: a missing value is filled with 0, as published. False: with the mean of its column over all rows, whatever
        their class, and in training reported values are hidden at random too, so that the network expects it.
    masking : float
        Probability that a reported value is hidden in a step; only where not `published`.
    held_out : float
        Share of rows, in whole groups, on which training stops early; a group with the last rows of a class stays.
    epochs : int
        At most.
    patience : int, epochs
    learning_rate : float
    batch_size : int, rows
    random_state : int
        Of first weights, batches, hidden values and held-out groups; global generators are left as they are.

    Attributes
    ----------
    history_ : History
        Of the training.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["olivine", "quartz"], 40)
    >>> X = np.where(y == "quartz", 100, 40)[:, None] + rng.normal(0, 1, (80, 3))
    >>> NeuralClassifier(published=False).fit(X, y).predict([[99, np.nan, 100]]).tolist()
    ['quartz']
    """

    def __init__(
        self,
        published: bool = True,
        masking: float = 0.15,
        held_out: float = 0.15,
        epochs: int = 200,
        patience: int = 20,
        learning_rate: float = 2e-3,
        batch_size: int = 256,
        random_state: int = 0,
    ):
        self.published = published
        self.masking = masking
        self.held_out = held_out
        self.epochs = epochs
        self.patience = patience
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.random_state = random_state

    def _learn(self, X: Array, y: NDArray, groups: Codes) -> None:
        for name, value in {"masking": self.masking, "held_out": self.held_out}.items():
            if not 0 <= value < 1:
                raise DataError(explain(name, f"got {value}", expected="a share from 0 to below 1"))
        self.filling_ = np.zeros(X.shape[1]) if self.published else np.nanmean(X, 0)
        filled = np.where(np.isnan(X), self.filling_, X)
        deviations = filled.std(0) if self.published else np.nanstd(X, 0)
        self.centre_ = filled.mean(0) if self.published else self.filling_
        self.spread_ = np.where(deviations > 0, deviations, 1.0)
        codes = np.searchsorted(self.classes_, y)
        held = _held_out(codes, groups, self.held_out, child_seed(self.random_state, 0))
        with seeded(child_seed(self.random_state, 1)):
            net = mlp([X.shape[1], 64, 32, 16, len(self.classes_)], nn.ReLU)
        self.network_ = _Network(net, 0.0 if self.published else self.masking)
        self.history_ = self._train(
            _batch(self._told(X[~held]), codes[~held]), _batch(self._told(X[held]), codes[held])
        )

    def _train(self, rows: Batch, held: Batch) -> History:
        options = TrainOptions(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            patience=self.patience if len(held) else None,
            device="cpu",
        )
        batches = Shuffled(rows, min(self.batch_size, len(rows)), child_seed(self.random_state, 2))
        validate = [held] if len(held) else []
        return train(self.network_, self.network_.loss, batches, options, validate, child_seed(self.random_state, 3))

    def _told(self, X: Array) -> Array:
        """Rows in units of the spread; a missing value is filled in."""
        return (np.where(np.isnan(X), self.filling_, X) - self.centre_) / self.spread_

    def _probabilities(self, X: Array) -> Array:
        with torch.no_grad():
            logits = self.network_.net(torch.as_tensor(self._told(X), dtype=torch.float32))
        return softmax(logits.double().numpy(), 1)


class _Network(nn.Module):
    """Network and its loss; a hidden value becomes 0, the mean of its column."""

    def __init__(self, net: nn.Module, masking: float):
        super().__init__()
        self.net, self.masking = net, masking

    def loss(self, batch: Batch, kl_weight: float = 1.0) -> dict[str, Tensor]:
        """Cross-entropy, nats per row."""
        x = batch.x["rows"]
        shown = torch.rand_like(x) >= self.masking
        logits = self.net(x * shown if self.masking else x)
        return {"cross-entropy": nn.functional.cross_entropy(logits, batch.y["class"][:, 0])}


def _held_out(codes: Codes, groups: Codes, share: float, seed: int) -> NDArray[np.bool_]:
    """Rows of random whole groups, up to a share of all; what would take the last rows of a class stays."""
    held, left = np.zeros(len(codes), bool), np.bincount(codes)
    _, of_row, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    by_group = np.split(np.argsort(of_row, kind="stable"), np.cumsum(sizes)[:-1])
    for number in np.random.default_rng(seed).permutation(len(by_group)):
        rows = by_group[number]
        without = left - np.bincount(codes[rows], minlength=len(left))
        if without.min() > 0 and held.sum() + len(rows) <= share * len(codes):
            held[rows], left = True, without
    return held


def _batch(x: Array, codes: Codes) -> Batch:
    everywhere = torch.ones(len(x), dtype=torch.bool)
    return Batch(
        x={"rows": torch.as_tensor(x, dtype=torch.float32)},
        present={"rows": everywhere},
        y={"class": torch.as_tensor(codes)[:, None]},
        labelled={"class": everywhere},
        index=torch.arange(len(x)),
        total=max(len(x), 1),
    )
