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


class Tempering(nn.Module):
    """Widths half-way, on a logarithmic scale, between what an encoder states and what it states typically.

    An encoder knows which spectra it knows less, but exaggerates: held-out errors grow about as the square root of
    the widths. Beyond the widest that was held out nobody has checked, and a stranger's width grows as stated. How
    wide they are all in all is learnt where the modalities come together.
    """

    def __init__(self):
        super().__init__()
        self.register_buffer("typical", torch.ones((), dtype=torch.float64))
        self.register_buffer("widest", torch.ones((), dtype=torch.float64))

    def fit(self, held_out: Summary) -> None:
        """Learn the typical and the largest variance from summaries of held-out rows."""
        variance = held_out.variance.double()
        self.typical, self.widest = variance.log().mean().exp(), variance.max()

    def forward(self, summary: Summary) -> Summary:
        """Draw the widths together."""
        known = summary.variance.clamp_max(self.widest)
        return Summary(summary.mean, (known * self.typical).sqrt() * summary.variance / known)


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
