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
