"""What a simulator expects of some samples before the instrument adds its errors, and what every simulator offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from probspec.spec import DataSpec


@dataclass(frozen=True)
class Expected:
    """Expected spectra of some samples, and the truth behind them.

    Parameters
    ----------
    spectra : dict of modality -> (sample, channel) Tensor
    axes : dict of modality -> (channel,) Tensor, `units`
    units : dict of modality -> unit of the axis
    targets : dict of target -> dict of component -> (sample,) Tensor
    classes : dict of target -> (sample,) sequence of class names
    """

    spectra: Mapping[str, Tensor]
    axes: Mapping[str, Tensor]
    units: Mapping[str, str]
    targets: Mapping[str, Mapping[str, Tensor]]
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Simulator(Protocol):
    """Options of a simulator, which draws samples, expects their spectra and measures these."""

    def expect(self, spec: DataSpec, n: int, rng: np.random.Generator) -> Expected:
        """Draw the truth and the nuisances of `n` samples, and run the physics."""
        ...

    def detect(self, expected: Expected, modality: str, noise: str, rng: np.random.Generator) -> NDArray[np.float32]:
        """Measure the expected spectra of a modality, whose noise is "gaussian" or "poisson"."""
        ...
