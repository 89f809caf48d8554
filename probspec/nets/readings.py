"""Readings: what the guide of a two-way model is told of a batch, and so how q(y | x) and q(z | x, y) are read off it.

`SummaryReading` rests on frozen cross-fitted encoders, whose error is known and whose summaries are observations of
their own; it serves small sets. `NetworkReading` is the published form, networks that are trained with the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions.constraints import Constraint

from probspec.batch import Batch
from probspec.nets.decoders import Decoder, MixingDecoder, NetworkDecoder
from probspec.nets.layers import mlp
from probspec.nets.summaries import Summaries

Told = tuple[Tensor, ...]
"""Context of a `ConditionalGuide` and, where there is one, the location and scale of its warm start."""


class Reading(nn.Module, ABC):
    """How spectra tell of composition and nuisance.

    Parameters
    ----------
    channels : mapping of modality -> int
    components, directions : int
        Of composition and nuisance.
    """

    cut: ClassVar[bool]
    """Whether channels count only where the composition is known, and what infers it is observed apart from them."""

    told_y: int
    told_z: int

    def __init__(self, channels: Mapping[str, int], components: int, directions: int):
        super().__init__()
        self.channels, self.components, self.directions = dict(channels), components, directions

    @abstractmethod
    def decoder(self, modality: str) -> Decoder:
        """Make the decoder of a modality that goes with this reading."""

    @abstractmethod
    def composition(self, batch: Batch, decoders: nn.ModuleDict, support: Constraint) -> Told:
        """What q(y | x) is told."""

    @abstractmethod
    def nuisance(self, batch: Batch, decoders: nn.ModuleDict, y: Tensor) -> Told:
        """What q(z | x, y) is told, with `y` : (..., sample, component)."""

    def observed(self, batch: Batch, y: Tensor) -> dict[str, tuple[TorchDistribution, Tensor]]:
        """Sites besides the channels that are observed at composition `y`: name -> law and value."""
        return {}

    def dream(self, batch: Batch, y: Tensor) -> Batch:
        """Replace what was observed besides the channels by draws for other compositions; only where `cut`."""
        raise NotImplementedError(f"{type(self).__name__} observes channels alone")

    def fit(self, batch: Batch, target: str, support: Constraint, groups: Tensor, seed: int) -> dict[str, Tensor]:
        """Learn what closed forms and cross-fitting can, and give the extras of the training rows."""
        return {}

    def encode(self, batch: Batch) -> dict[str, Tensor]:
        """Extras of new rows."""
        return {}

    def pretend(self, batch: Batch, y: Tensor) -> dict[str, Tensor]:
        """Extras of an example."""
        return {}

    def architecture(self) -> dict[str, Any]:
        """Plain values from which `build` makes room for what `fit` chose."""
        return {}

    def build(self, architecture: dict[str, Any]) -> None:
        """Make room for it."""
        return None


class SummaryReading(Reading):
    """q(y | x) rests on summaries of the spectra, q(z | x, y) on the linear mixing story; both are then refined."""

    cut: ClassVar[bool] = True

    def __init__(self, channels: Mapping[str, int], components: int, directions: int):
        super().__init__(channels, components, directions)
        self.summaries = Summaries(tuple(channels), components)
        self.told_y, self.told_z = 2 * components, directions

    def decoder(self, modality: str) -> Decoder:
        """End-members, and an equal share of the nuisance directions."""
        each, position = self.directions // len(self.channels), list(self.channels).index(modality)
        own = slice(position * each, (position + 1) * each)
        return MixingDecoder(self.channels[modality], self.components, self.directions, own)

    def composition(self, batch: Batch, decoders: nn.ModuleDict, support: Constraint) -> Told:
        """Start from the Gaussian that the summaries are together."""
        start = self.summaries.start(batch, support)
        return start.context, start.location, start.scale_tril

    def nuisance(self, batch: Batch, decoders: nn.ModuleDict, y: Tensor) -> Told:
        """Start from the Gaussian posterior of the linear mixing story over the modalities that are there."""
        precision = torch.eye(self.directions, dtype=y.dtype, device=y.device)
        shift = y.new_zeros(self.directions)
        for name, decoder in decoders.items():
            there = batch.present[name].to(y.dtype)[:, None]
            gram, pull = decoder.nuisance(decoder.scaling(batch.x[name]), y)
            precision, shift = precision + there[..., None] * gram, shift + there * pull
        covariance = torch.linalg.inv(precision)
        location = (covariance @ shift[..., None])[..., 0]
        return location, location, torch.linalg.cholesky(covariance).expand(*location.shape, -1)

    def observed(self, batch: Batch, y: Tensor) -> dict[str, tuple[TorchDistribution, Tensor]]:
        """The summaries."""
        return {"summary": (self.summaries.law(batch, y), self.summaries.seen(batch))}

    def dream(self, batch: Batch, y: Tensor) -> Batch:
        """Summaries of compositions `y`, with the widths of the batch and modalities left out at random."""
        return self.summaries.dream(batch, y)

    def fit(self, batch: Batch, target: str, support: Constraint, groups: Tensor, seed: int) -> dict[str, Tensor]:
        """Fit the encoders and the law of their errors to the labelled rows."""
        return self.summaries.fit(batch, target, support, groups, seed)

    def encode(self, batch: Batch) -> dict[str, Tensor]:
        """Summaries of new rows."""
        return self.summaries.encode(batch)

    def pretend(self, batch: Batch, y: Tensor) -> dict[str, Tensor]:
        """Summaries as good encoders would give them."""
        return self.summaries.pretend(batch, y)

    def architecture(self) -> dict[str, Any]:
        """Kind and shape of each encoder."""
        return self.summaries.architecture()

    def build(self, architecture: dict[str, Any]) -> None:
        """Make empty encoders."""
        self.summaries.build(architecture)


class NetworkReading(Reading):
    """Networks on the scaled channels, side by side with which of the modalities were measured."""

    cut: ClassVar[bool] = False
    FEATURES: ClassVar[int] = 128

    def __init__(self, channels: Mapping[str, int], components: int, directions: int):
        super().__init__(channels, components, directions)
        self.told_y = self.told_z = features = self.FEATURES
        seen = sum(channels.values()) + len(channels)
        self.read_y = mlp([seen, 2 * features, features], nn.ReLU)
        self.read_z = mlp([seen + components, 2 * features, features], nn.ReLU)

    def decoder(self, modality: str) -> Decoder:
        """Mean and variance by a network."""
        return NetworkDecoder(self.channels[modality], self.components, self.directions)

    def composition(self, batch: Batch, decoders: nn.ModuleDict, support: Constraint) -> Told:
        """Features of the spectra."""
        return (self.read_y(_side_by_side(batch, decoders)),)

    def nuisance(self, batch: Batch, decoders: nn.ModuleDict, y: Tensor) -> Told:
        """Features of spectra and composition."""
        seen = _side_by_side(batch, decoders)
        return (self.read_z(torch.cat([seen.expand(*y.shape[:-1], -1), y], -1)),)


def _side_by_side(batch: Batch, decoders: nn.ModuleDict) -> Tensor:
    """Scaled spectra, zero where missing, and which were measured."""
    there = {name: batch.present[name].to(x.dtype)[:, None] for name, x in batch.x.items()}
    return torch.cat([*(decoders[m].scaling(x) * there[m] for m, x in batch.x.items()), *there.values()], -1)
