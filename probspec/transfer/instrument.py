"""What a model keeps of one secondary: its reading, and the error of that in units of the latent."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from probspec.nets.linear_law import LinearLaw
from probspec.transfer.basis import Basis
from probspec.transfer.reading import Reading

KEPT = ("secondary", "primary", "held_out", "errors", "left", "sizes", "groups", "library")  # of a reading, as buffers
VAGUE = 0.98  # most of the prior's variance that a reading may leave


class Instrument(nn.Module):
    """A secondary.

    Parameters
    ----------
    latents, channels : int

    Attributes
    ----------
    turn : (latent, axis) Tensor
        Axes along which the reading's errors are independent.
    variance : (axis,) Tensor
        Of the errors of usual size, as a share of the prior's.
    law : LinearLaw
        How it sees the latent; only simulated spectra rest on it.
    """

    turn: Tensor
    variance: Tensor

    def __init__(self, latents: int, channels: int):
        super().__init__()
        self.register_buffer("turn", torch.eye(latents))
        self.register_buffer("variance", torch.full((latents,), 0.5))
        self.law = LinearLaw(latents, channels)
        self.fitted: Reading | None = None
        self.made: dict[str, Any] = {}

    def keep(self, reading: Reading, unit: NDArray[np.float64]) -> None:
        """Take over a reading.

        Parameters
        ----------
        reading : Reading
        unit : (latent,) array
            Scores of the primary that are one of the latent.
        """
        self.fitted = reading
        values, vectors = np.linalg.eigh(reading.covariance() / unit[:, None] / unit)
        self.turn = torch.from_numpy(vectors).to(self.turn)
        self.variance = torch.from_numpy(values.clip(1e-8)).to(self.variance)
        z = reading.basis.scores(reading.primary) / unit
        self.law.fit(torch.from_numpy(z), torch.from_numpy(reading.secondary))
        for part in KEPT:
            self.register_buffer(part, torch.from_numpy(getattr(reading, part).copy()))
        self.made = {"rule": reading.rule, "maps": [list(found) for found in reading.maps]}

    def reading(self, basis: Basis) -> Reading:
        """The reading; that of a loaded model is made anew from what it kept."""
        if self.fitted is None:
            kept = {part: self.get_buffer(part).numpy() for part in KEPT}
            maps = tuple(tuple(found) for found in self.made["maps"])
            self.fitted = Reading(basis=basis, maps=maps, rule=self.made["rule"], **kept)
        return self.fitted

    def told(self, mean: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
        """What a reading says of the latent in the axes of its error, and its variance : (sample, axis) each.

        Maps answer with posterior means, which are drawn towards the average; here that pull is taken back, so that
        any prior can be put in its place.

        Parameters
        ----------
        mean : (sample, latent) Tensor
        width : (sample, 1) Tensor
            How many times the usual error is to be expected.
        """
        left = (self.variance * width.square()).clamp(max=VAGUE)
        return mean @ self.turn / (1 - left), left / (1 - left)

    def architecture(self) -> dict[str, Any]:
        """Maps of the reading, and the sizes of what it keeps."""
        return self.made | {"sizes": {part: list(self.get_buffer(part).shape) for part in KEPT}} if self.made else {}

    def build(self, architecture: dict[str, Any]) -> None:
        """Make room for them."""
        self.made = {part: architecture[part] for part in ("rule", "maps") if part in architecture}
        for part, shape in architecture.get("sizes", {}).items():
            self.register_buffer(part, torch.zeros(shape, dtype=torch.float64))
