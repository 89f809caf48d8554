"""Network encoders: perceptrons on principal scores of several views, for sets of 500 labelled rows and more."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from probspec.batch import Batch
from probspec.nets.encoder import Encoder, Summary
from probspec.nets.kernels import Scores
from probspec.nets.layers import mlp
from probspec.nets.views import applicable
from probspec.seeding import child_seed, seeded
from probspec.training.options import TrainOptions
from probspec.training.train import train

FARTHEST = 8.0  # standard deviations of a score, beyond which a network would only make things up


@dataclass(frozen=True)
class Shuffled:
    """Minibatches of rows that are all in memory."""

    rows: Batch
    size: int
    seed: int

    def __len__(self) -> int:
        return math.ceil(len(self.rows) / self.size)

    def epoch(self, number: int) -> Iterator[Batch]:
        """Give the batches of one epoch, the last filled up from the first."""
        generator = torch.Generator().manual_seed(child_seed(self.seed, number))
        order = torch.randperm(len(self.rows), generator=generator)
        for start in range(0, len(order), self.size):
            yield self.rows.rows(order[(torch.arange(self.size) + start) % len(order)])


class Perceptron(nn.Module):
    """Mean and variance of a standardised composition, by one network of principal scores."""

    def __init__(self, scores: int, components: int, hidden: int):
        super().__init__()
        self.net = mlp([scores, hidden, hidden, 2 * components])

    def forward(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance, (sample, component)."""
        mean, log_variance = self.net(scores).chunk(2, -1)
        return mean, log_variance.clamp(-9, 4)

    def loss(self, batch: Batch, kl_weight: float = 1.0) -> dict[str, Tensor]:
        """Negative log density."""
        mean, log_variance = self(batch.x["scores"])
        misfit = (batch.y["standard"] - mean).square() * (-log_variance).exp()
        return {"negative log density": 0.5 * (misfit + log_variance).sum(-1).mean()}


class NetworkEncoder(Encoder):
    """One perceptron per fold, averaged; each row's out-of-fold summary is that of the one that never saw its group."""

    name: ClassVar[str] = "network"
    ROWS: ClassVar[range] = range(500, 10**9)
    FOLDS: ClassVar[int] = 5
    SCORES: ClassVar[int] = 48
    HIDDEN: ClassVar[int] = 128
    STEPS: ClassVar[int] = 400

    def __init__(self):
        super().__init__()
        self.scores, self.members = nn.ModuleList(), nn.ModuleList()

    def fit(self, x: Tensor, y: Tensor, groups: Tensor, seed: int) -> Summary:
        """Train the perceptrons, each without one fold of the groups."""
        self._make(applicable(x)[:3], *x.shape, y.shape[1])
        for scores in self.scores:
            scores.fit(x)
        self.centre, self.spread = y.double().mean(0), y.double().std(0).clamp_min(1e-12)
        told, standard = self._told(x), ((y - self.centre) / self.spread).float()
        codes = groups.unique(return_inverse=True)[1]
        fold = (codes if codes.max() >= 2 else torch.arange(len(x))) % self.FOLDS
        mean, variance = torch.empty_like(standard), torch.empty_like(standard)
        for number, member in enumerate(self.members):
            held = fold == number
            _learn(member, told[~held], standard[~held], self.STEPS, child_seed(seed, number))
            with torch.no_grad():
                mean[held], log_variance = member(told[held])
            variance[held] = log_variance.exp()
        # A network is too sure of itself: its widths are those that held-out rows bear out.
        self.inflation = ((standard - mean).abs() / variance.sqrt()).quantile(0.9, 0).div(1.645).square().clamp_min(1)
        return self._in_unit(mean, variance * self.inflation)

    def _make(self, views: tuple[str, ...], rows: int, channels: int, components: int) -> None:
        self.scores = nn.ModuleList(Scores(view, rows, channels, self.SCORES) for view in views)
        told = sum(len(scores.basis) for scores in self.scores)
        with seeded(0):
            self.members = nn.ModuleList(Perceptron(told, components, self.HIDDEN) for _ in range(self.FOLDS))
        self.register_buffer("centre", torch.zeros(components, dtype=torch.float64))
        self.register_buffer("spread", torch.ones(components, dtype=torch.float64))
        self.register_buffer("inflation", torch.ones(components))

    def _told(self, x: Tensor) -> Tensor:
        """Principal scores, the strong ones a little larger than the weak."""
        blocks = []
        for scores in self.scores:
            standard = (scores(x)[:, :-1] / scores.deviation).clamp(-FARTHEST, FARTHEST)
            blocks.append(standard * (scores.deviation / scores.deviation[0]).sqrt())
        return torch.cat(blocks, -1).float()

    def forward(self, x: Tensor) -> Summary:
        """Average of the perceptrons; what they disagree about adds to the variance."""
        told = self._told(x)
        with torch.no_grad():
            means, log_variances = (torch.stack(part) for part in zip(*(m(told) for m in self.members), strict=True))
        variance = log_variances.mean(0).exp() * self.inflation + means.var(0, correction=0)
        return self._in_unit(means.mean(0), variance)

    def _in_unit(self, mean: Tensor, variance: Tensor) -> Summary:
        return Summary(mean * self.spread + self.centre, variance * self.spread.square())

    def architecture(self) -> dict[str, Any]:
        """Views, and the sizes of what they were fitted to."""
        first = self.scores[0]
        views = [scores.view for scores in self.scores]
        return {"views": views, "rows": first.rows, "channels": first.channels, "components": len(self.centre)}

    def build(self, architecture: dict[str, Any]) -> None:
        """Make empty scores and perceptrons."""
        views, rows, channels, components = (architecture[k] for k in ("views", "rows", "channels", "components"))
        self._make(tuple(views), rows, channels, components)


def _learn(member: Perceptron, told: Tensor, standard: Tensor, steps: int, seed: int) -> None:
    count = len(told)
    everywhere = torch.ones(count, dtype=torch.bool)
    rows = Batch(
        x={"scores": told},
        present={"scores": everywhere},
        y={"standard": standard},
        labelled={"standard": everywhere},
        index=torch.arange(count),
        total=count,
    )
    batches = Shuffled(rows, min(128, count), seed)
    epochs = math.ceil(steps / len(batches))
    options = TrainOptions(
        epochs=epochs, learning_rate=2e-3, weight_decay=0.1, optimiser="adamw", schedule="cosine", device="cpu"
    )
    train(member, member.loss, batches, options, seed=seed)
    member.requires_grad_(False)
