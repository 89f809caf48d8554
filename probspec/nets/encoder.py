"""Encoders: from a spectrum to a summary of its composition, with a width that held-out rows have confirmed.

An encoder is fitted once to the labelled spectra of one modality and then frozen. What it returns for its own training
rows is out of fold: each composition is predicted by an encoder that never saw it (semi-automatic summaries, Fearnhead
& Prangle 2012, here cross-fitted). What is built on these summaries therefore learns how wrong they are on new
compositions. Kernel encoders serve small sets, networks large ones; `fit_encoder` keeps what predicts held-out rows
best.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Summary:
    """What an encoder says of spectra.

    Parameters
    ----------
    mean, variance : (sample, component) Tensor
        In the target's unit and its square.
    """

    mean: Tensor
    variance: Tensor

    def log_density(self, y: Tensor) -> float:
        """Mean Gaussian log density of the true `y` : (sample, component), nats per row."""
        return torch.distributions.Normal(self.mean, self.variance.sqrt()).log_prob(y).sum(-1).mean().item()


class Calibration(nn.Module):
    """What held-out rows say of an encoder: how far it shrinks towards the mean, how much wider it errs than it says.

    A regression answers with the mean of what is left possible: the summary of a composition y lies about
    centre + slope (y - centre), the slope below 1 where spectra say little. Undone, the summary is unbiased at every y,
    and what was believed beforehand is the business of the prior alone.
    """

    STEEPEST: ClassVar[float] = 0.2  # least slope that is undone; an encoder below it knows next to nothing

    def __init__(self, components: int):
        super().__init__()
        self.register_buffer("centre", torch.zeros(components, dtype=torch.float64))
        self.register_buffer("slope", torch.ones((), dtype=torch.float64))
        self.register_buffer("inflation", torch.ones((), dtype=torch.float64))

    def fit(self, held_out: Summary, y: Tensor) -> None:
        """Learn from summaries of held-out rows and their true `y` : (sample, component)."""
        self.centre = y.double().mean(0)
        apart, said = y.double() - self.centre, held_out.mean - held_out.mean.mean(0)
        self.slope = ((said * apart).sum() / apart.square().sum().clamp_min(1e-300)).clamp(self.STEEPEST, 1.0)
        self.inflation = torch.ones_like(self.slope)
        undone = self(held_out)
        errors = (undone.mean - y) / undone.variance.sqrt()
        self.inflation = (errors.abs().quantile(0.9) / 1.645).clamp_min(1e-3)

    def forward(self, summary: Summary) -> Summary:
        """Undo the shrinkage, and widen."""
        mean = self.centre + (summary.mean - self.centre) / self.slope
        return Summary(mean, summary.variance * (self.inflation / self.slope).square())


class Encoder(nn.Module, ABC):
    """From spectra of one modality to a `Summary` of each."""

    name: ClassVar[str]
    ROWS: ClassVar[range]
    """Numbers of labelled rows that suit this kind."""

    @abstractmethod
    def fit(self, x: Tensor, y: Tensor, groups: Tensor, seed: int) -> Summary:
        """Fit to labelled spectra and return their out-of-fold summaries.

        Parameters
        ----------
        x : (sample, channel) Tensor
        y : (sample, component) Tensor
        groups : (sample,) int Tensor
            Rows of one group are held out together; here rows of the same composition.
        seed : int
        """

    @abstractmethod
    def forward(self, x: Tensor) -> Summary:
        """Summarise new spectra `x` : (sample, channel)."""

    @abstractmethod
    def architecture(self) -> dict[str, Any]:
        """Plain values from which `build` makes an encoder of the same shape."""

    @abstractmethod
    def build(self, architecture: dict[str, Any]) -> None:
        """Make room for the weights of a fitted encoder."""
